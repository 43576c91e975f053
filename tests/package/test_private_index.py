"""An index that wants a password, in a whole build with dpkg-buildpackage: the password is nowhere."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from indexes import Index, Watch, forms, holders, serve, unpack
from projects import Project
from wheels import write_wheel
from workbench import Bench

pytestmark = pytest.mark.root

USER, PASSWORD = "me@work", "hunter2@:/?#%~is-secret"
NEEDLES = forms(USER, PASSWORD)
UV = "/opt/tests-uv/bin"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a build left."""

    top: Path
    """The folder that holds the source tree, the packages and the temporary folder."""
    status: int
    log: str
    watch: Watch


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """The index of one distribution, which refuses whoever comes without the password."""
    with serve([write_wheel(tmp_path, "wren-pure")], user=USER, password=PASSWORD) as index:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{index.url}wren-pure/")
        assert (index.refused, index.served) == (1, 0)
        yield index


def build(bench: Bench, index: Index, project: Project, how: str, uv: Path) -> Outcome:
    """Build a project in a root with the network of this machine, everything shown."""
    folder = bench.write(project)
    top = str(Path(folder).parent)
    bench.root.copy_in(uv, f"{UV}/uv")
    env = {"DH_VERBOSE": "1", "HOME": f"{top}/home", "TMPDIR": f"{top}/tmp", "NO_PROXY": "127.0.0.1"}
    env |= {"no_proxy": "127.0.0.1", "PATH": f"{UV}:/usr/sbin:/usr/bin:/sbin:/bin"}
    env |= {"PIP_CACHE_DIR": f"{top}/cache/pip", "UV_CACHE_DIR": f"{top}/cache/uv"}
    for name in ("home", "tmp"):
        bench.root.inside(f"{top}/{name}").mkdir()
    if how == "netrc":
        netrc = bench.root.inside(f"{top}/home/.netrc")
        netrc.write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
        netrc.chmod(0o600)
        env["PIP_INDEX_URL"] = index.url
    else:
        env[how] = index.url_with_password
    with Watch(NEEDLES) as watch:
        done = bench.root.run("dpkg-buildpackage -us -uc -b 2>&1", cwd=folder, env=env, check=False)
    # What holds the password by itself is no leak.
    shutil.rmtree(bench.root.inside(f"{top}/home"))
    return Outcome(top=bench.root.inside(top), status=done.returncode, log=done.stdout, watch=watch)


@pytest.mark.parametrize(("installer", "how"), [("uv", "netrc"), ("pip", "PIP_INDEX_URL")])
def test_password_of_an_index_is_nowhere_after_a_build(
    bench: Callable[[str], Bench], index: Index, installer: str, how: str, uv_binary: Path, tmp_path: Path
) -> None:
    """Plain, percent-encoded or in base64: on no command line, not in the log, nor in any file that is left.

    The environments of the processes are not looked at: the kernel shows /proc/PID/environ to nobody but the
    same user and root.
    """
    project = Project(dependencies=["wren-pure"], config=f'installer = "{installer}"')
    made = build(bench("bookworm"), index, project, how, uv_binary)
    assert made.status == 0, made.log
    assert index.served > 0
    assert any(installer in words and "install" in words for words in made.watch.programs)
    assert made.watch.samples > 50
    assert made.watch.exposed == []
    assert f"{installer} " in made.log and "install" in made.log
    assert [n for n in NEEDLES if n.decode() in made.log] == []
    suffixes = {path.suffix for path in made.top.iterdir()}
    assert {".deb", ".buildinfo", ".changes"} <= suffixes
    (deb,) = made.top.glob("*.deb")
    content = unpack(deb, tmp_path / "content")
    assert list(content.rglob("wren_pure/__init__.py")) and (content / "DEBIAN/control").exists()
    assert holders(NEEDLES, content, made.top) == []


def test_module_with_the_password_of_the_index_is_stopped(
    bench: Callable[[str], Bench], index: Index, uv_binary: Path
) -> None:
    """V012 looks for what this very build was given, and does not repeat it."""
    settings: dict[str, str | bytes | None] = {"demo/settings.py": f"WORD = {PASSWORD!r}\n"}
    project = Project(dependencies=["wren-pure"], files=settings)
    made = build(bench("bookworm"), index, project, "netrc", uv_binary)
    assert made.status != 0
    assert "V012" in made.log and "demo/settings.py" in made.log
    assert [n for n in NEEDLES if n.decode() in made.log] == []
    assert list(made.top.glob("*.deb")) == []

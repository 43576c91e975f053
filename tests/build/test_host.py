"""Environments on a machine, with a package database of dpkg's: list, run, shell, self-check and V020."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from builds import PYTHON, Case, run_cli
from venvpkg.control import Package
from venvpkg.errors import VenvpkgError
from venvpkg.host import activate, choose, deactivate, list_environments, read_offered
from venvpkg.layers import make_stanza
from venvpkg.process import Shell

MakeCase = Callable[..., Case]
CONTROL = """\
Package: {package}
Version: 1.0-1
Architecture: all
Maintainer: A Developer <developer@example.org>
Description: test
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A prefix that dpkg unpacked, with a database of its own beside it."""

    prefix: Path
    environ: dict[str, str]
    """With DPKG_ADMINDIR."""

    @property
    def site(self) -> Path:
        """The environment's site-packages."""
        (found,) = self.prefix.glob("lib/python3.*/site-packages")
        return found

    def command(self, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command venvpkg."""
        return run_cli([str(word) for word in words], self.prefix.parent, {**self.environ, **more})

    def check(self, *words: str, python: Path | None = None) -> tuple[int, list[tuple[str, str]]]:
        """Run the self-check; returns its status and, for each finding, path from the prefix and message."""
        program = [python or self.prefix / "bin/python", "-I"]
        program += [self.site / "venvpkg_selfcheck.py"] if python else ["-m", "venvpkg_selfcheck"]
        done = subprocess.run([*program, "--json", *words], env=self.environ, capture_output=True, text=True)
        found = json.loads(done.stdout)["findings"] if done.stdout else []
        top = f"{self.prefix}/"
        return done.returncode, [(f["path"].removeprefix(top), f["message"]) for f in found]

    def listed(self, codename: str = "testing") -> dict[str, object]:
        """What `venvpkg list` says of the environment, as if on a release of that name."""
        run = Shell()
        (one,) = list_environments(
            self.environ, codename, lambda words, **kw: run(words, env=self.environ, **kw)
        )  # type: ignore[arg-type]
        return {"state": one.state, "texts": [p.text for p in one.problems], "row": one.row()}


def unpack(root: Path, package: str, environ: Mapping[str, str], *, conffiles: str = "") -> None:
    """Make a package of a folder and let dpkg unpack it into this machine's root, below the prefix alone."""
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(CONTROL.format(package=package))
    if conffiles:
        (root / "DEBIAN/conffiles").write_text(conffiles)
    deb = root.with_suffix(".deb")
    words = [["dpkg-deb", "-Znone", "--root-owner-group", "--build", root, deb]]
    words += [["dpkg", "--force-not-root", "--force-bad-path", "--log=/dev/null", "-i", deb]]
    for each in words:
        subprocess.run(each, env=environ, check=True, capture_output=True)


@pytest.fixture
def install(make: MakeCase, tmp_path: Path, environ: dict[str, str]) -> Callable[..., Server]:
    """`install(config, **project)`: a project built for a prefix in the test's folder, and unpacked there."""

    def installed(
        config: str = "",
        conffiles: str = "",
        etc: Sequence[str] = (),
        folder: str = "demo",
        **project: object,
    ) -> Server:
        top = tmp_path.resolve() / "srv"
        case = make(f'install-root = "{top}"\n{config}', **project)
        case.build()
        stage = case.root / str(top / folder).lstrip("/")
        for name in etc:
            (stage / "etc").mkdir(exist_ok=True)
            shutil.copy(case.source / name, stage / "etc")
        case.settle()
        database = tmp_path / "dpkg"
        if not database.exists():
            (database / "info").mkdir(parents=True)
            (database / "updates").mkdir()
            (database / "status").touch()
        prefix = top / folder
        env = {**environ, "DPKG_ADMINDIR": str(database)}
        for package in (case.package, f"{case.package}-env"):
            stage = case.source / "debian" / package / str(prefix).lstrip("/")
            if stage.is_dir():
                root = tmp_path / f"root-{package}"
                (root / str(prefix.parent).lstrip("/")).mkdir(parents=True)
                shutil.copytree(stage, root / str(prefix).lstrip("/"), symlinks=True)
                unpack(root, package, env, conffiles=conffiles.format(prefix=prefix))
        return Server(prefix=prefix, environ=env)

    return installed


def uv_install(server: Server, wheelhouse: Path, *words: str) -> None:
    """What nobody should do on a server."""
    python = server.prefix / "bin/python"
    command = ["uv", "pip", *words, "--python", python]
    command += ["--no-index", "--find-links", wheelhouse] if "install" in words else []
    subprocess.run(command, env=server.environ, check=True, capture_output=True)


def paths(findings: list[tuple[str, str]], server: Server) -> dict[str, str]:
    """Findings by path from site-packages, where they are in it."""
    site = f"{server.site.relative_to(server.prefix)}/"
    return {path.removeprefix(site): message for path, message in findings}


def verified(server: Server, *codes: str) -> dict[str, str]:
    """What `venvpkg verify` finds, by path from site-packages."""
    found = json.loads(server.command("verify", "--json", server.prefix).stdout)["findings"]
    top = f"{str(server.prefix)[1:]}/"
    return paths([(f["path"].removeprefix(top), f["message"]) for f in found if f["code"] in codes], server)


@pytest.mark.parametrize("bytecode", ["build", "install", "none"])
@pytest.mark.parametrize("interpreter", ["system", "bundled"])
def test_nothing_is_found_where_nothing_was_changed(
    bytecode: str, interpreter: str, install: Callable[..., Server]
) -> None:
    """After running, and after what the postinst of bytecode = "install" does; and nothing is written."""
    server = install(
        f'bytecode = "{bytecode}"\ninterpreter = "{interpreter}"', dependencies=["wren-needs", "wren-scripts"]
    )
    subprocess.run([server.prefix / "bin/demo"], check=True, env=server.environ, capture_output=True)
    if bytecode == "install":
        folders = [f for f in (server.prefix / "lib", server.prefix / "python/lib") if f.exists()]
        program = [server.prefix / "bin/python", "-I", "-m", "compileall", "-qq"]
        subprocess.run([*program, *folders], check=False, capture_output=True)
    before = sorted(str(p) for p in server.prefix.rglob("*"))
    assert server.check() == (0, [])
    own = "__pycache__" if bytecode == "none" else "nothing"
    assert [p for p in map(str, server.prefix.rglob("*")) if p not in before and own not in p] == []
    assert verified(server, "V006", "V020") == {}
    assert server.listed()["state"] == "ok"


def test_a_layered_environment_goes_by_the_projects_name(install: Callable[..., Server]) -> None:
    """Neither package has files that are a stranger's; without the project it goes by the other name."""
    stanza = make_stanza(Package(name="demo", architecture="any", fields={}))
    server = install(
        "layers = true", dependencies=["wren-needs"], packages=stanza, fields="Replaces: demo-env\n"
    )
    found = server.listed()
    assert (found["state"], found["texts"]) == ("ok", [])
    assert cast("tuple[str, ...]", found["row"])[0] == "demo"
    assert server.check() == (0, [])
    assert verified(server, "V006", "V020") == {}
    for name in ("demo", "demo-env"):
        assert choose(name, server.environ) == server.prefix
    (server.site / "wren_pure/__init__.py").unlink()
    (server.site / "demo/__init__.py").unlink()
    assert server.listed()["texts"] == [f"2 files are gone (venvpkg verify {server.prefix})"]
    command = ["dpkg", "--force-not-root", "--force-bad-path", "--log=/dev/null", "-r", "demo"]
    subprocess.run(command, env=server.environ, check=True, capture_output=True)
    assert cast("tuple[str, ...]", server.listed()["row"])[0] == "demo-env"


def test_what_was_installed_by_hand_is_named_file_by_file(
    install: Callable[..., Server], wheelhouse: Path
) -> None:
    """A new distribution, another version of one, and one that is gone."""
    server = install(dependencies=["wren-pure<2", "wren-both"])
    uv_install(server, wheelhouse, "install", "wren-pure==2.0", "wren-needs")
    uv_install(server, wheelhouse, "uninstall", "wren-both")
    status, findings = server.check()
    found = paths(findings, server)
    assert status == 1
    assert found["wren_pure-2.0.dist-info"] == "wren-pure 2.0 is not from the package; the package has 1.0"
    assert found["wren_needs-1.0.dist-info"] == "wren-needs 1.0 is not from the package"
    assert found[str(server.prefix)] == "wren-both 1.0 is gone"
    assert found["wren_needs/__init__.py"] == "not from the package (wren-needs 1.0)"
    assert (found["wren_pure/__init__.py"], found["wren_both/__init__.py"]) == ("changed", "gone")
    told = verified(server, "V006", "V020")
    files = {path for path in found if not path.endswith(".dist-info") and path != str(server.prefix)}
    assert {path for path in told if not path.endswith(".dist-info")} == files
    assert told["wren_needs/__init__.py"] == (
        "is not from the package (wren-needs 1.0, which the manifest has not)"
    )
    (text,) = server.listed()["texts"]  # type: ignore[misc]
    assert "installed by hand: wren_needs-1.0, wren_pure-2.0" in text


def test_every_file_counts(install: Callable[..., Server]) -> None:
    """Modules, scripts, activators, the manifest, links, bytecode, and what the program put there."""
    server = install(dependencies=["wren-scripts"])
    module = server.site / "demo/__init__.py"
    module.write_text(module.read_text() + "# by hand\n")
    for name in ("bin/activate", "bin/wren-tool", "pyvenv.cfg"):
        with (server.prefix / name).open("a") as stream:
            stream.write("\n")
    (server.site / "demo/__main__.py").unlink()
    (server.prefix / "bin/python3").unlink()
    (server.site / "demo/added.py").write_text("")
    (server.prefix / "var").mkdir()
    (server.prefix / "var/cache\x07").write_text("")
    (server.prefix / "lib/link").symlink_to("/etc")
    expected = {
        "demo/__init__.py": "changed",
        "bin/activate": "changed",
        "bin/wren-tool": "changed",
        "pyvenv.cfg": "changed",
        "demo/__main__.py": "gone",
        "bin/python3": "gone",
        "demo/added.py": "not from the package",
        "var/cache\x07": "not from the package",
        "lib/link": "not from the package",
    }
    status, findings = server.check()
    assert (status, paths(findings, server)) == (1, expected)
    assert set(verified(server, "V006", "V020")) == set(expected)
    shown = subprocess.run(
        [server.prefix / "bin/python", "-m", "venvpkg_selfcheck"], env=server.environ, capture_output=True
    ).stdout.decode()
    assert f"{server.prefix}/var/cache\\x07: not from the package\n" in shown
    assert shown.splitlines()[-1].endswith(f"{len(expected)} findings")


def test_conffile_is_the_administrators(install: Callable[..., Server]) -> None:
    """Changed or gone, it is told, and is no finding."""
    files = {"one.conf": "a = 1\n", "two.conf": "b = 1\n"}
    server = install(
        conffiles="{prefix}/etc/one.conf\n{prefix}/etc/two.conf\n", files=files, etc=["one.conf", "two.conf"]
    )
    assert server.check() == (0, [])
    (server.prefix / "etc/one.conf").write_text("a = 2\n")
    (server.prefix / "etc/two.conf").unlink()
    told = [("etc/one.conf", "conffile, changed"), ("etc/two.conf", "conffile, gone")]
    assert server.check() == (0, told)
    assert verified(server, "V006", "V020") == {}
    assert server.listed()["state"] == "ok"


def test_file_of_another_package_is_no_finding(install: Callable[..., Server], tmp_path: Path) -> None:
    """A plug-in's package may install into the prefix."""
    server = install()
    root = tmp_path / "plugin"
    place = root / str(server.site).lstrip("/") / "plugin.py"
    place.parent.mkdir(parents=True)
    place.write_text("")
    unpack(root, "plugin", server.environ)
    assert (server.site / "plugin.py").exists()
    assert server.check() == (0, [])
    assert verified(server, "V006", "V020") == {}
    (server.site / "plugin.py").write_text("changed\n")
    assert server.check() == (1, [(str(server.site.relative_to(server.prefix) / "plugin.py"), "changed")])


def test_library_that_is_gone_is_named(install: Callable[..., Server]) -> None:
    """By its soname, with the module that needs it; and so is a module that ends the program."""
    server = install(
        files={"demo/__init__.py": "import os, sys\nif os.path.exists('/nonexistent'): os.abort()\n"}
    )
    manifest = json.loads((server.prefix / "venvpkg.json").read_text())
    manifest["libraries"].append("libnowhere.so.9")
    (server.prefix / "venvpkg.json").write_text(json.dumps(manifest))
    (server.site / "demo/__init__.py").write_text("import os\nos.abort()\n")
    shutil.rmtree(server.site / "demo/__pycache__")
    found = dict(server.check()[1])
    assert "libnowhere.so.9: cannot open shared object file" in found["libnowhere.so.9"]
    assert found["demo"] == "does not load: it ends the program (status -6)"


def test_interpreter_that_is_gone_is_named(install: Callable[..., Server]) -> None:
    """Another Python runs the check; `list` says which package has it."""
    server = install()
    link = server.prefix / "bin/python"
    link.unlink()
    link.symlink_to("/usr/bin/python3.99")
    status, findings = server.check(python=Path(sys.executable))
    assert status == 1
    assert [path for path, _ in findings] == ["bin/python"]
    assert "No such file" in findings[0][1]
    assert findings[0][1].endswith(f"; {PYTHON.resolve().name} has it")
    listed = server.listed()
    assert listed["state"] == "interpreter-missing"
    assert listed["texts"] == [f"/usr/bin/python3.99 is missing: apt-get install {PYTHON.resolve().name}"]


def test_copy_without_its_package_is_held_to_its_records(
    install: Callable[..., Server], wheelhouse: Path, tmp_path: Path
) -> None:
    """What distributions brought is compared, and what was installed on top is named."""
    server = install(dependencies=["wren-pure"])
    server.environ["DPKG_ADMINDIR"] = str(tmp_path / "nothing")
    assert server.check() == (0, [])
    uv_install(server, wheelhouse, "install", "wren-needs")
    (server.site / "demo/__init__.py").write_text("")
    status, findings = server.check()
    found = paths(findings, server)
    assert (status, found["demo/__init__.py"]) == (1, "changed")
    assert found["wren_needs/__init__.py"] == "not from the package (wren-needs 1.0)"


def test_link_to_the_prefix_is_as_good(install: Callable[..., Server], tmp_path: Path) -> None:
    """The package database has the files by another name."""
    server = install()
    (tmp_path / "link").symlink_to(server.prefix)
    (server.prefix / "bin/activate").write_text("")
    linked = Server(prefix=tmp_path / "link", environ=server.environ)
    assert linked.check() == (1, [(f"{server.prefix}/bin/activate", "changed")])


def test_prefix_that_was_put_elsewhere_is_as_good(install: Callable[..., Server], tmp_path: Path) -> None:
    """A link that the administrator set, as of /opt, has its files under the names that dpkg has."""
    server = install()
    top = server.prefix.parent
    top.rename(tmp_path / "data")
    top.symlink_to(tmp_path / "data")
    (server.prefix / "bin/activate").write_text("")
    assert server.check() == (1, [("bin/activate", "changed")])
    assert verified(server, "V020") == {"bin/activate": "has another hash (dpkg's list)"}


def test_package_that_is_not_configured_is_unfinished(install: Callable[..., Server], tmp_path: Path) -> None:
    """What a killed dpkg leaves."""
    server = install()
    words = ["dpkg", "--force-not-root", "--force-bad-path", "--log=/dev/null", "--unpack"]
    subprocess.run([*words, tmp_path / "root-demo.deb"], env=server.environ, check=True, capture_output=True)
    assert server.listed()["state"] == "unfinished"


def test_selfcheck_runs_on_old_pythons(install: Callable[..., Server]) -> None:
    """3.8 is the oldest that venvpkg packages for."""
    server = install()
    old = list(Path.home().glob(".pyenv/versions/3.8.*/bin/python3.8"))
    if not old:
        pytest.skip("no Python 3.8 here")
    assert server.check(python=old[0]) == (0, [])


def test_manifest_that_tells_nothing_is_no_traceback(install: Callable[..., Server]) -> None:
    """Exit status 3, and what is missing."""
    server = install()
    (server.prefix / "venvpkg.json").write_text("{}")
    program = [server.prefix / "bin/python", "-I", "-m", "venvpkg_selfcheck"]
    done = subprocess.run(program, env=server.environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_list_has_environments_of_any_tool(install: Callable[..., Server], tmp_path: Path) -> None:
    """What dh-virtualenv made has no manifest; five of them take less than half a second of work."""
    server = install()
    for number in range(5):
        root = tmp_path / f"other-{number}"
        prefix = tmp_path / "srv" / f"other-{number}"
        place = root / str(prefix).lstrip("/")
        shutil.copytree(server.prefix, place, symlinks=True)
        (place / "venvpkg.json").unlink()
        for each in place.glob("lib/python3*/site-packages/venvpkg_selfcheck*"):
            each.unlink()
        (place / "bin/python").unlink()
        (place / "bin/python").symlink_to("/usr/bin/python3")
        unpack(root, f"other-{number}", server.environ)
    # apt-cache, which takes a second, is asked about what another release was built on.
    manifest = server.prefix / "venvpkg.json"
    (codename,) = re.findall(r"^VERSION_CODENAME=(\S+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    manifest.write_text(manifest.read_text().replace('"testing"', f'"{codename}"'))
    times = []
    for _ in range(3):
        # Of processor time, for other work on the machine makes any program wait.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = server.command("list", "--json")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    found = {e["package"]: e for e in json.loads(done.stdout)}
    assert sorted(found) == ["demo", *(f"other-{n}" for n in range(5))]
    one = found["other-0"]
    assert (one["python"], one["mode"], one["distributions"]) == (PYTHON.resolve().name[6:], "", None)
    assert one["prefix"] == str(tmp_path.resolve() / "srv/other-0")
    # Half of that on an idle machine.
    assert min(times) < 0.5, times
    table = server.command("list").stdout.splitlines()
    assert table[0].split() == ["package", "version", "Python", "prefix", "distributions", "state"]
    assert re.match(r"other-0 +1\.0-1 +3\.\d+ +\S+ +- +ok$", table[2]), table


def test_list_without_environments_says_so(environ: dict[str, str], tmp_path: Path) -> None:
    """And is no error."""
    done = run_cli(["list"], tmp_path, {**environ, "DPKG_ADMINDIR": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, "no package on this machine brought an environment\n")
    done = run_cli(["list", "--json"], tmp_path, {**environ, "DPKG_ADMINDIR": str(tmp_path)})
    assert json.loads(done.stdout) == []


def test_another_release_is_told_in_plain_words(install: Callable[..., Server]) -> None:
    """Whether apt has the Python decides what they are; a bundled one is of no release."""
    server = install()
    minor = PYTHON.resolve().name
    assert server.listed("testing")["state"] == "ok"
    listed = server.listed("nextone")
    assert listed["state"] == "other-release"
    offered = read_offered([minor, "python3.99"], Shell())
    assert offered["python3.99"] is False
    manifest = server.prefix / "venvpkg.json"
    about = json.loads(manifest.read_text())
    about["interpreter"]["package"] = "python3.99"
    manifest.write_text(json.dumps(about))
    assert server.listed("nextone")["texts"] == [
        "built on testing, and this is nextone, which has no python3.99: it gets no security updates, and a "
        "rebuild on nextone is due"
    ]
    about["interpreter"]["mode"] = "bundled"
    manifest.write_text(json.dumps(about))
    assert server.listed("nextone")["state"] == "ok"


def test_link_that_leads_to_another_python_is_told(install: Callable[..., Server]) -> None:
    """dh-virtualenv's link to python3 follows the distribution, and the modules stay behind."""
    server = install()
    lib = server.prefix / "lib"
    (folder,) = lib.glob("python3.*")
    folder.rename(lib / "python3.1")
    texts = server.listed()["texts"]
    assert f"bin/python is Python {folder.name[6:]}, and the modules are for 3.1: a rebuild is due" in texts  # type: ignore[operator]


def test_run_becomes_the_command(install: Callable[..., Server]) -> None:
    """By package or prefix: the environment's program first, then others, with its variables."""
    server = install(dependencies=["wren-scripts"])
    assert server.command("run", "demo", "wren-tool").stdout == "tool 0\n"
    script = 'echo "$VIRTUAL_ENV:${PYTHONHOME-unset}:$(command -v python)"; exit 7'
    done = server.command("run", server.prefix, "sh", "-c", script)
    assert (done.returncode, done.stdout) == (7, f"{server.prefix}:unset:{server.prefix}/bin/python\n")
    assert server.command("run", "demo", "--", "echo", "--json", "-h").stdout == "--json -h\n"
    assert server.command("run", "demo", "sh", "-c", "kill -9 $$").returncode == -signal.SIGKILL
    # Python ignores it, and its children would.
    assert server.command("run", "demo", "sh", "-c", "kill -PIPE $$").returncode == -signal.SIGPIPE
    assert server.command("run", "demo", "cat", "/etc/hostname", "/none").returncode == 1


def test_run_explains_what_it_does_not_know(install: Callable[..., Server]) -> None:
    """A name, a command, a usage; the nearest ones are named."""
    server = install(dependencies=["wren-scripts"])
    done = server.command("run", "dmeo", "true")
    assert done.returncode == 3
    assert "error[environment-unknown]" in done.stderr
    assert f"demo: {server.prefix}" in done.stderr
    assert "hint: Did you mean demo?" in done.stderr
    done = server.command("run", server.prefix.parent, "true")
    assert (done.returncode, "error[environment-unknown]" in done.stderr) == (3, True)
    done = server.command("run", "demo", "wren-tol")
    assert (done.returncode, "error[command-not-found]" in done.stderr) == (3, True)
    assert f"hint: venvpkg run {server.prefix} wren-tool" in done.stderr
    for words in (["run"], ["run", "demo"], ["run", "demo", "--"]):
        assert server.command(*words).returncode == 2
    (server.prefix / "bin/broken").write_text("#!/nonexistent\n")
    (server.prefix / "bin/broken").chmod(0o755)
    done = server.command("run", "demo", "broken")
    assert (done.returncode, "error[command-failed]" in done.stderr) == (3, True)


def test_names_that_mean_several_are_an_error(install: Callable[..., Server], tmp_path: Path) -> None:
    """An environment's name goes where no package has it; a prefix is clear."""
    server = install("env-name = 'web'", name="demo", folder="web")
    assert choose("demo", server.environ) == choose("web", server.environ) == server.prefix
    root = tmp_path / "more"
    place = root / str(tmp_path.resolve()).lstrip("/") / "opt/web"
    shutil.copytree(server.prefix, place, symlinks=True)
    unpack(root, "more", server.environ)
    assert choose("demo", server.environ) == server.prefix
    with pytest.raises(VenvpkgError, match="environment-ambiguous") as raised:
        choose("web", server.environ)
    assert len(raised.value.causes) == 2


def test_variables_of_another_environment_go() -> None:
    """What is active already does not stay on PATH."""
    before = {"PATH": "/a/bin:/usr/bin", "VIRTUAL_ENV": "/a", "PYTHONHOME": "/x", "OTHER": "1"}
    assert deactivate(before) == {"PATH": "/usr/bin", "OTHER": "1"}
    after = activate(Path("/b"), before)
    assert after == {"PATH": "/b/bin:/usr/bin", "VIRTUAL_ENV": "/b", "OTHER": "1"}


SHOW = """\
import os, sys
left = [name for name in os.environ if "VENVPKG" in name or name == "ZDOTDIR"]
print(os.environ["MINE"], sys.prefix, os.environ["HOME"], *left, "end")
"""


def talk(words: list[str], environ: Mapping[str, str], prompt: str, line: str) -> tuple[int, str]:
    """Start a program on a terminal, send a line when the prompt is there, and return status and output."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(words[0], words, dict(environ))
    said, sent, end = b"", False, time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                got = os.read(terminal, 4096)
            except OSError:
                break
            said += got
            if not got:
                break
        if not sent and prompt.encode() in said:
            os.write(terminal, line.encode() + b"\n")
            sent = True
    else:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), said.decode(errors="replace")


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "fish", "tcsh", "csh"])
def test_shell_is_the_users_own(shell: str, install: Callable[..., Server]) -> None:
    """With its own settings and the environment's prompt; PATH and HOME are right, and exit returns."""
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"{shell} is not here")
    server = install()
    home = Path(server.environ["HOME"])
    settings = {
        "sh": ("shrc", "MINE=mine; export MINE\n"),
        "fish": (".config/fish/config.fish", "set -gx MINE mine\n"),
        "tcsh": (".tcshrc", "setenv MINE mine\n"),
        "csh": (".cshrc", "setenv MINE mine\n"),
        "bash": (".bashrc", "export MINE=mine\n"),
        "zsh": (".zshrc", "export MINE=mine\n"),
    }
    name, text = settings.get(shell, settings["sh"])
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)
    (home / "show.py").write_text(SHOW)
    environ = {
        **server.environ,
        "SHELL": program,
        "TERM": "dumb",
        "ENV": str(home / "shrc"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
    }
    words = [sys.executable, "-m", "venvpkg", "shell", "demo"]
    status, said = talk(words, environ, "demo", "python ~/show.py; exit 7")
    assert re.search(rf"mine {re.escape(str(server.prefix))} {re.escape(str(home))} end", said), said
    assert "(demo)" in said
    assert status == 7


def test_shell_without_a_terminal_reads_a_script(install: Callable[..., Server]) -> None:
    """And a shell that refuses logins, or is not there, becomes /bin/sh."""
    server = install()
    for shell in ("/bin/bash", "/usr/sbin/nologin", "/nonexistent", ""):
        environ = {**server.environ, "SHELL": shell}
        script = 'command -v python; echo "$VIRTUAL_ENV"; exit 5\n'
        done = run_cli(["shell", "demo"], server.prefix.parent, environ, script)
        assert (done.returncode, done.stdout.split()) == (
            5,
            [f"{server.prefix}/bin/python", str(server.prefix)],
        )


def test_commands_import_nothing_that_is_slow() -> None:
    """Neither what reads packages nor what templates need."""
    program = "import sys, venvpkg.cli, venvpkg.host; print(*sorted(sys.modules))"
    path = str(Path(__file__).resolve().parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert not {"debian", "elftools", "jinja2", "packaging"} & set(done.stdout.split())

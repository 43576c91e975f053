"""What failed installations mean, from what the real uv and pip and their builds wrote."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from venvpkg.errors import VenvpkgError
from venvpkg.failures import explain_failure
from venvpkg.installers import Installer, Pip, Request, Uv
from venvpkg.plan import Install
from venvpkg.process import CommandFailedError, Shell, python_environment
from venvpkg.spec import Spec
from wheels import hash_of, write_sdist, write_wheel

UV = shutil.which("uv", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))


def spec(folder: Path = Path("/src/app"), **values: Any) -> Spec:
    """A spec from keys with underscores for dashes."""
    return Spec.from_values("app", folder, {name.replace("_", "-"): value for name, value in values.items()})


def request_of(install: Install, environment: Path, lines: Path) -> Request:
    """A request to install the lines into an environment."""
    python = environment / "bin" / "python"
    return Request(install=install, python=python, files=(lines,), downloads=Path("/w/downloads"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment to install into."""
    place = tmp_path_factory.mktemp("env") / "env"
    env = python_environment(os.environ)
    Shell()([sys.executable, "-I", "-m", "venv", "--without-pip", place], env=env)
    return place


@pytest.fixture(params=["uv", "pip"])
def real(request: pytest.FixtureRequest) -> Installer:
    """A real installer."""
    if request.param == "uv":
        return Uv(program=UV) if UV else pytest.skip("there is no uv")
    if Shell()([sys.executable, "-m", "pip", "--version"], check=False).returncode != 0:
        pytest.skip("there is no pip")
    return Pip(python=Path(sys.executable), version=(23, 0))


def fail(
    real: Installer, environment: Path, folder: Path, lines: str, *, hashes: bool = False, **keys: Any
) -> VenvpkgError:
    """Install what cannot be, from a folder of wheels, and explain it."""
    (folder / "r.txt").write_text(lines, encoding="utf-8")
    made = spec(folder, no_index=True, find_links=["wheels"], **{"build_isolation": False, **keys})
    what = Install(title="the requirements", hashes=hashes)
    asked = request_of(what, environment, folder / "r.txt")
    environ = {
        **os.environ,
        "UV_CACHE_DIR": str(folder / "cache"),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    env = real.environment(made, what, environ)
    with pytest.raises(CommandFailedError) as caught:
        Shell()(real.command(made, asked), env=env, cwd=folder)
    return explain_failure(caught.value, real.title, what, made, "3.11")


def test_a_distribution_that_is_not_there_is_told(real: Installer, environment: Path, tmp_path: Path) -> None:
    """With the installer's own line."""
    write_wheel(tmp_path / "wheels", "other")
    error = fail(real, environment, tmp_path, "absent-thing==1\n")
    assert error.code == "requirement-not-found"
    assert "absent-thing" in "\n".join(error.causes)


def test_a_conflict_is_told(real: Installer, environment: Path, tmp_path: Path) -> None:
    """Two that want different versions of a third."""
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "wheels", "third", version)
    write_wheel(tmp_path / "wheels", "one", requires=["third==1.0"])
    write_wheel(tmp_path / "wheels", "two", requires=["third==2.0"])
    assert fail(real, environment, tmp_path, "one\ntwo\n").code == "requirement-not-found"


def test_a_wrong_hash_is_told(real: Installer, environment: Path, tmp_path: Path) -> None:
    """The file is not the one that was pinned: with its name, every pinned hash, and the file's."""
    file = write_wheel(tmp_path / "wheels", "one")
    pins = [f"{digit}" * 64 for digit in (0, 1)]
    line = f"one==1.0 {' '.join(f'--hash=sha256:{pin}' for pin in pins)}\n"
    error = fail(real, environment, tmp_path, line, hashes=True)
    assert error.code == "hash-mismatch"
    name, *rest = error.causes
    assert name.startswith("one==1.0")
    assert rest == [*(f"  expected sha256:{pin}" for pin in pins), f"  got      {hash_of(file)}"]


def test_an_sdist_that_only_binary_forbids_is_told(
    real: Installer, environment: Path, tmp_path: Path
) -> None:
    """From pip, which says no more than that nothing matches."""
    write_sdist(tmp_path / "wheels", "one-two")
    error = fail(real, environment, tmp_path, "one-two\n", only_binary=["One_Two"])
    assert error.code == "requirement-not-found"
    assert error.causes[0].startswith("No wheel of one-two fits Python 3.11 on ")
    assert error.causes[0].endswith(", and only-binary forbids its sdist.")
    assert "out of only-binary" in error.hint


def test_wheels_for_others_are_told(environment: Path, tmp_path: Path) -> None:
    """As uv has it, which tells that there are some."""
    if not UV:
        pytest.skip("there is no uv")
    write_wheel(tmp_path / "wheels", "one", tag="cp27-cp27m-linux_mips")
    error = fail(Uv(program=UV), environment, tmp_path, "one\n")
    assert error.code == "requirement-not-found"
    assert error.causes[0].startswith("No wheel of one fits Python 3.11 on ")
    assert error.causes[0].endswith(", and there is no sdist.")


# --- Builds


def fail_to_build(
    real: Installer, environment: Path, folder: Path, program: str, **keys: Any
) -> VenvpkgError:
    """Build an sdist whose back end is a program that does not get far."""
    lines = "".join(f"    {line}\n" for line in program.splitlines())
    backend = f"import subprocess, sys\n\n\ndef build_wheel(*_, **__):\n{lines}"
    write_sdist(folder / "wheels", "one", backend="broken", files={"backend/broken.py": backend})
    return fail(real, environment, folder, "one\n", **keys)


COMPILE = """\
open("x.c", "w").write({source!r})
subprocess.run(["gcc", "-c", "x.c"])
for number in range({more}):
    print("line", number, file=sys.stderr)
sys.exit("error: command 'gcc' failed with exit code 1")
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc")
@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("\n#include <no-such.h>\n", "x.c:2:10: fatal error: no-such.h: No such file or directory"),
        ("int f(int); char *f(void);\n", "x.c:1:19: error: conflicting types for"),
    ],
    ids=["a header", "conflicting types"],
)
def test_the_compiler_s_line_comes_first(
    real: Installer, environment: Path, tmp_path: Path, source: str, first: str
) -> None:
    """With the line of the source, though hundreds of lines follow; then comes the end of it all."""
    error = fail_to_build(real, environment, tmp_path, COMPILE.format(source=source, more=300))
    assert error.code == "build-failed"
    assert error.causes[0].startswith(first)
    assert "| " in error.causes[1]
    assert "error: command 'gcc' failed with exit code 1" in error.causes
    assert len(error.causes) < 15
    assert ("apt-file search --regexp '/no\\-such\\.h$'" in error.hint) == ("no-such" in source)


@pytest.mark.parametrize(
    ("program", "first"),
    [
        ("raise RuntimeError('it is so')", ["RuntimeError: it is so"]),
        ("raise LookupError('it is\\nso')", ["LookupError: it is", "so"]),
        ("sys.exit('error: it is so')", ["error: it is so"]),
        ("print('Error: it is so'); print('more'); sys.exit(2)", ["Error: it is so"]),
        (
            "try:\n    {}[1]\nexcept KeyError as error:\n    raise OSError('it is so') from error",
            ["OSError: it is so"],
        ),
    ],
)
def test_what_the_back_end_raised_comes_first(
    real: Installer, environment: Path, tmp_path: Path, program: str, first: list[str]
) -> None:
    """And nothing of what the installer makes of it."""
    error = fail_to_build(real, environment, tmp_path, program)
    assert error.code == "build-failed"
    assert error.causes[: len(first)] == first
    assert len(error.causes) < 6
    said = "\n".join(error.causes)
    assert not re.search("originates from a subprocess|Build failures|build backend|See above", said)
    assert "DH_VERBOSE=1" in error.hint


@pytest.mark.parametrize("isolation", [True, False])
def test_a_module_that_the_build_imports_is_told(
    real: Installer, environment: Path, tmp_path: Path, isolation: bool
) -> None:
    """Many an sdist does not say that it needs one."""
    error = fail_to_build(real, environment, tmp_path, "import no_such_module", build_isolation=isolation)
    assert error.causes[0] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "no_such_module" in error.hint and "preinstall" in error.hint
    assert ("build-isolation = false" in error.hint) == isolation


def test_version_that_no_repository_tells_is_explained(
    real: Installer, environment: Path, tmp_path: Path
) -> None:
    """Which folders of a repository meet, and exported trees."""
    said = "setuptools-scm was unable to detect version for /t/source."
    error = fail_to_build(real, environment, tmp_path, f"raise LookupError({said!r})")
    assert error.code == "build-failed" and error.hint.startswith("Its version comes from a repository")


def explain(text: str, **keys: Any) -> VenvpkgError:
    """The error for what a build wrote, as uv quotes it."""
    quoted = ["error: Failed to build `one==1`", "  cause: Call to `x.build_wheel` failed", "  [stderr]"]
    lines = [*quoted, *(f"   {line}" for line in text.splitlines()), "hint: Build failures usually …"]
    error = CommandFailedError(code="command-failed", message="uv failed", causes=lines[-25:], lines=lines)
    return explain_failure(error, "uv 1", Install(title="the requirements"), spec(**keys), "3.12")


def test_hint_has_the_lines_to_paste() -> None:
    """With what build-depends has already; each package once."""
    text = "".join(
        f"x.c:1:10: fatal error: {name}: No such file\n" for name in ("png.h", "z/x.h", "zlib.h", "png.h")
    )
    error = explain(text, build_depends=["libffi-dev (>= 3)", "zlib1g-dev"])
    assert error.message == "uv could not install the requirements: one==1 did not build."
    assert error.hint.splitlines()[0] == "png.h is in libpng-dev, zlib.h is in zlib1g-dev."
    assert 'build-depends = ["libffi-dev (>= 3)", "zlib1g-dev", "libpng-dev"]' in error.hint.splitlines()
    assert "Build-Depends: …, libpng-dev" in error.hint.splitlines()
    assert "apt-get install --no-install-recommends libpng-dev" in error.hint.splitlines()
    assert "z/x.h: apt-file search --regexp '/z/x\\.h$' names the package" in error.hint


def test_package_that_is_there_is_not_added_again() -> None:
    """Then the build looks elsewhere."""
    error = explain("x.c:1:10: fatal error: png.h: No such file", build_depends=["libpng-dev (>= 1)"])
    assert "build-depends = " not in error.hint
    assert "another folder" in error.hint


@pytest.mark.parametrize(
    ("python", "package"), [("", "python3-dev"), ("python3", "python3-dev"), ("3.12", "python3.12-dev")]
)
def test_headers_are_those_of_the_packaged_python(python: str, package: str) -> None:
    """By its own name where it was chosen."""
    error = explain("x.c:1:10: fatal error: Python.h: No such file or directory", python=python)
    assert f'build-depends = ["{package}"]' in error.hint.splitlines()


def test_download_of_matplotlib_s_build_can_be_turned_off() -> None:
    """Words of Meson's; the hint has the setting, and the packages that it then needs."""
    text = (
        "Found pkg-config: NO\n../extern/meson.build:12:18: ERROR: could not get "
        "https://downloads.sourceforge.net/project/freetype/freetype2/2.14.3/freetype-2.14.3.tar.xz; "
        "is the internet available?\n"
    )
    error = explain(text)
    assert 'setup-args = ["-Dsystem-freetype=true", "-Dsystem-qhull=true"]' in error.hint
    assert 'build-depends = ["libfreetype-dev", "libqhull-dev", "pkgconf"]' in error.hint
    settings = {"matplotlib": {"setup-args": ["-Dsystem-freetype=true"]}}
    assert "setup-args" not in explain(text, config_settings=settings).hint


def test_other_download_of_a_build_is_named() -> None:
    """For matplotlib 3.11 no setting helps: what it wants is newer than Debian's."""
    error = explain(
        "m.build:1:2: ERROR: could not get https://x.example/harfbuzz-1.xz; is the internet available?"
    )
    assert "fetches harfbuzz-1.xz" in error.hint


# --- What can't be reached or written


def test_an_unreachable_index_is_told(environment: Path, tmp_path: Path) -> None:
    """Nothing listens at that port."""
    if not UV:
        pytest.skip("there is no uv")
    (tmp_path / "r.txt").write_text("flask\n", encoding="utf-8")
    real, what = Uv(program=UV), Install(title="x")
    made = spec(tmp_path, index_url="http://me:hunter2@127.0.0.1:9/simple")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "c"),
        "UV_HTTP_RETRIES": "0",
    }
    asked = request_of(what, environment, tmp_path / "r.txt")
    with pytest.raises(CommandFailedError) as caught:
        Shell()(real.command(made, asked), env=real.environment(made, what, environ), cwd=tmp_path)
    error = explain_failure(caught.value, real.title, what, made, "3.11")
    assert error.code == "index-unreachable"
    assert "hunter2" not in str(error)


def test_no_space_is_told() -> None:
    """From the kernel's own words."""
    error = VenvpkgError(
        code="command-failed", message="x", causes=["OSError: [Errno 28] No space left on device"]
    )
    assert explain_failure(error, "uv 1", Install(title="x"), spec(), "3.11").code == "no-space"


def test_attempts_of_pip_are_left_out() -> None:
    """It warns of each, five times for every name, and the reason is in the line behind them."""
    again = "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'NewConnectionError'"
    reason = "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool: Max retries exceeded"
    said = [*[again] * 5, reason]
    error = CommandFailedError(code="command-failed", message="pip ended", causes=said, lines=said)
    told = explain_failure(error, "pip 23.0", Install(title="the project"))
    assert (told.code, list(told.causes)) == ("index-unreachable", [reason])

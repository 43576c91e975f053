"""`venvpkg verify --run` on a .deb, on a folder and on an installed environment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from handmade import PYTHON, add_distribution, make_deb, make_root, site_of
from roots import snapshot
from venvpkg import smoke
from venvpkg.cli import venvpkg

PREFIX = "opt/venvs/app"
KINDS = ("deb", "folder")
REPORT = "import os\nwith open(os.environ['MARK'], 'a') as mark:\n    print('{name}', file=mark)\n"


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which whatever runs leaves its name."""
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    return tmp_path / "mark"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, with nothing in it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    # The words of timeout(1) and of the C library are looked at.
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return folder


@pytest.fixture(scope="session")
def made_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build root of a right package, of no distributions yet."""
    return make_root(tmp_path_factory.mktemp("made") / "app")


@pytest.fixture
def root(made_root: Path, tmp_path: Path, mark: Path, scratch: Path) -> Path:
    """A copy of it that may be spoilt."""
    return Path(shutil.copytree(made_root, tmp_path / "app", symlinks=True))


def reporting(name: str, more: str = "") -> dict[str, bytes]:
    """A module that leaves its name, and then does more."""
    return {f"{name}/__init__.py": (REPORT.format(name=name) + more).encode()}


def verify(*words: str | Path) -> Result:
    """Run the command."""
    result = CliRunner().invoke(venvpkg, ["verify", "--run", *map(str, words)])
    assert not isinstance(result.exception, Exception), result.output
    return result


def subject(root: Path, kind: str) -> Path:
    """The package as a .deb or as the folder that it is."""
    return make_deb(root) if kind == "deb" else root


def installed(tmp_path: Path) -> Path:
    """An environment at its prefix, with a module that works and one that does not."""
    prefix = tmp_path / "installed/env"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", prefix], check=True)
    (tmp_path / "installed/opt/venvs").mkdir(parents=True)
    # Where the helper looks for it.
    (tmp_path / f"installed/{PREFIX}").symlink_to(prefix)
    add_distribution(tmp_path / "installed", "fine", reporting("fine"))
    add_distribution(tmp_path / "installed", "broken", reporting("broken", "import nothing_of_that_name\n"))
    return prefix


def findings(result: Result, *codes: str) -> list[tuple[str, str]]:
    """Code and path of every finding, or of those of some codes, in JSON output."""
    found = [(f["code"], f["path"]) for f in json.loads(result.stdout)["findings"]]
    return [pair for pair in found if not codes or pair[0] in codes]


def ran(mark: Path) -> list[str]:
    """The names that were left since the last time, in their order."""
    names = mark.read_text().split() if mark.exists() else []
    mark.unlink(missing_ok=True)
    return names


# ---------------------------------------------------------------------------------------------
# What runs


@pytest.mark.parametrize("kind", KINDS)
def test_right_package_runs_and_has_no_finding(kind: str, root: Path, mark: Path) -> None:
    """Nothing of it runs without the option."""
    add_distribution(root, "demo", reporting("demo"), local=True)
    path = subject(root, kind)
    assert CliRunner().invoke(venvpkg, ["verify", str(path)]).exit_code == 0
    assert ran(mark) == []
    result = verify(path)
    assert (result.exit_code, ran(mark)) == (0, ["demo"]), result.output
    assert "nothing found" in result.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_failing_import_is_told_with_module_and_reason(kind: str, root: Path, mark: Path) -> None:
    """And with the distribution that it is of; what comes after it is imported all the same."""
    add_distribution(root, "aaa", reporting("aaa", "import nothing_of_that_name\n"))
    add_distribution(root, "zzz", reporting("zzz"))
    result = verify("--json", subject(root, kind))
    assert (result.exit_code, findings(result)) == (1, [("V011", "aaa")])
    (finding,) = json.loads(result.stdout)["findings"]
    reason = "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert finding["message"] == f"import aaa (of aaa): {reason}"
    assert ran(mark) == ["aaa", "zzz"]


FAILING = {
    "exit": ("raise SystemExit('no')\n", "SystemExit: no"),
    "leave": ("import sys; sys.exit(0)\n", "SystemExit: 0"),
    "end": ("os._exit(0)\n", "the process ended with status 0"),
    "abort": ("os.abort()\n", "the process ended with"),
    "syntax": ("1 +\n", "SyntaxError"),
    "odd": ("raise Exception('line\\nbreak \\udcff')\n", "Exception"),
    "library": ("import ctypes; ctypes.CDLL('libnowhere.so.9')\n", "cannot open shared object file"),
}


def test_module_may_fail_in_any_way(root: Path, mark: Path) -> None:
    """By an exception, by ending the process, by being no Python at all; the rest goes on."""
    for name, (more, _) in FAILING.items():
        add_distribution(root, name, reporting(name, more))
    add_distribution(root, "zzz", reporting("zzz"))
    result = verify("--json", root)
    assert findings(result) == [("V011", name) for name in sorted(FAILING)]
    for finding in json.loads(result.stdout)["findings"]:
        assert FAILING[finding["path"]][1] in finding["message"]
    assert ran(mark)[-1] == "zzz"


def test_installed_environment_runs_at_its_prefix(tmp_path: Path, mark: Path, scratch: Path) -> None:
    """Where no package owns it, its modules are imported all the same."""
    prefix = installed(tmp_path)
    result = verify("--json", prefix)
    assert (result.exit_code, findings(result, "V011")) == (1, [("V011", "broken")])
    assert ran(mark) == ["broken", "fine"]


@pytest.mark.parametrize("kind", KINDS)
def test_manifest_says_what_is_imported_and_run(kind: str, root: Path, mark: Path) -> None:
    """What the build proved is proven again, and nothing else; a script goes through bin/python."""
    for name in ("one", "two", "three"):
        add_distribution(root, name, reporting(name), local=name == "one")
    script = root / PREFIX / "bin/tool"
    script.write_text(f"#!/{PREFIX}/bin/python\nimport sys\nsys.argv[0] = 'x'\n{REPORT.format(name='tool')}")
    script.write_text(script.read_text() + "sys.exit(len(sys.argv) - 2)\n")
    script.chmod(0o755)
    manifest = {"imported": ["two"], "smoke": ["tool 'a b'", "tool", "sh -c 'echo shell >>$MARK'", "nosuch"]}
    (root / PREFIX / "venvpkg.json").write_text(json.dumps(manifest))
    result = verify("--json", subject(root, kind))
    assert ran(mark) == ["two", "tool", "tool", "shell"]
    assert findings(result) == [("V011", "nosuch"), ("V011", "tool")]
    messages = [f["message"] for f in json.loads(result.stdout)["findings"]]
    assert messages[0] == "nosuch: there is no nosuch in the environment or on PATH"
    assert messages[1] == "tool: status 255"


def test_failing_command_is_told_with_what_it_said(root: Path) -> None:
    """The last lines of it."""
    manifest = {"imported": [], "smoke": ["sh -c 'echo to out; echo to err >&2; exit 7'"]}
    (root / PREFIX / "venvpkg.json").write_text(json.dumps(manifest))
    (finding,) = json.loads(verify("--json", root).stdout)["findings"]
    assert finding["path"] == manifest["smoke"][0]
    assert finding["message"].endswith(": status 7: to out | to err")


def test_manifest_that_does_not_say_it_is_as_none(root: Path, mark: Path) -> None:
    """Another tool may have a file of that name."""
    add_distribution(root, "one", reporting("one"), local=True)
    add_distribution(root, "two", reporting("two"))
    for text in ('{"imported": "two"}', '{"imported": ["two"], "smoke": {}}', '["imported"]', "{"):
        (root / PREFIX / "venvpkg.json").write_text(text)
        assert verify(root).exit_code == 0
        assert ran(mark) == ["one"]


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_project_is_imported_with_what_it_requires(kind: str, root: Path, mark: Path) -> None:
    """What was installed from a folder is the project; of markers those count that the package is for."""
    requires = "Requires-Dist: need\nRequires-Dist: never; sys_platform == 'win32'\n"
    add_distribution(root, "demo", reporting("demo"), requires, local=True)
    for name, more in (("need", "Requires-Dist: deep\n"), ("deep", ""), ("never", ""), ("aside", "")):
        add_distribution(root, name, reporting(name), more)
    result = verify(subject(root, kind))
    assert (result.exit_code, ran(mark)) == (0, ["need", "demo"]), result.output


def test_without_a_project_what_nothing_requires_is_imported(root: Path, mark: Path) -> None:
    """Each of them, in the order of their names."""
    add_distribution(root, "ccc", reporting("ccc"))
    add_distribution(root, "aaa", reporting("aaa"), "Requires-Dist: bbb\n")
    add_distribution(root, "bbb", reporting("bbb"))
    assert verify(root).exit_code == 0
    assert ran(mark) == ["aaa", "ccc"]


def test_every_environment_of_a_package_is_run(root: Path, mark: Path) -> None:
    """Each with its own Python."""
    add_distribution(root, "demo", reporting("demo", "import sys\nassert sys.prefix.endswith('app')\n"))
    shutil.copytree(root / PREFIX, root / "opt/venvs/two", symlinks=True)
    for path in (root / "opt/venvs/two").rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes().replace(b"/opt/venvs/app", b"/opt/venvs/two"))
    result = verify("--json", make_deb(root))
    assert findings(result) == [("V011", "demo")]
    assert "AssertionError" in result.stdout
    assert ran(mark) == ["demo", "demo"]


def test_accepted_failure_is_left_out(root: Path) -> None:
    """By the module's name."""
    add_distribution(root, "demo", {"demo/__init__.py": b"import nothing_of_that_name\n"}, local=True)
    accepted = [{"code": "V011", "path": "demo", "reason": "never used"}]
    (root / PREFIX / "venvpkg.json").write_text(json.dumps({"accepted": accepted, "project": "demo"}))
    assert verify(root).exit_code == 0


# ---------------------------------------------------------------------------------------------
# What it ran with


def test_library_of_the_system_that_depends_has_not_is_told(root: Path) -> None:
    """V018, with the package that owns it; with that in Depends nothing is found."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"libgomp\.so\.1 .*=> (\S+)", known)
    if not match:
        pytest.skip("libgomp1 is not installed")
    program = b"import ctypes\nctypes.CDLL('libgomp.so.1')\n"
    add_distribution(root, "demo", {"demo/__init__.py": program}, local=True)
    for kind in KINDS:
        result = verify("--json", subject(root, kind))
        assert findings(result) == [("V018", str(Path(match[1]).resolve()).lstrip("/"))]
        assert "libgomp1 owns it, and Depends does not bring libgomp1 in" in result.stdout
    control = root / "DEBIAN/control"
    control.write_text(control.read_text().replace("Depends: ", "Depends: libgomp1, "))
    assert verify(make_deb(root)).exit_code == 0


def test_library_that_nobody_owns_is_told(root: Path, tmp_path: Path) -> None:
    """It is on this machine alone."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    command = ["gcc", "-shared", "-o", tmp_path / "libmine.so.1", "-x", "c", "/dev/null"]
    subprocess.run(command, check=True)
    program = f"import ctypes\nctypes.CDLL('{tmp_path}/libmine.so.1')\n".encode()
    add_distribution(root, "demo", {"demo/__init__.py": program}, local=True)
    result = verify("--json", root)
    assert findings(result) == [("V018", f"{tmp_path}/libmine.so.1".lstrip("/"))]
    assert "no package owns it" in result.stdout


def test_module_that_the_environment_has_not_is_told(root: Path, tmp_path: Path) -> None:
    """A .pth file leads out of it, to a folder that no server has."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/stray.py").write_text("NAME = 1\n")
    (site_of(root) / "stray.pth").write_text(f"{tmp_path / 'outside'}\n")
    add_distribution(root, "demo", {"demo/__init__.py": b"import stray\n"}, local=True)
    result = verify("--json", root)
    assert findings(result, "V018") == [("V018", f"{tmp_path}/outside/stray.py".lstrip("/"))]


def test_environment_of_the_caller_is_kept_out(
    root: Path, tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another environment's variables, and the caller's home."""
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray/stray.py").write_text("NAME = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stray"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    more = (
        "import importlib.util as u\n"
        "assert u.find_spec('stray') is None\n"
        "assert os.listdir(os.environ['HOME']) == []\n"
        "assert 'XDG_CACHE_HOME' not in os.environ\n"
        "assert os.getcwd() == os.environ['HOME']\n"
    )
    add_distribution(root, "demo", reporting("demo", more), local=True)
    result = verify("--json", root)
    assert (findings(result), ran(mark)) == ([], ["demo"])


# ---------------------------------------------------------------------------------------------
# A Python that does not start


def break_python(python: Path, how: str) -> None:
    """Put something in its place that does not start."""
    python.unlink()
    if how == "dangling":
        python.symlink_to("/nonexistent/python3.11")
    elif how == "folder":
        python.mkdir()
    else:
        python.write_text("#!/bin/sh\necho so it goes >&2\nexit 3\n" if how == "failing" else "no program\n")
        python.chmod(0o644 if how == "mode" else 0o755)


@pytest.mark.parametrize(
    ("kind", "how", "reason"),
    [
        ("deb", "dangling", "No such file or directory"),
        ("folder", "dangling", "No such file or directory"),
        ("deb", "folder", "ermission denied"),
        ("folder", "mode", "ermission denied"),
        ("folder", "failing", "so it goes status 3"),
        ("deb", "text", "does not start"),
    ],
)
def test_python_that_does_not_start_is_a_finding(kind: str, how: str, reason: str, root: Path) -> None:
    """For the interpreter, with its own words, and for nothing that it would have run."""
    add_distribution(root, "demo", local=True)
    break_python(root / PREFIX / "bin/python", how)
    result = verify("--json", subject(root, kind))
    assert (result.exit_code, findings(result, "V011")) == (1, [("V011", f"/{PREFIX}/bin/python")])
    message = next(f["message"] for f in json.loads(result.stdout)["findings"] if f["code"] == "V011")
    assert message.startswith(f"/{PREFIX}/bin/python: The environment's Python does not start.")
    assert reason in message
    assert "Traceback" not in result.output


def test_python_of_an_installed_environment_that_does_not_start(tmp_path: Path, scratch: Path) -> None:
    """It is named by its own prefix."""
    prefix = installed(tmp_path)
    break_python(prefix / "bin/python", "failing")
    assert findings(verify("--json", prefix), "V011") == [("V011", f"{prefix}/bin/python")]


def test_standard_library_that_is_not_there_is_a_finding(root: Path) -> None:
    """The interpreter starts and finds nothing to run with."""
    python = root / PREFIX / "bin/python"
    python.unlink()
    python.write_text(f'#!/bin/sh\nPYTHONHOME=/nonexistent exec {PYTHON} "$@"\n')
    python.chmod(0o755)
    add_distribution(root, "demo", local=True)
    assert findings(verify("--json", root), "V011") == [("V011", f"/{PREFIX}/bin/python")]


# ---------------------------------------------------------------------------------------------
# What does not end, and what is left


def test_what_hangs_is_ended_and_told(root: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module, one that does not listen to SIGTERM, and a command; the rest still runs."""
    monkeypatch.setattr(smoke, "LIMIT", ("timeout", "--foreground", "--kill-after=1", "1"))
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    sleep = "import time\ntime.sleep(60)\n"
    add_distribution(root, "aaa", reporting("aaa", sleep))
    add_distribution(root, "deaf", reporting("deaf", deaf + sleep))
    add_distribution(root, "zzz", reporting("zzz"))
    manifest = {"imported": ["aaa", "deaf", "zzz"], "smoke": ["sleep 60"]}
    (root / PREFIX / "venvpkg.json").write_text(json.dumps(manifest))
    result = verify("--json", root)
    assert findings(result) == [("V011", "aaa"), ("V011", "deaf"), ("V011", "sleep 60")]
    messages = [f["message"] for f in json.loads(result.stdout)["findings"]]
    assert "import aaa (of aaa): the process ended with no end within" in messages[0]
    assert "status 137" in messages[1] or "SIGKILL" in messages[1]
    assert messages[2].startswith("sleep 60: no end within")
    assert ran(mark)[-1] == "zzz"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_and_nothing_changed(kind: str, root: Path, scratch: Path) -> None:
    """Neither in the folder for temporary files nor, as bytecode, in the environment."""
    litter = (
        "import tempfile\n"
        "os.makedirs(os.path.join(os.environ['HOME'], 'a/b'))\n"
        "open(os.path.join(os.environ['HOME'], 'a/b/c'), 'w').close()\n"
        "os.chmod(os.path.join(os.environ['HOME'], 'a/b/c'), 0)\n"
        "tempfile.mkdtemp()\n"
        "import nothing_of_that_name\n"
    )
    add_distribution(root, "demo", reporting("demo", litter), local=True)
    path = subject(root, kind)
    before = snapshot(root)
    assert findings(verify("--json", path)) == [("V011", "demo")]
    assert snapshot(root) == before
    assert list(scratch.iterdir()) == []


def test_nothing_is_left_of_an_installed_environment(tmp_path: Path, mark: Path, scratch: Path) -> None:
    """It is run where it is, and stays as it is."""
    prefix = installed(tmp_path)
    before = snapshot(prefix)
    verify(prefix)
    assert ran(mark) != []
    assert snapshot(prefix) == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("what", ["broken", "cut", "no environment", "none"])
def test_nothing_is_left_of_what_cannot_be_run(what: str, root: Path, scratch: Path) -> None:
    """The error has a code, and the temporary folder is gone."""
    if what == "no environment":
        shutil.rmtree(root / "opt")
    deb = make_deb(root)
    if what in ("broken", "cut"):
        deb.write_bytes(deb.read_bytes()[:-300] if what == "cut" else b"hello\n")
    result = verify(deb if what != "none" else root / "none.deb")
    assert (result.exit_code, result.output.startswith("error[")) == (3, True), result.output
    assert list(scratch.iterdir()) == []


def test_process_that_a_module_leaves_running_holds_nothing_up(root: Path) -> None:
    """It has the descriptors of what started it, and may never end."""
    program = b"import subprocess\nsubprocess.Popen(['sleep', '60'])\n"
    add_distribution(root, "demo", {"demo/__init__.py": program}, local=True)
    start = time.monotonic()
    assert verify(root).exit_code == 0
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("command", ["", "'"])
def test_command_that_is_none_is_told(command: str, root: Path) -> None:
    """A manifest may hold anything."""
    (root / "opt/venvs/app/venvpkg.json").write_text(json.dumps({"imported": [], "smoke": [command]}))
    result = verify(root)
    assert result.exit_code == 1
    assert "V011" in result.stdout and "is no command" in result.stdout


def test_python_that_does_nothing_is_told(root: Path) -> None:
    """It ends without an error, and without having imported anything."""
    add_distribution(root, "demo", {"demo/__init__.py": b"import nothing_of_that_name\n"}, local=True)
    (root / "opt/venvs/app/bin/python").unlink()
    (root / "opt/venvs/app/bin/python").symlink_to("/bin/true")
    assert "The environment's Python does not start" in verify(root).stdout


def test_module_may_write_to_any_descriptor(root: Path) -> None:
    """Also to the one that the run is told on."""
    program = b"import os\nos.write(3, b'hello\\xff\\n[1]\\n')\n"
    add_distribution(root, "demo", {"demo/__init__.py": program}, local=True)
    assert verify(root).exit_code == 0

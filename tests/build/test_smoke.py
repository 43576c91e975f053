"""The staged environment is run before it is shipped."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import wheels
from builds import PYTHON, Case, fail
from venvpkg.process import Shell
from venvpkg.system import read_sonames

MakeCase = Callable[..., Case]


def with_init(text: str) -> dict[str, str]:
    """The project's module, with this in its ``__init__``."""
    return {"demo/__init__.py": text}


def test_import_that_fails_fails_the_build(make: MakeCase) -> None:
    """With module, distribution and the exception."""
    case = make(files=with_init("import no_such_module_anywhere\n"))
    case.build()
    error = fail(case, "settle")
    assert error.code == "smoke-failed"
    assert error.causes == [
        "import demo (of demo): ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    ]


def test_every_failure_is_told_at_once(make: MakeCase) -> None:
    """Direct requirements and the project, the requirements first."""
    case = make(files=with_init("1 / 0\n"), dependencies=["wren-pure"])
    case.build()
    (case.site / "wren_pure/__init__.py").write_text("raise LookupError('first')\n")
    causes = fail(case, "settle").causes
    assert causes == [
        "import wren_pure (of wren-pure): LookupError: first",
        "import demo (of demo): ZeroDivisionError: division by zero",
    ]


def test_requirement_of_a_requirement_is_not_imported(make: MakeCase) -> None:
    """What is imported by nothing may be broken."""
    case = make(dependencies=["wren-needs"])
    case.build()
    (case.site / "wren_pure/__init__.py").write_text("raise LookupError\n")
    case.settle()
    assert case.manifest()["imported"] == ["demo", "wren_needs"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "signal 11 (SIGSEGV)"),
        ("import ctypes\nctypes.string_at(0)\n", "signal 11 (SIGSEGV)"),
        ("import os\nos._exit(0)\n", "status 0"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("import sys\nsys.exit()\n", "SystemExit"),
    ],
)
def test_module_that_ends_the_process_is_named(make: MakeCase, text: str, said: str) -> None:
    """And the others are imported all the same."""
    case = make(files=with_init(text), dependencies=["wren-pure"])
    case.build()
    error = fail(case, "settle")
    assert error.code == "smoke-failed"
    assert len(error.causes) == 1
    assert error.causes[0].startswith("import demo (of demo): ")
    assert said in error.causes[0]


def test_crash_of_one_module_does_not_hide_another(make: MakeCase) -> None:
    """The run goes on in a new process."""
    case = make(files=with_init("raise LookupError('second')\n"), dependencies=["wren-pure"])
    case.build()
    (case.site / "wren_pure/__init__.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    assert len(fail(case, "settle").causes) == 2


def test_module_may_write_where_it_likes(make: MakeCase) -> None:
    """To standard output, to standard error, to the file descriptor, and not a little."""
    text = (
        'import os, sys\nprint(\'{"end": "demo", "error": "fake"}\' * 20000)\n'
        "print('x' * 200000, file=sys.stderr)\nos.write(1, b'raw')\nsys.stdout.close()\n"
    )
    case = make(files=with_init(text))
    case.finish()
    assert case.manifest()["imported"] == ["demo"]


def test_module_that_reads_standard_input_finds_it_at_its_end(make: MakeCase) -> None:
    """Nobody is there to answer."""
    make(files=with_init("import sys\nassert sys.stdin.read() == ''\n")).finish()


def test_smoke_run_sees_neither_home_nor_pythonpath(make: MakeCase) -> None:
    """It is the environment that is tested, not the machine."""
    text = (
        "import os, sys\n"
        "assert os.listdir(os.path.expanduser('~')) in ([], ['told.jsonl']), os.listdir()\n"
        "assert 'PYTHONPATH' not in os.environ and sys.flags.no_user_site\n"
        "assert not any('planted' in p for p in sys.path), sys.path\n"
    )
    case = make(files=with_init(text))
    case.environ["PYTHONPATH"] = "/planted"
    case.finish()


def test_import_run_leaves_nothing_in_the_stage(make: MakeCase) -> None:
    """Bytecode is compiled by us, and by nobody else."""
    case = make('bytecode = "none"', dependencies=["wren-pure"])
    case.finish()
    assert [name for name in case.files() if name.endswith(".pyc")] == []


def test_accepted_failure_passes(make: MakeCase) -> None:
    """With a reason, in the configuration and in the manifest."""
    record = '{ code = "V011", path = "demo", reason = "needs a display" }'
    case = make(f"accept = [{record}]", files=with_init("raise LookupError\n"))
    case.finish()
    assert case.manifest()["accepted"] == [{"code": "V011", "path": "demo", "reason": "needs a display"}]


# --- commands


def test_smoke_commands_run_against_the_stage(make: MakeCase) -> None:
    """Scripts through the staged Python, and programs of the system as they are."""
    commands = [
        "demo",
        "bin/demo",
        "python -c 'import demo'",
        "python3 -m demo",
        "wren-old",
        "wren-sh",
        "true",
    ]
    case = make(f"smoke = {json.dumps(commands)}", dependencies=["wren-scripts"])
    case.finish()
    smoke = json.loads((case.source / "debian/.debhelper/venvpkg/demo/smoke.json").read_text())
    assert smoke["commands"] == commands
    assert smoke["failures"] == []
    assert case.manifest()["imported"] == ["demo", "wren_scripts"]


def test_script_runs_on_the_staged_python(make: MakeCase) -> None:
    """An older version installed at the final prefix must not answer."""
    program = "import sys\n\n\ndef main():\n    assert sys.prefix.endswith('debian/demo/opt/venvs/demo')\n"
    make('smoke = ["demo"]', files={"demo/__main__.py": program}).finish()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python -c 'raise SystemExit(\"because\")'", "status 1: because"),
        ("python -c 'import os; os.kill(os.getpid(), 9)'", "signal 9 (SIGKILL)"),
        ("no-such-command --help", "there is no no-such-command in the environment or on PATH"),
        ("sh -c 'echo told >&2; exit 7'", "status 7: told"),
    ],
)
def test_smoke_command_that_fails_fails_the_build(make: MakeCase, command: str, said: str) -> None:
    """With the command, its status and its last lines."""
    case = make(f"smoke = ['''{command}''']")
    case.build()
    error = fail(case, "settle")
    assert error.code == "smoke-failed"
    assert error.causes == [f"{command}: {said}"]
    assert "the key smoke has it" in error.hint


def test_nocheck_skips_commands_and_keeps_imports(make: MakeCase) -> None:
    """Depends is computed from the imports."""
    case = make('smoke = ["false"]', dependencies=["wren-pure"])
    case.environ["DEB_BUILD_OPTIONS"] = "parallel=1 nocheck"
    case.finish()
    assert case.manifest()["imported"] == ["demo", "wren_pure"]


def test_nocheck_does_not_skip_a_failing_import(make: MakeCase) -> None:
    """It would ship what does not start."""
    case = make(files=with_init("raise LookupError\n"))
    case.environ["DEB_BUILD_OPTIONS"] = "nocheck"
    case.build()
    assert fail(case, "settle").code == "smoke-failed"


def test_staged_python_that_does_not_start_is_told(make: MakeCase) -> None:
    """Whatever became of it since the build."""
    case = make()
    case.build()
    case.python.unlink()
    case.python.symlink_to("/nonexistent/python3")
    assert fail(case, "settle").code == "stage-broken"


def test_module_may_have_the_name_of_the_program_that_imports_it(make: MakeCase) -> None:
    """The environment's own module is the one that is imported."""
    case = make(name="smoke", files={"smoke/__init__.py": "raise LookupError('mine')\n"})
    case.build()
    assert fail(case, "settle").causes == ["import smoke (of smoke): LookupError: mine"]


def test_module_for_an_extra_need_not_import(make: MakeCase, tmp_path: Path) -> None:
    """What wants a distribution that only an extra brings is noted, where the rest of its own works."""
    files = {"wren_more/__init__.py": "", "wren_driver/__init__.py": "import wren_manager\n"}
    wheels.write_wheel(tmp_path / "more", "wren-more", files=files, extras={"all": ["wren-manager"]})
    case = make(f'find-links = ["{tmp_path / "more"}"]\nno-index = true', offline=False)
    (case.source / "requirements.txt").write_text("wren-more\n")
    case.finish()
    assert case.manifest()["imported"] == ["demo", "wren_more"]
    assert case.gate() == ()


def test_library_that_is_not_there_is_named_with_its_package(make: MakeCase) -> None:
    """Whoever loads it: the linker, ctypes, or cffi with another system's name for it."""
    said = "cannot load library 'libgobject-2.0-0', libpq.so.5: cannot open shared object file"
    case = make(files=with_init(f'raise OSError("{said}")\n'))
    case.build()
    hint = fail(case, "settle").hint
    assert 'build-depends = ["libpq5", "libglib2.0-0' in hint


def test_module_may_import_multiprocessing(make: MakeCase) -> None:
    """It knows the program that runs by a second name."""
    case = make(files=with_init("import multiprocessing\n")).finish()
    assert case.gate() == ()


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc")
def test_library_under_its_files_name_is_depended_on(make: MakeCase, tmp_path: Path) -> None:
    """dpkg-shlibdeps says nothing of libgomp.so.1.0.0, no soname; the linker finds it all the same."""
    real = Path(read_sonames(Shell())["libgomp.so.1"]).resolve().name
    stub = tmp_path / real
    words = ["gcc", "-shared", "-o", str(stub), f"-Wl,-soname,{real}", "-xc", "/dev/null"]
    subprocess.run(words, check=True, capture_output=True)
    flags = ["-Wl,--no-as-needed", str(stub)]
    wheels.write_extension(tmp_path / "more", "wren-name", PYTHON, flags=flags)
    config = f'find-links = ["{tmp_path / "more"}"]\nno-index = true'
    case = make(config, offline=False, dependencies=["wren-name"]).finish()
    assert "libgomp1" in case.depends()
    assert case.gate() == ()

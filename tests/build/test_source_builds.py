"""What builds from source run with, and what their failures say; back ends that need no index."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import wheels
from builds import Case, fail

MakeCase = Callable[..., Case]

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
NATIVE = """\
#include <Python.h>
static PyObject *wide(PyObject *self, PyObject *args) {
#ifdef __SSE3__
    return PyLong_FromLong(128);
#else
    return PyLong_FromLong(0);
#endif
}
static PyMethodDef methods[] = {{"wide", wide, METH_NOARGS, ""}, {0}};
static struct PyModuleDef about = {PyModuleDef_HEAD_INIT, "native", "", -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&about); }
"""
RECORDER = """\
import json, os
from pathlib import Path
import backend


def build_wheel(folder, config_settings=None, metadata_directory=None):
    Path("wren_env/environ.json").write_text(json.dumps(dict(os.environ)))
    return backend.build_wheel(folder)
"""
COMPILE = """\
import subprocess, sys


def build_wheel(folder, config_settings=None, metadata_directory=None):
    subprocess.run(["gcc", "-c", "src/{source}.c"])
    print("\\n".join(f"line {{n}}" for n in range(300)), file=sys.stderr)
    sys.exit("error: command 'gcc' failed with exit code 1")
"""


@needs_gcc
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the source asks for a feature of x86")
def test_source_cannot_choose_the_processor_of_the_build(make: MakeCase) -> None:
    """With -march=native the same bytes come out as without; where the packager asks for it, others do."""
    found = []
    for number, (link, asked) in enumerate(
        [([], ""), (["-march=native"], ""), (["-march=native"], "-march=native")]
    ):
        case = make(link=link, files={"demo/native.c": NATIVE}, at=f"src-{number}")
        case.environ["CFLAGS"] = f"-O2 -ffile-prefix-map={case.source}=. {asked}".strip()
        if asked:
            case.environ["DEB_CFLAGS_APPEND"] = asked
        case.build()
        found.append(
            (
                next(case.site.glob("demo/native*.so")).read_bytes(),
                case.ask("import demo.native as n; print(n.wide())"),
            )
        )
    assert found[0] == found[1]
    assert [answer for _, answer in found] == ["0", "0", "128"]


def test_source_builds_hear_of_parallel(make: MakeCase, installer: str, tmp_path: Path) -> None:
    """Policy 4.9.1; what the user has set is left."""
    wheels.write_sdist(tmp_path / "own", "wren-env", backend="env", files={"backend/env.py": RECORDER})
    config = f'no-index = true\nfind-links = ["{tmp_path / "own"}"]'
    case = make(config, installer=installer, offline=False, dependencies=["wren-env"])
    case.environ |= {"DEB_BUILD_OPTIONS": "nocheck parallel=3", "MAX_JOBS": "1"}
    case.build()
    found = json.loads((case.site / "wren_env/environ.json").read_text())
    assert [found.get(name) for name in ("MAKEFLAGS", "NPY_NUM_BUILD_JOBS", "MAX_JOBS")] == ["-j3", "3", "1"]


@needs_gcc
def test_missing_header_names_the_line_and_the_package(
    make: MakeCase, installer: str, tmp_path: Path
) -> None:
    """The compiler's own line comes first, and the hint can be pasted."""
    files = {
        "backend/c.py": COMPILE.format(source="x"),
        "src/x.c": "\n\n#include <sasl/no-such-part.h>\n",
    }
    wheels.write_sdist(tmp_path / "own", "wren-sasl", backend="c", files=files)
    config = f'no-index = true\nfind-links = ["{tmp_path / "own"}"]'
    case = make(config, installer=installer, offline=False, dependencies=["wren-sasl"])
    error = fail(case)
    assert error.code == "build-failed"
    assert error.causes[0] == "src/x.c:3:10: fatal error: sasl/no-such-part.h: No such file or directory"
    assert "#include <sasl/no-such-part.h>" in error.causes[1]
    lines = error.hint.splitlines()
    assert lines[0] == "sasl/no-such-part.h is in libsasl2-dev."
    assert 'build-depends = ["libsasl2-dev"]' in lines
    assert "Build-Depends: …, libsasl2-dev" in lines


def test_only_binary_says_why_the_sdist_is_no_choice(make: MakeCase, installer: str) -> None:
    """There is one, and no wheel."""
    case = make('only-binary = [":all:"]', installer=installer, dependencies=["wren-recorder"])
    error = fail(case)
    assert error.code == "requirement-not-found"
    assert "only-binary forbids its sdist" in error.causes[0]

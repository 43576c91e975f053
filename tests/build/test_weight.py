"""Hard links and debug information in a package that is built."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import backend
from builds import Case
from venvpkg.cli import venvpkg

MakeCase = Callable[..., Case]


@pytest.fixture
def twins(tmp_path: Path) -> list[tuple[str, bytes]]:
    """Two wheels that bundle one library, each with a module that needs it."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    (tmp_path / "c").mkdir()

    def compile_shared(name: str, source: str, *words: str) -> bytes:
        command = ["gcc", "-shared", "-fPIC", "-o", name, "-x", "c", "-", "-x", "none", *words]
        subprocess.run(command, cwd=tmp_path / "c", input=source, text=True, check=True)
        return (tmp_path / "c" / name).read_bytes()

    library = compile_shared("libtwin-1f.so.1", "int one(void) { return 1; }", "-Wl,-soname,libtwin-1f.so.1")
    packed = []
    for name in ("alpha", "beta"):
        rpath = f"-Wl,-rpath,$ORIGIN/../{name}.libs"
        data = compile_shared(
            f"lib{name}.so", "int one(void); int two(void) { return one() + 1; }", "libtwin-1f.so.1", rpath
        )
        load = f"import ctypes\nTWO = ctypes.CDLL(f'{{__path__[0]}}/lib{name}.so').two()\n"
        members = {f"{name}/__init__.py": load.encode(), f"{name}/lib{name}.so": data}
        packed.append(backend.pack(name, "1.0", {**members, f"{name}.libs/libtwin-1f.so.1": library}))
    return packed


def test_library_that_two_wheels_bundle_is_shipped_once(
    make: MakeCase, twins: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    """It works, every record is right, and the finished .deb verifies as the folder does."""
    case = make(offline=False, wheels=twins, dependencies=["alpha", "beta"]).finish()
    one, other = (case.site / f"{name}.libs/libtwin-1f.so.1" for name in ("alpha", "beta"))
    assert one.samefile(other)
    assert case.ask("import alpha, beta; print(alpha.TWO, beta.TWO)") == "2 2"
    assert case.gate() == ()
    deb = tmp_path / "demo.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", case.root, deb], capture_output=True, check=True)
    answer = CliRunner().invoke(venvpkg, ["verify", str(deb)])
    assert answer.exit_code == 0, answer.output
    case.settle()
    assert one.samefile(other)
    assert case.gate() == ()

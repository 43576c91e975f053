"""A root in which one project after the other is built, and the odd files that projects are made of."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

from backend import pack
from projects import Project
from roots import Entry, Root

NATIVE = """\
#include <Python.h>

static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, "The answer."}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "", -1, methods};
PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
"""

TOOL = '#include <stdio.h>\nint main(void) { return puts("tool") < 0; }\n'
MAKEFILE = """\
all: tool
tool: tool.c
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $<
install:
	install -D tool $(DESTDIR)/usr/bin/demo-tool
clean:
	rm -f tool
"""
MANUAL = ".TH DEMO-TOOL 1\n.SH NAME\ndemo-tool \\- says its name\n"
BIG = "A line of a text that is longer than what dh_compress leaves alone.\n" * 200


@dataclass
class Bench:
    """Builds in one root, without network, each in a folder of its own."""

    root: Root
    count: int = 0

    def write(self, project: Project, at: str = "") -> str:
        """Write a project into a new folder, and return that."""
        self.count += 1
        folder = f"/build/{self.count}/{at or project.name}"
        project.write(self.root.inside(folder))
        return folder

    def run(
        self,
        folder: str,
        command: str,
        *,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
    ) -> str:
        """Run a command in a project's folder, and return what it printed."""
        if user:
            self.root.run(["chown", "-R", f"{user}:", str(Path(folder).parent)])
        return self.root.run(command, cwd=folder, network=False, env=env, user=user).stdout

    def fail(
        self, folder: str, command: str = "debian/rules binary", env: Mapping[str, str | None] | None = None
    ) -> CompletedProcess[str]:
        """Run a command that may fail, and return what came of it."""
        return self.root.run(command, cwd=folder, network=False, env=env, check=False)

    def build(
        self,
        project: Project,
        command: str = "debian/rules binary",
        *,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
    ) -> Path:
        """Build a project, and return the .deb of the binary package that is named like it."""
        folder = self.write(project)
        self.run(folder, command, env=env, user=user)
        return self.debs(folder)[project.name]

    def debs(self, folder: str) -> dict[str, Path]:
        """The packages beside a project's folder, by name of the binary package."""
        beside = self.root.inside(folder).parent
        return {p.name.split("_")[0]: p for p in sorted(beside.iterdir()) if p.suffix in (".deb", ".ddeb")}

    def packages(self, folder: str) -> dict[str, bytes]:
        """Their bytes."""
        return {name: path.read_bytes() for name, path in self.debs(folder).items()}

    def tree(self, folder: str) -> dict[str, Entry]:
        """What is in a project's folder."""
        return self.root.snapshot_of(folder)


def odd_library(soname: str) -> bytes:
    """A shared object with debug information, a section of its own and bytes after its end.

    strip would take all three away, and dwz would rewrite the first. It needs no library, so that it
    loads on any suite.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "odd.c").write_text("int odd(void) { return 1; }\nint even(void) { return odd() + 1; }\n")
        (folder / "extra").write_bytes(b"an odd section" * 20)
        compile_ = [
            "gcc",
            "-g",
            "-shared",
            "-fPIC",
            "-nostdlib",
            f"-Wl,-soname,{soname}",
            "-o",
            "odd.so",
            "odd.c",
        ]
        subprocess.run(compile_, check=True, cwd=folder)
        add = ["objcopy", "--add-section", ".odd=extra", "--set-section-flags", ".odd=readonly", "odd.so"]
        subprocess.run(add, check=True, cwd=folder)
        return (folder / "odd.so").read_bytes() + b"trailing bytes"


@cache
def odd_wheel() -> tuple[str, bytes]:
    """A wheel as auditwheel leaves one: libraries that strip and dwz would break, and a long text."""
    return pack(
        "odd",
        "1.0",
        {
            "odd/__init__.py": b"",
            "odd/_odd.so": odd_library("_odd.so"),
            "odd.libs/libodd-1a2b3c4d.so.1": odd_library("libodd-1a2b3c4d.so.1"),
            "odd/big.txt": BIG.encode(),
        },
        tag=f"py3-none-manylinux_2_17_{platform.machine()}",
    )


def mixed(**changes: object) -> Project:
    """A project with an extension, a wheel with odd libraries, a Makefile, a man page and debian/install.

    The binary package is `demo`. What a test changes of `files` is added to the usual ones.
    """
    files: dict[str, str | bytes | None] = {
        "demo/__init__.py": "from demo._native import answer\n\n__version__ = '1.0'\n",
        "demo/_native.c": NATIVE,
        "Makefile": MAKEFILE,
        "tool.c": TOOL,
        "demo-tool.1": MANUAL,
        "debian/manpages": "demo-tool.1\n",
        "settings.ini": "[settings]\n",
        "activate.csh": "# ours\n",
        "debian/install": "settings.ini opt/venvs/demo/etc\nactivate.csh opt/venvs/demo/bin\n",
    }
    more = changes.pop("files", {})
    assert isinstance(more, Mapping)
    project = Project(
        dependencies=["odd"], wheels=[odd_wheel()], build_depends=["python3-dev"], files={**files, **more}
    )
    return replace(project, **changes)  # type: ignore[arg-type]

"""A root in which one project after the other is built, and the odd files that projects are made of."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

from backend import pack
from projects import Project
from roots import CommandFailed, Root

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
	install -D tool "$(DESTDIR)/usr/bin/demo-tool"
clean:
	rm -f tool
"""
MANUAL = ".TH DEMO-TOOL 1\n.SH NAME\ndemo-tool \\- says its name\n"
BIG = "A line of a text that is longer than what dh_compress leaves alone.\n" * 200


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A project and how to build it."""

    project: Project
    command: str = "debian/rules binary"
    at: str = ""
    """The name of the source folder, where that matters."""
    user: str = ""
    """Who builds; root unless told."""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Built:
    """What came of a recipe."""

    folder: Path
    """The source folder, as a path of the machine."""
    status: int
    log: str

    @property
    def debs(self) -> dict[str, Path]:
        """The packages beside the source folder, by name of the binary package."""
        if self.status != 0:
            raise CommandFailed([str(self.folder)], CompletedProcess([], self.status, self.log))
        beside = sorted(self.folder.parent.iterdir())
        return {p.name.split("_")[0]: p for p in beside if p.suffix in (".deb", ".ddeb")}

    def deb(self, name: str = "demo") -> Path:
        """One package."""
        return self.debs[name]

    def error(self) -> str:
        """What the build said, where it had to fail."""
        assert self.status != 0, self.log
        return self.log


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
        self, folder: str, command: str, *, env: Mapping[str, str | None] | None = None
    ) -> CompletedProcess[str]:
        """Run a command in a project's folder, and return what came of it."""
        return self.root.run(command, cwd=folder, network=False, env=env, check=False)

    def build(self, project: Project, command: str = "debian/rules binary", **env: str) -> Built:
        """Build one project."""
        return self.build_all({"": Recipe(project=project, command=command, env=env)})[""]

    def build_all(self, recipes: Mapping[str, Recipe]) -> dict[str, Built]:
        """Build several projects, as many at a time as there are cores."""
        folders = {name: self.write(recipe.project, recipe.at) for name, recipe in recipes.items()}
        for name, recipe in recipes.items():
            folder = shlex.quote(folders[name])
            lines = [f"cd {folder} || exit"]
            lines += [f"export {key}={shlex.quote(value)}" for key, value in recipe.env.items()]
            script = self.root.inside(folders[name]).parent / "script"
            script.write_text("\n".join([*lines, recipe.command]) + "\n")
            run = f"sh {script.name} >log 2>&1"
            if recipe.user:
                account = f"--reuid={recipe.user} --regid={recipe.user} --init-groups"
                home = f"env -u PIP_CACHE_DIR -u UV_CACHE_DIR HOME=/home/{recipe.user}"
                run = f"chown -R {recipe.user}: . && {home} setpriv {account} {run}"
            (script.parent / "run").write_text(
                f"cd {shlex.quote(str(Path(folders[name]).parent))}\n{run}\necho $? >status\n"
            )
        runs = "\n".join(str(Path(folder).parent / "run") for folder in folders.values())
        jobs = len(os.sched_getaffinity(0))
        self.root.run(["xargs", f"-P{jobs}", "-n1", "sh"], stdin=runs, network=False)
        built = {}
        for name, folder in folders.items():
            top = self.root.inside(folder)
            status = int((top.parent / "status").read_text())
            log = (top.parent / "log").read_text(errors="replace")
            built[name] = Built(folder=top, status=status, log=log)
        return built


def library(soname: str, *needed: str) -> bytes:
    """A shared object that needs others, none of which has to be there."""
    with tempfile.TemporaryDirectory() as name:
        stubs = [_link(Path(name), needs, f"stub{number}.so") for number, needs in enumerate(needed)]
        return (Path(name) / _link(Path(name), soname, "made.so", *stubs)).read_bytes()


def _link(folder: Path, soname: str, file: str, *stubs: str) -> str:
    (folder / "empty.c").write_text(f"int of_{file.split('.')[0]}(void) {{ return 1; }}\n")
    flags = ["-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{soname}", "-Wl,--no-as-needed"]
    subprocess.run(["gcc", *flags, "-o", file, "empty.c", *stubs], check=True, cwd=folder)
    return file


def odd_library(soname: str) -> bytes:
    """A shared object with debug information, a section of its own and bytes after its end.

    strip would take all three away, and dwz would rewrite the first. It needs no library, so that it
    loads on any suite.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "odd.c").write_text("int odd(void) { return 1; }\nint even(void) { return odd() + 1; }\n")
        (folder / "extra").write_bytes(b"an odd section" * 20)
        flags = ["-g", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{soname}"]
        subprocess.run(["gcc", *flags, "-o", "odd.so", "odd.c"], check=True, cwd=folder)
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

"""Copies a whole CPython into the environment, and makes it right for there."""

import fnmatch
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from venvpkg.elf import MAGIC, NotElfError, has_debug_info, read_elf
from venvpkg.errors import VenvpkgError
from venvpkg.plan import BUNDLE, Move, Plan
from venvpkg.process import Runner
from venvpkg.relocate import relocate_text
from venvpkg.tree import Tree

# What of a Python's prefix is its own; one in /usr or /usr/local shares that with others. Tcl and Tk are
# in the prefix of a Python that was made to be carried about.
WANTED = (
    "lib/libpython{minor}*", "lib/libpython3.so", "lib/pkgconfig/python-{minor}*.pc", "include/python{minor}",
    "lib/tcl[0-9]*", "lib/tk[0-9]*", "lib/itcl*", "lib/thread[0-9]*", "lib/libtcl*.so*", "lib/libtk*.so*",
)  # fmt: skip
# What is left out unless the key bundle-keep names it: globs below the copy.
PARTS = {
    "tests": (
        "lib/python3.*/test", "lib/python3.*/*/test", "lib/python3.*/*/tests",
        *(f"lib/python3.*/lib-dynload/{n}*" for n in ("_test", "_ctypes_test", "_xxtestfuzz", "xxlimited")),
    ),
    "idle": ("lib/python3.*/idlelib", "lib/python3.*/turtledemo"),
    "ensurepip": ("lib/python3.*/ensurepip",),
    "static": ("*.a", "*/config-3.*/*.o", "*/config-3.*/libpython*"),
    "headers": ("include", "lib/pkgconfig"),
}  # fmt: skip
# Of others' making, or of another time's.
NEVER = ("site-packages", "dist-packages", "__pycache__", "EXTERNALLY-MANAGED")
# Prefixes whose name stands in files that do not mean Python's.
COMMON = ("/usr", "/usr/local")


def place(plan: Plan) -> Path:
    """Return where the copy is while the environment is made."""
    return plan.workshop / BUNDLE


def copy_interpreter(plan: Plan, run: Runner) -> Path:
    """Copy the interpreter into the workshop, and return its program there.

    Headers stay until :func:`leave_out`: what is compiled for the environment needs them.

    Raises:
        VenvpkgError: ``bundle-failed``.
    """
    origin, target, minor = plan.interpreter.origin, place(plan), plan.interpreter.minor
    keep = {*plan.spec.bundle_keep, "headers"}
    program = target / "bin" / f"python{minor}"
    program.parent.mkdir(parents=True)
    shutil.copy2(plan.interpreter.path, program)
    for name in ("python3", "python"):
        (program.parent / name).symlink_to(program.name)
    sources = {origin / "lib" / f"python{minor}": target / "lib" / f"python{minor}"}
    if plan.interpreter.stdlib.is_dir():
        sources = {plan.interpreter.stdlib: target / "lib" / f"python{minor}"}
    for glob in WANTED:
        for path in sorted(origin.glob(glob.format(minor=minor))):
            # Tcl in /usr is Debian's, which the package depends on.
            if str(origin) not in COMMON or "python" in path.name:
                sources[path] = target / path.relative_to(origin)
    for source, copy in sources.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=_skip, dirs_exist_ok=True)
        else:
            shutil.copy2(source, copy, follow_symlinks=False)
    (target / "lib" / f"python{minor}" / "site-packages").mkdir(exist_ok=True)
    copyright_file = Path("/usr/share/doc", f"python{minor}", "copyright")
    if str(origin) == "/usr" and copyright_file.is_file():
        shutil.copy2(copyright_file, target / "LICENSE")
    leave_out(plan, keep)
    _settle_links(target, origin)
    if str(origin) not in COMMON:
        for path in _elves(target):
            _free(path, target, origin, run)
            _forget(path, origin)
    _move_text(plan, target, origin)
    answer = run([program, "-I", "-c", "import sys; print(sys.base_prefix)"], check=False)
    if answer.returncode != 0 or answer.stdout.strip() != str(target):
        raise VenvpkgError(
            code="bundle-failed",
            message=f"A copy of {plan.interpreter.path} does not work by itself.",
            causes=[
                *answer.tail[-5:],
                *([f"It is at home in {answer.stdout.strip()}."] if answer.stdout else ()),
            ],
            hint="Bundle one of Debian's, pyenv's or uv's Pythons.",
        )
    return program


def _skip(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in NEVER]


def _settle_links(target: Path, origin: Path) -> None:
    """Replace links that lead out of the copy by what they lead to: Debian's sitecustomize is in /etc."""
    for link in [p for p in target.rglob("*") if p.is_symlink()]:
        real = Path(os.path.realpath(link))
        if real.is_relative_to(target) and real.exists():
            continue
        aim = link.readlink()
        original = aim if aim.is_absolute() else origin / link.relative_to(target).parent / aim
        link.unlink()
        if original.is_file():
            shutil.copy2(original, link)


def leave_out(plan: Plan, keep: set[str]) -> None:
    """Remove the parts of the copy that are not kept."""
    target = place(plan)
    globs = [glob for part, globs in PARTS.items() if part not in keep for glob in globs]
    for path in sorted(target.rglob("*"), reverse=True):
        name = str(path.relative_to(target))
        if any(fnmatch.fnmatchcase(name, glob) for glob in globs):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _elves(target: Path) -> Iterator[Path]:
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                if stream.read(4) == MAGIC:
                    yield path


def _free(path: Path, target: Path, origin: Path, run: Runner) -> None:
    """Let an ELF file look for libraries where it lies, instead of where it was installed."""
    with path.open("rb") as stream:
        try:
            folders = read_elf(stream).runpath
        except NotElfError:
            return
    old = ":".join(folders)
    if not any(PurePosixPath(folder).is_relative_to(origin) for folder in folders):
        return
    new = ":".join(
        str(
            PurePosixPath(
                "$ORIGIN", os.path.relpath(target / PurePosixPath(f).relative_to(origin), path.parent)
            )
        )
        if PurePosixPath(f).is_relative_to(origin)
        else f
        for f in folders
    )
    data = path.read_bytes()
    raw = old.encode() + b"\0"
    if len(new) <= len(old) and data.count(raw) == 1:
        path.chmod(path.stat().st_mode | 0o200)
        path.write_bytes(data.replace(raw, new.encode().ljust(len(raw), b"\0")))
    else:
        run(["patchelf", "--set-rpath", new, path])


def _forget(path: Path, origin: Path) -> None:
    """Write over the place that was compiled in, which Python turns to where it finds no other.

    No string moves or grows, and the last part of the path stays: linkers let a string that ends another
    one lie in it, and 3.12.1 is Python's version as well.
    """
    data = path.read_bytes()
    above = os.fsencode(origin.parent)
    nowhere = next((n for n in (b"/nonexistent", b"/-") if len(n) <= len(above)), above)
    moved = data.replace(
        os.fsencode(origin), nowhere.ljust(len(above), b"/") + b"/" + os.fsencode(origin.name)
    )
    if moved != data:
        path.chmod(path.stat().st_mode | 0o200)
        path.write_bytes(moved)


def _move_text(plan: Plan, target: Path, origin: Path) -> None:
    """Write the final place into what Python knows of its own installation (sysconfig, pkg-config)."""
    final = plan.prefix / BUNDLE
    if str(origin) == "/usr":
        # Debian's are found by their place when they run; /usr means the system's there.
        return
    move = Move(build=PurePosixPath(origin), final=final)
    everywhere = str(origin) not in COMMON
    for path in [p for p in target.rglob("*") if p.is_file() and not p.is_symlink()]:
        told = re.fullmatch(r"_sysconfig.*|Makefile|.*\.pc|build-details\.json", path.name)
        if not told and not (everywhere and path.suffix in (".py", ".txt", ".cfg", "")):
            continue
        data = path.read_bytes()
        if b"\0" not in data and (moved := relocate_text(data, move)) != data:
            path.chmod(path.stat().st_mode | 0o200)
            path.write_bytes(moved)


def unstripped(tree: Tree) -> list[PurePosixPath]:
    """Return the ELF files of the copy that have debug information, as a Python of pyenv's has."""
    found = []
    for entry in tree.below(PurePosixPath(BUNDLE)):
        if entry.kind == "file" and entry.head(4) == MAGIC:
            with entry.opener() as stream:
                if has_debug_info(stream):
                    found.append(PurePosixPath(BUNDLE, entry.path))
    return found

"""Tiny ELF files that gcc makes for the tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from venvpkg.process import Shell

CALLER = "int private_one(void); int two(void) { return private_one() + 1; }"


@dataclass(frozen=True)
class Objects:
    """A folder of ELF files."""

    folder: Path

    def __getitem__(self, name: str) -> bytes:
        """Return the bytes of one of them."""
        return (self.folder / name).read_bytes()


def compile_objects(folder: Path) -> Objects:
    """Compile a library, some that need it in different ways, a program, and one that needs nothing."""
    run = Shell()

    def build(name: str, source: str, *words: str) -> None:
        code = folder / f"{name}.c"
        code.write_text(source, encoding="utf-8")
        run(["gcc", "-O1", "-o", name, code.name, *words], cwd=folder)

    shared = ("-shared", "-fPIC")
    build("libprivate.so.1", "int private_one(void) { return 1; }", *shared, "-Wl,-soname,libprivate.so.1")
    needing = (*shared, "libprivate.so.1", "-Wl,-rpath,$ORIGIN/../libs:/build/app/lib")
    build("runpath.so", CALLER, *needing, "-Wl,--enable-new-dtags")
    build("rpath.so", CALLER, *needing, "-Wl,--disable-new-dtags")
    build("plain.so", CALLER, *shared, "-Wl,--no-as-needed", "libprivate.so.1", "-lm")
    build("program", "int main(void) { return 0; }")
    build("alone.so", "int alone(void) { return 3; }", *shared, "-nostdlib")
    # The linker keeps one copy of a string that is the end of another: the function's name here.
    build("tail.so", "int lib(void) { return 7; }", *shared, "-Wl,-rpath,/build/where/it/was/made/app/lib")
    text = 'const char *place(void) { return "/build/app/share:/build/app2/share:/build/app"; }'
    build("strings.so", text, *shared)
    return Objects(folder)

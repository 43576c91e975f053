"""What the ELF reader reads of real files, and how it takes damaged ones."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objects import Objects
from venvpkg.elf import MAGIC, Elf, NotElfError, read_elf


def read(data: bytes) -> Elf:
    """Read bytes."""
    return read_elf(io.BytesIO(data))


def test_soname_of_a_library_is_read(objects: Objects) -> None:
    """DT_SONAME, as the linker wrote it."""
    assert read(objects["libprivate.so.1"]).soname == "libprivate.so.1"


def test_needed_libraries_are_read_in_order(objects: Objects) -> None:
    """DT_NEEDED, in the order in which the dynamic linker takes them."""
    assert read(objects["plain.so"]).needed == ("libprivate.so.1", "libm.so.6", "libc.so.6")


def test_folders_of_runpath_are_read_as_written(objects: Objects) -> None:
    """$ORIGIN stays: who reads knows where the file lies."""
    assert read(objects["runpath.so"]).runpath == ("$ORIGIN/../libs", "/build/app/lib")


def test_rpath_stands_in_for_runpath(objects: Objects) -> None:
    """An old DT_RPATH counts where there is no DT_RUNPATH."""
    assert read(objects["rpath.so"]).runpath == ("$ORIGIN/../libs", "/build/app/lib")


def test_a_program_names_its_interpreter(objects: Objects) -> None:
    """PT_INTERP, without its NUL."""
    interpreter = read(objects["program"]).interpreter
    assert interpreter.startswith("/lib")
    assert "\0" not in interpreter


def test_a_library_has_no_interpreter(objects: Objects) -> None:
    """What only programs have is empty, and so is a RUNPATH that nobody set."""
    elf = read(objects["libprivate.so.1"])
    assert (elf.interpreter, elf.runpath) == ("", ())


def test_a_library_that_needs_nothing_is_read(objects: Objects) -> None:
    """Nothing at all is asked of the system."""
    assert read(objects["alone.so"]).needed == ()


def test_machine_and_word_size_are_those_of_the_running_python(objects: Objects) -> None:
    """The compiler and the interpreter of one machine agree."""
    mine = read(Path(sys.executable).resolve().read_bytes())
    made = read(objects["alone.so"])
    assert (made.machine, made.bits) == (mine.machine, mine.bits)


@pytest.mark.parametrize("name", ["runpath.so", "program", "alone.so"])
def test_a_truncated_file_is_no_crash(objects: Objects, name: str) -> None:
    """Cut off at every 64th byte it is read, or is no ELF file; nothing else is raised."""
    data = objects[name]
    for length in range(0, len(data), 64):
        try:
            read(data[:length])
        except NotElfError:
            continue


def test_a_file_cut_inside_its_header_is_no_elf_file(objects: Objects) -> None:
    """The header is the least that there must be."""
    for length in (0, 1, 3, 4, 5, 16, 40, 63):
        with pytest.raises(NotElfError):
            read(objects["plain.so"][:length])


def test_damaged_bytes_are_no_crash(objects: Objects) -> None:
    """Every 8-byte word of the first kilobyte set to ones: read, or no ELF file."""
    data = objects["runpath.so"]
    for start in range(0, 1024, 8):
        damaged = data[:start] + b"\xff" * 8 + data[start + 8 :]
        try:
            read(damaged)
        except NotElfError:
            continue


@pytest.mark.parametrize(
    "data",
    [b"", b"#!/bin/sh\n", b"\x7fELF", MAGIC + b"\0" * 60, b"!<arch>\n", b"\xfe\xed\xfa\xcf" + b"\0" * 60],
)
def test_other_files_are_no_elf_files(data: bytes) -> None:
    """Text, archives, other systems' objects, and a magic number with nothing behind it."""
    with pytest.raises(NotElfError):
        read(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_no_crash(data: bytes) -> None:
    """Whatever follows the magic number."""
    for content in (data, MAGIC + data, MAGIC + b"\x02\x01\x01\0" + data, MAGIC + b"\x01\x02\x01\0" + data):
        try:
            read(content)
        except NotElfError:
            continue


@given(st.data())
def test_a_few_changed_bytes_are_no_crash(objects: Objects, data: st.DataObject) -> None:
    """Bytes anywhere in a real file, changed to any value."""
    content = bytearray(objects["runpath.so"])
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    try:
        read(bytes(content))
    except NotElfError:
        return

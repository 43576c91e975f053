"""Reads one ELF stream."""

from dataclasses import dataclass
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

MAGIC = b"\x7fELF"
# The sizes of a program header, by the file's bits (elf(5)); the dynamic linker takes no other.
HEADER_BYTES = {32: 32, 64: 56}
# What no real file comes near; a damaged one may have headers, tags and names without end.
MOST_SEGMENTS, MOST_BYTES, TAG_BYTES = 1024, 1024 * 1024, 16
MOST_SECTIONS = 4096
# What strip --strip-unneeded takes out of a shared object.
STRIPPED = (".debug_", ".zdebug_", ".gdb_index")
# What pyelftools raises, beside its own errors: it asserts some things, and a real file has an OSError for
# a place that no file reaches.
DAMAGED = (
    *(ELFError, ValueError, LookupError, TypeError, AttributeError),
    *(OverflowError, OSError, AssertionError),
)


class NotElfError(ValueError):
    """The stream is not an ELF file, or a damaged one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """What the dynamic linker reads of an ELF file."""

    machine: str
    """``EM_X86_64`` and so on."""
    bits: int
    """32 or 64."""
    needed: tuple[str, ...]
    """Sonames of DT_NEEDED, in order."""
    soname: str
    """DT_SONAME, or empty."""
    runpath: tuple[str, ...]
    """Folders of DT_RUNPATH, or of DT_RPATH where there is no DT_RUNPATH, as written."""
    interpreter: str
    """PT_INTERP, or empty."""


def read_elf(stream: BinaryIO) -> Elf:
    """Read what the dynamic linker needs.

    Raises:
        NotElfError: for anything else than a whole ELF file.
    """
    try:
        return _read(ELFFile(stream))
    except NotElfError:
        raise
    except DAMAGED as error:
        raise NotElfError(str(error)) from error
    except Exception as error:
        # construct, under pyelftools, has its own hierarchy of errors for short reads.
        if type(error).__module__.startswith("elftools."):
            raise NotElfError(str(error)) from error
        raise


def _read(file: ELFFile) -> Elf:
    if file["e_phnum"] > MOST_SEGMENTS or (
        file["e_phnum"] and file["e_phentsize"] != HEADER_BYTES[file.elfclass]
    ):
        raise NotElfError(f"{file['e_phnum']} program headers of {file['e_phentsize']} bytes")
    # The dynamic linker reads no sections; pyelftools would, of which a damaged file may have any number.
    file.header["e_shoff"] = 0
    left = MOST_BYTES
    needed: list[str] = []
    paths = {"DT_RPATH": "", "DT_RUNPATH": ""}
    soname = interpreter = ""
    for segment in file.iter_segments():
        if segment["p_type"] == "PT_INTERP":
            if segment["p_filesz"] > MOST_BYTES:
                raise NotElfError(f"an interpreter's name of {segment['p_filesz']} bytes")
            interpreter = segment.data().split(b"\0")[0].decode("utf-8", "surrogateescape")
        if isinstance(segment, DynamicSegment):
            for tag in segment.iter_tags():
                # pyelftools sets the string of a tag as an attribute that is named after it; a tag that it
                # does not know has a number.
                text = str(getattr(tag, str(tag.entry.d_tag).removeprefix("DT_").lower(), ""))
                left -= len(text) + TAG_BYTES
                if left < 0:
                    raise NotElfError(f"dynamic tags and names of more than {MOST_BYTES} bytes")
                if tag.entry.d_tag == "DT_NEEDED":
                    needed.append(text)
                elif tag.entry.d_tag == "DT_SONAME":
                    soname = text
                elif tag.entry.d_tag in paths:
                    paths[tag.entry.d_tag] = text
    written = paths["DT_RUNPATH"] or paths["DT_RPATH"]
    return Elf(
        machine=str(file["e_machine"]),
        bits=int(file.elfclass),
        needed=tuple(needed),
        soname=soname,
        runpath=tuple(p for p in written.split(":") if p),
        interpreter=interpreter,
    )


def has_debug_info(stream: BinaryIO) -> bool:
    """Tell whether an ELF file has debug information that strip(1) would take out."""
    try:
        return ELFFile(stream).get_section_by_name(".debug_info") is not None
    except DAMAGED:
        return False


def symbol_bytes(stream: BinaryIO) -> int:
    """Return how many bytes of an ELF file are debug information and symbols that nothing is linked with."""
    try:
        file = ELFFile(stream)
        if file.num_sections() > MOST_SECTIONS:
            return 0
        sections = [(section.name, int(section["sh_size"])) for section in file.iter_sections()]
    except DAMAGED:
        return 0
    except Exception as error:
        if type(error).__module__.startswith("elftools."):
            return 0
        raise
    return sum(size for name, size in sections if name in (".symtab", ".strtab") or name.startswith(STRIPPED))

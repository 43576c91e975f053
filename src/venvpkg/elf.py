"""Reads one ELF stream."""

from dataclasses import dataclass
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

MAGIC = b"\x7fELF"


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
    except (ELFError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise NotElfError(str(error)) from error
    except Exception as error:
        # construct, under pyelftools, has its own hierarchy of errors for short reads.
        if type(error).__module__.startswith("elftools."):
            raise NotElfError(str(error)) from error
        raise


def _read(file: ELFFile) -> Elf:
    needed: list[str] = []
    paths = {"DT_RPATH": "", "DT_RUNPATH": ""}
    soname = interpreter = ""
    for segment in file.iter_segments():
        if segment["p_type"] == "PT_INTERP":
            interpreter = segment.data().split(b"\0")[0].decode("utf-8", "surrogateescape")
        if isinstance(segment, DynamicSegment):
            for tag in segment.iter_tags():
                # pyelftools sets the string of a tag as an attribute that is named after it.
                text = str(getattr(tag, tag.entry.d_tag.removeprefix("DT_").lower(), ""))
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

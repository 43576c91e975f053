"""Rewrites requirements files as one list of lines that means the same wherever it is read."""

import re
from collections.abc import Iterable
from pathlib import Path

from venvpkg.locks import logical_lines, parse_pin

PUBLIC = re.compile(r"https://pypi\.org/simple/?")
INDEX = re.compile(r"(-i|--index-url|--extra-index-url)[= ]\s*(\S+)\s*")
EDITABLE = re.compile(r"^(-e|--editable)([= ]+|(?=\.))", re.MULTILINE)
# uv's own: pip wants a URL behind a name.
NAMED_PATH = re.compile(r"([\w.-]+\s*(?:\[[^]]*\])?\s*@\s*)(\.{1,2}/[^\s;#\0]*+)(?!\0)")
INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[= ]?\s*(\S.*)")


def index_options(places: Iterable[str], folder: Path) -> list[str]:
    """Return options for the indexes that a lock names, but for the public one: URLs, or paths of folders."""
    lines = []
    for place in dict.fromkeys(places):
        url = index_url(place, folder)
        flat = url.startswith("file://") and any(
            path.name.endswith((".whl", ".tar.gz", ".zip")) for path in Path(url[7:]).glob("*")
        )
        if not PUBLIC.fullmatch(url):
            lines.append(f"{'--find-links' if flat else '--extra-index-url'} {url}")
    return lines


def index_url(place: str, folder: Path) -> str:
    """Return the URL of an index that a lock names by its URL, or by a path that counts from a folder."""
    return place if "://" in place else (folder / place).resolve().as_uri()


def flatten(file: Path, within: tuple[Path, ...] = ()) -> str:
    """Return the lines of a requirements file with those of the files that it includes in place.

    What cannot be read is left as it is, for :func:`venvpkg.locks.read_requirements` to tell.
    """
    try:
        lines = logical_lines(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return f"-r {file}\n"
    text = ""
    for _, line in lines:
        included = INCLUDE.fullmatch(line)
        place = file.parent / included[2].strip("\"'") if included else file
        if included and included[1] in ("-r", "--requirement") and place not in (file, *within):
            text += flatten(place, (file, *within))
        else:
            text += f"{included[1]} {place}\n" if included else f"{line}\n"
    return text


def local_path(line: str) -> str:
    """Return the path relative to some folder that a requirement line begins with, or nothing."""
    # No path has a zero byte.
    found = re.match(r"(?!-)[^\s;#@\[\0]++(?!\0)", line)
    word = (
        found[0] if found and "://" not in line and not re.match(r"[\w.-]+\s*(\[[^]]*\])?\s*@", line) else ""
    )
    return word if not word.startswith("/") and word and not parse_pin(word, word).name else ""


def names_local_paths(text: str) -> bool:
    """Tell whether lines speak of files beside them, or want one editable."""
    lines = (line for _, line in logical_lines(text))
    return any(EDITABLE.match(line) or local_path(line) or NAMED_PATH.match(line) for line in lines)


def tidy(text: str, folder: Path) -> str:
    """Return requirements without what is the project's own or the machine's to say.

    The project itself goes, the public index too: which index is the default is the machine's to say.
    Local paths become absolute, editable ones plain.

    Args:
        text: what an exporter wrote.
        folder: the project's folder, from which paths count.
    """
    lines = []
    indexes = [found[2] for _, line in logical_lines(text) if (found := INDEX.fullmatch(line))]
    for _, line in logical_lines(text):
        index = INDEX.fullmatch(line)
        if index and PUBLIC.fullmatch(index[2]):
            continue
        if index and any(map(PUBLIC.fullmatch, indexes)):
            # Where the public one is asked too, no other takes the place of the machine's default.
            line = f"--extra-index-url {index[2]}"
        line = EDITABLE.sub("", line)
        named, path = NAMED_PATH.match(line), local_path(line)
        if named:
            line = f"{named[1]}{(folder / named[2]).resolve().as_uri()}{line[named.end() :]}"
        if path:
            place = (folder / path).resolve()
            if place == folder.resolve():
                continue
            line = f"{place}{line[len(path) :]}"
        lines.append(line)
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))

"""Says a licence as SPDX does, and as debian/copyright does (DEP-5)."""

import re
import textwrap
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable
from pathlib import Path

# What the machine-readable format calls a licence that SPDX has another name for.
SHORT_NAMES = {
    "MIT": "Expat",
    "BSD-2-Clause": "BSD-2-clause",
    "BSD-3-Clause": "BSD-3-clause",
    "PSF-2.0": "PSF-2",
}
# Names of SPDX that distributions use.
IDENTIFIERS = """
0BSD AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-1-Clause BSD-2-Clause BSD-3-Clause
BSL-1.0 CC0-1.0 CC-BY-4.0 EPL-2.0 EUPL-1.2 GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later
HPND ISC LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MIT-CMU MPL-2.0
PSF-2.0 Python-2.0 Unlicense Zlib ZPL-2.1
"""
# What classifiers, and people, call one of them beyond doubt; "BSD" or "Apache" may be several.
KNOWN = {
    "mit": "MIT",
    "mit license": "MIT",
    "the mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu affero general public license v3 or later (agplv3+)": "AGPL-3.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
# Titles, which stand at the top of a text; the same words further down speak of other licences.
TITLES = {
    r"GNU AFFERO GENERAL PUBLIC LICENSE Version 3": "AGPL-3.0-only",
    r"GNU LESSER GENERAL PUBLIC LICENSE Version 3": "LGPL-3.0-only",
    r"GNU LESSER GENERAL PUBLIC LICENSE Version 2\.1": "LGPL-2.1-only",
    r"GNU LIBRARY GENERAL PUBLIC LICENSE Version 2": "LGPL-2.0-only",
    r"GNU GENERAL PUBLIC LICENSE Version 3": "GPL-3.0-only",
    r"GNU GENERAL PUBLIC LICENSE Version 2": "GPL-2.0-only",
    r"GNU GENERAL PUBLIC LICENSE Version 1": "GPL-1.0-only",
    r"Apache License Version 2\.0": "Apache-2.0",
    r"Mozilla Public License,? Version 2\.0": "MPL-2.0",
    r"CC0 1\.0 Universal": "CC0-1.0",
}
TOP = 1000
"""Characters."""
# Words of texts that have no title, or various ones.
PHRASES = (
    ("Permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    ("Neither the name of", "BSD-3-Clause"),
    ("Redistribution and use in source and binary forms", "BSD-2-Clause"),
    ("Permission to use, copy, modify, and/or distribute this software for any purpose", "ISC"),
    ("This is free and unencumbered software released into the public domain", "Unlicense"),
)
# Files of /usr/share/common-licenses; texts of that length are not repeated (Policy §12.5).
COMMON = frozenset(
    ("Apache-2.0", "CC0-1.0", "GPL-1", "GPL-2", "GPL-3", "LGPL-2", "LGPL-2.1", "LGPL-3", "MPL-1.1", "MPL-2.0")
)
UNDECLARED = "not-declared"
WIDTH = 76
HOLDER = re.compile(r"^\W*copyright(?: \(c\)| ©|:)*\s+(?P<whose>[^<>\[\]{}]*\d{4}.*)$", re.I)


def identify(text: str) -> str:
    """Return the identifier of SPDX that a text means beyond doubt, or nothing."""
    return text if text in IDENTIFIERS.split() else KNOWN.get(text.lower(), "")


def short_name(text: str) -> str:
    """Return the short name of a licence: ``Expat``, ``GPL-3+ or Apache-2.0``.

    Args:
        text: an SPDX expression, or what somebody wrote in its place.
    """
    parts = re.split(r"\s+(AND|OR)\s+|([()])", KNOWN.get(text.strip().lower(), text.strip()))
    words = [p.strip() for p in parts if p and p.strip()]
    names = [w for w in words if w not in ("AND", "OR", "(", ")")]
    if not all(re.fullmatch(r"[\w.+-]+( WITH [\w.+-]+)?", w) for w in names) or len(names) == 1:
        return _one(names[0] if len(names) == 1 else text)
    # Brackets around the whole say nothing.
    while words[0] == "(" and _closing(words) == len(words) - 1:
        words = words[1:-1]
    made, depth, grouped = "", 0, "(" in words
    for word in words:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word in ("AND", "OR"):
            # A comma before it makes it bind less than what has none, for there are no brackets (DEP-5).
            made += f"{',' if grouped and not depth else ''} {word.lower()} "
        elif word not in "()":
            made += _one(word)
    return made


def _closing(words: list[str]) -> int:
    """Return where the first bracket is closed, or the number of words."""
    depth = 0
    for place, word in enumerate(words):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if not depth:
            return place
    return len(words)


def _one(name: str) -> str:
    name = KNOWN.get(name.lower(), name)
    if " WITH " in name:
        base, _, exception = name.partition(" WITH ")
        return f"{_one(base)} with {exception} exception"
    name = SHORT_NAMES.get(name, name)
    name = re.sub(r"\.0-only$", "", re.sub(r"\.0-or-later$", "+", name))
    name = name.replace("-only", "").replace("-or-later", "+")
    return re.sub(r"[^\w.+-]+", "-", name).strip("-") or UNDECLARED


def recognise(text: str) -> str:
    """Return the SPDX identifier of a licence's text, or nothing."""
    plain = " ".join(text.split())
    found = [
        (m.start(), name) for title, name in TITLES.items() if (m := re.search(title, plain[:TOP], re.I))
    ]
    if found:
        return min(found)[1]
    return next((name for phrase, name in PHRASES if phrase.lower() in plain.lower()), "")


def find_holders(text: str) -> list[str]:
    """Return who holds the copyright, from the lines of a licence's text that say so with a year."""
    found = (HOLDER.match(line) for line in text.splitlines())
    return list(dict.fromkeys(m["whose"].strip(" .") for m in found if m))


def common_files(name: str) -> list[str]:
    """Return the texts in /usr/share/common-licenses that a short name speaks of."""
    return [each for each in _parts(name) if each in COMMON]


def is_common(name: str) -> bool:
    """Tell whether all texts that a short name speaks of are in /usr/share/common-licenses."""
    return len(common_files(name)) == len(_parts(name))


def _parts(name: str) -> list[str]:
    return [part.partition(" with ")[0].rstrip("+") for part in re.split(r",? (?:and|or) ", name)]


def read_text(path: Path) -> str:
    """Return what a file of words says, in whatever encoding: UTF-8, what a BOM tells, else ISO 8859-1."""
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


def as_field(lines: Iterable[str]) -> str:
    """Return lines as the continuation of a field: each after a blank, empty ones as a dot (Policy §5.1)."""
    return "\n".join(f" {line.rstrip()}" if line.strip() else " ." for line in lines)


def wrap(text: str) -> list[str]:
    """Return a paragraph as lines; a path stays on one."""
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False, break_long_words=False)


def describe_licence(name: str, text: str) -> str:
    """Return the licence's text for debian/copyright, or where it is."""
    files = common_files(name)
    if files:
        places = " and ".join(f"/usr/share/common-licenses/{file}" for file in files)
        where = wrap(f"On Debian systems, the whole text of {' and '.join(files)} is in {places}.")
        # Of several licences some may be no common ones.
        return as_field(where if is_common(name) else [*where, "", *text.strip().splitlines()])
    if name == UNDECLARED and not text.strip():
        return as_field(["The project's metadata declares no licence."])
    return as_field(
        text.strip().splitlines() or ["The project declares this licence, and holds no text of it."]
    )

"""Licences, as debian/copyright has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from venvpkg.licences import (
    common_files,
    describe_licence,
    find_holders,
    identify,
    read_text,
    recognise,
    short_name,
)

MIT = """\
MIT License

Copyright (c) 2021-2024 Ada Example

Permission is hereby granted, free of charge, to any person obtaining a copy
"""


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("MIT", "Expat"),
        ("MIT License", "Expat"),
        ("GPL-3.0-or-later", "GPL-3+"),
        ("GPL-2.0-only", "GPL-2"),
        ("Apache-2.0 OR BSD-3-Clause", "Apache-2.0 or BSD-3-clause"),
        ("(MIT AND Apache-2.0)", "Expat and Apache-2.0"),
        ("GNU Lesser General Public License v3 or later (LGPLv3+)", "LGPL-3+"),
        ("Our own, do not copy", "Our-own-do-not-copy"),
        ("!", "not-declared"),
    ],
)
def test_short_name(told: str, name: str) -> None:
    """No blank is in it but around and, or."""
    assert short_name(told) == name


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("MIT", "MIT"),
        ("MIT License", "MIT"),
        ("GNU General Public License v3 (GPLv3)", "GPL-3.0-only"),
        ("BSD", ""),
        ("mit-0", ""),
    ],
)
def test_identify(told: str, name: str) -> None:
    """What could be one of several is none."""
    assert identify(told) == name


def test_text_tells_its_name_and_its_holder() -> None:
    """Where the metadata do not."""
    assert recognise(MIT) == "MIT"
    assert recognise("do not copy") == ""
    assert find_holders(MIT) == ["2021-2024 Ada Example"]
    assert find_holders("Copyright [yyyy] [name of copyright owner]\ncopyright holders") == []


@pytest.mark.parametrize("name", ["Apache-2.0", "GPL-1", "GPL-2", "GPL-3", "LGPL-2.1", "LGPL-3", "MPL-2.0"])
def test_text_that_speaks_of_other_licences_is_not_these(name: str) -> None:
    """Debian's own texts; several name the Affero one."""
    place = Path("/usr/share/common-licenses", name)
    if not place.is_file():
        pytest.skip(f"{place} is not here")
    assert short_name(recognise(read_text(place))) == name


def test_of_several_licences_those_without_a_common_text_are_told() -> None:
    """With a pointer to the others."""
    told = describe_licence("Expat or Apache-2.0", MIT)
    assert "/usr/share/common-licenses/Apache-2.0" in told and "Permission is hereby granted" in told
    assert "Permission" not in describe_licence("GPL-3+ or Apache-2.0", MIT)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_text_is_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    """Names of people have letters of all kinds."""
    place = tmp_path / "LICENSE"
    place.write_bytes("Copyright 2020 Jörg Müller\n".encode(encoding))
    assert find_holders(read_text(place)) == ["2020 Jörg Müller"]


def test_long_texts_are_on_every_debian() -> None:
    """So they are not repeated."""
    assert common_files("GPL-3+ or Apache-2.0") == ["GPL-3", "Apache-2.0"]
    assert common_files("Expat") == []


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("MIT AND (Apache-2.0 OR BSD-3-Clause)", "Expat, and Apache-2.0 or BSD-3-clause"),
        ("(MIT AND ISC) OR Zlib", "Expat and ISC, or Zlib"),
        ("GPL-3.0-or-later WITH Classpath-exception-2.0", "GPL-3+ with Classpath-exception-2.0 exception"),
    ],
)
def test_brackets_become_commas(told: str, name: str) -> None:
    """DEP-5 has none; what a comma stands before binds less."""
    assert short_name(told) == name
    assert common_files("GPL-3+ with Classpath-exception-2.0 exception") == ["GPL-3"]

"""Licences, as debian/copyright has them."""

from __future__ import annotations

import pytest

from venvpkg.licences import common_files, find_holders, identify, recognise, short_name

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

"""Python versions as Debian versions."""

from __future__ import annotations

import itertools
import subprocess

import pytest
from debian.debian_support import Version as DebianVersion
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from venvpkg.debversion import to_debian, to_python
from venvpkg.errors import VenvpkgError

# In PEP 440's order.
ORDERED = (
    "0.9.dev1",
    "0.9",
    "1.0.dev1",
    "1.0a1.dev1",
    "1.0a1",
    "1.0a1.post1",
    "1.0a2",
    "1.0b1.dev2",
    "1.0b1",
    "1.0rc1",
    "1.0rc2",
    "1.0rc10",
    "1.0",
    "1.0+g1a2b3c",
    "1.0+ubuntu",
    "1.0.post1.dev1",
    "1.0.post1",
    "1.0.post2",
    "1.0.1.dev3+g1a2b3c",
    "1.0.1",
    "1.10",
    "1!0.1",
)

parts = st.integers(0, 12)
versions = st.builds(
    lambda epoch, release, pre, post, dev: Version(
        f"{epoch}!{'.'.join(map(str, release))}{pre}"
        f"{'' if post is None else f'.post{post}'}{'' if dev is None else f'.dev{dev}'}"
    ),
    st.sampled_from([0, 0, 0, 1]),
    # Of one length, for dpkg sees more in a zero at the end than PEP 440 does.
    st.tuples(parts, parts, parts),
    st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["a", "b", "rc"]), parts)),
    st.none() | parts,
    st.none() | parts,
)


def test_order_is_kept() -> None:
    """By dpkg itself, for each pair of neighbours."""
    for one, other in itertools.pairwise(ORDERED):
        words = ["dpkg", "--compare-versions", to_debian(one), "lt", to_debian(other)]
        assert subprocess.run(words, check=False).returncode == 0, (one, other)


@given(versions, versions)
def test_any_two_keep_their_order(one: Version, other: Version) -> None:
    """Whatever they are made of."""
    pair = DebianVersion(to_debian(str(one))), DebianVersion(to_debian(str(other)))
    assert (pair[0] < pair[1]) == (one < other)
    assert (pair[0] == pair[1]) == (one == other)


@given(versions)
def test_way_back_leads_to_the_same(version: Version) -> None:
    """But for the epoch, which no upstream version has."""
    upstream = to_debian(str(version)).partition(":")[2] or to_debian(str(version))
    assert to_python(upstream) == str(version).rpartition("!")[2]


@pytest.mark.parametrize(
    ("python", "debian"),
    [("1.4.0", "1.4.0"), ("2.0RC1", "2.0~rc1"), ("v1.0", "1.0"), ("1.2.dev3+g1a", "1.2~~dev3+g1a")],
)
def test_what_people_write(python: str, debian: str) -> None:
    """It stays readable."""
    assert to_debian(python) == debian


def test_no_version_is_an_error() -> None:
    """With the text that is none."""
    with pytest.raises(VenvpkgError, match="'one' is no Python version") as caught:
        to_debian("one")
    assert caught.value.code == "version-invalid"
    assert to_python("2024-spring") == ""

"""What is done with the URLs of indexes before an installer gets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from venvpkg.errors import VenvpkgError
from venvpkg.indexes import (
    PYPI,
    expand_indexes,
    extra_indexes,
    put_public_last,
    require_no_credentials,
    require_urls,
)
from venvpkg.spec import Spec

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ"


def spec(**values: object) -> Spec:
    """A spec from keys with underscores for dashes."""
    return Spec.from_values("app", Path("/src/app"), {k.replace("_", "-"): v for k, v in values.items()})


def test_variables_of_every_index_key_are_expanded() -> None:
    """The specification that was given stays as it is, and what is written down is made of it."""
    given = spec(index_url="https://${U}:${W}@a", extra_index_url=["https://${W}@b"], find_links=["${D}/c"])
    made = expand_indexes(given, {"U": "me@work", "W": "word", "D": "/wheels"})
    assert made.index_url == "https://me%40work:word@a"
    assert (made.extra_index_url, made.find_links) == (("https://word@b",), ("/wheels/c",))
    assert "word" not in f"{given.values}{given.index_url}" and "word" not in str(made.values)


def test_every_variable_that_is_not_set_is_told_at_once() -> None:
    """With the key that names it, and no password that is written out beside it."""
    given = spec(index_url="https://me:literal-word@${A}/", find_links=["${B}", "${C}"])
    with pytest.raises(VenvpkgError) as caught:
        expand_indexes(given, {"C": "/wheels"})
    error = caught.value
    assert (error.code, error.message.endswith("not set: A, B.")) == ("variable-unset", True)
    assert list(error.causes) == ["index-url has https://***@${A}/", "find-links has ${B}"]
    assert "export A=… B=…" in error.hint


@pytest.mark.parametrize("url", ["https://me:half word@a/", "https://a/ https://b/"])
def test_blank_in_a_url_is_told(url: str) -> None:
    """Installers would take it for two; a folder may have one."""
    with pytest.raises(VenvpkgError) as caught:
        expand_indexes(spec(index_url=url), {})
    assert (caught.value.code, "half" in str(caught.value)) == ("index-invalid", False)
    assert expand_indexes(spec(find_links=["my wheels"]), {}).find_links == ("my wheels",)


@pytest.mark.parametrize(
    ("url", "valid"),
    [
        ("https://me:half/word@a/", False),
        ("https://me:half?word@a/", False),
        ("https://me:half#word@a/", False),
        ("https://me:12/34@a/", True),
        ("https://me:ha%2Flf@a/b@c", True),
        ("https://a:8080/b@c", True),
        ("https://[::1]:8080/b@c", True),
        ("file:///a:b/c@d", True),
    ],
)
def test_password_that_no_url_can_hold_is_told(url: str, valid: bool) -> None:
    """What stands after a colon and is all digits could be a port."""
    if valid:
        require_urls({"PIP_INDEX_URL": url})
        return
    with pytest.raises(VenvpkgError) as caught:
        require_urls({"PIP_INDEX_URL": url})
    assert caught.value.code == "index-invalid"
    assert "PIP_INDEX_URL" in caught.value.message and "half" not in str(caught.value)


def test_argument_with_credentials_is_told_without_them() -> None:
    """A password or a token; a variable in their place is none."""
    words = ["--pre", "--index-url=https://me:a-word@a/", "-i", f"https://{TOKEN}@b/", "https://${T}@c/"]
    with pytest.raises(VenvpkgError) as caught:
        require_no_credentials(words)
    assert caught.value.code == "credentials-exposed"
    assert list(caught.value.causes) == ["--index-url=https://***@a/", "https://***@b/"]
    require_no_credentials(["--pre", "https://${T}@c/", "git+ssh://git@e.org/x"])


@pytest.mark.parametrize(
    ("before", "default", "order"),
    [
        (["https://ours"], PYPI, ["https://ours", PYPI]),
        ([PYPI], "https://ours", ["https://ours", PYPI]),
        (["https://me:w@pypi.org/simple/", "https://b"], "https://ours", None),
        (["https://b"], "https://ours", ["https://b", "https://ours"]),
        ([PYPI], PYPI, [PYPI]),
        (["https://pypi.org.example.org"], "https://ours", ["https://pypi.org.example.org", "https://ours"]),
    ],
)
def test_public_index_is_asked_last(before: list[str], default: str, order: list[str] | None) -> None:
    """Whichever key it stands under; of others the order is uv's."""
    order = order or ["https://b", "https://ours", "https://me:w@pypi.org/simple/"]
    first, last = put_public_last(before, default)
    assert [*first, last] == order


def test_further_indexes_of_requirements_files_are_found(tmp_path: Path) -> None:
    """In those that they include as well, each once."""
    (tmp_path / "a.txt").write_text("--extra-index-url https://one\n-r b.txt\nthing\n# --extra-index-url x\n")
    (tmp_path / "b.txt").write_text(
        "-c c.txt\n--extra-index-url='https://two'\n-r a.txt\n--index-url https://no\n"
    )
    (tmp_path / "c.txt").write_text("--extra-index-url=https://three\n-r none.txt\n")
    found = list(extra_indexes([tmp_path / "a.txt", tmp_path / "none.txt"]))
    assert found == ["https://one", "https://two", "https://three"]

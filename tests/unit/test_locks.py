"""Requirements files as pip reads them, and dependency groups as PEP 735 has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venvpkg.errors import VenvpkgError
from venvpkg.locks import (
    Pin,
    Requirements,
    find_differences,
    find_requirements,
    is_lock,
    logical_lines,
    parse_pin,
    quote_hashes,
    read_lock,
    read_requirements,
    resolve_groups,
)

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def write(folder: Path, text: str | bytes, name: str = "requirements.txt") -> Path:
    """Write a requirements file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str | bytes) -> Requirements:
    """Write one and read it."""
    return read_requirements((write(folder, text),))


def names(found: Requirements) -> list[str]:
    """The names, in order."""
    return [pin.name for pin in found.pins]


def refused(folder: Path, text: str | bytes, name: str = "requirements.txt") -> VenvpkgError:
    """The error that a file is."""
    with pytest.raises(VenvpkgError) as caught:
        read_requirements((write(folder, text, name),))
    return caught.value


# --- Lines


def test_comments_and_blank_lines_are_no_requirements(tmp_path: Path) -> None:
    """A number sign after a blank begins a comment."""
    assert names(read(tmp_path, "# head\n\nflask  # web\n   \n\t# indented\nlxml==5.0 #x\n")) == [
        "flask",
        "lxml",
    ]


def test_a_number_sign_inside_a_url_is_no_comment(tmp_path: Path) -> None:
    """A fragment names the distribution, or a hash."""
    (pin,) = read(tmp_path, "https://example.org/x-1.zip#sha256=00\n").pins
    assert pin.line == "https://example.org/x-1.zip#sha256=00"


def test_continued_lines_are_one(tmp_path: Path) -> None:
    """As pip-compile and uv write hashes."""
    (pin,) = read(tmp_path, f"flask==3.0 \\\n    --hash={A} \\\n    --hash={B}\n    # via app\n").pins
    assert (pin.name, pin.line, pin.hashes) == ("flask", "flask==3.0", (A, B))


def test_a_comment_inside_a_continuation_ends_nothing(tmp_path: Path) -> None:
    """Hand-written files have them."""
    (pin,) = read(tmp_path, f"flask==3.0 \\\n    # why\n    --hash={A}\n").pins
    assert pin.hashes == (A,)


def test_a_backslash_at_the_end_of_the_file_is_no_crash(tmp_path: Path) -> None:
    """The line ends there."""
    assert names(read(tmp_path, "flask \\")) == ["flask"]


def test_crlf_is_a_line_end(tmp_path: Path) -> None:
    """Files come from Windows."""
    (one, two) = read(tmp_path, f"flask==3.0 \\\r\n  --hash={A}\r\nlxml==5\r\n".encode()).pins
    assert (one.name, one.hashes, two.line) == ("flask", (A,), "lxml==5")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    """Notepad's."""
    assert names(read(tmp_path, b"\xef\xbb\xbfflask\n")) == ["flask"]


def test_line_numbers_are_those_of_the_first_line() -> None:
    """For messages."""
    assert logical_lines("# a\n\none \\\n two\nthree\n") == [(3, "one   two"), (5, "three")]


@given(st.text(st.sampled_from("ab \\#\n\r\t=-"), max_size=40))
def test_any_text_gives_lines(text: str) -> None:
    """Never empty ones, and never out of order."""
    lines = logical_lines(text)
    assert all(line.strip() for _, line in lines)
    assert [number for number, _ in lines] == sorted(number for number, _ in lines)


# --- Pins


@pytest.mark.parametrize("written", [f"--hash={A}", f"--hash {A}", f"  --hash={A}  "])
def test_a_hash_may_be_written_in_either_way(written: str) -> None:
    """With an equals sign or a blank."""
    assert parse_pin(f"flask==3.0 {written}", "x").hashes == (A,)


def test_a_marker_is_kept_and_evaluated() -> None:
    """For the target interpreter, not for the running one."""
    pin = parse_pin("tomli==2; python_version < '3.11'", "x")
    assert (pin.name, pin.line) == ("tomli", "tomli==2; python_version < '3.11'")
    assert pin.applies({"python_version": "3.9"})
    assert not pin.applies({"python_version": "3.12"})


def test_a_marker_and_hashes_stand_together() -> None:
    """The export of uv writes both."""
    pin = parse_pin(f'tomli==2 ; python_version < "3.11" --hash={A} --hash={B}', "x")
    assert (pin.name, pin.hashes, pin.marker) == ("tomli", (A, B), 'python_version < "3.11"')


def test_a_pin_without_marker_always_applies() -> None:
    """Nothing speaks against it."""
    assert parse_pin("flask", "x").applies({})


@pytest.mark.parametrize(
    ("written", "name"), [("Flask_Login", "flask-login"), ("zope.interface[a,b]>=5", "zope-interface")]
)
def test_names_are_normalized(written: str, name: str) -> None:
    """PEP 503."""
    assert parse_pin(written, "x").name == name


@pytest.mark.parametrize(
    "line",
    [".", "..", "./x", "../x/y", "/srv/x", "x/y", "./x-1-py3-none-any.whl", "x-1.tar.gz", "x.zip", "https://e.org/x.whl",
     "git+https://e.org/x.git@v1", "git+ssh://git@e.org/x.git", "file:///srv/x"],
)  # fmt: skip
def test_paths_and_urls_have_no_name(line: str) -> None:
    """They are requirements all the same."""
    assert (parse_pin(line, "x").name, parse_pin(line, "x").line) == ("", line)


@pytest.mark.parametrize(
    "line", ["x @ https://e.org/x.whl", "x@https://e.org/x.whl", "x[a] @ git+https://e.org/x.git"]
)
def test_a_url_with_a_name_has_it(line: str) -> None:
    """PEP 508, with or without blanks."""
    assert parse_pin(line, "x").name == "x"


def test_what_is_no_requirement_names_file_and_line(tmp_path: Path) -> None:
    """The line itself is quoted."""
    error = refused(tmp_path, "flask\n=3.0\n")
    assert error.code == "requirements-invalid"
    assert "requirements.txt:2" in error.message
    assert error.causes[0] == "=3.0"


def test_hashed_means_every_pin() -> None:
    """One without is enough; none at all is not hashed."""
    whole = Pin(name="a", line="a", hashes=(A,), marker="")
    bare = Pin(name="b", line="b", hashes=(), marker="")
    assert Requirements(files=(), pins=(whole,)).hashed
    assert not Requirements(files=(), pins=(whole, bare)).hashed
    assert not Requirements(files=(), pins=()).hashed


def test_a_pin_is_written_as_it_was_read() -> None:
    """Marker and hashes included."""
    line = f"tomli==2; python_version < '3.11' --hash={A} --hash={B}"
    assert parse_pin(quote_hashes(parse_pin(line, "x")), "x") == parse_pin(line, "x")


def test_the_set_of_names_leaves_paths_out(tmp_path: Path) -> None:
    """They have none."""
    assert read(tmp_path, "flask\n./x\nFlask\n").names == {"flask"}


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("a==1.0", "1.0"),
        ("a[x, y] == 1.0 ; python_version > '3'", "1.0"),
        ("a===1.0-odd", "1.0-odd"),
        ("a==1.*", ""),
        ("a==1.0,!=2", ""),
        ("a>=1.0", ""),
        ("a", ""),
        ("./a==1.0", ""),
        ("a @ https://e.org/a-1.0.zip", ""),
    ],
)
def test_version_is_the_one_that_a_line_admits(line: str, version: str) -> None:
    """Nothing where it admits several, or says where instead."""
    assert parse_pin(line, "x").version == version


@pytest.mark.parametrize("line", ["a==1", "a @ https://e.org/a.zip", "./a", "git+https://e.org/a.git@v1"])
def test_place_is_as_exact_as_a_version(line: str) -> None:
    """What is there is what is installed."""
    assert parse_pin(line, "x").is_exact
    assert not parse_pin("a>=1; platform_release == 'x@y'", "x").is_exact


def test_fragment_of_a_url_is_a_hash() -> None:
    """To pip and uv as well."""
    value = "a" * 64
    assert parse_pin(f"a @ https://e.org/a.zip#sha256={value}", "x").hashes == (f"sha256:{value}",)
    assert parse_pin(f"https://e.org/a.zip#egg=a&sha256={value}", "x").hashes == (f"sha256:{value}",)
    assert parse_pin(f"https://e.org/a.zip#sha256={value} --hash={A}", "x").hashes == (A,)


def test_requirements_are_mixed_where_some_have_hashes(tmp_path: Path) -> None:
    """Neither all nor none."""
    assert read(tmp_path, f"a==1 --hash={A}\nb\n").mixed
    assert not read(tmp_path, f"a==1 --hash={A}\n").mixed
    assert not read(tmp_path, "a\nb\n").mixed


def test_options_are_kept_with_places_of_constraints(tmp_path: Path) -> None:
    """Those of included files too; a constraint counts from the file that names it."""
    write(tmp_path, "-c limits.txt\n--no-binary a\n", "more/b.txt")
    found = read(tmp_path, "--index-url https://e.org\n-r more/b.txt\na\n--no-binary a\n")
    assert found.options == (
        "--index-url https://e.org",
        f"-c {tmp_path / 'more/limits.txt'}",
        "--no-binary a",
    )


# --- Options


@pytest.mark.parametrize(
    "option",
    [
        "-r more/b.txt",
        "-rmore/b.txt",
        "--requirement more/b.txt",
        "--requirement=more/b.txt",
        "-r  more/b.txt",
    ],
)
def test_an_included_file_is_read(option: str, tmp_path: Path) -> None:
    """Relative to the file that includes it, in every spelling."""
    write(tmp_path, "-r c.txt\nb\n", "more/b.txt")
    write(tmp_path, "c\n", "more/c.txt")
    assert names(read(tmp_path, f"a\n{option}\nd\n")) == ["a", "c", "b", "d"]


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    """A circle ends."""
    write(tmp_path, "-r requirements.txt\nb\n", "b.txt")
    assert names(read(tmp_path, "-r b.txt\n-r requirements.txt\na\n")) == ["b", "a"]
    write(tmp_path, "-r sub/../b.txt\nb\n", "b.txt")
    (tmp_path / "sub").mkdir()
    assert "b" in names(read_requirements((tmp_path / "b.txt",)))


def test_only_the_named_files_go_to_the_installer(tmp_path: Path) -> None:
    """It reads the included ones itself."""
    write(tmp_path, "b\n", "b.txt")
    assert read(tmp_path, "-r b.txt\n").files == (tmp_path / "requirements.txt",)


def test_constraints_are_no_requirements(tmp_path: Path) -> None:
    """They need not be there to be read, either: the installer complains."""
    assert names(read(tmp_path, "-c c.txt\n--constraint=c.txt\n-cc.txt\na\n")) == ["a"]


def test_other_options_are_the_installers(tmp_path: Path) -> None:
    """An index, a format, a hash policy."""
    text = "--index-url https://e.org\n-i https://e.org\n--no-binary :all:\n--require-hashes\n--pre\na\n"
    assert names(read(tmp_path, text)) == ["a"]


@pytest.mark.parametrize(
    "line", ["-e .", "-e.", "--editable .", "--editable=.", "-e git+https://e.org/x.git#egg=x"]
)
def test_an_editable_install_is_refused_with_its_line(line: str, tmp_path: Path) -> None:
    """In every spelling."""
    error = refused(tmp_path, f"a\n{line}\n")
    assert error.code == "requirements-editable"
    assert "requirements.txt:2" in error.message
    assert error.causes[0] == line


def test_an_editable_install_in_an_included_file_is_refused(tmp_path: Path) -> None:
    """With that file's name."""
    write(tmp_path, "-e .\n", "dev.txt")
    assert "dev.txt:1" in refused(tmp_path, "-r dev.txt\n").message


def test_a_missing_file_is_told_with_who_names_it(tmp_path: Path) -> None:
    """The key, or the file that includes it."""
    error = refused(tmp_path, "-r gone.txt\n")
    assert (error.code, "gone.txt" in error.message) == ("requirements-missing", True)
    assert "requirements.txt includes it" in error.causes[0]
    with pytest.raises(VenvpkgError) as caught:
        read_requirements((tmp_path / "none.txt",))
    assert "key requirements" in caught.value.causes[0]


@pytest.mark.parametrize("data", [b"\xff\xfea\0", b"caf\xe9\n"])
def test_a_file_that_is_no_utf8_is_told(data: bytes, tmp_path: Path) -> None:
    """UTF-16 and Latin-1 are what PowerShell and old editors write."""
    assert refused(tmp_path, data).code == "requirements-missing"


def test_a_folder_is_no_requirements_file(tmp_path: Path) -> None:
    """Told, and no traceback."""
    with pytest.raises(VenvpkgError):
        read_requirements((tmp_path,))


@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml", "pylock.web.toml", "conda.lock", "settings.toml"])
def test_a_lock_is_no_requirements_file(name: str, tmp_path: Path) -> None:
    """A tool turns those that are known into one before; the hint says how to export others."""
    error = refused(tmp_path, "", name)
    assert error.code == "lock-not-supported"
    assert "Export it" in error.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uv.lock", True),
        ("pylock.toml", True),
        ("pylock.a-b.toml", True),
        ("pylock.a.b.toml", False),
        ("pyproject.toml", False),
        ("requirements.txt", False),
    ],
)
def test_locks_are_known_by_name(name: str, expected: bool) -> None:
    """PEP 751 lets a name stand between the dots, without another dot."""
    assert is_lock(Path(name)) is expected


# --- Finding


def test_a_lock_comes_before_requirements(tmp_path: Path) -> None:
    """The more exact one wins."""
    write(tmp_path, "")
    assert find_requirements(tmp_path) == (tmp_path / "requirements.txt",)
    write(tmp_path, "", "poetry.lock")
    write(tmp_path, "", "uv.lock")
    assert find_requirements(tmp_path) == (tmp_path / "uv.lock",)


def test_a_project_may_have_none(tmp_path: Path) -> None:
    """A folder of that name is none."""
    (tmp_path / "requirements.txt").mkdir()
    assert find_requirements(tmp_path) == ()


# --- Locks

LOCKS = {
    "uv.lock": '[[package]]\nname = "A_b"\nversion = "1.0"\nsource = { registry = "https://e.org/simple" }\n',
    "poetry.lock": f'[[package]]\nname = "a-b"\nversion = "1.0"\nfiles = [{{file = "x", hash = "{A}"}}]\n',
    "pdm.lock": '[metadata]\ngroups = ["default", "Web_app"]\n[[package]]\nname = "a.b"\nversion = "1.0"\n',
    "Pipfile.lock": '{"_meta": {}, "default": {"a-b": {"version": "==1.0", "hashes": ["'
    + A
    + '"]}}, "x": {}}',
    "pylock.toml": '[[packages]]\nname = "a-b"\nversion = "1.0"\n',
}


@pytest.mark.parametrize("name", LOCKS)
def test_every_lock_tells_names_and_versions(name: str, tmp_path: Path) -> None:
    """By normalized name."""
    assert read_lock(write(tmp_path, LOCKS[name], name)).versions == [("a-b", "1.0")]


def test_lock_tells_what_else_it_has(tmp_path: Path) -> None:
    """Indexes, hashes and groups, where it has them."""
    found = {name: read_lock(write(tmp_path, text, name)) for name, text in LOCKS.items()}
    assert found["uv.lock"].indexes == {"https://e.org/simple"}
    assert found["poetry.lock"].distributions[0].hashes == (A,)
    assert found["Pipfile.lock"].distributions[0].hashes == (A,)
    assert found["pdm.lock"].groups == {"default", "web-app"}
    assert found["Pipfile.lock"].groups == {"packages", "x"}
    assert found["uv.lock"].groups == frozenset()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", "<<<<<<< HEAD\n"),
        ("uv.lock", "[[package]]\nversion = '1'\n"),
        ("uv.lock", "package = 3\n"),
        ("poetry.lock", "package = ['a']\n"),
        ("Pipfile.lock", "[]"),
        ("Pipfile.lock", '{"_meta": {}, "default": {"a": 3}}'),
        ("Pipfile.lock", "[" * 100_000),
        ("uv.lock", b"\xff"),
    ],
)
def test_file_that_is_no_lock_is_an_error(name: str, text: str | bytes, tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(VenvpkgError) as caught:
        read_lock(write(tmp_path, text, name))
    assert (caught.value.code, name in caught.value.message) == ("lock-invalid", True)


def test_differences_are_what_a_lock_has_not() -> None:
    """Missing, or another version; for this environment alone."""
    required = ["a>=2", "b", "c[x]<2; python_version < '3.11'", "d==1", "E_f>1", "g>1"]
    locked = [("a", "1.0"), ("a", "1.5"), ("d", "1"), ("e-f", ""), ("g", "of no form")]
    assert find_differences(required, locked, {"python_version": "3.11"}) == [
        "The project requires a>=2, and 1.0, 1.5 is locked.",
        "The project requires b, which is not locked.",
    ]


# --- Groups


def test_groups_are_joined_in_order_without_repetition() -> None:
    """A requirement that two groups have is installed once."""
    assert resolve_groups({"a": ["x", "y"], "b": ["y", "z"]}, ("b", "a")) == ("y", "z", "x")


def test_an_included_group_stands_where_it_is_named() -> None:
    """PEP 735: include-group."""
    groups = {"all": ["first", {"include-group": "web"}, "last"], "web": ["flask"]}
    assert resolve_groups(groups, ("all",)) == ("first", "flask", "last")


def test_names_of_groups_are_normalized() -> None:
    """On both sides."""
    assert resolve_groups({"Web_App": ["flask"], "x": [{"include-group": "WEB.app"}]}, ("x", "web-app")) == (
        "flask",
    )


def test_a_group_that_two_others_include_is_no_circle() -> None:
    """A diamond."""
    a, b, c = ({"include-group": name} for name in "abc")
    groups: dict[str, object] = {"d": [b, c], "b": [a], "c": [a], "a": ["x"]}
    assert resolve_groups(groups, ("d",)) == ("x",)


@pytest.mark.parametrize(
    "groups",
    [{"a": [{"include-group": "a"}]}, {"a": [{"include-group": "b"}], "b": [{"include-group": "A"}]}],
)
def test_a_circle_of_groups_is_an_error(groups: dict[str, object]) -> None:
    """Of one or of two."""
    with pytest.raises(VenvpkgError) as caught:
        resolve_groups(groups, ("a",))
    assert (caught.value.code, "includes itself" in caught.value.message) == ("group-invalid", True)


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {"a": "x"},
        {"a": {"x": 1}},
        {"a": [{"include-group": "gone"}]},
        {"a": [{}]},
        {"a": [{"include": "b"}]},
        {"a": [3]},
    ],
)
def test_a_group_that_is_none_is_an_error(groups: dict[str, object]) -> None:
    """Missing, of another type, or including what is missing."""
    with pytest.raises(VenvpkgError) as caught:
        resolve_groups(groups, ("a",))
    assert caught.value.code == "group-invalid"


def test_no_group_asked_for_is_none_read() -> None:
    """A broken group that nobody wants is nobody's business."""
    assert resolve_groups({"a": 3}, ()) == ()

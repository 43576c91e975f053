"""The configuration: what is accepted, what is refused, and which source wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from venvpkg.configuration import (
    Configuration,
    excludes,
    make_specs,
    parse_text,
    read_compression,
    read_configuration,
    read_options,
    read_variables,
    select_packages,
)
from venvpkg.control import Package
from venvpkg.errors import VenvpkgError
from venvpkg.keys import BY_NAME, KEYS, Key
from venvpkg.report import Accepted
from venvpkg.spec import Spec, find_deeper_mistakes, find_mistakes

# Values of every type that TOML has, to hold against every key.
VALUES: tuple[Any, ...] = (
    "text",
    True,
    3,
    1.5,
    [],
    ["x"],
    [1],
    {},
    {"x": 1},
    {"x": "y"},
    [{}],
    {"x": {"y": 1}},
)
RIGHT: Mapping[str, Sequence[Any]] = {
    "string": ("text",),
    "list": ([], ["x"]),
    "bool": (True, False),
    "automatic": (True, False),
    "project": (".", False),
    "expose": ("all", [], ["x"]),
    "records": ([], [{}]),
}


def configured(folder: Path, pyproject: str = "", own: str | None = None) -> Configuration:
    """Write the files of a project, and read them."""
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    if own is not None:
        (folder / "debian").mkdir(exist_ok=True)
        (folder / "debian" / "venvpkg.toml").write_text(own, encoding="utf-8")
    return read_configuration(folder)


def spec(**values: Any) -> Spec:
    """A spec from keys, with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return Spec.from_values("app", Path("/src/app"), named)


def refused(**values: Any) -> VenvpkgError:
    """The error that such keys are."""
    with pytest.raises(VenvpkgError) as caught:
        spec(**values)
    return caught.value


# --- Names and types


def test_an_unknown_key_names_the_nearest() -> None:
    """A slip of the pen is corrected."""
    assert find_mistakes({"instal-root": "/opt"}) == [
        "unknown key 'instal-root'; the nearest is 'install-root'"
    ]


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("require_hashes", "require-hashes"),
        ("extra", "extras"),
        ("build-depend", "build-depends"),
        ("Smoke", "smoke"),
    ],
)
def test_other_spellings_name_the_nearest(written: str, nearest: str) -> None:
    """Underscores, singulars, capitals."""
    assert find_mistakes({written: "x"})[0].endswith(f"the nearest is {nearest!r}")


def test_a_key_like_no_other_names_none() -> None:
    """A wild guess would mislead."""
    assert find_mistakes({"qqqqqqqqqqqq": 1}) == ["unknown key 'qqqqqqqqqqqq'"]


@pytest.mark.parametrize("key", KEYS, ids=lambda k: k.name)
def test_a_wrong_type_is_refused(key: Key) -> None:
    """For every key, every value of another type is one mistake that names the key."""
    for value in VALUES:
        if key.kind in RIGHT:
            right = any(type(value) is type(r) and value == r for r in RIGHT[key.kind])
            right = right or (key.kind in ("string", "project") and isinstance(value, str))
        elif key.kind == "choice":
            right = value in key.choices
        elif key.name == "demote":
            right = value in ({}, {"x": "y"})
        else:
            right = value == {}
        mistakes = find_mistakes({key.name: value})
        assert len(mistakes) == (0 if right else 1), (value, mistakes)
        assert all(m.startswith(f"{key.name} must be ") for m in mistakes)


@pytest.mark.parametrize("key", [k for k in KEYS if k.kind == "choice"], ids=lambda k: k.name)
def test_every_choice_is_admitted_and_no_other(key: Key) -> None:
    """The message lists them."""
    assert [c for c in key.choices if find_mistakes({key.name: c})] == []
    (mistake,) = find_mistakes({key.name: "something else"})
    assert all(f'"{choice}"' in mistake for choice in key.choices)


def test_settings_are_strings_or_lists_of_strings() -> None:
    """PEP 517 has nothing else."""
    good = {"pillow": {"freetype": "enable", "args": ["a", "b"]}}
    assert find_mistakes({"config-settings": good}) == []
    for bad in ({"pillow": "x"}, {"pillow": {"a": True}}, {"pillow": {"a": [1]}}, {"pillow": ["a"]}):
        assert len(find_mistakes({"config-settings": bad})) == 1


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """In the table and in the tables of packages."""
    text = """
    [tool.venvpkg]
    pyton = "3"
    extras = "web"
    bytecode = "never"
    [tool.venvpkg.packages.one]
    hermetic = "yes"
    [tool.venvpkg.packages.two]
    packages = {}
    """
    with pytest.raises(VenvpkgError) as caught:
        configured(tmp_path, text)
    assert caught.value.code == "config-invalid"
    assert len(caught.value.causes) == 5
    assert "There are 5 mistakes" in caught.value.message
    assert sum(c.startswith("packages.") for c in caught.value.causes) == 2


def test_all_deeper_mistakes_are_told_at_once() -> None:
    """Values of the right type that mean nothing."""
    error = refused(
        install_root="opt",
        env_name="a/b",
        build_depends=["libpng-dev", "Not A Package"],
        build_depends_of=["Mat_plotlib"],
        demote={"x": "Depends"},
        accept=[{"code": "V001"}],
        smoke=["'open", ""],
    )
    text = "\n".join(error.causes)
    assert len(error.causes) == 9
    for part in (
        "install-root",
        "env-name",
        "Not A Package",
        "Mat_plotlib",
        "demote.x",
        "path is",
        "reason is",
    ):
        assert part in text


# --- Values


@pytest.mark.parametrize(
    "root", ["", "opt", "/", "//", "/..", "/opt/../x", "/opt/my envs", "//opt", "/a'b", '/a"b',
             "/a$b", "/a`b", "/a\\b", "/a\n", "/a[b]", "/a*", "/a;b", "/a#b", "/opt/grün"],
)  # fmt: skip
def test_an_install_root_that_no_script_could_name_is_refused(root: str) -> None:
    """Relative, the root itself, with dots, with what a shell or the kernel would take apart."""
    assert "install-root" in "\n".join(refused(install_root=root).causes)


@pytest.mark.parametrize("root", ["/opt", "/opt/venvs/", "/usr/lib/x-1.0", "/srv/~me", "/opt/a@b%c=d,e"])
def test_other_install_roots_are_taken(root: str) -> None:
    """Any absolute folder."""
    assert spec(install_root=root).prefix == PurePosixPath(root) / "app"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a b", "a.", "a'", "é", "a\n"])
def test_an_env_name_that_is_no_folder_name_is_refused(name: str) -> None:
    """One plain name."""
    assert "env-name" in "\n".join(refused(env_name=name).causes)


def test_the_prefix_is_root_and_package_unless_named() -> None:
    """/opt/venvs/NAME."""
    assert spec().prefix == PurePosixPath("/opt/venvs/app")
    assert spec(install_root="/srv", env_name="x").prefix == PurePosixPath("/srv/x")


@pytest.mark.parametrize(
    "relation", ["libpng-dev", "libpng-dev (>= 1.6)", "a1 | b2 (<< 3~)", "gcc-12 [amd64]", "x11 <!nocheck>",
                 "python3:any"],
)  # fmt: skip
def test_relations_of_control_files_are_taken(relation: str) -> None:
    """Versions, alternatives, architectures, profiles (Policy §7.1)."""
    assert spec(build_depends=[relation]).build_depends == (relation,)


@pytest.mark.parametrize(
    "relation", ["", " ", "Lib", "a_b", "lib png", "libpng-dev (1.6", "a, b", "one, two (>= 2)", "|"]
)
def test_other_relations_are_refused(relation: str) -> None:
    """What dpkg would not understand, and two clauses in one."""
    assert "build-depends" in "\n".join(refused(build_depends=[relation]).causes)


def test_demote_knows_two_levels_and_normalizes_names() -> None:
    """psycopg2 is psycopg2 however it is written."""
    assert spec(demote={"Psycopg2_Binary": "Recommends"}).demote == {"psycopg2-binary": "Recommends"}
    for level in ("Depends", "recommends", ""):
        assert len(refused(demote={"x": level}).causes) == 1


def test_accept_wants_code_path_and_reason() -> None:
    """An exception that nobody explains is none."""
    whole = {"code": "V007", "path": "lib/x.so", "reason": "never loaded"}
    assert spec(accept=[whole]).accept == (Accepted(**whole),)
    for part in whole:
        for bad in ({k: v for k, v in whole.items() if k != part}, {**whole, part: " "}, {**whole, part: 1}):
            (cause,) = refused(accept=[whole, bad]).causes
            assert f"entry 2: {part} is required" in cause
    assert "unknown 'why'" in refused(accept=[{**whole, "why": "x"}]).causes[0]


def test_smoke_commands_are_shell_words() -> None:
    """A quote that stays open is told with the command."""
    assert spec(smoke=["app --version", "app 'a b'"]).smoke == ("app --version", "app 'a b'")
    assert "'app \"x'" in refused(smoke=['app "x']).causes[0]
    assert "empty" in refused(smoke=["  "]).causes[0]


def test_a_wrong_requires_python_is_told() -> None:
    """It comes from [project], and matters here."""
    with pytest.raises(VenvpkgError) as caught:
        Spec.from_values("app", Path("/s"), {}, requires_python="three")
    assert "requires-python" in caught.value.causes[0]


def test_project_false_means_requirements_alone() -> None:
    """None, where a folder would stand."""
    assert (spec(project=False).project, spec(project="sub").project, spec().project) == (None, "sub", ".")


def test_expose_all_is_told_from_a_list() -> None:
    """A word instead of a list."""
    assert (spec(expose="all").expose, spec(expose=["a", "b"]).expose, spec().expose) == (
        ("all",),
        ("a", "b"),
        (),
    )


def test_settings_become_tuples_by_normalized_name() -> None:
    """A single value is a list of one."""
    made = spec(config_settings={"Pillow": {"a": "1", "b": ["2", "3"]}}).config_settings
    assert made == {"pillow": {"a": ("1",), "b": ("2", "3")}}


@pytest.mark.parametrize(
    ("glob", "said"),
    [
        ("test", "prune: 'test' is no preset; the nearest is 'tests'"),
        ("!", "prune: '!' is neither a preset nor a glob"),
    ],
)
def test_near_miss_of_a_preset_is_a_mistake(glob: str, said: str) -> None:
    """As a glob it would match a folder beside bin and lib, and leave out nothing."""
    assert find_deeper_mistakes("app", {"prune": [glob]}) == [said]
    assert find_deeper_mistakes("app", {"prune": ["tests", "*.pyi", "share/man/", "!*/x"]}) == []


def test_deeper_mistakes_wait_for_the_types() -> None:
    """A wrong type alone is told; nothing falls over it."""
    assert find_deeper_mistakes("app", {"install-root": 3, "smoke": "x", "demote": []}) == []


# --- Where values come from


def test_option_beats_variable_beats_package_beats_file(tmp_path: Path) -> None:
    """Four places, key by key."""
    text = """
    [tool.venvpkg]
    python = "file"
    installer = "uv"
    env-name = "file"
    index-url = "file"
    [tool.venvpkg.packages.app]
    installer = "pip"
    env-name = "package"
    index-url = "package"
    """
    variables = read_variables({"DH_VENVPKG_ENV_NAME": "variable", "DH_VENVPKG_INDEX_URL": "variable"})
    made = configured(tmp_path, text).spec("app", variables, read_options({"index-url": ["option"]}))
    assert (made.python, made.installer, made.env_name, made.index_url) == (
        "file",
        "pip",
        "variable",
        "option",
    )


def test_overrides_hold_for_their_package_alone(tmp_path: Path) -> None:
    """Others have the file's."""
    text = '[tool.venvpkg]\nextras = ["a"]\n[tool.venvpkg.packages.one]\nextras = ["b"]\n'
    found = configured(tmp_path, text)
    assert (found.spec("one", {}, {}).extras, found.spec("two", {}, {}).extras) == (("b",), ("a",))


def test_a_list_is_replaced_and_not_joined(tmp_path: Path) -> None:
    """An empty list takes back what the file has."""
    found = configured(tmp_path, '[tool.venvpkg]\nextras = ["a"]\ngroups = ["g"]\n')
    made = found.spec("app", read_variables({"DH_VENVPKG_EXTRAS": ""}), read_options({"groups": ["x", "y"]}))
    assert (made.extras, made.groups) == ((), ("x", "y"))


def test_own_file_replaces_the_table(tmp_path: Path) -> None:
    """debian/venvpkg.toml does not merge; the rest of pyproject.toml counts still."""
    text = '[project]\nrequires-python = ">=3.9"\n[tool.venvpkg]\nextras = ["a"]\nhermetic = true\n'
    text += '[dependency-groups]\ng = ["x"]\n'
    found = configured(tmp_path, text, own='extras = ["b"]\n[packages.app]\nhermetic = false\n')
    assert found.values == {"extras": ["b"]}
    assert found.packages == {"app": {"hermetic": False}}
    spec = found.spec("app", {}, {})
    assert (spec.requires_python, spec.dependency_groups) == (">=3.9", {"g": ["x"]})
    assert found.origin == "debian/venvpkg.toml"


def test_an_empty_own_file_replaces_the_table_too(tmp_path: Path) -> None:
    """Defaults, then."""
    assert configured(tmp_path, "[tool.venvpkg]\nhermetic = true\n", own="").values == {}


def test_a_mistake_says_in_which_file(tmp_path: Path) -> None:
    """There are two."""
    with pytest.raises(VenvpkgError) as caught:
        configured(tmp_path, "", own="x = 1\n")
    assert "debian/venvpkg.toml" in caught.value.message


def test_a_project_without_files_has_defaults(tmp_path: Path) -> None:
    """setup.py alone is a project."""
    found = read_configuration(tmp_path)
    assert (found.values, found.packages, found.spec("app", {}, {}).requires_python) == ({}, {}, "")


@pytest.mark.parametrize(
    "text", ["tool = 3", "[tool]\nvenvpkg = 3", "[tool]\nvenvpkg = []", "[tool.venvpkg]\npackages = 1",
             "[tool.venvpkg.packages]\na = 1"],
)  # fmt: skip
def test_tables_that_are_none_are_no_crash(text: str, tmp_path: Path) -> None:
    """Refused, or taken as absent where another tool's schema is at fault."""
    try:
        assert configured(tmp_path, text).values == {}
    except VenvpkgError as error:
        assert error.code == "config-invalid"


@pytest.mark.parametrize("data", [b"[tool", b"a = \n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_what_is_no_toml_is_told_with_its_file(data: bytes, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 among them."""
    (tmp_path / "pyproject.toml").write_bytes(data)
    with pytest.raises(VenvpkgError) as caught:
        read_configuration(tmp_path)
    assert (caught.value.code, "pyproject.toml" in caught.value.message) == ("config-syntax", True)


@pytest.mark.parametrize("project", ["project = 3", "[project]\nname = 'x'", "dependency-groups = 1", ""])
def test_other_tables_may_be_anything(project: str, tmp_path: Path) -> None:
    """They are other tools'."""
    spec = configured(tmp_path, project).spec("app", {}, {})
    assert (spec.requires_python, spec.dependency_groups) == ("", {})


def test_a_project_in_a_folder_has_its_own_tables(tmp_path: Path) -> None:
    """Its pyproject.toml tells its range of versions and its groups; the configuration is that at the top."""
    (tmp_path / "app").mkdir()
    own = '[project]\nrequires-python = ">=3.9"\n[dependency-groups]\ng = ["x"]\n'
    (tmp_path / "app" / "pyproject.toml").write_text(own)
    spec = configured(tmp_path, '[tool.venvpkg]\nproject = "app"\n').spec("app", {}, {})
    assert (spec.requires_python, spec.dependency_groups) == (">=3.9", {"g": ["x"]})


# --- Variables and options


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "on", " on "])
def test_words_for_true(text: str) -> None:
    """Of every habit."""
    assert read_variables({"DH_VENVPKG_HERMETIC": text}) == {"hermetic": True}


@pytest.mark.parametrize("text", ["0", "false", "False", "no", "off", ""])
def test_words_for_false(text: str) -> None:
    """An empty variable is false."""
    assert read_variables({"DH_VENVPKG_REQUIRE_HASHES": text}) == {"require-hashes": False}


def test_lists_in_variables_are_shell_words() -> None:
    """Quotes keep blanks together."""
    assert read_variables({"DH_VENVPKG_SMOKE": "'app --version' other"}) == {
        "smoke": ["app --version", "other"]
    }


def test_expose_in_a_variable_is_all_or_a_list() -> None:
    """As in the file."""
    assert parse_text(BY_NAME["expose"], "all") == "all"
    assert parse_text(BY_NAME["expose"], "one two") == ["one", "two"]
    assert parse_text(BY_NAME["expose"], "") == []


def test_project_in_a_variable_is_a_folder_or_false() -> None:
    """The word false is one that no folder should have."""
    assert parse_text(BY_NAME["project"], "false") is False
    assert parse_text(BY_NAME["project"], "src/app") == "src/app"


def test_all_mistakes_of_the_environment_are_told_at_once() -> None:
    """Unknown names with the nearest, words that are neither true nor false, open quotes."""
    environ = {
        "DH_VENVPKG_PYTON": "3",
        "DH_VENVPKG_HERMETIC": "maybe",
        "DH_VENVPKG_EXTRAS": "'a",
        "DH_OTHER": "x",
    }
    with pytest.raises(VenvpkgError) as caught:
        read_variables(environ)
    assert len(caught.value.causes) == 3
    assert "the nearest is 'DH_VENVPKG_PYTHON'" in "\n".join(caught.value.causes)


def test_tables_have_no_variable() -> None:
    """They would not fit into a line."""
    with pytest.raises(VenvpkgError):
        read_variables({"DH_VENVPKG_ACCEPT": "[]"})


def test_a_wrong_choice_in_a_variable_is_told(tmp_path: Path) -> None:
    """Whatever its source, a value is checked."""
    variables = read_variables({"DH_VENVPKG_BYTECODE": "never"})
    with pytest.raises(VenvpkgError) as caught:
        configured(tmp_path).spec("app", variables, {})
    assert "bytecode must be one of" in caught.value.causes[0]


def test_repeated_options_make_a_list() -> None:
    """Each a whole value: nothing is split."""
    assert read_options({"extras": ["a b", "c"]}) == {"extras": ["a b", "c"]}


def test_the_last_of_a_repeated_option_counts() -> None:
    """As everywhere."""
    assert read_options({"python": ["3.11", "3.12"], "hermetic": ["true", "false"]}) == {
        "python": "3.12",
        "hermetic": False,
    }


def test_expose_as_an_option_is_all_or_a_list() -> None:
    """Repeated for several."""
    assert read_options({"expose": ["all"]}) == {"expose": "all"}
    assert read_options({"expose": ["a", "b"]}) == {"expose": ["a", "b"]}


def test_compression_is_zstd_at_nine_unless_chosen(tmp_path: Path) -> None:
    """Its variables are dpkg-deb's."""
    plain = configured(tmp_path)
    assert read_compression(plain, {}) == {
        "DPKG_DEB_COMPRESSOR_TYPE": "zstd",
        "DPKG_DEB_COMPRESSOR_LEVEL": "9",
    }
    assert read_compression(plain, {"compression": "xz"}) == {"DPKG_DEB_COMPRESSOR_TYPE": "xz"}


# --- Which packages


def test_the_only_package_needs_no_name(tmp_path: Path) -> None:
    """One source, one binary package."""
    assert select_packages(configured(tmp_path), ["app"]) == ("app",)


def test_several_packages_with_none_named_is_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    """The hint can be pasted."""
    with pytest.raises(VenvpkgError) as caught:
        select_packages(configured(tmp_path), ["one", "two"])
    assert caught.value.code == "packages-unnamed"
    assert "[tool.venvpkg.packages.one]" in caught.value.hint


def test_the_hint_fits_the_file_that_is_in_use(tmp_path: Path) -> None:
    """In debian/venvpkg.toml the table has no prefix."""
    with pytest.raises(VenvpkgError) as caught:
        select_packages(configured(tmp_path, own=""), ["one", "two"])
    assert "[packages.one]" in caught.value.hint


def test_named_packages_alone_get_an_environment(tmp_path: Path) -> None:
    """In debian/control's order; a name with dashes is one like any other."""
    found = configured(tmp_path, "[tool.venvpkg.packages.python3-foo]\n[tool.venvpkg.packages.bar]\n")
    assert select_packages(found, ["bar", "doc", "python3-foo"]) == ("bar", "python3-foo")


def test_naming_one_leaves_the_only_other_out(tmp_path: Path) -> None:
    """A table names what gets one."""
    found = configured(tmp_path, "[tool.venvpkg.packages.a1]\n")
    assert select_packages(found, ["a1", "b1"]) == ("a1",)


def test_an_unknown_package_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    """A slip in a table's name."""
    found = configured(tmp_path, "[tool.venvpkg.packages.ap]\n")
    with pytest.raises(VenvpkgError) as caught:
        select_packages(found, ["app"])
    assert caught.value.code == "package-unknown"
    assert "app" in caught.value.causes[0]


def test_a_source_without_binary_packages_is_an_error(tmp_path: Path) -> None:
    """There is nothing to put an environment into."""
    with pytest.raises(VenvpkgError) as caught:
        select_packages(configured(tmp_path), [])
    assert caught.value.code == "packages-unnamed"


# --- Environments beside each other


@pytest.mark.parametrize(
    ("fields", "other", "excluded"),
    [
        ({"Conflicts": "b"}, {}, True),
        ({}, {"Conflicts": "x, a"}, True),
        ({"Conflicts": "app", "Provides": "app"}, {"Provides": "app (= 1)"}, True),
        ({"Conflicts": "b:any, ,"}, {}, True),
        ({}, {}, False),
        ({"Conflicts": "b (<< 2)"}, {}, False),
        ({"Conflicts": "bb, a"}, {}, False),
        ({"Breaks": "b", "Replaces": "b"}, {}, False),
    ],
)
def test_packages_exclude_each_other_by_conflicts(
    fields: dict[str, str], other: dict[str, str], excluded: bool
) -> None:
    """Of every version, by name or by what is provided; Breaks leaves files of both in place."""
    a, b = (
        Package(name=name, architecture="any", fields=given) for name, given in (("a", fields), ("b", other))
    )
    assert excludes(a, b) is excluded


def test_values_of_a_package_that_is_not_called_are_not_checked(tmp_path: Path) -> None:
    """Its prefix counts all the same."""
    text = '[tool.venvpkg.packages.a1]\n[tool.venvpkg.packages.b1]\ninstall-root = "no/path"\n'
    packages = [Package(name=name, architecture="any", fields={}) for name in ("a1", "b1", "c1")]
    found = make_specs(configured(tmp_path, text), packages, ["a1", "c1"], {}, {"extras": ["x"]})
    assert [(spec.package, spec.extras) for spec in found] == [("a1", ("x",))]


def test_range_of_a_project_that_is_not_installed_does_not_bind(tmp_path: Path) -> None:
    """Its groups can be installed all the same."""
    text = '[project]\nrequires-python = ">=3.99"\n[dependency-groups]\ng = ["x"]\n'
    text += "[tool.venvpkg]\nproject = false\n"
    spec = configured(tmp_path, text).spec("app", {}, {})
    assert (spec.requires_python, spec.dependency_groups) == ("", {"g": ["x"]})

"""Comparing packages: what differs is told once, by the thing that explains it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import PurePosixPath

import pytest
from debian.changelog import Changelog

from venvpkg.difference import Difference, compare, describe_side
from venvpkg.relocate import record_hash
from venvpkg.tree import Tree

PREFIX = "opt/venvs/app"
CONTROL = {"Package": "app", "Version": "1", "Depends": "python3.11, libc6 (>= 2.36)"}
ENTRY = """\
app (2) unstable; urgency=medium

{lines}

 -- A <a@example.org>  Thu, 01 Jan 2026 00:00:00 +0000
"""


def site(prefix: str = PREFIX, minor: str = "3.11") -> str:
    """The folder of modules."""
    return f"{prefix}/lib/python{minor}/site-packages"


def wren(
    version: str = "1.0",
    *,
    name: str = "wren",
    module: bytes = b"NAME = 1\n",
    scripts: str = "",
    extra: Mapping[str, bytes] | None = None,
    at: str = "",
) -> dict[str, bytes]:
    """A distribution of one module, with its files from the root of the package."""
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}/__init__.py": module,
        f"{info}/METADATA": f"Name: {name}\nVersion: {version}\n".encode(),
        **(extra or {}),
    }
    if scripts:
        members[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}\n".encode()
    rows = [f"{path},{record_hash(data)},{len(data)}\n" for path, data in members.items()]
    members[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    return {f"{at or site()}/{path}": data for path, data in members.items()}


def tree(
    *parts: Mapping[str, bytes],
    prefix: str = PREFIX,
    minor: str = "3.11",
    links: Mapping[str, str] | None = None,
    programs: tuple[str, ...] = (),
) -> Tree:
    """A package with an environment for one Python, and the files of the parts."""
    files = {f"{prefix}/pyvenv.cfg": b"home = /usr/bin\n", f"{site(prefix, minor)}/README": b"\n"}
    for part in parts:
        files |= part
    every = {f"{prefix}/bin/python": f"/usr/bin/python{minor}", **(links or {})}
    return Tree.from_files(files, every, executable=programs)


def difference(
    before: Tree,
    after: Tree,
    old: Mapping[str, str] | None = None,
    new: Mapping[str, str] | None = None,
) -> Difference:
    """What differs between two trees whose packages have the same fields unless told otherwise."""
    return compare(
        describe_side(before, CONTROL if old is None else old),
        describe_side(after, CONTROL if new is None else new),
    )


def told(found: Difference) -> set[str]:
    """The names of what is told."""
    return {f.name for f in fields(found) if getattr(found, f.name)}


def with_mode(tree: Tree, path: str, mode: int) -> Tree:
    """The tree with another mode of one entry."""
    place = PurePosixPath(path)
    return Tree({**tree.entries, place: replace(tree.entries[place], mode=mode)})


# ---------------------------------------------------------------------------------------------
# Distributions


def test_packages_that_hold_the_same_do_not_differ() -> None:
    """Nothing is told, in any of the three forms."""
    found = difference(tree(wren()), tree(wren()))
    assert not found
    assert told(found) == set()
    assert (found.to_text(), found.to_changelog()) == ("", "")
    assert json.loads(found.to_json())["different"] is False


def test_added_and_removed_distributions_explain_their_files() -> None:
    """Modules, metadata and folders of theirs are not told again."""
    found = difference(tree(wren(name="old")), tree(wren(name="new", version="2.5")))
    assert told(found) == {"distributions", "sizes"}
    assert found.distributions == {"new": ("", "2.5"), "old": ("1.0", "")}
    assert "  + new 2.5 (+0.0 MB)" in found.to_text().splitlines()
    assert "  - old 1.0 (-0.0 MB)" in found.to_text().splitlines()
    assert found.to_changelog().splitlines() == ["  * Add new 2.5.", "  * Remove old 1.0."]


def test_updated_distribution_is_told_with_both_versions() -> None:
    """Once, as an update, although all of its metadata lies in another folder."""
    found = difference(tree(wren("1.9")), tree(wren("1.10", module=b"NAME = 2\n")))
    assert found.distributions == {"wren": ("1.9", "1.10")}
    assert (found.rebuilt, found.files) == ({}, {})
    assert found.to_changelog() == "  * Update wren from 1.9 to 1.10."


@pytest.mark.parametrize(("old", "new"), [("1.10", "1.9"), ("2", "2rc1"), ("1!1", "9"), ("1.0+b", "1.0")])
def test_older_version_is_a_downgrade(old: str, new: str) -> None:
    """In the order of PEP 440, not in that of letters."""
    lines = difference(tree(wren(old)), tree(wren(new))).to_changelog()
    assert lines == f"  * Downgrade wren from {old} to {new}."


@pytest.mark.parametrize(("old", "new"), [("2", "odd~one"), ("odd~one", "2")])
def test_version_in_no_order_is_an_update(old: str, new: str) -> None:
    """A version that PEP 440 does not know is no crash."""
    assert difference(tree(wren(old)), tree(wren(new))).to_changelog().startswith("  * Update wren from ")


def test_same_version_with_other_files_is_rebuilt() -> None:
    """The distribution is named, and its files are not."""
    found = difference(tree(wren()), tree(wren(module=b"NAME = 2\n")))
    assert told(found) == {"rebuilt"}
    assert found.rebuilt == {"wren": 1}
    assert found.to_text() == "the same version, with other files\n  wren (1 file)"
    assert found.to_changelog() == "  * Rebuild wren."


def test_distribution_with_another_mode_is_rebuilt() -> None:
    """Bytes alone are not a file."""
    one = tree(wren())
    assert difference(one, with_mode(one, f"{site()}/wren/__init__.py", 0o755)).rebuilt == {"wren": 1}


def test_file_that_changed_hands_rebuilds_both_distributions() -> None:
    """The one that had it, and the one that has it now."""
    shared = {"shared.py": b"X = 1\n"}
    moved = {"shared.py": b"X = 2\n"}
    before = tree(wren(name="one", extra=shared), wren(name="two"))
    after = tree(wren(name="one"), wren(name="two", extra=moved))
    assert difference(before, after).rebuilt == {"one": 1, "two": 1}


def test_size_is_told_of_each_distribution_and_in_all() -> None:
    """In bytes, with what lies outside of distributions in the sum alone."""
    small, large = tree(wren()), tree(wren(module=b"#" * 2_500_009), {"usr/share/x": b"x" * 1_000_000})
    found = difference(small, large)
    before, after = found.sizes["wren"]
    # The row of RECORD has five digits more in its size.
    assert after - before == 2_500_000 + 6
    assert found.size and found.size[1] - found.size[0] == 3_500_006
    assert found.to_text().splitlines()[-1] == "size: 0.0 MB -> 3.5 MB (+3.5 MB)"
    assert difference(large, small).to_text().splitlines()[-1] == "size: 3.5 MB -> 0.0 MB (-3.5 MB)"


def test_distribution_that_grew_says_by_how_much() -> None:
    """Beside its versions."""
    found = difference(tree(wren("1")), tree(wren("2", module=b"#" * 1_500_000)))
    assert "  wren 1 -> 2 (+1.5 MB)" in found.to_text().splitlines()


# ---------------------------------------------------------------------------------------------
# Control fields


def test_changed_relation_is_told_with_its_bounds() -> None:
    """Both ends of a range are one clause, whatever their order, and other fields are not touched."""
    old = CONTROL | {"Depends": "python3-tk (<< 3.12), python3-tk (>= 3.11), libc6"}
    same = CONTROL | {"Depends": "libc6,\n python3-tk  (>= 3.11),python3-tk (<< 3.12)"}
    new = CONTROL | {"Depends": "python3-tk (>= 3.11), python3-tk (<< 3.13), libc6"}
    assert not difference(tree(), tree(), old, same)
    found = difference(tree(), tree(), old, new)
    assert told(found) == {"relations"}
    pair = ("python3-tk (<< 3.12), python3-tk (>= 3.11)", "python3-tk (<< 3.13), python3-tk (>= 3.11)")
    assert found.relations == {"Depends": {"python3-tk": pair}}
    assert found.to_changelog().replace("\n    ", " ") == f"  * Depends: {pair[1]} instead of {pair[0]}."


def test_relations_come_and_go_in_their_own_fields() -> None:
    """A package that moves from one field to another is told in both."""
    old = {"Depends": "a | b (>= 2), c"}
    new = {"Depends": "c", "Recommends": "a | b (>= 2)", "Breaks": "d (<< 1)"}
    found = difference(tree(), tree(), old, new)
    assert found.relations == {
        "Depends": {"a | b": ("a | b (>= 2)", "")},
        "Recommends": {"a | b": ("", "a | b (>= 2)")},
        "Breaks": {"d": ("", "d (<< 1)")},
    }
    assert found.to_changelog().splitlines() == [
        "  * Depends: remove a | b (>= 2).",
        "  * Recommends: add a | b (>= 2).",
        "  * Breaks: add d (<< 1).",
    ]
    assert found.to_text().splitlines() == [
        "Depends", "  - a | b (>= 2)", "Recommends", "  + a | b (>= 2)", "Breaks", "  + d (<< 1)",
    ]  # fmt: skip


def test_other_fields_are_told_but_not_those_that_follow() -> None:
    """Installed-Size follows from the files; the version and the description do not."""
    old = CONTROL | {"Installed-Size": "10", "Description": "one\n more"}
    new = CONTROL | {"Installed-Size": "20", "Description": "two\n more", "Version": "2"}
    found = difference(tree(), tree(), old, new)
    assert told(found) == {"fields"}
    assert found.fields == {"Description": ("one\n more", "two\n more"), "Version": ("1", "2")}
    assert found.to_text().splitlines()[-1] == "  Version: 1 -> 2"


def test_control_file_of_the_tree_is_read() -> None:
    """Where no fields are given, DEBIAN/control has them."""
    one, two = ({"DEBIAN/control": f"Package: app\nDepends: a (>= {n})\n".encode()} for n in (1, 2))
    found = compare(describe_side(tree(one), None), describe_side(tree(two), None))
    assert told(found) == {"relations"}
    assert found.relations == {"Depends": {"a": ("a (>= 1)", "a (>= 2)")}}


def test_name_of_a_field_is_kept_in_its_capitals() -> None:
    """Fields of a package's own, too."""
    found = difference(tree(), tree(), {}, {"X-Cargo-Note": "yes"})
    assert found.fields == {"X-Cargo-Note": ("", "yes")}


# ---------------------------------------------------------------------------------------------
# Entry points


def test_entry_points_are_told_with_what_they_call() -> None:
    """Added, removed, and turned to another function."""
    before = tree(wren(scripts="wren = wren:main\ngone = wren:gone"))
    after = tree(wren("2.0", scripts="wren = wren.cli:main\nfresh = wren:fresh"))
    found = difference(before, after)
    assert found.scripts == {
        "fresh": ("", "wren:fresh"),
        "gone": ("wren:gone", ""),
        "wren": ("wren:main", "wren.cli:main"),
    }
    assert found.to_changelog().splitlines()[1:] == [
        "  * Add the command fresh.",
        "  * Remove the command gone.",
        "  * The command wren calls wren.cli:main instead of wren:main.",
    ]
    assert "  wren: wren:main -> wren.cli:main" in found.to_text().splitlines()


# ---------------------------------------------------------------------------------------------
# Another Python, another prefix


def test_another_python_is_told_and_not_every_file() -> None:
    """All modules lie in another folder, and yet no distribution is another."""
    before = tree(wren(), links={f"{PREFIX}/bin/python3.11": "python"})
    after = tree(wren(at=site(minor="3.13")), minor="3.13", links={f"{PREFIX}/bin/python3.13": "python"})
    found = difference(before, after)
    assert told(found) == {"python"}
    assert found.python == ("3.11", "3.13")
    assert found.to_text() == "Python\n  3.11 -> 3.13"
    assert found.to_changelog() == "  * Build for Python 3.13 instead of 3.11."


def test_another_python_does_not_hide_a_file_beside_its_modules() -> None:
    """What is neither in lib/python3* nor a link to the interpreter is compared as ever."""
    path = f"{PREFIX}/etc/app.conf"
    found = difference(tree({path: b"1"}), tree({path: b"2"}, minor="3.13"))
    assert found.files == {f"{PREFIX}/etc/app.conf": "changed"}


def test_another_python_does_not_hide_what_changed_beside_it() -> None:
    """Modules are compared whatever the minor version in their paths; bytecode and pyvenv.cfg are not."""
    trees = []
    for minor, module in (("3.11", b"NAME = 1\n"), ("3.13", b"NAME = 2\n")):
        folder = f"{site(minor=minor)}/wren"
        own = {
            f"{PREFIX}/pyvenv.cfg": f"version = {minor}.2\n".encode(),
            f"{folder}/__pycache__/__init__.cpython-{minor.replace('.', '')}.pyc": minor.encode(),
            f"{folder}/_c.cpython-{minor.replace('.', '')}-x86_64-linux-gnu.so": minor.encode(),
            f"{site(minor=minor)}/loose-{minor}.pth": b"import os\n",
        }
        trees.append(tree(wren(at=site(minor=minor), module=module), own, minor=minor))
    found = difference(*trees)
    assert (found.python, found.rebuilt) == (("3.11", "3.13"), {"wren": 1})
    assert found.files == {
        f"{PREFIX}/lib/python3.13/site-packages/loose-3.13.pth": "added",
        f"{PREFIX}/lib/python3.11/site-packages/loose-3.11.pth": "removed",
        f"{PREFIX}/lib/python3.13/site-packages/wren/_c.cpython-313-x86_64-linux-gnu.so": "changed",
    }


def test_another_prefix_is_told_and_not_what_it_is_written_into() -> None:
    """Scripts, pyvenv.cfg and bytecode name it; the modules are compared from the prefix on."""
    pyc = "__pycache__/__init__.cpython-311.pyc"
    trees = []
    for prefix in ("opt/venvs/app", "opt/venvs/other"):
        here = f"{site(prefix)}/wren/{pyc}"
        own = {
            f"{prefix}/pyvenv.cfg": f"command = x /{prefix}\n".encode(),
            f"{prefix}/bin/wren": f"#!/{prefix}/bin/python\n".encode(),
            here: f"/{prefix}/wren.py".encode(),
        }
        trees.append(tree(wren(at=site(prefix)), own, prefix=prefix))
    found = difference(*trees)
    assert found.prefix == ("/opt/venvs/app", "/opt/venvs/other")
    assert (found.rebuilt, found.files, found.distributions) == ({}, {}, {})
    assert "  * Move from /opt/venvs/app to /opt/venvs/other." in found.to_changelog().splitlines()
    changed = Tree(trees[1].entries | Tree.from_files({f"{site('opt/venvs/other')}/x.py": b""}).entries)
    assert difference(trees[0], changed).files == {
        "opt/venvs/other/lib/python3.11/site-packages/x.py": "added"
    }


def test_script_that_came_with_another_prefix_is_told() -> None:
    """The prefix explains what scripts hold, and not that there is one more."""
    found = difference(tree(prefix="opt/a"), tree({"opt/b/bin/new": b""}, prefix="opt/b"))
    assert found.files == {"opt/b/bin/new": "added"}


def test_changed_script_is_told_where_the_prefix_is_the_same() -> None:
    """Only another prefix explains it."""
    one, two = ({f"{PREFIX}/bin/tool": f"#!/bin/sh\n{n}".encode()} for n in (1, 2))
    assert difference(tree(one), tree(two)).files == {f"{PREFIX}/bin/tool": "changed"}


# ---------------------------------------------------------------------------------------------
# Files that nothing explains


def test_unexplained_files_are_told_by_path() -> None:
    """Outside of the prefix, in DEBIAN/, and in the environment where no distribution has them."""
    before = tree({"usr/bin/app": b"1", "DEBIAN/postinst": b"1", f"{PREFIX}/old": b"", "DEBIAN/prerm": b"1"})
    after = tree({"usr/bin/app": b"2", "DEBIAN/postinst": b"2", f"{PREFIX}/new": b"", "DEBIAN/prerm": b"1"})
    found = difference(before, after)
    assert told(found) == {"files"}
    assert found.files == {
        "DEBIAN/postinst": "changed",
        f"{PREFIX}/new": "added",
        f"{PREFIX}/old": "removed",
        "usr/bin/app": "changed",
    }
    assert found.to_changelog().splitlines()[1:3] == [
        f"  * Added: {PREFIX}/new.",
        f"  * Removed: {PREFIX}/old.",
    ]
    assert "  changed usr/bin/app" in found.to_text().splitlines()


def test_mode_of_a_file_and_of_a_folder_is_a_change() -> None:
    """Bytes and names are the same."""
    one = tree({"usr/share/app/x": b""})
    for path in ("usr/share/app/x", "usr/share/app"):
        assert difference(one, with_mode(one, path, 0o700)).files == {path: "mode changed"}


def test_file_with_other_bytes_and_another_mode_is_changed() -> None:
    """The mode is named where it is all that differs."""
    one, two = tree({"usr/x": b"1"}), with_mode(tree({"usr/x": b"2"}), "usr/x", 0o755)
    assert difference(one, two).files == {"usr/x": "changed"}


def test_files_of_a_rebuilt_distribution_are_counted() -> None:
    """RECORD is none of them, for it follows from the others; one that came and one that went are."""
    before = tree(wren(extra={"wren/a.py": b"1", "wren/b.py": b"", "wren/same.py": b""}))
    after = tree(wren(extra={"wren/a.py": b"2", "wren/c.py": b"", "wren/same.py": b""}))
    found = difference(before, after)
    assert found.rebuilt == {"wren": 3}
    assert "  wren (3 files)" in found.to_text().splitlines()


def test_mode_of_a_link_is_none() -> None:
    """Linux has none (symlink(7)), and folders and archives make up others."""
    one = tree(links={"usr/bin/app": "/opt/venvs/app/bin/app"})
    assert not difference(one, with_mode(one, "usr/bin/app", 0o755))


def test_target_of_a_link_is_a_change() -> None:
    """And so is a file in place of a link."""
    one, two = (tree(links={"usr/bin/app": target}) for target in ("a", "b"))
    assert difference(one, two).files == {"usr/bin/app": "target changed"}
    assert difference(one, tree({"usr/bin/app": b"a"})).files == {"usr/bin/app": "changed"}


def test_link_of_the_environment_to_another_interpreter_is_told() -> None:
    """The same minor version, somewhere else on the server."""
    other = tree(links={f"{PREFIX}/bin/python": "/usr/local/bin/python3.11"})
    assert difference(tree(), other).files == {f"{PREFIX}/bin/python": "target changed"}


def test_folder_comes_and_goes_with_its_files() -> None:
    """It is told by itself only where it is empty, or stays and changes."""
    one, two = tree({"usr/share/doc/app/copyright": b""}), tree()
    assert difference(one, two).files == {"usr/share/doc/app/copyright": "removed"}
    assert difference(two, one).files == {"usr/share/doc/app/copyright": "added"}
    empty = Tree({p: e for p, e in one.entries.items() if e.path.name != "copyright"})
    assert difference(two, empty).files == {"usr/share/doc/app": "added"}
    locked = with_mode(tree({"usr/share/doc/app/copyright": b"x"}), "usr/share/doc/app", 0o700)
    found = difference(one, locked).files
    assert found == {"usr/share/doc/app": "mode changed", "usr/share/doc/app/copyright": "changed"}


def test_folder_debian_is_no_part_of_a_package() -> None:
    """A build root has it, a .deb has not."""
    files = {"DEBIAN/control": b"Package: app\n"}
    deb = Tree({p: e for p, e in tree(files).entries.items() if str(p) != "DEBIAN"})
    assert not difference(tree(files), deb)


@pytest.mark.parametrize(
    "path",
    [
        "DEBIAN/control",
        "DEBIAN/md5sums",
        f"{PREFIX}/venvpkg.json",
        f"{site()}/wren-1.0.dist-info/RECORD",
        "usr/share/doc/app/changelog.Debian.gz",
        "usr/share/doc/app/sbom.cdx.json",
    ],
)
def test_derived_file_is_told_only_where_nothing_else_is(path: str) -> None:
    """It follows from what else differs, whatever that is."""
    one, two = tree(wren(), {path: b"1"}), tree(wren(), {path: b"2"})
    key = path
    assert difference(one, two).files == {key: "changed"}
    assert difference(one, two).rebuilt == {}
    with_more = tree(wren(), {path: b"2", "usr/x": b""})
    assert difference(one, with_more).files == {"usr/x": "added"}
    field = difference(one, two, CONTROL, CONTROL | {"Version": "2"})
    assert told(field) == {"fields"}


@pytest.mark.parametrize(
    "path", ["DEBIAN/postrm", f"{PREFIX}/venvpkg.json5", "usr/share/doc/app/README", f"{site()}/x/RECORD"]
)
def test_file_of_a_like_name_is_not_derived(path: str) -> None:
    """It is told beside others."""
    found = difference(tree({path: b"1"}), tree({path: b"2", "usr/x": b""}))
    assert found.files == {path: "changed", "usr/x": "added"}


def test_bytecode_is_of_its_module() -> None:
    """RECORD does not have it, and yet it explains itself; that of nobody's module does not."""
    folder = f"{site()}/wren/__pycache__"
    names = (f"{folder}/__init__.cpython-311.pyc", f"{folder}/gone.cpython-311.pyc")
    owned = difference(tree(wren(), {names[0]: b"1"}), tree(wren(), {names[0]: b"2"}))
    assert (owned.rebuilt, owned.files) == ({"wren": 1}, {})
    updated = difference(tree(wren(), {names[0]: b"1"}), tree(wren("2.0"), {names[0]: b"23"}))
    assert (updated.rebuilt, updated.files) == ({}, {})
    nobody = difference(tree(wren(), {names[1]: b"1"}), tree(wren(), {names[1]: b"2"}))
    assert nobody.files == {names[1]: "changed"}
    before, after = updated.sizes["wren"]
    # One byte more of bytecode; versions and names are as long as before.
    assert after - before == 1


def test_hard_link_is_compared_by_its_content() -> None:
    """A .deb has it as a link to the other file, a folder as a file."""
    plain = tree({"usr/share/a": b"same", "usr/share/b": b"same"})
    place = PurePosixPath("usr/share/b")
    linked = Tree({**plain.entries, place: replace(plain.entries[place], target="usr/share/a")})
    assert not difference(plain, linked)
    other = tree({"usr/share/a": b"same", "usr/share/b": b"else"})
    assert difference(linked, other).files == {"usr/share/b": "changed"}


def test_hard_link_to_a_hard_link_has_the_same_content() -> None:
    """An archive has links to earlier members, which may themselves be links."""
    plain = tree({"usr/a": b"same", "usr/b": b"same", "usr/c": b"same"})
    links = {PurePosixPath(f"usr/{name}"): f"usr/{target}" for name, target in (("b", "a"), ("c", "b"))}
    linked = Tree(plain.entries | {p: replace(plain.entries[p], target=t) for p, t in links.items()})
    assert not difference(plain, linked)


# ---------------------------------------------------------------------------------------------
# Several environments


def test_two_environments_of_one_package_are_told_apart() -> None:
    """The same distribution in both is updated in one of them."""

    def both(version: str) -> Tree:
        parts = [tree(wren(v, at=site(p)), prefix=p) for p, v in (("opt/a", "1.0"), ("opt/b", version))]
        return Tree(dict(sorted((parts[0].entries | parts[1].entries).items())))

    assert not difference(both("1.0"), both("1.0"))
    found = difference(both("1.0"), both("2.0"))
    assert found.distributions == {"wren in /opt/b": ("1.0", "2.0")}
    assert found.files == {}
    assert found.to_changelog() == "  * Update wren in /opt/b from 1.0 to 2.0."
    rebuilt = Tree(both("1.0").entries | tree(wren(module=b"X\n", at=site("opt/a")), prefix="opt/a").entries)
    assert difference(both("1.0"), rebuilt).rebuilt == {"wren in /opt/a": 1}
    loose = Tree(both("1.0").entries | Tree.from_files({"opt/a/x": b""}).entries)
    assert difference(both("1.0"), loose).files == {"opt/a/x": "added"}


def test_second_environment_is_added_beside_the_first() -> None:
    """What the first one has is the same as before, and so are its Python and its prefix."""
    parts = [tree(wren(at=site(prefix)), prefix=prefix) for prefix in ("opt/a", "opt/b")]
    both = Tree(dict(sorted((parts[0].entries | parts[1].entries).items())))
    found = difference(parts[0], both)
    assert (found.prefix, found.python) == (("", "/opt/b"), None)
    assert found.distributions == {"wren in /opt/b": ("", "1.0")}
    assert all(path.startswith("opt/b/") for path in found.files)
    assert found.to_changelog().splitlines()[:2] == [
        "  * Add the environment /opt/b.",
        "  * Add wren in /opt/b 1.0.",
    ]
    back = difference(both, parts[0])
    assert back.to_changelog().splitlines()[0] == "  * Remove the environment /opt/b."


def test_another_python_in_one_of_two_environments_is_all_that_is_told() -> None:
    """Of the other environment nothing is told."""

    def both(minor: str) -> Tree:
        one = tree(wren(at=site("opt/a")), prefix="opt/a")
        other = tree(wren(at=site("opt/b", minor)), prefix="opt/b", minor=minor)
        return Tree(dict(sorted((one.entries | other.entries).items())))

    found = difference(both("3.11"), both("3.13"))
    assert (told(found), found.python) == ({"python"}, ("3.11", "3.13"))


def test_first_environment_of_a_package_is_no_change_of_python() -> None:
    """There was none before it."""
    found = difference(Tree.from_files({"usr/x": b""}), tree({"usr/x": b""}))
    assert (found.prefix, found.python) == (("", f"/{PREFIX}"), None)
    assert found.to_changelog().splitlines()[0] == f"  * Add the environment /{PREFIX}."


def test_installed_environment_is_the_same_as_that_of_its_package() -> None:
    """Nothing else of the package is compared, nor a field that dpkg-query was not asked for."""
    control = CONTROL | {"Description": "x", "Breaks": "y"}
    package = tree(wren(), {"usr/share/x": b"more bytes", "DEBIAN/postinst": b""})
    alone = Tree({p: e for p, e in package.entries.items() if PurePosixPath(PREFIX) in p.parents})
    for one, other in ((package, alone), (alone, package)):
        fields = {id(package): control, id(alone): CONTROL}
        assert not difference(one, other, fields[id(one)], fields[id(other)])
        assert not difference(
            one, other, fields[id(one)] if one is package else {}, {} if one is package else control
        )
    changed = Tree(alone.entries | Tree.from_files({f"{PREFIX}/x": b""}).entries)
    changed = Tree({p: e for p, e in changed.entries.items() if PurePosixPath(PREFIX) in p.parents})
    assert difference(package, changed).files == {f"{PREFIX}/x": "added"}
    more = CONTROL | {"Recommends": "z"}
    assert difference(package, alone, more, CONTROL).relations == {"Recommends": {"z": ("z", "")}}


def test_one_of_two_environments_that_moved_is_a_pair_with_what_it_was() -> None:
    """Its distributions are the same ones, and the other environment's scripts are compared as ever."""

    def both(prefix: str, script: bytes) -> Tree:
        own = {"opt/b/bin/tool": script}
        parts = [tree(wren(at=site(p)), own if p == "opt/b" else {}, prefix=p) for p in (prefix, "opt/b")]
        return Tree(dict(sorted((parts[0].entries | parts[1].entries).items())))

    found = difference(both("opt/a", b"1"), both("opt/c", b"2"))
    assert told(found) == {"prefix", "files"}
    assert found.prefix == ("/opt/a", "/opt/c")
    assert found.files == {"opt/b/bin/tool": "changed"}


def test_two_environments_in_place_of_two_others_are_no_pairs() -> None:
    """Nothing tells which of them would be which."""

    def both(*prefixes: str) -> Tree:
        parts = [tree(wren(at=site(prefix)), prefix=prefix).entries for prefix in prefixes]
        return Tree(dict(sorted((parts[0] | parts[1]).items())))

    found = difference(both("opt/a", "opt/b"), both("opt/c", "opt/d"))
    assert found.prefix == ("/opt/a, /opt/b", "/opt/c, /opt/d")
    assert found.distributions == {
        "wren in /opt/a": ("1.0", ""),
        "wren in /opt/b": ("1.0", ""),
        "wren in /opt/c": ("", "1.0"),
        "wren in /opt/d": ("", "1.0"),
    }
    assert {path[:5]: how for path, how in found.files.items()} == {
        "opt/a": "removed",
        "opt/b": "removed",
        "opt/c": "added",
        "opt/d": "added",
    }


def test_another_python_in_both_of_two_environments_is_told_once() -> None:
    """As of one environment."""

    def both(minor: str) -> Tree:
        parts = [tree(prefix=prefix, minor=minor).entries for prefix in ("opt/a", "opt/b")]
        return Tree(dict(sorted((parts[0] | parts[1]).items())))

    assert difference(both("3.11"), both("3.13")).python == ("3.11", "3.13")


def test_files_are_told_in_the_order_of_their_paths() -> None:
    """Those in the environment among them."""
    names = ("etc/a", f"{PREFIX}/x", "srv/b")
    found = difference(tree(), tree(dict.fromkeys(reversed(names), b"")))
    assert tuple(found.files) == names


def test_folder_with_the_name_that_stands_for_a_prefix_is_no_environment() -> None:
    """There is no seventh environment."""
    found = difference(tree(), tree({"PREFIX7/x": b""}))
    assert found.files == {"PREFIX7/x": "added"}


def test_tree_without_an_environment_is_compared_by_its_files() -> None:
    """Nothing asks for a virtual environment."""
    one, two = Tree.from_files({"usr/x": b"1"}), Tree.from_files({"usr/x": b"2"})
    found = difference(one, two)
    assert (told(found), found.files) == ({"files"}, {"usr/x": "changed"})


# ---------------------------------------------------------------------------------------------
# The three forms

ODD = ("usr/share/a\nb", "usr/share/\udcff\udcfe", "usr/share/\x1b[31mred", "usr/share/\u202egnp.exe")


def odd_difference() -> Difference:
    """Files, distributions and fields whose names and values are no plain text."""
    old, new = CONTROL | {"Homepage": "a\nb"}, CONTROL | {"Homepage": "a\x1b[2J", "Depends": "c (>= 1)"}
    after = tree(wren("2\x1b", scripts="na\x07me = wren:main"), dict.fromkeys(ODD, b""))
    return difference(tree(wren()), after, old, new)


def test_odd_names_are_shown_as_escapes() -> None:
    """Every line can be printed on any terminal, and nothing in it is a command to one."""
    found = odd_difference()
    assert found.files == dict.fromkeys(ODD, "added")
    for text in (found.to_text(), found.to_changelog()):
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode()
        for name in (r"usr/share/a\nb", r"\udcff\udcfe", r"\x1b[31mred", r"\u202egnp.exe"):
            assert name in text


def test_json_can_be_parsed_and_has_everything() -> None:
    """With every field of the value, and names as they are."""
    found = odd_difference()
    text = found.to_json()
    text.encode("ascii")
    content = json.loads(text)
    assert set(content) == {"different", *(f.name for f in fields(Difference))}
    assert content["different"] is True
    assert set(content["files"]) == set(ODD)
    assert content["distributions"] == {"wren": ["1.0", "2\x1b"]}
    assert content["size"] == list(found.size or ())


def test_text_shows_twenty_of_each_kind_and_counts_the_rest() -> None:
    """The changelog and the JSON have them all."""
    after = tree({f"usr/share/{number:02}": b"" for number in range(25)})
    found = difference(tree(), after)
    lines = found.to_text().splitlines()
    assert lines[:2] == ["other files", "  added usr/share/00"]
    assert lines[-2:] == ["  added usr/share/19", "  … and 5 more"]
    assert len(found.to_changelog().splitlines()) == 25


def changelog_differences() -> dict[str, Difference]:
    """One of every kind, and one with long and odd words."""
    long = "usr/share/" + "x" * 120
    names = {f"wren{number}": wren(name=f"wren{number}", version="1.0.0.post1") for number in range(12)}
    rebuilt = [wren(name=name, version="1.0.0.post1", module=b"2\n") for name in names]
    return {
        "odd": odd_difference(),
        "long word": difference(tree(), tree({long: b"", "usr/share/closes: #1 -- x": b""})),
        "many": difference(tree(*names.values()), tree(*rebuilt)),
        "hyphens": difference(tree(), tree(wren(name="a-" * 30 + "a", version="2-" + "3" * 20))),
        "relations": difference(
            tree(), tree(), {}, {"Depends": " | ".join(f"a-b-c-d-e-f-{n}" for n in range(20))}
        ),
        "short words": difference(tree(), tree(), {}, {"Depends": " | ".join("abcdefgh" * 10)}),
        "python": difference(tree(), tree(minor="3.13")),
        "prefix": difference(tree(), tree(prefix="srv/my app")),
    }


@pytest.mark.parametrize("kind", list(changelog_differences()))
def test_changelog_lines_fit_under_an_entry(kind: str) -> None:
    """python-debian takes them in its strict mode, and gives them back as they are."""
    lines = changelog_differences()[kind].to_changelog()
    assert lines.startswith("  * ")
    (block,) = Changelog(ENTRY.format(lines=lines), strict=True)
    assert [line for line in block.changes() if line] == lines.splitlines()


@pytest.mark.parametrize("kind", list(changelog_differences()))
def test_changelog_lines_are_no_longer_than_80_columns(kind: str) -> None:
    """But for a word that is longer by itself, which stands on a line of its own; none is cut in two."""
    found = changelog_differences()[kind]
    for line in found.to_changelog().splitlines():
        assert len(line) <= 80 or len(line.split()) == 1, line
    for name in (*found.distributions, *found.files):
        if name.isprintable() and " " not in name:
            assert name in found.to_changelog()
    words = {word.rstrip(".") for word in found.to_changelog().split()}
    clauses = [new for pairs in found.relations.values() for _, new in pairs.values()]
    assert {word for clause in clauses for word in clause.split()} <= words


def test_changelog_is_what_dpkg_parses() -> None:
    """Without a warning, and with every line in Changes."""
    if not shutil.which("dpkg-parsechangelog"):
        pytest.skip("there is no dpkg-parsechangelog")
    lines = "\n".join(found.to_changelog() for found in changelog_differences().values())
    command = ["dpkg-parsechangelog", "-l-", "-SChanges"]
    done = subprocess.run(command, input=ENTRY.format(lines=lines).encode(), capture_output=True, check=True)
    assert done.stderr == b""
    shown = done.stdout.decode().splitlines()
    # dpkg-parsechangelog puts a dot where there is no line.
    assert [line for line in shown[2:] if line != "."] == lines.splitlines()

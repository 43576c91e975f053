"""Installed distributions, read from real and from odd .dist-info folders."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from venvpkg.distributions import Distribution, format_record, locate, read_distributions, read_record
from venvpkg.tree import Tree

SITE = "lib/python3.11/site-packages"
METADATA = b"Metadata-Version: 2.1\nName: My_App\nVersion: 1.0\nRequires-Dist: flask\n\nName: not this\n"


def read(files: dict[str, bytes]) -> tuple[Distribution, ...]:
    """Read what lies in site-packages."""
    return read_distributions(Tree.from_files({f"{SITE}/{name}": data for name, data in files.items()}))


def one(**files: bytes) -> Distribution:
    """Read one distribution, from files of its .dist-info folder."""
    named = {f"my_app-1.0.dist-info/{name.replace('__', '.')}": data for name, data in files.items()}
    (found,) = read({"my_app-1.0.dist-info/METADATA": METADATA, **named})
    return found


def test_a_whole_distribution_is_read() -> None:
    """Name, version, requirements, files, entry points and tags."""
    found = one(
        RECORD=b"my_app/__init__.py,sha256=x,1\n../../../bin/app,,\nmy_app-1.0.dist-info/RECORD,,\n",
        WHEEL=b"Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\nTag: py3-none-any\n",
        entry_points__txt=b"[console_scripts]\nApp = my_app:main\n[gui_scripts]\nw=a.b:c\n[x]\nx=y\n",
    )
    assert (found.name, found.version, found.requires) == ("my-app", "1.0", ("flask",))
    assert [str(p) for p in found.files] == [
        f"{SITE}/my_app/__init__.py",
        "bin/app",
        f"{SITE}/my_app-1.0.dist-info/RECORD",
    ]
    assert found.scripts == {"App": "my_app:main", "w": "a.b:c"}
    assert found.built_here


def test_metadata_alone_is_a_distribution() -> None:
    """Everything else may be missing."""
    found = one()
    assert (found.files, found.scripts, found.tags, found.built_here) == ((), {}, (), False)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\0", b"no headers here\n", b"Name\n"])
def test_broken_metadata_falls_back_to_the_folders_name(data: bytes) -> None:
    """Normalized as any name."""
    (found,) = read({"My_App-1.0.dist-info/METADATA": data})
    assert (found.name, found.version) == ("my-app", "")


@pytest.mark.parametrize(
    "data", [b"", b"[console_scripts", b"nonsense", b"[console_scripts]\na\n", b"\xff", b"[a]\n[a]\n"]
)
def test_broken_entry_points_are_none(data: bytes) -> None:
    """No reason to stop."""
    assert one(entry_points__txt=data).scripts == {}


def test_distributions_are_in_the_order_of_their_names() -> None:
    """Whatever the order of folders."""
    found = read({"B-1.dist-info/METADATA": b"Name: b\n", "a-1.dist-info/METADATA": b"Name: a\n"})
    assert [d.name for d in found] == ["a", "b"]


def test_a_vendored_distribution_is_none() -> None:
    """Setuptools carries some inside itself, with their .dist-info folders."""
    found = read(
        {
            "setuptools-1.dist-info/METADATA": b"Name: setuptools\n",
            "setuptools/_vendor/wheel-1.dist-info/METADATA": b"Name: wheel\n",
        }
    )
    assert [d.name for d in found] == ["setuptools"]


def test_other_folders_are_no_distributions() -> None:
    """An egg, or a folder without METADATA."""
    assert read({"x-1.egg-info/PKG-INFO": METADATA, "y-1.dist-info/RECORD": b""}) == ()


@pytest.mark.parametrize(
    ("tag", "here"),
    [
        ("cp311-cp311-linux_x86_64", True),
        ("cp311-cp311-manylinux_2_17_x86_64", False),
        ("cp311-abi3-musllinux_1_2_x86_64", False),
        ("py3-none-any", False),
    ],
)
def test_a_plain_platform_tag_was_built_here(tag: str, here: bool) -> None:
    """An index takes no such wheel."""
    assert one(WHEEL=f"Tag: {tag}\n".encode()).built_here is here


def test_modules_are_the_top_of_what_is_recorded() -> None:
    """Packages, single files and extensions; neither data nor scripts nor private folders."""
    names = (
        "pkg/__init__.py", "pkg/deep/x.py", "single.py", "_fast.cpython-311-x86_64-linux-gnu.so",
        "ns/part/y.py", "my_app.libs/libx.so", "data/x.txt", "my-app-1.0.dist-info/x.py",
        "__pycache__/single.pyc", "bad-name/x.py", "../../../bin/tool.py", "lone.abi3.so",
    )  # fmt: skip
    found = one(RECORD="".join(f"{name},,\n" for name in names).encode())
    assert found.modules() == ("pkg", "single", "_fast", "ns", "lone")


def test_requirements_are_those_of_the_target() -> None:
    """Markers are evaluated with its values, extras where they are asked for."""
    metadata = (
        b"Name: x\nRequires-Dist: always\nRequires-Dist: old; python_version < '3.9'\n"
        b"Requires-Dist: web; extra == 'web'\n"
        b"Requires-Dist: both; extra == 'web' and python_version >= '3.9'\n"
        b"Requires-Dist: not a requirement!\n"
    )
    (found,) = read({"x-1.dist-info/METADATA": metadata})
    assert found.requirements({"python_version": "3.8"}) == {"always", "old"}
    assert found.requirements({"python_version": "3.11"}, ("web",)) == {"always", "web", "both"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("x.py", f"{SITE}/x.py"),
        ("../../../bin/x", "bin/x"),
        ("./a/../b.py", f"{SITE}/b.py"),
        ("../../../../../x", "x"),
        ("/etc/x", "/etc/x"),
    ],
)
def test_a_row_is_located_from_the_site_folder(name: str, path: str) -> None:
    """Dots are resolved by name; nobody climbs out of the tree."""
    assert locate(PurePosixPath(f"{SITE}/x-1.dist-info"), name) == PurePosixPath(path)


@pytest.mark.parametrize("name", ["plain", "a,b", 'a"b', "a\nb", "a b", " a", "ü", "\udcff", "#", "'"])
def test_a_record_is_written_as_it_is_read(name: str) -> None:
    """Whatever the names."""
    rows = sorted([(name, "sha256=x", "1"), ("~", "", "")])
    assert read_record(format_record(rows).decode("utf-8", "surrogateescape")) == rows

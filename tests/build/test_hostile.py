"""Wheels, sdists and projects that mean harm or are broken: refused with a code, or packed right.

A build runs the code of what it builds from source, which can write wherever the user can; what is held
here is that archives alone, of whatever content, put nothing outside of the source package's debian/.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path

import pytest

import wheels
from builds import Case, fail
from venvpkg.tree import Tree

MakeCase = Callable[..., Case]
INFO = "evil-1.0.dist-info"
DATA = "evil-1.0.data"
GOOD = {"evil/__init__.py": b"NAME = 'evil'\n"}
# Installed without a word, and without harm.
FINE = "fine"
# rustup's stand-in for rustc, which pip asks for its version, makes a folder of its own in any new home.
UNRELATED = (".rustup", ".cache")


def write_wheel(
    folder: Path,
    members: Mapping[str, bytes],
    *,
    modes: Mapping[str, int] | None = None,
    record: bytes | None = None,
    twice: Mapping[str, bytes] | None = None,
) -> Path:
    """Write the wheel of evil with members of any name and mode, some of them twice."""
    pairs = [*GOOD.items(), *members.items(), *(twice or {}).items()]
    pairs += [
        (f"{INFO}/METADATA", b"Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"),
        (f"{INFO}/WHEEL", b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ]
    rows = [wheels.hash_row(f'"{name}"' if "\n" in name else name, data) for name, data in pairs]
    listed = "\n".join([*rows, f"{INFO}/RECORD,,", ""]).encode()
    path = folder / "evil-1.0-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, of names that are there twice.
        for name, data in [*pairs, (f"{INFO}/RECORD", listed if record is None else record)]:
            member = zipfile.ZipInfo()
            member.filename = name
            member.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(member, data)
    return path


def write_sdist(folder: Path, name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> Path:
    """Write an sdist of evil with one more member."""
    made = wheels.write_sdist(folder, "evil", backend="backend")
    with tarfile.open(made) as archive:
        members = [(member, archive.extractfile(member)) for member in archive]
        content = [(member, stream.read() if stream else b"") for member, stream in members]
    more = tarfile.TarInfo(name)
    more.type, more.linkname, more.size = type_, link, 0 if type_ != tarfile.REGTYPE else 1
    with tarfile.open(made, "w:gz") as archive:
        for member, data in [*content, (more, b"E"[: more.size])]:
            archive.addfile(member, BytesIO(data))
    return made


def snapshot(top: Path) -> set[str]:
    """Every path but those that a build makes under debian/."""
    found = set()
    for folder, folders, files in os.walk(top):
        here = Path(folder).relative_to(top)
        folders[:] = [f for f in folders if f not in UNRELATED and here / f != Path("src/debian")]
        found |= {str(here / name) for name in (*folders, *files)}
    return found


@pytest.fixture(autouse=True)
def sentinel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for temporary files beside source and home; nothing may be new in any of them at the end."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "house").mkdir()
    yield
    names = {Path(name).parts[0] for name in snapshot(tmp_path)}
    assert names <= {"tmp", "home", "house", "src"}
    assert not list((tmp_path / "tmp").iterdir())
    assert not snapshot(tmp_path / "home")
    # pytest removes what a test leaves by a function that calls itself for each folder in a folder.
    subprocess.run(["rm", "-rf", tmp_path / "home/.cache"], check=True)


@pytest.fixture
def prepare(make: MakeCase, tmp_path: Path) -> MakeCase:
    """`prepare(config, …)`: a project that requires what is in the folder `house`."""

    def made(config: str = "", **project: object) -> Case:
        lines = [config, "no-index = true", f'find-links = ["{tmp_path / "house"}"]']
        case = make("\n".join(lines), offline=False, **{"dependencies": ["evil"], **project})
        # uv's cache would have the wheel of another test under this name.
        case.environ["UV_CACHE_DIR"] = str(tmp_path / "home/.cache/uv")
        return case

    return made


def outcome(case: Case) -> str:
    """The code of the error that the build ends with, or FINE with a package that the checks find right."""
    before = snapshot(case.source.parent)
    try:
        case.finish()
    except Exception as error:
        code = getattr(error, "code", None)
        if code is None:
            raise
        assert not case.root.exists()
        return str(code)
    finally:
        assert snapshot(case.source.parent) == before
    # Extension modules that no interpreter could load are for another machine.
    assert {f.code for f in case.gate()} <= {"V010"}
    for entry in case.tree():
        assert entry.kind != "special"
        assert not entry.mode & 0o6002 or entry.kind == "symlink"
    return FINE


# Members, and what uv and pip lead to; a path that begins with TOP goes on in the test's own folder.
WHEELS: dict[str, tuple[dict[str, bytes], dict[str, set[str]]]] = {
    "parent": (
        {"../../../../../../../escaped.txt": b"E"},
        {"uv": {FINE, "archive-unsafe"}, "pip": {"archive-unsafe"}},
    ),
    "absolute": (
        {"TOP/escaped.txt": b"E"},
        {"uv": {FINE, "archive-unsafe"}, "pip": {"archive-unsafe"}},
    ),
    "all at once": (
        {
            f"{DATA}/scripts/../../escaped.txt": b"E",
            f"{DATA}/data/../../../../../escaped.txt": b"E",
            "evil/../../escaped.txt": b"E",
            "../../../pyvenv.cfg": b"home = /nowhere\n",
        },
        {"uv": {FINE, "archive-unsafe"}, "pip": {"archive-unsafe"}},
    ),
    "newline": (
        {"evil/a\nb.py": b"x = 1\n"},
        {"uv": {"archive-unsafe"}, "pip": {"name-unfit"}},
    ),
    "deep": (
        {f"evil/{'d/' * 600}file.txt": b"E"},
        {"uv": {"name-unfit"}, "pip": {"name-unfit"}},
    ),
    "file and folder": (
        {"evil/x": b"E", "evil/x/y": b"E"},
        {"uv": {"archive-broken", "install-failed"}, "pip": {"install-failed"}},
    ),
    "settings": (
        {f"{DATA}/data/pyvenv.cfg": b"home = /nowhere\n"},
        {"uv": {"environment-overwritten"}, "pip": {"environment-overwritten"}},
    ),
    "interpreter": (
        {f"{DATA}/data/bin/python3": b"#!/bin/sh\necho evil\n"},
        {"uv": {"archive-unsafe"}, "pip": {"environment-overwritten"}},
    ),
    "manifest": (
        {f"{DATA}/data/venvpkg.json/x": b"E"},
        {"uv": {"environment-overwritten"}, "pip": {"environment-overwritten"}},
    ),
    "entry point": (
        {f"{INFO}/entry_points.txt": b"[console_scripts]\n../../../../escaped = evil:x\n"},
        {"uv": {"archive-unsafe"}, "pip": {FINE, "archive-unsafe"}},
    ),
}


@pytest.mark.parametrize("name", WHEELS)
def test_wheel_writes_nothing_outside(name: str, installer: str, prepare: MakeCase, tmp_path: Path) -> None:
    """Its members lead out, or onto the environment's own files, or have names that no package can hold."""
    members, expected = WHEELS[name]
    named = {key.replace("TOP", str(tmp_path)): data for key, data in members.items()}
    write_wheel(tmp_path / "house", named)
    assert outcome(prepare(installer=installer)) in expected[installer]


def test_odd_members_are_packed_as_plain_files(installer: str, prepare: MakeCase, tmp_path: Path) -> None:
    """Links, pipes, devices, set-id bits, no permission at all, and one name twice."""
    modes = {
        "evil/link": 0o120777,
        "evil/fifo": 0o010644,
        "evil/device": 0o060666,
        "evil/set": 0o106777,
        "evil/none": 0o100000,
        f"{DATA}/scripts/tool": 0o104755,
    }
    members = dict.fromkeys(modes, b"#!/bin/sh\n") | {
        "evil/link": b"/etc/passwd",
        "evil/twice.py": b"x = 1\n",
        "..\\..\\evil.txt": b"E",
        "évil/ž.txt": b"E",
        f"{DATA}/data//{tmp_path}/escaped.txt": b"E",
        "evil/short.so": b"\x7fELF",
        "evil/wild.so": b"\x7fELF\x02\x01\x01" + b"\xff" * 300,
        "evil/null.so": b"\x7fELF\x02\x01\x01" + b"\0" * 300,
        # Sorted before the project, whose own is looked for.
        f"{INFO}/direct_url.json": b"[1, 2",
    }
    write_wheel(tmp_path / "house", members, modes=modes, twice={"evil/twice.py": b"x = 2\n"})
    case = prepare(installer=installer)
    assert outcome(case) == FINE
    assert all(not path.is_symlink() for path in (case.site / "evil").iterdir())


def test_record_that_lies_is_made_true(prepare: MakeCase, tmp_path: Path) -> None:
    """It names what is not there, what lies outside, a wrong hash and a wrong size."""
    rows = ["evil/__init__.py,sha256=AAAA,99", "gone.txt,sha256=BBBB,3", "/etc/passwd,sha256=CCCC,1"]
    rows += [f"{'../' * 12}etc/passwd,,", "evil/__init__.py,md5=DDDD,1", f"{INFO}/RECORD,,", ""]
    write_wheel(tmp_path / "house", {}, record="\n".join(rows).encode())
    case = prepare()
    assert outcome(case) == FINE
    record = (case.site / INFO / "RECORD").read_text()
    assert "passwd" not in record
    assert "AAAA" not in record


def test_record_with_an_endless_field_is_made_true(prepare: MakeCase, tmp_path: Path) -> None:
    """Python's csv reads 128 KiB of one; uv takes any."""
    write_wheel(tmp_path / "house", {}, record=b"evil/__init__.py,sha256=" + b"A" * 200_000 + b",1\n")
    case = prepare()
    assert outcome(case) == FINE
    assert (case.site / INFO / "RECORD").stat().st_size < 2000


@pytest.mark.parametrize("damage", ["cut", "crc", "record", "two"])
def test_damaged_wheel_is_refused(damage: str, installer: str, prepare: MakeCase, tmp_path: Path) -> None:
    """It ends early, has other bytes than its checksums say, or is two wheels."""
    more = {"evil-2.0.dist-info/METADATA": b"Name: evil\nVersion: 2.0\n"} if damage == "two" else {}
    record = b'"\xff\xfe,,,"\n"open' if damage == "record" else None
    wheel = write_wheel(tmp_path / "house", more, record=record)
    if damage == "crc":
        # Before the directory at the end, and inside what is compressed.
        data = bytearray(wheel.read_bytes())
        data[45] ^= 0xFF
        wheel.write_bytes(data)
    elif damage == "cut":
        wheel.write_bytes(wheel.read_bytes()[:-60])
    assert outcome(prepare(installer=installer)) in {"archive-broken", "install-failed"}


SDISTS: dict[str, tuple[str, bytes, str]] = {
    "parent": ("../../../../escaped.txt", tarfile.REGTYPE, ""),
    "absolute": ("TOP/escaped.txt", tarfile.REGTYPE, ""),
    "link": ("evil-1.0/evil/link", tarfile.SYMTYPE, "../../../../../../etc/nothing"),
    "hard link": ("evil-1.0/evil/link", tarfile.LNKTYPE, "TOP/none"),
    "device": ("evil-1.0/evil/device", tarfile.CHRTYPE, ""),
    "newline": ("evil-1.0/evil/a\nb.txt", tarfile.REGTYPE, ""),
}


@pytest.mark.parametrize("name", SDISTS)
def test_sdist_writes_nothing_outside(name: str, installer: str, prepare: MakeCase, tmp_path: Path) -> None:
    """The same as for wheels; pip unpacks some of it, as links that lead nowhere."""
    path, type_, link = (text.replace("TOP", str(tmp_path)) if isinstance(text, str) else text
                         for text in SDISTS[name])  # fmt: skip
    assert isinstance(path, str)
    assert isinstance(type_, bytes)
    write_sdist(tmp_path / "house", path, type_, str(link))
    code = outcome(prepare(installer=installer))
    assert code in {"archive-unsafe", "name-unfit", "install-failed", FINE}
    assert code == "archive-unsafe" or installer == "pip"
    assert code == "archive-unsafe" or name not in ("parent", "absolute")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\0" + b"\xff" * 40])
def test_damaged_sdist_is_refused(content: bytes, installer: str, prepare: MakeCase, tmp_path: Path) -> None:
    """It is empty, or does not decompress."""
    (tmp_path / "house/evil-1.0.tar.gz").write_bytes(content)
    assert outcome(prepare(installer=installer)) in {"archive-broken", "install-failed"}


def test_next_build_with_a_good_wheel_works(prepare: MakeCase, tmp_path: Path) -> None:
    """Whatever the refused ones left; the one that nests too deep is removed by no call of shutil's."""
    case = prepare()
    for members in ({f"evil/{'d/' * 1200}x": b"E"}, {f"{DATA}/data/pyvenv.cfg": b""}):
        write_wheel(tmp_path / "house", members)
        case.environ["UV_CACHE_DIR"] = str(tmp_path / f"home/.cache/{len(members)}{len(str(members))}")
        assert fail(case).code in {"name-unfit", "environment-overwritten", "install-failed"}
    write_wheel(tmp_path / "house", {})
    case.environ["UV_CACHE_DIR"] = str(tmp_path / "home/.cache/good")
    assert outcome(case) == FINE


def test_unfit_names_are_shown_as_text(prepare: MakeCase, tmp_path: Path) -> None:
    """A file of debian/install with bytes that are no UTF-8; the terminal gets ASCII, and nothing moves."""
    write_wheel(tmp_path / "house", {})
    case = prepare()
    odd = case.stage / os.fsdecode(b"etc/a\xff\x1b[31m.conf")
    odd.parent.mkdir(parents=True)
    odd.write_text("ours\n")
    answer = case.step("build", LC_ALL="C")
    assert answer.returncode == 3
    assert "error[name-unfit]" in answer.stderr
    assert r"etc/a\udcff\x1b[31m.conf" in answer.stderr
    assert odd.read_text() == "ours\n"
    assert not case.workshop.exists()


def test_unfit_name_that_came_between_the_steps_is_found(prepare: MakeCase, tmp_path: Path) -> None:
    """The step after looks at what is there, and not at what was built."""
    write_wheel(tmp_path / "house", {})
    case = prepare()
    case.build()
    (case.stage / "a\nb").touch()
    assert fail(case, "settle").code == "name-unfit"


def test_pruned_name_is_not_unfit(prepare: MakeCase, tmp_path: Path) -> None:
    """The hint of the error says so."""
    write_wheel(tmp_path / "house", {"evil/a\nb.txt": b"E"})
    assert outcome(prepare('prune = ["*/evil/a*"]', installer="pip")) == FINE


def test_project_may_hold_anything(installer: str, prepare: MakeCase, tmp_path: Path) -> None:
    """Links in circles, to folders above, to devices and to /etc, pipes, sockets, what may only be read."""
    case = prepare(installer=installer, dependencies=[])
    source = case.source
    links = {
        "loop": "loop",
        "up": "..",
        "top": "../..",
        "self": ".",
        "zero": "/dev/zero",
        "null": "../../../" * 9,
    }
    links |= {"passwd": "/etc/passwd", "none": "../none", "outer": "../outer"}
    for name, target in links.items():
        (source / name).symlink_to(target)
    outer = tmp_path / "house/outer"
    outer.mkdir()
    (outer / "inner").write_text("inner")
    (outer / "again").symlink_to("../outer")
    (outer / "other").symlink_to("../other")
    (tmp_path / "house/other").mkdir()
    (tmp_path / "house/other/back").symlink_to("../outer")
    (source / "outer").unlink()
    (source / "outer").symlink_to("../house/outer")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        # A socket's name is short.
        os.chdir(source)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    (source / "demo/fixed.txt").write_text("fixed")
    (source / "demo/fixed.txt").chmod(0o444)
    (source / "a\nb").write_text("not in the package")
    assert outcome(case) == FINE
    shutil.rmtree(outer)
    shutil.rmtree(tmp_path / "house/other")


def test_project_with_a_newline_in_a_name_is_refused(installer: str, prepare: MakeCase) -> None:
    """It would be in the package."""
    case = prepare(installer=installer, dependencies=[], files={"demo/a\nb.txt": "E"})
    assert outcome(case) in {"name-unfit", "archive-unsafe", "build-failed"}


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\n", b"wren\0pure\n", b"./wren\0\n", b"-r \xff\n", b"x" * 100_000]
)
def test_unreadable_requirements_are_refused(line: bytes, prepare: MakeCase) -> None:
    """Bytes that are not UTF-8, a zero byte, a name without an end."""
    case = prepare(dependencies=[])
    (case.source / "requirements.txt").write_bytes(line)
    assert outcome(case) in {
        "requirements-missing",
        "requirements-invalid",
        "requirement-not-found",
        "install-failed",
    }


def test_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """It takes no place on the disk, and would take all memory."""
    with (tmp_path / "house/bomb").open("wb") as stream:
        stream.truncate(5 * 1024**3)
    (entry,) = Tree.from_dir(tmp_path / "house").files()
    with pytest.raises(Exception, match="5368709120") as caught:
        entry.load()
    assert getattr(caught.value, "code", "") == "file-too-large"
    (tmp_path / "house/bomb").unlink()

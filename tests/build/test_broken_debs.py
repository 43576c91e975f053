"""`venvpkg verify`, `inspect` and `relocate` on what is broken or means harm: a code, no traceback."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from builds import PYTHON, clean_environment, run_cli
from venvpkg.cli import venvpkg

CONTROL = b"Package: app\nVersion: 1\nArchitecture: amd64\nDepends: python3.11\nDescription: x\n"
PREFIX = "opt/venvs/app"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
INFO = f"{SITE}/evil-1.0.dist-info"
GIGABYTE = 1024**3

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **values: object) -> Member:
    """One member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o644
    for key, value in values.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str) -> Member:
    """A symbolic link."""
    return member(name, kind=tarfile.SYMTYPE, linkname=target, mode=0o777)


def environment(**files: bytes) -> list[Member]:
    """The members of a small right environment; `files` replaces or adds some of .dist-info."""
    content = {
        "METADATA": b"Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
        "RECORD": b"evil-1.0.dist-info/METADATA,,\n",
        **files,
    }
    made = [member(f"./{PREFIX}/pyvenv.cfg", b"home = /usr/bin\n")]
    made += [link(f"./{PREFIX}/bin/python", str(PYTHON.resolve()))]
    return made + [member(f"./{INFO}/{name}", data) for name, data in content.items()]


def archive(members: list[Member], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form, errors="surrogateescape") as made:
        for info, data in members:
            made.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def pack(parts: Mapping[str, bytes], magic: bytes = b"!<arch>\n") -> bytes:
    """An ar archive (deb(5))."""
    made = magic
    for name, data in parts.items():
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        made += data + b"\n" * (len(data) % 2)
    return made


def deb(data: bytes, control: bytes | None = None) -> bytes:
    """A .deb of two tar archives."""
    info = archive([member("./control", CONTROL)]) if control is None else control
    return pack({"debian-binary": b"2.0\n", "control.tar": info, "data.tar": data})


def with_members(*more: Member) -> bytes:
    """A .deb of a right environment and of what is wrong with it."""
    return deb(archive([*environment(), *more]))


def with_control(text: bytes) -> bytes:
    """A .deb with another control file."""
    return deb(archive(environment()), archive([member("./control", text)]))


def patched(at: int, value: bytes) -> bytes:
    """A .deb in whose data one header is broken; its checksum is right again where that is not the point."""
    raw = bytearray(archive(environment()))
    raw[at : at + len(value)] = value
    if at < 148:
        raw[148:156] = b" " * 8
        raw[148:156] = f"{sum(raw[:512]):06o}\0 ".encode()
    return deb(bytes(raw))


def unsound() -> dict[str, bytes]:
    """What is no sound package, by what is wrong."""
    good = archive(environment())
    whole = deb(good)
    control = archive([member("./control", CONTROL)])
    many_long = archive([member("x", b"name\0", tarfile.GNUTYPE_LONGNAME)] * 3000)
    pax = archive([member("x", b"30 GNU.sparse.map=a,b,c,d,e,f\n", tarfile.XHDTYPE), *environment()])
    made = {
        "nothing": b"",
        "text": b"hello\n" * 99,
        "zeros": bytes(4096),
        "magic": pack({"debian-binary": b"2.0\n", "control.tar": control, "data.tar": good}, b"!<arcx>\n"),
        "ar size": whole.replace(f"{len(good):<10}`".encode(), f"{-5:<10}`".encode()),
        "ar size, huge": whole.replace(f"{len(good):<10}`".encode(), b"9999999999`"),
        "ar size, text": whole.replace(f"{len(good):<10}`".encode(), b"abcdefghij`"),
        "no format": pack({"control.tar": control, "data.tar": good}),
        "another format": pack({"debian-binary": b"9.0\n", "control.tar": control, "data.tar": good}),
        "no control": pack({"debian-binary": b"2.0\n", "data.tar": good}),
        "no data": pack({"debian-binary": b"2.0\n", "control.tar": control}),
        "unknown compressor": pack({"debian-binary": b"2.0\n", "control.tar": control, "data.tar.foo": good}),
        "wrong compressor": pack({"debian-binary": b"2.0\n", "control.tar": control, "data.tar.xz": good}),
        "data is text": deb(b"no archive " * 99),
        "control is text": deb(good, b"no archive " * 99),
        "control file not there": deb(good, archive([member("./md5sums", b"")])),
        "control is a folder": deb(good, archive([member("./control", kind=tarfile.DIRTYPE)])),
        "control is a link": deb(good, archive([link("./control", "/etc/passwd")])),
        "control empty": with_control(b""),
        "control garbage": with_control(os.urandom(500)),
        "control too large": with_control(CONTROL + b"X: " + b"y" * (9 * 1024**2)),
        "control of a lie": with_members(member("./DEBIAN/control", b"Package: other\n")),
        "parent": with_members(member("../../escaped", b"E")),
        "parent inside": with_members(member(f"./{PREFIX}/../../../../escaped", b"E")),
        "hard link to nothing": with_members(member("./x", kind=tarfile.LNKTYPE, linkname="./nothing")),
        "hard link out": with_members(member("./x", kind=tarfile.LNKTYPE, linkname="../../etc/passwd")),
        "hard link to a link": with_members(
            member("./x", kind=tarfile.LNKTYPE, linkname=f"./{PREFIX}/bin/python")
        ),
        "name too long": with_members(member("n/" * 3000, b"E")),
        "target too long": with_members(link("./x", "n/" * 3000)),
        "checksum": patched(512 * 2 + 148, b"7777777\0"),
        "size is text": patched(124, b"zzzzzzzzzzz\0"),
        "size is negative": patched(124, b"\xff" * 12),
        "longer than the archive": patched(124, b"00000177777\0"),
        "garbage between members": deb(good[:1024] + os.urandom(512) + good[1024:]),
        "headers before headers": deb(many_long),
        "header of a gigabyte": deb(archive([])[:0] + _huge(tarfile.GNUTYPE_LONGNAME)),
        "pax of a gigabyte": deb(_huge(tarfile.XHDTYPE)),
        "pax numbers": deb(pax),
        "zero byte in a name": deb(archive([member("a", pax_headers={"path": "a\0b"})], tarfile.PAX_FORMAT)),
    }
    made |= {f"cut at {at}": whole[:at] for at in range(1, len(whole) - 1024, len(whole) // 12)}
    return made


def _huge(kind: bytes) -> bytes:
    return member("x", kind=kind, size=GIGABYTE)[0].tobuf(tarfile.GNU_FORMAT) + bytes(4096)


def run(command: str, path: Path, *words: str) -> Result:
    """Run a command in this process; a traceback would be an exception of its result."""
    return CliRunner().invoke(venvpkg, [command, *words, str(path)])


def assert_known(result: Result, *codes: str) -> None:
    """The command ended with an error that has one of the codes."""
    assert isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code == 3, result.output
    assert any(f"error[{code}]" in result.output for code in codes), result.output


@pytest.fixture(scope="module")
def broken() -> dict[str, bytes]:
    """All of them, made once."""
    return unsound()


def test_unsound_package_is_refused(broken: Mapping[str, bytes], tmp_path: Path) -> None:
    """Whatever is broken: the ar archive, the tar archives, their compression, or the control file."""
    package = tmp_path / "x.deb"
    went_through = {}
    for name, data in broken.items():
        package.write_bytes(data)
        result = run("verify", package)
        if result.exit_code != 3 or "error[deb-invalid]" not in result.output:
            went_through[name] = (result.exit_code, result.output, result.exception)
    assert not went_through
    assert [p.name for p in tmp_path.iterdir()] == ["x.deb"]


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd"])
def test_every_cut_of_a_compressed_package_is_refused(compression: str, tmp_path: Path) -> None:
    """None of them is taken for a smaller package."""
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_bytes(CONTROL.replace(b"Desc", b"Maintainer: A <a@b.c>\nDesc"))
    (root / "data").write_bytes(os.urandom(3000))
    package = tmp_path / "x.deb"
    command = ["dpkg-deb", f"-Z{compression}", "--root-owner-group", "--build", root, package]
    subprocess.run(command, check=True, capture_output=True)
    whole = package.read_bytes()
    for at in range(0, len(whole), len(whole) // 8):
        package.write_bytes(whole[:at])
        assert_known(run("inspect", package), "deb-invalid")


# Every name that a file system can have; the terminal's own characters among them.
ODD = ["a\nb", "a\x1b[31mb", os.fsdecode(b"a\xff\xfeb"), "é", " ", "-rf", "a\tb", "\\", "n" * 255, "\u202eb"]


def odd_package() -> bytes:
    """A package with every oddity that is no reason to refuse it."""
    names = [member(f"./{SITE}/{name}", b"odd") for name in ODD]
    links = [link(f"./{PREFIX}/{number}", f"{name}/x") for number, name in enumerate(ODD)]
    special = [
        member(f"./{PREFIX}/dev/null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member(f"./{PREFIX}/dev/disk", kind=tarfile.BLKTYPE),
        member(f"./{PREFIX}/dev/fifo", kind=tarfile.FIFOTYPE),
        member(f"./{PREFIX}/bin/set", b"#!/bin/sh\n", mode=0o6777),
        member(f"/{PREFIX}/absolute", b"x"),
        member(".//opt/./venvs//app/slashes", b"x"),
        member("/", kind=tarfile.DIRTYPE),
        member("./", b"a file that is the top"),
        member(f"./{PREFIX}/twice", b"one"),
        member(f"./{PREFIX}/twice", b"another"),
        link(f"./{PREFIX}/twice", "to itself"),
        link(f"./{PREFIX}/loop", "loop"),
        link(f"./{PREFIX}/up", "../../../../../../etc/passwd"),
        member(f"./{PREFIX}/unknown", kind=b"Z"),
        member(f"./{PREFIX}/bin/short", b"#!", mode=0o755),
        member(f"./{PREFIX}/bin/wild", b"#!\xff\xfe/x y\n", mode=0o755),
        member(f"./{PREFIX}/bin/null", b"#!/bin/a\0b\n", mode=0o755),
        member(f"./{SITE}/short.so", b"\x7fELF"),
        member(f"./{SITE}/wild.so", b"\x7fELF\x02\x01\x01" + b"\xff" * 300),
        member(f"./{SITE}/null.so", b"\x7fELF\x02\x01\x01" + bytes(300)),
        member(f"./{SITE}/wild.pyc", b"\xa7\x0d\r\n" + b"\xff" * 300),
        member(f"./{SITE}/wild.py", b"\xff\0\n"),
        member(f"./{SITE}/wild.pth", b"import \xff\0\n"),
    ]
    odd = environment(
        METADATA=b"Name: \xff\xfe\nVersion: \x1b[31m\nRequires-Dist: \xff;;\nLicense: a\xff\n\n\xff",
        RECORD=b'"a\nb",sha256=x,y\n\xff\xfe,md5=,\n'
        + b"../" * 50
        + b"etc/passwd,,\n/etc/passwd,sha256=x,1\n"
        + b"x" * 200_000,
        WHEEL=b"\xff\0",
        **{
            "entry_points.txt": b"[console_scripts]\n\xff = \xfe\nx = y\n[",
            "direct_url.json": b"[" * 100_000,
        },
    )
    manifest = member(f"./{PREFIX}/venvpkg.json", b'{"accepted": ' + b"[" * 100_000)
    settings = member(f"./{PREFIX}/pyvenv.cfg", b"\xff\xfe\0 = \ncommand = \xff -m venv \n=\n")
    control = CONTROL + "Maintainer: é".encode("latin-1") + b"\n"
    return deb(
        archive([*odd, settings, manifest, *names, *links, *special]), archive([member("control", control)])
    )


def test_odd_package_is_checked(tmp_path: Path) -> None:
    """What no environment needs is found in it, and the last one of two members of one name counts."""
    package = tmp_path / "x.deb"
    package.write_bytes(odd_package())
    result = run("verify", package, "--json")
    assert result.exit_code == 1, result.exc_info
    found = [(f["code"], f["path"]) for f in json.loads(result.output)["findings"]]
    assert {("V016", f"{PREFIX}/dev/null"), ("V016", f"{PREFIX}/bin/set")} <= set(found)
    assert {("V004", f"{PREFIX}/twice"), ("V004", f"{PREFIX}/loop")} <= set(found)
    assert any(code == "V006" for code, _ in found)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("words", [["verify"], ["verify", "--json"], ["inspect"], ["inspect", "--json"]])
def test_odd_names_can_be_shown(words: list[str], locale: str, tmp_path: Path) -> None:
    """As text and as JSON, whatever the terminal's encoding."""
    package = tmp_path / "x.deb"
    package.write_bytes(odd_package())
    answer = subprocess.run(
        [sys.executable, "-m", "venvpkg", *words, package],
        env={**clean_environment(LC_ALL=locale), "PYTHONPATH": os.environ.get("PYTHONPATH", "src")},
        capture_output=True,
    )
    assert answer.returncode in (0, 1), answer.stderr.decode(errors="replace")
    assert b"crash" not in answer.stderr
    if "--json" in words:
        json.loads(answer.stdout)


def compressed(data: bytes) -> bytes:
    """A .deb whose files are compressed."""
    packed = subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout
    control = archive([member("./control", CONTROL)])
    return pack({"debian-binary": b"2.0\n", "control.tar": control, "data.tar.zst": packed})


def test_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    """One file of six gigabytes, and many files that are each small enough to be kept in memory."""
    header = member(f"./{PREFIX}/bomb", size=6 * GIGABYTE)[0].tobuf(tarfile.GNU_FORMAT)
    small = [member(f"./{SITE}/{number}.dist-info/METADATA", bytes(8 * 1024**2)) for number in range(34)]
    bombs = {
        "file-too-large": header + bytes(GIGABYTE // 16),
        "deb-invalid": archive(small),
    }
    limit = 2 * GIGABYTE
    for code, data in bombs.items():
        package = tmp_path / "x.deb"
        package.write_bytes(compressed(data))
        assert package.stat().st_size < 100_000
        answer = subprocess.run(
            ["prlimit", f"--as={limit}", sys.executable, "-m", "venvpkg", "verify", package],
            env={**clean_environment(), "PYTHONPATH": os.environ.get("PYTHONPATH", "src")},
            capture_output=True,
            text=True,
        )
        assert (answer.returncode, f"error[{code}]" in answer.stderr) == (3, True), answer.stderr


def test_file_that_begins_like_an_option_is_a_file(tmp_path: Path) -> None:
    """dpkg-deb is given its whole path."""
    (tmp_path / "--help").write_bytes(deb(archive(environment())))
    answer = run_cli(["inspect", "--", "--help"], tmp_path, clean_environment())
    assert answer.returncode == 0, answer.stderr
    assert "evil 1.0" in answer.stdout


def fill(folder: Path) -> Path:
    """An environment with everything in it that a folder can hold."""
    subprocess.run([PYTHON.resolve(), "-m", "venv", "--without-pip", folder], check=True)
    site = next((folder / "lib").glob("python3.*/site-packages"))
    for name in ODD:
        (site / name).write_text("odd")
        (site / f"{name[:250]}-to").symlink_to(name)
    (folder / "loop").symlink_to("loop")
    (folder / "self").symlink_to(".")
    (folder / "up").symlink_to("../../..")
    (site / "wild.so").write_bytes(b"\x7fELF" + b"\xff" * 300)
    (site / "short.so").write_bytes(b"\x7fELF")
    (site / "swapped.so").write_bytes(b"\x7fELF\x02\x02\x01" + struct.pack(">H", 3) * 100)
    info = site / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes(b"Name: evil\nVersion: 1\xff\n")
    (info / "RECORD").write_bytes(b'\xff,sha256=x,1\n"open\n')
    (info / "direct_url.json").write_bytes(b"{\xff")
    return folder


@pytest.mark.parametrize("words", [["verify"], ["inspect", "--json"]])
def test_odd_folder_is_checked(words: list[str], tmp_path: Path) -> None:
    """Links in circles, pipes, sockets, and names of every kind."""
    made = fill(tmp_path / "env")
    os.mkfifo(made / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made / "s"))
    answer = run_cli([*words, str(made)], tmp_path, clean_environment(LC_ALL="C"))
    assert answer.returncode in (0, 1), answer.stderr
    assert ("V016" in answer.stdout) == (words == ["verify"])


def _garbage(made: Path) -> None:
    (made / "pyvenv.cfg").write_bytes(b"\xff\0=\n\n= =\ncommand = -m venv \n")


def _pipe(made: Path) -> None:
    os.mkfifo(made / "fifo")


def _nothing(made: Path) -> None:
    (made / "pyvenv.cfg").unlink()
    (made / "pyvenv.cfg").mkdir()


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (_garbage, ()),
        (_pipe, ("environment-unfit",)),
        (_nothing, ("no-environment",)),
    ],
)
def test_odd_folder_is_relocated_or_refused(
    damage: Callable[[Path], None], codes: tuple[str, ...], tmp_path: Path
) -> None:
    """A right environment at the new place, or a code and nothing there."""
    made = fill(tmp_path / "env")
    damage(made)
    result = CliRunner().invoke(venvpkg, ["relocate", str(made), str(tmp_path / "new")])
    if codes:
        assert_known(result, *codes)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["env"]
    else:
        assert result.exit_code in (0, 3), result.exc_info
        assert {p.name for p in tmp_path.iterdir()} <= {"env", "new"}

"""What is inside a .deb, as dpkg-deb tells it."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One path of a .deb."""

    kind: str
    """file, dir, link, or other."""
    mode: int
    owner: tuple[str, str]
    content: str
    """SHA-256 of a file's bytes, or a link's target."""


def contents(deb: Path) -> dict[str, Member]:
    """Every path that the package installs, without the leading `./` and trailing slash."""
    return {path: member for path, (member, _) in _members(deb, "--fsys-tarfile").items()}


def read(deb: Path, path: str) -> bytes:
    """The bytes of one installed file."""
    return _members(deb, "--fsys-tarfile")[path][1]


def maintainer_files(deb: Path) -> dict[str, bytes]:
    """The control archive: control, md5sums, triggers, maintainer scripts, conffiles."""
    return {path: data for path, (_, data) in _members(deb, "--ctrl-tarfile").items() if path != "."}


def control_field(deb: Path, name: str) -> str:
    """One field of the control file, or an empty string."""
    return str(Deb822(maintainer_files(deb)["control"].decode()).get(name, ""))


def clauses(deb: Path, field: str = "Depends") -> list[str]:
    """The comma-separated parts of a relationship field."""
    return [part.strip() for part in control_field(deb, field).split(",") if part.strip()]


def _members(deb: Path, archive: str) -> dict[str, tuple[Member, bytes]]:
    raw = subprocess.run(["dpkg-deb", archive, str(deb)], capture_output=True, check=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for info in tar:
            data = b""
            kind, content = "other", ""
            if info.isdir():
                kind = "dir"
            elif info.issym():
                kind, content = "link", info.linkname
            elif info.isfile():
                stream = tar.extractfile(info)
                assert stream
                data = stream.read()
                kind, content = "file", hashlib.sha256(data).hexdigest()
            member = Member(kind=kind, mode=info.mode, owner=(info.uname, info.gname), content=content)
            found[info.name.removeprefix("./").rstrip("/") or "."] = (member, data)
    return found


def differences(one: Mapping[str, Path], other: Mapping[str, Path]) -> list[str]:
    """What two sets of packages, by name, do not agree on; nothing where they are the same byte for byte."""
    found = [f"only in one: {name}" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        if one[name].read_bytes() == other[name].read_bytes():
            continue
        detail: list[str] = []
        for part in (_describe_installed, _describe_control):
            a, b = part(one[name]), part(other[name])
            detail += [
                f"{name}: {path}: {a.get(path)} != {b.get(path)}"
                for path in sorted(a.keys() | b.keys())
                if a.get(path) != b.get(path)
            ]
        found += detail or [f"{name}: the same files in other bytes"]
    return found


def _describe_installed(deb: Path) -> dict[str, object]:
    return dict(contents(deb))


def _describe_control(deb: Path) -> dict[str, object]:
    return {f"DEBIAN/{path}": data.decode() for path, data in maintainer_files(deb).items()}

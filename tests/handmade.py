"""Packages with an environment that no tool of this project made."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from venvpkg.relocate import record_hash

CONTROL = (
    "Package: app\nVersion: 1\nArchitecture: {arch}\nMaintainer: A <a@example.org>\n{more}Description: x\n"
)
PYTHON = Path("/usr/bin/python3")
# No key, but what one looks like.
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{'MIIEpAIBAAKCAQEA7bq98kd0' * 8}\n-----END RSA PRIVATE KEY-----\n"


def make_root(folder: Path, more: str = "") -> Path:
    """A package build root with an environment that names only its final prefix."""
    prefix = folder / "opt/venvs/app"
    real = PYTHON.resolve()
    subprocess.run([real, "-m", "venv", "--without-pip", prefix], check=True)
    for path in prefix.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes().replace(str(prefix).encode(), b"/opt/venvs/app"))
    (prefix / ".gitignore").unlink(missing_ok=True)
    for link in (prefix / "bin").glob("python*"):
        link.unlink()
    (prefix / "bin/python").symlink_to(real)
    (folder / "DEBIAN").mkdir()
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    depends = more or f"Depends: {real.name}\n"
    (folder / "DEBIAN/control").write_text(CONTROL.format(arch=arch.stdout.strip(), more=depends))
    return folder


def site_of(root: Path) -> Path:
    """The environment's site-packages."""
    return next((root / "opt/venvs/app/lib").glob("python3.*/site-packages"))


def add_distribution(
    root: Path,
    name: str,
    files: Mapping[str, bytes] | None = None,
    metadata: str = "",
    *,
    local: bool = False,
) -> None:
    """Install a distribution of these files; a local one says that it was installed from a folder."""
    info = f"{name}-1.dist-info"
    members = {
        f"{name}/__init__.py": b"NAME = 1\n",
        f"{info}/METADATA": f"Name: {name}\nVersion: 1\n{metadata}".encode(),
        **(files or {}),
    }
    if local:
        members[f"{info}/direct_url.json"] = b'{"dir_info": {}, "url": "https://example.org/source"}'
    rows = [f"{path},{record_hash(data)},{len(data)}\n" for path, data in members.items()]
    members[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    for path, data in members.items():
        place = site_of(root) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def make_deb(root: Path, compression: str = "zstd") -> Path:
    """The .deb of a package build root."""
    deb = root.with_suffix(".deb")
    command = ["dpkg-deb", f"-Z{compression}", "--root-owner-group", "--build", root, deb]
    subprocess.run(command, check=True, capture_output=True)
    return deb

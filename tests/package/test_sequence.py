"""The add-on among debhelper's commands: nothing touches the environment, and everything else is as usual."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import pytest

from debs import Member, clauses, contents, differences, maintainer_files, read
from projects import Project
from roots import difference
from workbench import BIG, Bench, mixed, odd_wheel

pytestmark = pytest.mark.root

Benches = Callable[[str], Bench]

MANGLERS = (
    "dh_strip", "dh_dwz", "dh_makeshlibs", "dh_shlibdeps", "dh_strip_nondeterminism", "dh_compress",
)  # fmt: skip
BARE_OVERRIDES = "".join(f"override_{command}:\n\t{command}\n\n" for command in MANGLERS)
SITE = "opt/venvs/demo/lib/python3.11/site-packages"


def hashed(data: bytes) -> str:
    """A hash as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def check_records(deb: Path, site: str = SITE) -> int:
    """Compare every RECORD of a package with the files, and return how many rows there were."""
    files = contents(deb)
    count = 0
    for record in [p for p in files if p.startswith(site) and p.endswith(".dist-info/RECORD")]:
        for name, digest, size in csv.reader(io.StringIO(read(deb, record).decode())):
            path = str(PurePosixPath(*Path(site, name).parts))
            path = re.sub(r"[^/]+/\.\./", "", path) if "/../" not in path else normal(path)
            assert path in files, f"{record} lists {name}"
            if digest:
                data = read(deb, path)
                assert (digest, size) == (hashed(data), str(len(data))), name
            count += 1
    return count


def normal(path: str) -> str:
    """The path without `..`."""
    parts: list[str] = []
    for part in path.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def environment(deb: Path, prefix: str = "opt/venvs/demo") -> dict[str, Member]:
    """The part of a package that is the environment."""
    return {path: m for path, m in contents(deb).items() if path.startswith(f"{prefix}/")}


def sections(deb: Path, path: str, tmp_path: Path) -> list[str]:
    """The names of an ELF file's sections."""
    file = tmp_path / "elf"
    file.write_bytes(read(deb, path))
    shown = subprocess.run(["readelf", "-SW", str(file)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\] (\.\S+)", shown)


# --- The same bytes, whatever is around


@pytest.fixture(scope="module")
def plain(bench: Benches) -> Mapping[int, dict[str, Path]]:
    """The packages of the mixed project by compat level, built by root with nothing overridden."""

    class Built(dict[int, dict[str, Path]]):
        def __missing__(self, compat: int) -> dict[str, bytes]:
            made = bench("bookworm")
            folder = made.write(mixed(compat=compat))
            made.run(folder, "debian/rules binary")
            self[compat] = made.debs(folder)
            assert set(self[compat]) == {"demo", "demo-dbgsym"}
            return self[compat]

    return Built()


@pytest.mark.parametrize("compat", [12, 13, 14])
def test_bare_overrides_change_nothing(
    compat: int, bench: Benches, plain: Mapping[int, dict[str, Path]]
) -> None:
    """`override_dh_strip:` and the like lose what an add-on says to the command, and that may not matter."""
    work = bench("bookworm")
    folder = work.write(mixed(compat=compat, rules=BARE_OVERRIDES))
    # Compat 14 is not released: debhelper does not provide it yet, so Build-Depends cannot be met.
    work.run(folder, "dpkg-buildpackage -us -uc -b -d" if compat == 14 else "dpkg-buildpackage -us -uc -b")
    assert differences(work.debs(folder), plain[compat]) == []

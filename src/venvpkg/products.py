"""What a build left behind: packages, and the proof that they work."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822, PkgRelation

from venvpkg.control import format_relations
from venvpkg.pipeline import VERIFIED, World
from venvpkg.plan import STATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One binary package that was built."""

    package: str
    version: str
    architecture: str
    file: Path
    size: int
    """Of the .deb, in bytes."""
    installed_size: int
    """In bytes, as debhelper estimated it (Policy §5.6.20)."""
    depends: str
    sha256: str
    """Of the .deb, hexadecimal."""
    commands: tuple[str, ...]
    """What it brings into /usr/bin, else the project's own programs, as paths."""

    def to_lines(self) -> list[str]:
        """Return it for people."""
        lines = [
            f"{self.file}",
            f"  {_size(self.size)}, installed {_size(self.installed_size)}",
            f"  Depends: {self.depends or 'nothing'}",
        ]
        return lines + ([f"  runs: {', '.join(self.commands)}"] if self.commands else [])


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def write_proofs(copy: Path, results: Sequence[Path]) -> list[Path]:
    """Write what dh_venvpkg_verify found out of each package that has an environment."""
    written = []
    for path in results:
        told = copy / STATE / path.name.partition("_")[0] / VERIFIED
        if path.suffix == ".deb" and told.is_file():
            proof = {"file": path.name, "sha256": digest_of(path), **json.loads(told.read_text("utf-8"))}
            beside = path.with_suffix(".verified.json")
            beside.write_text(json.dumps(proof, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            written.append(beside)
    return written


def digest_of(path: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe(deb: Path, world: World) -> Product:
    """Return what a .deb says of itself (dpkg-deb(1))."""
    fields = Deb822(world.run(["dpkg-deb", "--field", deb], env=world.environ).stdout)
    names = world.run(["dpkg-deb", "--contents", deb], env=world.environ).stdout.splitlines()
    paths = [line.split(maxsplit=5)[5].removeprefix(".") for line in names if line.count(" ") >= 5]
    commands = [p for p in paths if re.fullmatch(r"/usr/s?bin/[^/]+", p)]
    told = deb.with_suffix(".verified.json")
    if not commands and told.is_file():
        commands = json.loads(told.read_text("utf-8"))["programs"]
    return Product(
        package=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        file=deb,
        size=deb.stat().st_size,
        installed_size=int(fields.get("Installed-Size", "0")) * 1024,
        depends=format_relations(PkgRelation.str(PkgRelation.parse_relations(fields["Depends"])).split(","))
        if fields.get("Depends")
        else "",
        sha256=digest_of(deb),
        commands=tuple(commands),
    )

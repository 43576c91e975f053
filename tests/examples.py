"""The projects of examples/, built in a root as a packager builds them, from PyPI."""

from __future__ import annotations

from pathlib import Path

from debian.deb822 import Deb822

from roots import Root

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def build_example(root: Root, name: str, folder: Path, **env: str) -> Path:
    """Build one with its Build-Depends, and return the .deb, which lies in the folder."""
    control = Deb822((EXAMPLES / name / "debian/control").read_text())
    root.apt("satisfy", control["Build-Depends"])
    deb = root.build(EXAMPLES / name, at=f"/build/{folder.name}", env=env).deb(name)
    return root.copy_out(str(Path("/", deb.relative_to(root.path))), folder / deb.name)

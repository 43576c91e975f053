"""Copies the project out of its source tree, and finds what was installed from the copy."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from packaging.version import InvalidVersion, Version

from venvpkg.control import read_upstream_version
from venvpkg.distributions import read_distributions
from venvpkg.errors import VenvpkgError
from venvpkg.plan import Plan
from venvpkg.tree import Tree

VERSION_VARIABLES = (
    "SETUPTOOLS_SCM_PRETEND_VERSION",
    "PDM_BUILD_SCM_VERSION",
    "PBR_VERSION",
    "UV_DYNAMIC_VERSIONING_BYPASS",
    "POETRY_DYNAMIC_VERSIONING_BYPASS",
)


def export_project(plan: Plan, target: Path) -> None:
    """Copy the project out of its source tree, without what debhelper made there.

    A back end writes build/ and egg-info beside its sources, and one that looks for packages would
    find the environment that is being made under debian/.

    Raises:
        VenvpkgError: ``project-not-found``.
    """
    source = plan.spec.source / (plan.spec.project or ".")
    if not any((source / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        raise VenvpkgError(
            code="project-not-found",
            message=f"There is no Python project in {source}.",
            causes=["It has neither pyproject.toml nor setup.py."],
            hint="Name its folder with the key project, or set project = false to install requirements only.",
        )
    debian = plan.spec.source / "debian"
    made = {
        debian / ".debhelper",
        debian / "tmp",
        debian / "files",
        *(p.parent for p in debian.glob("*/DEBIAN")),
    }
    made |= {debian / plan.package_root.name, *(debian / p.stem for p in debian.glob("*.substvars"))}

    def skip(folder: str, names: list[str]) -> list[str]:
        here = Path(folder)
        return [
            n
            for n in names
            if here / n in made
            or n in ("__pycache__", ".git")
            or n.endswith((".debhelper.log", ".debhelper", ".substvars"))
        ]

    shutil.copytree(source, target, symlinks=True, ignore=skip)
    _follow_links_out(source, target)
    repository = source / ".git"
    if repository.is_dir():
        # Version control tells the version; a pointer is enough for it, and nothing is copied.
        (target / ".git").write_text(f"gitdir: {repository}\n", encoding="utf-8")
    elif repository.is_file():
        shutil.copy(repository, target / ".git")


def _follow_links_out(source: Path, target: Path) -> None:
    """Replace links that lead out of the project by what they lead to; a copy of the link would dangle."""
    top = source.resolve()
    for link in [p for p in target.rglob("*") if p.is_symlink()]:
        real = (source / link.relative_to(target)).resolve()
        if real.exists() and not real.is_relative_to(top):
            link.unlink()
            (shutil.copytree if real.is_dir() else shutil.copy)(real, link)


def version_fallback(plan: Plan, environ: Mapping[str, str], exported: Path) -> dict[str, str]:
    """Return variables that give a version to back ends that ask version control, where there is none.

    An exported tree has no repository: the version is then debian/changelog's, without epoch and
    Debian revision.
    """
    safe = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    has_own = (exported / "PKG-INFO").exists() or any(k in environ for k in VERSION_VARIABLES)
    if (exported / ".git").exists() or has_own:
        return safe
    changelog = plan.spec.source / "debian" / "changelog"
    if not changelog.exists():
        return {}
    written = read_upstream_version(changelog).replace("~", "")
    try:
        version = str(Version(written))
    except InvalidVersion:
        return {}
    return dict.fromkeys(VERSION_VARIABLES, version)


def find_project(tree: Tree, exported: Path) -> str:
    """Return the name of the distribution that was installed from the exported folder."""
    for distribution in read_distributions(tree):
        entry = tree.get(distribution.folder / "direct_url.json")
        url = unquote(json.loads(entry.load()).get("url", "")) if entry else ""
        if url.rstrip("/").endswith(str(exported)):
            return distribution.name
    return ""

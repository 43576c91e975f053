"""Copies the project out of its source tree, and finds what was installed from the copy."""

import json
import os
import shutil
import stat
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from venvpkg.control import read_upstream_version
from venvpkg.debversion import to_python
from venvpkg.distributions import find_folders, read_headers
from venvpkg.errors import VenvpkgError
from venvpkg.plan import Plan
from venvpkg.spec import Spec
from venvpkg.tree import Tree

VERSION_VARIABLES = (
    "SETUPTOOLS_SCM_PRETEND_VERSION",
    "PDM_BUILD_SCM_VERSION",
    "PBR_VERSION",
    "UV_DYNAMIC_VERSIONING_BYPASS",
    "POETRY_DYNAMIC_VERSIONING_BYPASS",
)


def export_project(plan: Plan, target: Path) -> Path:
    """Copy the project with its source package, without what debhelper made there, and return its folder.

    A back end writes build/ and egg-info beside its sources, and one that looks for packages would
    find the environment that is being made under debian/. What the project names beside itself, as in
    ``lib = { path = "../lib" }`` of uv's, comes along.

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
    folder = project_in(plan.spec, target)
    whole = source if folder == target else plan.spec.source
    without = made_by_debhelper(plan.spec.source) | made_by_setuptools(source) | {plan.package_root}
    copy_source(whole, target, without)
    return folder


def project_in(spec: Spec, exported: Path) -> Path:
    """Return the project's folder in the copy that :func:`export_project` made.

    One that lies outside of the source package is the whole copy.
    """
    inner = Path(os.path.normpath(spec.project or "."))
    return exported if inner.is_absolute() or ".." in inner.parts else exported / inner


def made_by_debhelper(source: Path) -> set[Path]:
    """Return what a build leaves below debian/, and the wheels that are kept there."""
    debian = source / "debian"
    made = {debian / ".debhelper", debian / "tmp", debian / "files", debian / "wheelhouse"}
    made |= {p.parent for p in debian.glob("*/DEBIAN")}
    return made | {debian / p.stem for p in debian.glob("*.substvars")}


def made_by_setuptools(project: Path) -> set[Path]:
    """Return what an earlier build left in build/, which setuptools would take for its own again."""
    return {path for glob in ("lib", "lib.*", "bdist.*", "temp.*") for path in (project / "build").glob(glob)}


def copy_for_build(source: Path, target: Path, without: Iterable[Path] = ()) -> None:
    """Copy a source package to build it: without what an earlier build left, and with its wheels."""
    copy_source(source, target, made_by_debhelper(source) | set(without))
    wheelhouse = source / "debian" / "wheelhouse"
    if wheelhouse.is_dir():
        shutil.copytree(wheelhouse, target / "debian" / "wheelhouse")


def copy_source(source: Path, target: Path, without: Container[Path]) -> None:
    """Copy a source tree, with a pointer in the place of its repository.

    Args:
        source: the folder to copy.
        target: what it becomes; must not be there.
        without: paths that are left out, beside bytecode, devices and what debhelper notes.
    """

    def skip(folder: str, names: list[str]) -> list[str]:
        here = Path(folder)
        return [
            n
            for n in names
            if here / n in without
            or _is_special(here / n)
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
        # A worktree's or a submodule's; its path may be relative to the folder.
        named = repository.read_text("utf-8", "surrogateescape").removeprefix("gitdir:").strip()
        text = f"gitdir: {(source / named).resolve()}\n"
        (target / ".git").write_text(text, encoding="utf-8", errors="surrogateescape")


def _follow_links_out(source: Path, target: Path, within: tuple[Path, ...] = ()) -> None:
    """Replace links that lead out of the project by what they lead to; a copy of the link would dangle.

    An absolute link does not: it stays. So does one to a folder that the project lies in, whose copy
    would have no end, and one to a device. ``within`` are the folders that are being copied already.
    """
    top = source.resolve()
    copied = (top, *within)
    for link in [p for p in target.rglob("*") if p.is_symlink() and not p.readlink().is_absolute()]:
        try:
            real = (source / link.relative_to(target)).resolve()
        except (OSError, RuntimeError):  # A link in a circle.
            continue
        if real.is_relative_to(top) or any(folder.is_relative_to(real) for folder in copied):
            continue
        if real.is_dir():
            link.unlink()
            shutil.copytree(real, link, symlinks=True, ignore=_specials)
            _follow_links_out(real, link, copied)
        elif real.is_file():
            link.unlink()
            shutil.copy(real, link)


def _is_special(path: Path) -> bool:
    """Tell whether it is a socket, a pipe or a device, which no project is made of and copying waits for."""
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _specials(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if _is_special(Path(folder, name))]


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
    version = to_python(read_upstream_version(changelog))
    return dict.fromkeys(VERSION_VARIABLES, version) if version else {}


def find_project(tree: Tree, exported: Path) -> str:
    """Return the name of the distribution that was installed from the exported folder."""
    for folder in find_folders(tree):
        entry = tree.get(folder / "direct_url.json")
        try:
            about = json.loads(entry.load()) if entry and entry.kind == "file" else {}
        except (ValueError, RecursionError):
            continue
        url = about.get("url", "") if isinstance(about, dict) else ""
        if unquote(str(url)).rstrip("/").endswith(str(exported)):
            return canonicalize_name(read_headers(tree, folder / "METADATA").get("Name") or "")
    return ""

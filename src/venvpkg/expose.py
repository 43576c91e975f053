"""Puts entry points on PATH, and tells lintian what an environment is."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from venvpkg.distributions import Distribution
from venvpkg.errors import VenvpkgError
from venvpkg.maintscripts import render_launcher, render_overrides
from venvpkg.plan import Plan
from venvpkg.tree import Tree

BIN = PurePosixPath("bin")


def expose(plan: Plan, tree: Tree, distributions: Sequence[Distribution], project: str) -> None:
    """Put launchers for entry points into /usr/bin, with their man pages and completions.

    Raises:
        VenvpkgError: ``expose-not-found``.
    """
    wanted = exposed_names(plan, distributions, project)
    missing = [name for name in wanted if PurePosixPath("bin", name) not in tree]
    if missing:
        raise VenvpkgError(
            code="expose-not-found",
            message=f"expose names what the environment has not: {', '.join(missing)}.",
            causes=[
                f"Its programs are: {', '.join(sorted(e.path.name for e in tree.below(BIN))) or 'none'}."
            ],
            hint='Correct the key expose, or write expose = "all".',
        )
    for name in wanted:
        for path, data, mode in _exposed_files(plan, tree, name):
            target = plan.package_root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            target.chmod(mode)


def exposed_names(plan: Plan, distributions: Sequence[Distribution], project: str) -> tuple[str, ...]:
    """Return the entry points that go onto PATH."""
    if plan.spec.expose != ("all",):
        return plan.spec.expose
    return tuple(sorted(name for d in distributions if d.name == project for name in d.programs))


def explain_to_lintian(plan: Plan, root: Path, exposed: tuple[str, ...], *, machine_code: bool) -> None:
    """Add our lintian overrides to those that dh_lintian took from the project.

    Args:
        plan: what was built.
        root: the package build root of the package, by its name.
        exposed: the commands that it has in /usr/bin.
        machine_code: it has ELF files.
    """
    text = render_overrides(plan, root.name, exposed, machine_code=machine_code)
    path = root / "usr" / "share" / "lintian" / "overrides" / root.name
    present = path.read_text(encoding="utf-8") if path.exists() else ""
    if text not in present:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(present + text, encoding="utf-8")
        path.chmod(0o644)


def _exposed_files(plan: Plan, tree: Tree, name: str) -> Iterator[tuple[str, bytes, int]]:
    yield f"usr/bin/{name}", render_launcher(plan, name).encode(), 0o755
    for entry in tree.files():
        parts = entry.path.parts
        if parts[:2] == ("share", "man") and re.fullmatch(
            rf"{re.escape(name)}([.-].*)?\.\d\w*", entry.path.name
        ):
            yield str(PurePosixPath("usr", entry.path)), entry.load(), 0o644
        places = {
            (
                "share",
                "bash-completion",
                "completions",
                name,
            ): f"usr/share/bash-completion/completions/{name}",
            ("share", "zsh", "site-functions", f"_{name}"): f"usr/share/zsh/vendor-completions/_{name}",
            (
                "share",
                "fish",
                "vendor_completions.d",
                f"{name}.fish",
            ): f"usr/share/fish/vendor_completions.d/{name}.fish",
        }
        if parts in places:
            yield places[parts], entry.load(), 0o644

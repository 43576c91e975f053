"""Renders the maintainer scripts, the launchers and the lintian overrides of an environment's package."""

import os
from dataclasses import dataclass
from pathlib import Path

from venvpkg.plan import Plan
from venvpkg.templates import render_template

# Those of the second kind have to know every link that is in the stage at the end.
EARLY, LATE = ("postinst", "prerm", "postrm"), ("preinst",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A part of a maintainer script, for debhelper's autoscript."""

    script: str
    """``preinst``, ``postinst``, ``prerm`` or ``postrm``."""
    text: str


def render(plan: Plan, codename: str, scripts: tuple[str, ...], layer: str = "whole") -> tuple[Snippet, ...]:
    """Return the maintainer script snippets of an environment's package.

    Args:
        plan: what was built; the package's part of the prefix is read, for links.
        codename: VERSION_CODENAME of the system that it was built on (os-release(5)), or empty.
        scripts: which ones, :data:`EARLY` or :data:`LATE`.
        layer: what the package has of the environment: the ``whole``, or ``upper`` or ``lower`` of two
            packages.
    """
    lower = layer == "lower"
    values = {
        **_values(plan),
        "codename": codename,
        "links": find_links(plan.env_stage if lower else plan.stage),
        "layer": layer,
        "package": plan.spec.env_package if lower else plan.spec.package,
        # Both are in one prefix, and each has to find its own after an interruption.
        "notes": plan.prefix / (".upgrade-env" if lower else ".upgrade"),
        "cache_tag": plan.interpreter.cache_tag,
    }
    return tuple(Snippet(script=name, text=render_template(f"{name}.sh.j2", **values)) for name in scripts)


def find_links(stage: Path) -> list[tuple[str, str]]:
    """Return the symbolic links that preinst has to make way for: path in the stage and target.

    A line of a shell script holds each, so the few that have a tab or a line's end in them are left out.
    """
    everything = (Path(top, name) for top, folders, names in os.walk(stage) for name in (*folders, *names))
    found = [(str(p.relative_to(stage)), str(p.readlink())) for p in everything if p.is_symlink()]
    return sorted(pair for pair in found if not set("\t\n") & set("".join(pair)))


def render_launcher(plan: Plan, name: str) -> str:
    """Return the launcher of an exposed entry point."""
    return render_template("launcher.sh.j2", **_values(plan), name=name)


def render_overrides(plan: Plan, package: str, exposed: tuple[str, ...], *, machine_code: bool) -> str:
    """Return lintian overrides with their reasons, for what an environment is by its nature."""
    values = {**_values(plan), "package": package, "machine_code": machine_code}
    return render_template(
        "lintian-overrides.j2", **values, exposed=exposed, compression=plan.spec.compression
    )


def _values(plan: Plan) -> dict[str, object]:
    return {
        "package": plan.spec.package,
        "env_package": plan.spec.env_package,
        "prefix": plan.prefix,
        "install_root": plan.spec.install_root,
        "python": plan.program,
        "bundled": plan.bundled,
        "python_package": plan.interpreter.package,
        "minor": plan.interpreter.minor,
        "bytecode": plan.spec.bytecode,
    }

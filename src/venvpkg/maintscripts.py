"""Renders the templates of debian-templates/."""

import os
import shlex
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from venvpkg.errors import VenvpkgError
from venvpkg.plan import Plan

# Those of the second kind have to know every link that is in the stage at the end.
EARLY, LATE = ("postinst", "prerm", "postrm"), ("preinst",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A part of a maintainer script, for debhelper's autoscript."""

    script: str
    """``preinst``, ``postinst``, ``prerm`` or ``postrm``."""
    text: str


def find_templates() -> Path:
    """Return the folder of the templates: inside the installed package, or at the top of a checkout.

    Raises:
        VenvpkgError: ``templates-missing``.
    """
    package = Path(str(files("venvpkg")))
    for folder in (package / "debian-templates", package.parent.parent / "debian-templates"):
        if folder.is_dir():
            return folder
    raise VenvpkgError(
        code="templates-missing",
        message="venvpkg's own templates are missing.",
        causes=[f"Looked in {package}."],
        hint="Install venvpkg again: its installation is not whole.",
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(find_templates()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # What is rendered is shell, where the filter sh quotes; HTML's escapes would break it.
        autoescape=False,
    )
    made.filters["sh"] = lambda value: shlex.quote(str(value))
    return made


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
    return tuple(
        Snippet(script=name, text=_environment().get_template(f"{name}.sh.j2").render(values))
        for name in scripts
    )


def find_links(stage: Path) -> list[tuple[str, str]]:
    """Return the symbolic links that preinst has to make way for: path in the stage and target.

    A line of a shell script holds each, so the few that have a tab or a line's end in them are left out.
    """
    everything = (Path(top, name) for top, folders, names in os.walk(stage) for name in (*folders, *names))
    found = [(str(p.relative_to(stage)), str(p.readlink())) for p in everything if p.is_symlink()]
    return sorted(pair for pair in found if not set("\t\n") & set("".join(pair)))


def render_launcher(plan: Plan, name: str) -> str:
    """Return the launcher of an exposed entry point."""
    return _environment().get_template("launcher.sh.j2").render(_values(plan), name=name)


def render_overrides(plan: Plan, package: str, exposed: tuple[str, ...]) -> str:
    """Return lintian overrides with their reasons, for what an environment is by its nature."""
    values = {**_values(plan), "package": package}
    template = _environment().get_template("lintian-overrides.j2")
    return template.render(values, exposed=exposed, compression=plan.spec.compression)


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

"""Finds the templates of debian-templates/, and renders them."""

import shlex
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from venvpkg.errors import VenvpkgError


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
        # What is rendered is shell, where the filter sh quotes, or a control file; HTML's escapes would
        # break them.
        autoescape=False,
    )
    made.filters["sh"] = lambda value: shlex.quote(str(value))
    # What begins a substitution in debian/control (deb-substvars(5)), and in a unit (systemd.unit(5)).
    made.filters["control"] = lambda value: str(value).replace("${", "${}{")
    made.filters["unit"] = lambda value: str(value).replace("%", "%%")
    return made


def render_template(template: str, /, **values: object) -> str:
    """Return a template with its values, each of which it has to be given."""
    return _environment().get_template(template).render(values)

"""Where debhelper finds the add-on, however venvpkg is installed."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# The variable that names the file for the events of a step.
EVENTS = "VENVPKG_EVENTS"
# The variable that names the folder where the packages will be, as seen from the source package's. It is
# empty where there is no debian/ to keep.
OUTPUT = "VENVPKG_OUTPUT"


def with_addon(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which debhelper finds this venvpkg, wherever it is installed.

    Its commands are beside the running interpreter, in an environment that pip or pipx made, and its Perl
    modules inside the package; both are at the top of a checkout. Debian's own package has them in
    debhelper's places.
    """
    made = dict(environ)
    package = Path(__file__).resolve().parent
    for commands, modules in (
        (Path(sys.prefix) / "bin", package / "perl"),
        (package.parent / "perl" / "bin", package.parent / "perl"),
    ):
        if (modules / "Debian").is_dir() and (commands / "dh_venvpkg").is_file():
            made["PATH"] = f"{commands}:{environ.get('PATH', os.defpath)}"
            made["PERL5LIB"] = ":".join(filter(None, [str(modules), environ.get("PERL5LIB")]))
            break
    # What starts as python3 -m venvpkg has to find this package, and not another version.
    if package.parent.name == "src":
        made["PYTHONPATH"] = ":".join(filter(None, [str(package.parent), environ.get("PYTHONPATH")]))
    return made

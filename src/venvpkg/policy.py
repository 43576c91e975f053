"""What Debian Policy, and lintian, want of a package's name, synopsis and section."""

import re
import textwrap
from collections.abc import Iterable, Sequence

from venvpkg.errors import VenvpkgError

# The newest one that a release's lintian knows; it warns of a newer one, and of one that is years older.
POLICY, OLDER_POLICIES = "4.7.2", {"bookworm": "4.6.2", "jammy": "4.6.0", "noble": "4.6.2"}
# Debian's sections (Policy §2.4), by what Trove classifiers begin with.
SECTIONS = {
    "Framework :: Django": "web",
    "Framework :: Flask": "web",
    "Framework :: FastAPI": "web",
    "Topic :: Communications :: Email": "mail",
    "Topic :: Database": "database",
    "Topic :: Games": "games",
    "Topic :: Internet :: WWW": "web",
    "Topic :: Internet": "net",
    "Topic :: Multimedia :: Graphics": "graphics",
    "Topic :: Multimedia :: Sound": "sound",
    "Topic :: Multimedia :: Video": "video",
    "Topic :: Scientific/Engineering": "science",
    "Topic :: Software Development": "devel",
    "Topic :: System :: Networking": "net",
    "Topic :: System": "admin",
    "Topic :: Text Processing": "text",
    "Topic :: Utilities": "utils",
}
FORGES = re.compile(
    r"https://(?P<host>github\.com|gitlab\.com)/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(\.git)?/?"
)
# Below the 80 characters that a synopsis may have (Policy §3.4.1).
SYNOPSIS = 78


def choose_policy(codename: str) -> str:
    """Return the version of Debian Policy that a package which is written on a release is held to."""
    return OLDER_POLICIES.get(codename, POLICY)


def package_name(name: str) -> str:
    """Return the Debian package name for a normalized name (PEP 503, Policy §5.6.1).

    Raises:
        VenvpkgError: ``name-unknown``.
    """
    if not name:
        raise VenvpkgError(
            code="name-unknown",
            message="The project's name is not known.",
            causes=["pyproject.toml has no [project] with a name, and the project could not be installed."],
            hint='Write into pyproject.toml:\n[project]\nname = "myapp"\nversion = "1.0"',
        )
    return name if len(name) > 1 else f"{name}-app"


def make_synopsis(summary: str, name: str) -> str:
    """Return the synopsis of a package: one line without an article before it or a stop behind it.

    It is empty where the summary says nothing.
    """
    plain = re.sub(r"^(an?|the)( |$)", "", summary.strip(), flags=re.I).rstrip(".! ")
    if not re.search(r"\w", plain):
        return ""
    if re.sub(r"[\W_]", "", plain.lower()) == re.sub(r"[\W_]", "", name):
        # lintian wants it to say more.
        return f"{plain}, a Python application"[:SYNOPSIS]
    if " " not in plain[:SYNOPSIS]:
        # lintian takes one word for none.
        return f"{plain} {name}"[:SYNOPSIS]
    return textwrap.shorten(plain, SYNOPSIS, placeholder=" …")


def choose_section(classifiers: Sequence[str]) -> str:
    """Return the section for what the classifiers say, or ``misc``."""
    found = (section for start, section in SECTIONS.items() if any(c.startswith(start) for c in classifiers))
    return next(found, "misc")


def find_tags(urls: Iterable[str]) -> str:
    """Return the page of tags on the forge that one of a project's URLs names, or nothing."""
    found = (FORGES.fullmatch(url) for url in urls)
    forge = next((m for m in found if m), None)
    if not forge:
        return ""
    page = f"https://{forge['host']}/{forge['owner']}/{forge['name']}"
    return f"{page}/tags" if forge["host"] == "github.com" else f"{page}/-/tags"

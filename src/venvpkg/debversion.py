"""Turns a Python version into a Debian version that sorts the same way, and back."""

import re

from packaging.version import InvalidVersion, Version

from venvpkg.errors import VenvpkgError


def to_debian(text: str) -> str:
    """Return the Debian version of a Python version.

    dpkg sorts a tilde before the end, and a letter before any other sign (deb-version(7)); a plus comes
    before the dot. So pre-releases get one tilde, development releases of the release itself two,
    a local label one plus and a post-release two, since it is newer than any label. Zeros at the end
    stay as they are written: 1.0 and 1.0.0 are one version to PEP 440, and two to dpkg.

    Raises:
        VenvpkgError: ``version-invalid``.
    """
    try:
        version = Version(text)
    except InvalidVersion:
        raise VenvpkgError(
            code="version-invalid",
            message=f"{text!r} is no Python version.",
            hint="Write the version of pyproject.toml as PEP 440 has it: 1.4, 2.0rc1, 2.0.post1.",
        ) from None
    made = f"{version.epoch}:" if version.epoch else ""
    made += ".".join(map(str, version.release))
    if version.pre:
        made += f"~{version.pre[0]}{version.pre[1]}"
    if version.post is not None:
        made += f"++post{version.post}"
    if version.dev is not None:
        # Before a first pre-release, which sorts before the release.
        plain = version.pre is None and version.post is None
        made += f"{'~~' if plain else '~'}dev{version.dev}"
    return made + (f"+{version.local}" if version.local else "")


def to_python(text: str) -> str:
    """Return the Python version that an upstream version of debian/changelog stands for, or nothing."""
    plain = re.sub(r"~+", "", text.replace("++post", ".post"))
    try:
        return str(Version(plain))
    except InvalidVersion:
        return ""

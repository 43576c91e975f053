"""Finds what must stay secret: in a file's bytes, and in the environment of a build."""

import netrc
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

# Files that exist to hold credentials, of netrc(5), pip, twine, git-credential-store(1) and libpq.
FILE_NAMES = frozenset(
    {".netrc", "_netrc", "netrc", "pip.conf", "pip.ini", ".pypirc", ".git-credentials", ".pgpass"}
)
# Folders of other people's tests, whose keys are public with them.
TESTS = frozenset({"tests", "test", "testing", "testdata", "test_data", "examples", "docs"})
# A key has a body; a library that reads keys has the first line alone.
KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?=[^<]{64})[^<]{0,400}?[A-Za-z0-9+/=]{24}"
    rb"|PuTTY-User-Key-File-\d: \S+\r?\nEncryption:"
)
# Up to the last @ before the path, for a password may hold one; a query may as well, and is none of it.
URL = re.compile(
    rb"""\b(?P<scheme>[a-z][a-z0-9+.-]{1,20})://(?P<user>(?:[^\s/:@"'<>{}$%*\\`|]|%[0-9A-Fa-f]{2})*):
    (?P<password>(?:[^\s/@"'<>{}\\`|]{2,}|[^\s/@"'<>{}\\`|]?@[^\s/@?\#"'<>{}\\`|]*)(?:@[^\s/@?\#"'<>{}\\`|]*)*)
    @(?P<host>[\w.\[-][\w.:\[\]-]*)""",
    re.VERBOSE,
)
TOKEN = re.compile(rb"\b(?P<scheme>https?)://(?P<password>[A-Za-z0-9_-]{20,})@(?P<host>[\w.-]+)")
KEY_SUFFIXES = (".pem", ".key", ".ppk")
# What stands in for a password in documentation and in templates.
TEMPLATE = re.compile(rb"[$*].*|%[(s].*|\.\.\.|x+|X+")
# A shorter word would be found where nobody put it; a variable of another tool's must hold a long one.
SHORTEST, SHORTEST_ELSEWHERE = 8, 16
INSTALLERS = ("PIP_", "UV_", "DH_VENVPKG_", "POETRY_", "PDM_", "TWINE_", "KEYRING_")


def find_secrets(
    path: PurePosixPath, data: bytes, *, own: bool, known: Iterable[bytes] = ()
) -> Iterator[str]:
    """Yield what one file gives away, in words that do not repeat it.

    Args:
        path: where the file is.
        data: its bytes.
        own: it is the project's, or nobody's. What others published is no secret any more: of theirs only
            keys that are files of their own are told, outside of their tests, and what an installer noted.
        known: secrets of this build, see :func:`known_secrets`.
    """
    if any(secret in data for secret in known):
        yield "holds a password or token of this build's environment"
    if path.name in FILE_NAMES:
        yield "is a file for credentials"
    if b"\0" in data[:1024]:
        return
    noted = any(part.endswith(".dist-info") for part in path.parts) and path.name != "METADATA"
    tests = not TESTS.isdisjoint(path.parts)
    if b"PRIVATE KEY" in data or b"PuTTY-User-Key" in data:
        found = KEY.search(data)
        alone = found and (found.start() == 0 or path.suffix in KEY_SUFFIXES)
        if found and (own or (alone and not tests)):
            yield "holds a private key"
    if (own or noted) and b"://" in data and b"@" in data:
        for match in (*URL.finditer(data), *TOKEN.finditer(data)):
            if not TEMPLATE.fullmatch(match["password"]):
                host = match["host"].decode("ascii", "replace")
                yield f"holds credentials in a URL: {match['scheme'].decode()}://***@{host}"
                return


def known_secrets(environ: Mapping[str, str], urls: Iterable[str]) -> tuple[bytes, ...]:
    """Return the passwords and tokens that a build's environment has, decoded and as written.

    They come from the URLs of indexes, from variables whose names say so, and from netrc(5). One of fewer
    than 8 characters is left out: it would be found in any text.
    """
    found: dict[str, None] = {}
    texts = [value for name, value in environ.items() if name.startswith(INSTALLERS)]
    for text in (*urls, *texts):
        # Of a variable that is not UTF-8, Python has surrogates.
        data = text.encode(errors="surrogateescape")
        for match in (*URL.finditer(data), *TOKEN.finditer(data)):
            found[match["password"].decode(errors="surrogateescape")] = None
    for name, value in environ.items():
        told = re.search(r"(^|_)(PASSWORD|PASSWD|TOKEN|SECRET|API_KEY)$", name)
        if told and (name.startswith(INSTALLERS) or len(value) >= SHORTEST_ELSEWHERE):
            found[value] = None
    try:
        place = environ.get("NETRC") or Path(environ.get("HOME") or "/nonexistent", ".netrc")
        found |= dict.fromkeys(entry[2] for entry in netrc.netrc(place).hosts.values() if entry[2])
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        pass
    both = dict.fromkeys(
        form for secret in found for form in (secret, unquote(secret, errors="surrogateescape"))
    )
    return tuple(form.encode(errors="surrogateescape") for form in both if len(form) >= SHORTEST)

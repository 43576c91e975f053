"""Finds what must stay secret: in a file's bytes, and in the environment of a build."""

import base64
import netrc
import os
import pwd
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

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
TOKEN = re.compile(rb"\b(?P<scheme>https?)://(?P<password>[A-Za-z0-9_-]{20,}):?@(?P<host>[\w.-]+)")
# Of a setting: what stands before the @ is a user and a password, whatever signs they are of.
SETTING = re.compile(r"://(?P<user>[^\s/:@]*)(?::(?P<password>[^\s/]*))?@")
# One whose password should have been percent-encoded; the number of a port is none.
UNQUOTED = re.compile(
    r"://(?P<user>[^\s/:@?#\[]*):(?!\d*(?:[/?#\s]|$))(?P<password>[^\s/@?#]*[/?#]\S*)@", re.MULTILINE
)
# A user name of this form is a token, where no password or one that servers take for none is beside it.
TOKEN_USER = re.compile(r"(?=.*\d)[A-Za-z0-9_.~+=-]{20,}")
FILLERS = frozenset({"x-oauth-basic", "x-access-token", "oauth2accesstoken"})
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
QUOTED = re.compile(r"(?:[\w.~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*", re.ASCII)
KEY_SUFFIXES = (".pem", ".key", ".ppk")
# What stands in for a password in documentation and in templates.
TEMPLATE = re.compile(rb"[$*].*|%[(s].*|\.\.\.|x+|X+")
# A shorter word would be found where nobody put it; a variable of another tool's must hold a long one.
SHORTEST, SHORTEST_ELSEWHERE = 8, 16
INSTALLERS = ("PIP_", "UV_", "DH_VENVPKG_", "POETRY_", "PDM_", "TWINE_", "KEYRING_")
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})


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
    yield from find_known(data, known)
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


def find_known(data: bytes, known: Iterable[bytes]) -> Iterator[str]:
    """Yield words for data that holds a secret of this build."""
    if any(secret in data for secret in known):
        yield "holds a password or token of this build's environment"


def known_secrets(environ: Mapping[str, str], texts: Iterable[str] = ()) -> tuple[bytes, ...]:
    """Return the passwords and tokens that a build's environment has, in every form that one may take.

    These are: as written, decoded, percent-encoded, and in base64 with the user's name, as HTTP sends it.
    They come from the URLs of indexes and proxies, from variables whose names say so, from what pip and uv
    are configured with, and from netrc(5). One of fewer than 8 characters is left out: it would be found in
    any text.

    Args:
        environ: the build's environment.
        texts: URLs, and whatever else may hold some, such as a requirements file; ``${NAME}`` in them is
            taken from the environment.
    """
    found: dict[tuple[str, str], None] = {}
    values = [v for k, v in environ.items() if k.startswith(INSTALLERS) or k.upper() in PROXIES]
    files = (*pip_files(environ), *_uv_files(environ))
    for text in (*texts, *values, *(text for file in files if (text := _read(file)))):
        expanded, _ = expand_variables(text, environ)
        for match in (*SETTING.finditer(expanded), *UNQUOTED.finditer(expanded)):
            found |= dict.fromkeys(_tell_apart(match["user"], match["password"] or ""))
    for name, value in environ.items():
        told = re.search(r"(^|_)(PASSWORD|PASSWD|TOKEN|SECRET|API_KEY)$", name)
        if told and (name.startswith(INSTALLERS) or len(value) >= SHORTEST_ELSEWHERE):
            found["", value] = None
        if name.startswith("UV_INDEX_") and name.endswith("_USERNAME"):
            word = environ.get(f"{name.removesuffix('_USERNAME')}_PASSWORD", "")
            found |= dict.fromkeys(_tell_apart(value, word))
    found |= dict.fromkeys((*_read_netrc(environ), *_read_store(environ)))
    forms = dict.fromkeys(form for user, word in found for form in _forms(user, word))
    return tuple(form.encode(errors="surrogateescape") for form in forms if len(form) >= SHORTEST)


def has_credentials(text: str) -> bool:
    """Tell whether a text has a URL with a password or a token, written out and no template of one."""
    data = text.encode(errors="surrogateescape")
    found = (*URL.finditer(data), *TOKEN.finditer(data))
    return any(not TEMPLATE.fullmatch(match["password"]) for match in found)


def expand_variables(text: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return a URL with every ``${NAME}`` from the environment, and the names that are not set there.

    Before the host, a value that could not stand in a URL as it is gets percent-encoded; one that can,
    an encoded one among them, stays.
    """
    missing: list[str] = []

    def value_of(match: re.Match[str]) -> str:
        value = environ.get(match[1], "")
        if not value:
            missing.append(match[1])
            return match[0]
        before, after = text[: match.start()], text[match.end() :]
        within = re.search(r"://[^/\s]*$", before) and re.match(r"[^/\s]*@", after)
        return value if not within or QUOTED.fullmatch(value) else quote(value, safe="")

    return VARIABLE.sub(value_of, text), tuple(missing)


def pip_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where pip looks for its configuration, the strongest last.

    See https://pip.pypa.io/en/stable/topics/configuration/
    """
    own = environ.get("PIP_CONFIG_FILE")
    # So pip is told to read none.
    if own == os.devnull:
        return ()
    folders = [Path(name) for name in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep) if name]
    paths = [folder / "pip" / "pip.conf" for folder in folders]
    home = home_folder(environ)
    paths += [Path("/etc/pip.conf"), home / ".pip" / "pip.conf"]
    paths += [Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"]
    return (*paths, *([Path(own)] if own else []))


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder that pip and uv take for the user's: HOME, else the one of passwd(5)."""
    try:
        return Path(environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/nonexistent")


def _uv_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    # https://docs.astral.sh/uv/concepts/configuration-files/
    config = Path(environ.get("XDG_CONFIG_HOME") or home_folder(environ) / ".config")
    own = environ.get("UV_CONFIG_FILE")
    return (Path("/etc/uv/uv.toml"), config / "uv" / "uv.toml", *([Path(own)] if own else []))


def _read_netrc(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    home = home_folder(environ)
    own = environ.get("NETRC")
    for place in [Path(own)] if own else [home / ".netrc", home / "_netrc"]:
        try:
            entries = netrc.netrc(place).hosts.values()
        except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
            continue
        for user, _, password in entries:
            yield from _tell_apart(
                quote(user or ""), quote(password or "", safe="", errors="surrogateescape")
            )


def _read_store(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what ``uv auth login`` keeps."""
    data = Path(environ.get("XDG_DATA_HOME") or home_folder(environ) / ".local" / "share")
    folder = Path(environ.get("UV_CREDENTIALS_DIR") or data / "uv" / "credentials")
    try:
        kept = tomllib.loads(_read(folder / "credentials.toml")).get("credential", [])
        for entry in kept if isinstance(kept, list) else []:
            for name in ("password", "token"):
                if isinstance(entry.get(name), str):
                    yield str(entry.get("username") or ""), entry[name]
    except (ValueError, AttributeError):
        return


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return ""


def _tell_apart(user: str, password: str) -> Iterator[tuple[str, str]]:
    """Yield what is secret of a user's name and a password: either may be the token."""
    if password and password not in FILLERS:
        if not TEMPLATE.fullmatch(password.encode(errors="replace")):
            yield user, password
    elif TOKEN_USER.fullmatch(user):
        yield user, ""


def _forms(user: str, password: str) -> Iterator[str]:
    plain = [unquote(word, errors="surrogateescape") for word in (user, password)]
    secret, written = (plain[1], password) if password else (plain[0], user)
    yield from (written, secret)
    if len(secret) >= SHORTEST:
        yield quote(secret, safe="", errors="surrogateescape")
        if user:
            yield base64.b64encode(":".join(plain).encode(errors="surrogateescape")).decode()

"""What a failed installation means, read out of what the installer and the compilers wrote."""

import re

from venvpkg.errors import VenvpkgError
from venvpkg.plan import Install
from venvpkg.process import CommandFailedError

# What uv and pip say of an archive that would write outside of its place, or over the environment itself.
UNSAFE = re.compile(
    r"install outside (the )?target|outside the destination|unsafe (member path|(symbolic|hard)-link target)"
    r"|unacceptable filename|rejected by name policy|unsupported member type|Script path must resolve"
    r"|must not use the reserved name|Unknown scheme key|Unexpected file in .* \.data directory"
    r"|(does not use|is not valid) UTF-8"
)
BROKEN = re.compile(
    r"Failed to extract archive|Failed to read from zip|structure of .* was invalid|RECORD. file is invalid"
    r"|Wheel .* is invalid|invalid wheel|Error decoding metadata|tarfile\.ReadError|zipfile\.BadZipFile"
    r"|EOFError: Compressed file|failed to read tar data"
)
BUILDING = re.compile(
    r"error: command .* failed|Failed to build|subprocess-exited|metadata-generation|build backend"
)
COMPILER = re.compile(r":\d+: (fatal )?error: |undefined reference to|cannot find -l")


def explain_failure(error: VenvpkgError, title: str, install: Install) -> VenvpkgError:
    """Return the error that an installer's failure is, from the last lines that it wrote."""
    lines = error.lines if isinstance(error, CommandFailedError) else error.causes
    text = "\n".join(lines)
    # A compiler's own line may stand far above the traceback of what called it.
    reasons = [line for line in lines if COMPILER.search(line) and line not in error.causes]
    causes = [*reasons[:3], *(line for line in error.causes if line.strip())]
    code, hint = "install-failed", "The lines above are the installer's own; DH_VERBOSE=1 shows all of them."
    if re.search(r"do not match the hashes|hash mismatch", text, re.IGNORECASE):
        code, hint = (
            "hash-mismatch",
            "The file is not the one that was pinned: find out why before pinning it anew.",
        )
    elif UNSAFE.search(text) and not BUILDING.search(text):
        code, hint = "archive-unsafe", "Do not use it: it writes where no distribution may, or was made to."
    elif BROKEN.search(text) and not BUILDING.search(text):
        code, hint = "archive-broken", "Fetch or build it anew; a cache or a mirror may have half of it."
    elif re.search(r"No matching distribution|No solution found|no versions of|ResolutionImpossible", text):
        code, hint = "requirement-not-found", "Check name, version and index; is it made for this Python?"
    elif re.search(r"No space left on device|os error 28", text):
        code, hint = (
            "no-space",
            "Free some space; TMPDIR and UV_CACHE_DIR or PIP_CACHE_DIR say where it is needed.",
        )
    elif BUILDING.search(text):
        code, hint = "build-failed", missing_header_hint(text)
    elif re.search(
        r"Connection|[Nn]ame resolution|dns error|timed out|Failed to fetch|error sending request", text
    ):
        code, hint = "index-unreachable", "Is there a network? Without one, use find-links and no-index."
    return VenvpkgError(
        code=code,
        message=f"{title.split()[0]} could not install {install.title}.",
        causes=causes,
        hint=hint,
    )


HEADERS = {
    "Python.h": "python3-dev",
    "png.h": "libpng-dev",
    "zlib.h": "zlib1g-dev",
    "jpeglib.h": "libjpeg-dev",
    "ft2build.h": "libfreetype-dev",
    "lapacke.h": "liblapacke-dev",
    "cblas.h": "libopenblas-dev",
    "libpq-fe.h": "libpq-dev",
    "pg_config": "libpq-dev",
    "mysql.h": "default-libmysqlclient-dev",
    "ffi.h": "libffi-dev",
    "lber.h": "libldap-dev",
    "sasl/sasl.h": "libsasl2-dev",
    "cairo.h": "libcairo2-dev",
    "dbus/dbus.h": "libdbus-1-dev",
    "libxml/xpath.h": "libxml2-dev",
    "libxslt/xslt.h": "libxslt1-dev",
    "openssl/opensslv.h": "libssl-dev",
    "gcc": "build-essential",
    "x86_64-linux-gnu-gcc": "build-essential",
}


def missing_header_hint(text: str) -> str:
    """Return a hint that names the Debian package of a header or program that a compiler did not find."""
    for name, package in HEADERS.items():
        word = re.escape(name)
        missing = rf"fatal error: {word}\b|[`'\"]?{word}[`'\"]? (executable )?not found|command '{word}'"
        if re.search(missing, text):
            return (
                f'{name} is in {package}: add build-depends = ["{package}"], and {package} to Build-Depends.'
            )
    if found := re.search(r"fatal error: (\S+): No such file", text):
        return f"apt-file search {found[1]} names the package that has the header; add it to build-depends."
    if found := re.search(r"cannot find -l([^\s:]+)", text):
        return f"apt-file search lib{found[1]}.so names the package to add to build-depends."
    return "Add what the compiler misses to build-depends and to Build-Depends."

"""uv and pip behind one small interface."""

import configparser
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from venvpkg.errors import VenvpkgError
from venvpkg.plan import Install
from venvpkg.process import CommandFailedError, Runner, python_environment
from venvpkg.spec import Spec

# What pip calls a setting, and the variable under which uv takes the same.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An :class:`Install` with the files that it needs on disk."""

    install: Install
    python: Path
    """The environment's own interpreter, in the workshop."""
    files: tuple[Path, ...]
    """Requirements files."""
    project: str = ""
    """Folder of the exported project, with its extras: ``/tmp/x/source[web]``."""
    downloads: Path
    """Where :meth:`Installer.fetch` puts files."""
    archives: tuple[Path, ...] = ()
    """What it put there; these are then installed instead of the requirements files."""


class Installer(Protocol):
    """Installs into an environment."""

    @property
    def title(self) -> str:
        """Return name and version, ``uv 0.9.1``."""
        ...

    def fetch(self, spec: Spec, request: Request) -> list[str] | None:
        """Return a command that has to fetch the archives of a request first, if there is one."""
        ...

    def command(self, spec: Spec, request: Request) -> list[str]:
        """Return the command; it holds no URL, which may hold a password that ``ps`` would show."""
        ...

    def environment(self, spec: Spec, install: Install, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment to run it in, indexes included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Uv:
    """Astral's uv."""

    program: str
    title: str = "uv"
    pip: Mapping[str, str] = field(default_factory=dict)
    """What pip is set to on the machine, from :func:`read_pip_settings`."""

    def fetch(self, spec: Spec, request: Request) -> None:
        """Return nothing: uv hands settings to what a requirements file names."""

    def command(self, spec: Spec, request: Request) -> list[str]:
        """Return ``uv pip install …``."""
        words = [self.program, "pip", "install", "--python", str(request.python), "--link-mode", "copy"]
        words += ["--no-compile-bytecode", "--no-progress"]
        for option, names in (("no-binary", spec.no_binary), ("only-binary", spec.only_binary)):
            words += [
                w
                for name in names or re.findall(r"[^\s,]+", self.pip.get(option, ""))
                for w in (f"--{option}", name)
            ]
        alone = self.pip.get("no-index", "").lower() in ("1", "true", "yes", "on")
        words += ["--no-index"] if spec.no_index or (alone and not spec.index_url) else []
        words += [] if spec.build_isolation else ["--no-build-isolation"]
        return words + _common(spec, request)

    def environment(self, spec: Spec, install: Install, environ: Mapping[str, str]) -> dict[str, str]:
        """Return uv's variables: what the specification says, else UV_*, else what pip is set to."""
        made = python_environment(environ)
        # They are for another place than the environment that is made here, and clash with our options.
        for name in ("UV_SYSTEM_PYTHON", "UV_COMPILE_BYTECODE", "UV_MANAGED_PYTHON"):
            made.pop(name, None)
        for name, value in self.pip.items():
            if name == "index-url" and made.get("UV_INDEX_URL"):
                continue
            # uv wants every constraint pinned in its hash mode, where pins leave nothing to constrain.
            if name == "constraint" and install.hashes:
                continue
            if name in UV_NAMES and not made.get(UV_NAMES[name]):
                words = [w for w in value.split() if name != "find-links" or "://" in w or Path(w).exists()]
                if words:
                    # Of uv's lists this one alone has commas.
                    made[UV_NAMES[name]] = ("," if name == "find-links" else " ").join(words)
        if "extra-index-url" in self.pip and not spec.extra_index_url:
            # Indexes that the machine gives to pip are equals to it; uv by itself asks the first only.
            made.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
        if spec.index_url:
            made["UV_DEFAULT_INDEX"] = spec.index_url
        if spec.extra_index_url:
            made["UV_INDEX"] = " ".join(spec.extra_index_url)
        if spec.find_links:
            made["UV_FIND_LINKS"] = ",".join(_absolute(spec, link) for link in spec.find_links)
        made.pop("UV_INDEX_URL" if "UV_DEFAULT_INDEX" in made else "", None)
        made["UV_PYTHON_DOWNLOADS"] = "never"
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Pip:
    """PyPA's pip, the one of an interpreter on this machine."""

    python: Path
    """The interpreter that has pip."""
    title: str = "pip"
    version: tuple[int, ...] = field(default=(0,))

    def fetch(self, spec: Spec, request: Request) -> list[str] | None:
        """Return ``pip download`` for requirements with settings of their own.

        pip hands ``--config-settings`` to what its command line names, and not to a requirements file's
        lines, which alone can have hashes. So the file is fetched, and checked, by its line, and then named.
        """
        if not request.install.settings or not request.files:
            return None
        hashes = ["--require-hashes"] if request.install.hashes else []
        files = [w for path in request.files for w in ("-r", str(path))]
        constraints = [w for path in request.install.constraints for w in ("-c", str(path))]
        words = ["download", "--no-deps", "--dest", str(request.downloads), *hashes, *constraints, *files]
        return self._words(spec, request, words)

    def _words(self, spec: Spec, request: Request, words: list[str]) -> list[str]:
        words = [str(self.python), "-m", "pip", "--python", str(request.python), *words]
        words += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        words += ["--no-binary", ",".join(spec.no_binary)] if spec.no_binary else []
        words += ["--only-binary", ",".join(spec.only_binary)] if spec.only_binary else []
        words += ["--no-index"] if spec.no_index else []
        return words + ([] if spec.build_isolation else ["--no-build-isolation"])

    def command(self, spec: Spec, request: Request) -> list[str]:
        """Return ``python3 -m pip --python … install …``."""
        words = self._words(spec, request, ["install", "--no-compile", "--no-warn-script-location"])
        repeated = [k for k, v in (request.install.settings or {}).items() if len(v) > 1]
        if repeated and self.version < (23, 1):
            raise VenvpkgError(
                code="pip-too-old",
                message=f"{self.title} keeps one value of a repeated setting: {', '.join(repeated)}.",
                hint="Use uv, or a newer pip, or give one value.",
            )
        return words + _common(spec, request)

    def environment(self, spec: Spec, install: Install, environ: Mapping[str, str]) -> dict[str, str]:
        """Return pip's variables: what the specification says, over what the machine is set to."""
        made = python_environment(environ)
        if spec.index_url:
            made["PIP_INDEX_URL"] = spec.index_url
        if spec.extra_index_url:
            made["PIP_EXTRA_INDEX_URL"] = " ".join(spec.extra_index_url)
        if spec.find_links:
            made["PIP_FIND_LINKS"] = " ".join(_absolute(spec, link) for link in spec.find_links)
        return made


def _common(spec: Spec, request: Request) -> list[str]:
    install = request.install
    words = [] if install.dependencies else ["--no-deps"]
    for name, values in (install.settings or {}).items():
        words += [w for value in values for w in ("--config-settings", f"{name}={value}")]
    words += list(spec.installer_args)
    if request.archives:
        return words + [str(path) for path in request.archives]
    words += ["--require-hashes"] if install.hashes else []
    words += [w for path in install.constraints for w in ("-c", str(path))]
    words += [w for path in request.files for w in ("-r", str(path))]
    return words + ([request.project] if request.project else [])


def _absolute(spec: Spec, link: str) -> str:
    # As a URL, since pip splits the variable at blanks, and uv at commas.
    return link if "://" in link else (spec.source / link).as_uri()


def find_installer(spec: Spec, run: Runner, environ: Mapping[str, str]) -> Installer:
    """Return the installer that the key ``installer`` asks for.

    Raises:
        VenvpkgError: ``installer-not-found``.
    """
    uv = shutil.which("uv", path=environ.get("PATH"))
    if spec.installer in ("auto", "uv") and uv:
        answer = run([uv, "--version"], check=False)
        if answer.returncode == 0:
            return Uv(program=uv, title=" ".join(answer.stdout.split()[:2]), pip=read_pip_settings(environ))
    if spec.installer != "uv":
        # Debian's python3-pip belongs to Debian's python3; a pyenv's pip may be another one.
        for python in ("/usr/bin/python3", shutil.which("python3", path=environ.get("PATH"))):
            if python and Path(python).exists():
                answer = run([python, "-m", "pip", "--version"], env=python_environment(environ), check=False)
                if answer.returncode == 0:
                    number = answer.stdout.split()[1]
                    digits = tuple(int(n) for n in re.findall(r"\d+", number)[:2])
                    return Pip(python=Path(python), title=f"pip {number}", version=digits)
    raise VenvpkgError(
        code="installer-not-found",
        message="Found no uv." if spec.installer == "uv" else "Found neither uv nor pip.",
        causes=["Looked for uv on PATH."]
        + ([] if spec.installer == "uv" else ["Asked python3 for its module pip."]),
        hint="apt-get install python3-pip, or put uv on PATH (https://docs.astral.sh/uv/).",
    )


def read_pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings from its configuration files and PIP_* variables, by option name.

    Files and their order: https://pip.pypa.io/en/stable/topics/configuration/
    """
    home = Path(environ.get("HOME", "/"))
    folders = environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    paths = [Path(folder) / "pip" / "pip.conf" for folder in folders if folder]
    paths += [Path("/etc/pip.conf"), home / ".pip" / "pip.conf"]
    paths += [Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"]
    paths += [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
    # So pip is told to read none.
    paths = [] if environ.get("PIP_CONFIG_FILE") == os.devnull else paths
    settings: dict[str, str] = {}
    for path in paths:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= {k.replace("_", "-"): v for k, v in parser.items(section)}
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def explain_failure(error: VenvpkgError, installer: Installer, install: Install) -> VenvpkgError:
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
        message=f"{installer.title.split()[0]} could not install {install.title}.",
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

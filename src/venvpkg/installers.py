"""uv and pip behind one small interface."""

import configparser
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from venvpkg.credentials import pip_files
from venvpkg.errors import VenvpkgError
from venvpkg.indexes import (
    PYPI,
    expand_indexes,
    extra_indexes,
    put_public_last,
    require_no_credentials,
    require_urls,
)
from venvpkg.log import warn
from venvpkg.plan import Install, Plan
from venvpkg.process import Runner, python_environment, redact
from venvpkg.spec import Spec

# The pip that has --build-constraint.
BUILD_CONSTRAINT = (25, 3)
# The pip that can say in numbers how much of a file it has.
PROGRESS_BAR_RAW = (24, 1)
# The pip that has --keyring-provider.
KEYRING_PROVIDER = (23, 1)
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
    "keyring-provider": "UV_KEYRING_PROVIDER",
}
OLDER_NAMES = {"index-url": "UV_INDEX_URL", "extra-index-url": "UV_EXTRA_INDEX_URL"}


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
        """Return the environment to run it in, indexes with their credentials included.

        Raises:
            VenvpkgError: ``variable-unset``, ``index-invalid``.
        """
        ...

    def indexes(self, spec: Spec, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the URLs of the indexes that it asks, in their order."""
        ...

    def prefers_first(self, environ: Mapping[str, str]) -> bool:
        """Tell whether a name comes from the first index that has it, not from that with the newest."""
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
        words += [w for path in _build_constraints(spec) for w in ("--build-constraints", str(path))]
        return words + _common(spec, request)

    def environment(self, spec: Spec, install: Install, environ: Mapping[str, str]) -> dict[str, str]:
        """Return uv's variables: what the specification says, else UV_*, else what pip is set to."""
        spec = expand_indexes(spec, environ)
        made = python_environment(environ)
        # They are for another place than the environment that is made here, and clash with our options.
        for name in ("UV_SYSTEM_PYTHON", "UV_COMPILE_BYTECODE", "UV_MANAGED_PYTHON"):
            made.pop(name, None)
        for name, value in self.pip.items():
            if made.get(OLDER_NAMES.get(name, "")):
                continue
            # Of pip's providers uv has one.
            if name == "keyring-provider" and value != "subprocess":
                continue
            # uv wants every constraint pinned in its hash mode, where pins leave nothing to constrain.
            if name == "constraint" and install.hashes:
                continue
            if name in UV_NAMES and not made.get(UV_NAMES[name]):
                words = [w for w in value.split() if name != "find-links" or "://" in w or Path(w).exists()]
                if words:
                    # Of uv's lists this one alone has commas.
                    made[UV_NAMES[name]] = ("," if name == "find-links" else " ").join(words)
        if install.hashes:
            # A lock pins a name from whichever index has that version, and its hash tells the right file.
            made.setdefault("UV_INDEX_STRATEGY", "unsafe-first-match")
        if spec.index_url:
            made["UV_DEFAULT_INDEX"] = spec.index_url
        if spec.extra_index_url:
            made["UV_INDEX"] = " ".join(spec.extra_index_url)
            made.pop("UV_EXTRA_INDEX_URL", None)
        if spec.find_links:
            made["UV_FIND_LINKS"] = ",".join(_absolute(spec, link) for link in spec.find_links)
        made.pop("UV_INDEX_URL" if "UV_DEFAULT_INDEX" in made else "", None)
        if made.get("UV_INDEX") != environ.get("UV_INDEX"):
            # What names pip's settings, and ours, in uv's order; who sets uv itself knows that.
            default = made.get("UV_DEFAULT_INDEX") or made.get("UV_INDEX_URL") or PYPI
            before, default = put_public_last(made["UV_INDEX"].split(), default)
            made |= {"UV_INDEX": " ".join(before), "UV_DEFAULT_INDEX": default}
            for name in ("UV_INDEX_URL", *(() if before else ("UV_INDEX",))):
                made.pop(name, None)
        if install.project and not install.dependencies and "--no-sources" not in spec.installer_args:
            # A copy of a workspace's member is in no workspace; what it requires was named before.
            made.setdefault("UV_NO_SOURCES", "1")
        made["UV_PYTHON_DOWNLOADS"] = "never"
        require_urls({name: value for name, value in made.items() if name.startswith("UV_")})
        return made

    def indexes(self, spec: Spec, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return those of its variables, the default one last."""
        made = self.environment(spec, Install(title=""), environ)
        before = f"{made.get('UV_INDEX', '')} {made.get('UV_EXTRA_INDEX_URL', '')}".split()
        default = made.get("UV_DEFAULT_INDEX") or made.get("UV_INDEX_URL") or PYPI
        # uv's own ones may have a name: ours=https://…
        return tuple(dict.fromkeys(re.sub(r"^[\w.-]+=(?=\w+:)", "", url) for url in (*before, default)))

    def prefers_first(self, environ: Mapping[str, str]) -> bool:
        """Tell that it does, unless it is told to look for the newest."""
        return environ.get("UV_INDEX_STRATEGY") != "unsafe-best-match"


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
        return self.download(spec, request) if request.install.settings and request.files else None

    def download(self, spec: Spec, request: Request) -> list[str]:
        """Return ``pip download`` for the files of a request."""
        hashes = ["--require-hashes"] if request.install.hashes else []
        files = [w for path in request.files for w in ("-r", str(path))]
        constraints = [w for path in request.install.constraints for w in ("-c", str(path))]
        alone = [] if request.install.dependencies else ["--no-deps"]
        words = ["download", *alone, "--dest", str(request.downloads), *hashes, *constraints, *files]
        return self._words(spec, request, words)

    def _words(self, spec: Spec, request: Request, words: list[str]) -> list[str]:
        words = [str(self.python), "-m", "pip", "--python", str(request.python), *words]
        bar = "raw" if self.version >= PROGRESS_BAR_RAW else "off"
        words += ["--disable-pip-version-check", "--progress-bar", bar]
        words += ["--no-binary", ",".join(spec.no_binary)] if spec.no_binary else []
        words += ["--only-binary", ",".join(spec.only_binary)] if spec.only_binary else []
        words += ["--no-index"] if spec.no_index else []
        if self.version >= BUILD_CONSTRAINT:
            words += [w for path in _build_constraints(spec) for w in ("--build-constraint", str(path))]
        return words + ([] if spec.build_isolation else ["--no-build-isolation"])

    def command(self, spec: Spec, request: Request) -> list[str]:
        """Return ``python3 -m pip --python … install …``."""
        words = self._words(spec, request, ["install", "--no-compile", "--no-warn-script-location"])
        words += ["--ignore-installed"] if request.install.again else []
        repeated = [k for k, v in (request.install.settings or {}).items() if len(v) > 1]
        if repeated and self.version < (23, 1):
            raise VenvpkgError(
                code="pip-too-old",
                message=f"{self.title} keeps one value of a repeated setting: {', '.join(repeated)}.",
                hint="Use uv, or a newer pip, or give one value.",
            )
        hashed = [
            p for p in _build_constraints(spec) if p.is_file() and "--hash" in p.read_text("utf-8", "replace")
        ]
        if hashed and self.version < BUILD_CONSTRAINT:
            raise VenvpkgError(
                code="pip-too-old",
                message=f"{self.title} knows no hashes of build requirements: {hashed[0]}.",
                hint="Use uv, or pip 25.3 or newer, or take the hashes out.",
            )
        return words + _common(spec, request)

    def environment(self, spec: Spec, install: Install, environ: Mapping[str, str]) -> dict[str, str]:
        """Return pip's variables: what the specification says, over what the machine is set to."""
        spec = expand_indexes(spec, environ)
        made = python_environment(environ)
        if spec.index_url:
            made["PIP_INDEX_URL"] = spec.index_url
        if spec.extra_index_url:
            made["PIP_EXTRA_INDEX_URL"] = " ".join(spec.extra_index_url)
        if spec.find_links:
            made["PIP_FIND_LINKS"] = " ".join(_absolute(spec, link) for link in spec.find_links)
        if spec.build_constraints and self.version < BUILD_CONSTRAINT:
            # A build environment is made by a pip of its own, which hears of constraints by this alone. So
            # does the one that starts it: they hold for the requirements too. As URLs, for blanks separate.
            words = [made.get("PIP_CONSTRAINT", ""), *(p.as_uri() for p in _build_constraints(spec))]
            made["PIP_CONSTRAINT"] = " ".join(words).strip()
        settings = read_pip_settings(made)
        if settings.get("keyring-provider") == "subprocess" and self.version < KEYRING_PROVIDER:
            # It asks a keyring only where it may ask the user as well; who comes to that finds no input here.
            made.pop("PIP_NO_INPUT", None)
        else:
            made["PIP_NO_INPUT"] = "1"
        if made.get("SSL_CERT_FILE") and not (made.get("REQUESTS_CA_BUNDLE") or "cert" in settings):
            # Everything else's variable, which an older pip does not know.
            made["PIP_CERT"] = made["SSL_CERT_FILE"]
        require_urls(settings)
        return made

    def indexes(self, spec: Spec, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return those of its variables and its configuration; their order means nothing to it."""
        settings = read_pip_settings(self.environment(spec, Install(title=""), environ))
        urls = (settings.get("index-url") or PYPI, *settings.get("extra-index-url", "").split())
        return tuple(dict.fromkeys(urls))

    def prefers_first(self, environ: Mapping[str, str]) -> bool:
        """Tell that it never does."""
        return False


def _build_constraints(spec: Spec) -> list[Path]:
    return [spec.source / name for name in spec.build_constraints]


def _common(spec: Spec, request: Request) -> list[str]:
    install = request.install
    words = [] if install.dependencies else ["--no-deps"]
    for name, values in (install.settings or {}).items():
        words += [w for value in values for w in ("--config-settings", f"{name}={value}")]
    words += list(spec.installer_args)
    require_no_credentials(words)
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
        path = shutil.which("python3", path=environ.get("PATH"))
        # The last one is that of an environment which pip made for this program.
        for python in dict.fromkeys(("/usr/bin/python3", path, sys.executable)):
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
        hint='Put uv on PATH (https://docs.astral.sh/uv/), or set installer = "auto".'
        if spec.installer == "uv"
        else "apt-get install python3-pip\nOr put uv on PATH (https://docs.astral.sh/uv/).",
    )


def read_pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings from its configuration files and PIP_* variables, by option name."""
    settings: dict[str, str] = {}
    for path in pip_files(environ):
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


def warn_of_mixed_indexes(plan: Plan, installer: Installer, environ: Mapping[str, str]) -> None:
    """Warn where several indexes are asked, and no hash tells whose file is meant (dependency confusion)."""
    if plan.spec.no_index or all(install.hashes or not install.dependencies for install in plan.installs):
        return
    asked = (*extra_indexes(plan.requirements.files), *installer.indexes(plan.spec, environ))
    shown = list(dict.fromkeys(redact(url) for url in asked))
    if len(shown) < 2:
        return
    name = installer.title.split()[0]
    if installer.prefers_first(environ):
        text = f"""{name} takes a name from the first of these indexes that has it: {", ".join(shown)}.
Is that the right order for names of your own? Pins with hashes make it safe (dependency confusion)."""
    else:
        text = f"""{name} takes the highest version that any of these indexes has: {", ".join(shown)}.
Who may upload to one of them can replace what is yours in another (dependency confusion). Pin everything with
hashes, or use uv, which takes a name from the first index that has it, or one index that serves all."""
    warn(text.replace("\n", " "))

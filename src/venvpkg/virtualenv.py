"""What the options and variables of dh-virtualenv 1.2.2 mean here: the keys of ours that they set."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from venvpkg.errors import VenvpkgError
from venvpkg.keys import BY_NAME
from venvpkg.spec import DEFAULT_ROOT

# As Getopt::Long declares them. -s is debhelper's own, and has the old meaning in dh_virtualenv alone.
OPTIONS = (
    "builtin-venv",
    "extra-pip-arg=s@",
    "extra-virtualenv-arg=s@",
    "install-suffix=s",
    "no-test",
    "pip-tool=s",
    "pypi-url=s",
    "setuptools",
    "setuptools-test",
    "skip-install",
    "sourcedirectory|D=s",
    "upgrade-pip",
    "upgrade-pip-to=s",
    "use-system-packages|S",
)
ROOT = "DH_VIRTUALENV_INSTALL_ROOT"
SUFFIX = "DH_VIRTUALENV_INSTALL_SUFFIX"
# What virtualenv puts into an environment, and dh-virtualenv leaves in the package.
SEED = ("pip", "setuptools")
# pip's options that are keys of ours: with a value, and without.
PIP_VALUES = {
    "-c": "constraints",
    "--constraint": "constraints",
    "-f": "find-links",
    "--find-links": "find-links",
    "-i": "index-url",
    "--index-url": "index-url",
    "--pypi-url": "index-url",
    "--extra-index-url": "extra-index-url",
    "--no-binary": "no-binary",
    "--only-binary": "only-binary",
    "--build-constraint": "build-constraints",
}
PIP_FLAGS = {
    "--no-index": ("no-index", "true"),
    "--require-hashes": ("require-hashes", "true"),
    "--no-build-isolation": ("build-isolation", "false"),
}
# What changes nothing here: there is no network cache in a package, bytecode is compiled at the end, and
# every project is built as PEP 517 says.
PIP_IDLE = frozenset(
    [
        "--no-cache-dir",
        "--no-compile",
        "--compile",
        "--use-pep517",
        "--no-use-pep517",
        "--disable-pip-version-check",
        "--no-input",
        "--no-warn-script-location",
        "--no-python-version-warning",
        "--ignore-installed",
        "-I",
        "--force-reinstall",
        "-q",
        "--quiet",
        "-v",
        "-vv",
        "-vvv",
        "--verbose",
        "--no-color",
        "--upgrade",
        "-U",
        "--progress-bar=off",
        "--isolated",
        "--use-feature=in-tree-build",
        "--use-deprecated=legacy-resolver",
        "--process-dependency-links",
        "--prefer-binary",
    ]
)
PIP_IDLE_VALUES = frozenset({"--cache-dir", "--log", "--progress-bar", "--use-feature", "--use-deprecated"})
VIRTUALENV_IDLE = frozenset(
    [
        "--no-site-packages",
        "--clear",
        "--no-download",
        "--never-download",
        "--download",
        "--quiet",
        "-q",
        "--verbose",
        "-v",
        "--symlinks",
        "--no-periodic-update",
        "--distribute",
        "--relocatable",
        "--unzip-setuptools",
        "--reset-app-data",
        "--no-vcs-ignore",
        "--upgrade-deps",
        "--creator=venv",
    ]
)
VIRTUALENV_IDLE_VALUES = frozenset({"--prompt", "--app-data", "--seeder", "--creator", "--activators"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Keys of ours."""

    values: Mapping[str, Sequence[str]]
    """Keys that options set, each with its words; see :func:`venvpkg.configuration.read_options`."""
    defaults: Mapping[str, object]
    """Keys that the files may set, with the values that dh-virtualenv's ways give them."""
    notes: tuple[str, ...]
    """What is not as it was, each with what replaces it and why."""


@dataclass(slots=True)
class _Draft:
    """A translation in the making."""

    values: dict[str, list[str]]
    seed: dict[str, str]
    """Distributions that are put into the environment first, each with its requirement."""
    notes: list[str] = field(default_factory=list)

    def set(self, name: str, *words: str) -> None:
        """Set a key, or add to a list."""
        known = self.values.get(name, []) if BY_NAME[name].kind == "list" else []
        self.values[name] = [*known, *words]


def translate(
    given: Mapping[str, Sequence[str]], environ: Mapping[str, str], source: Path, *, former: bool
) -> Translation:
    """Return what options and variables, dh-virtualenv's among them, set.

    Args:
        given: options with their values; flags have any.
        environ: the build's environment, for dh-virtualenv's variables.
        source: the source package's folder.
        former: the command is ``dh_virtualenv``, whose ways hold where nothing is said.

    Raises:
        VenvpkgError: ``config-invalid``, for options that exclude each other.
    """
    if "index-url" in given and "pypi-url" in given:
        raise VenvpkgError(
            code="config-invalid",
            message="--index-url and --pypi-url are two names of one option, and both are given.",
            hint="Leave --pypi-url out.",
        )
    ours = {name: list(words) for name, words in given.items() if name in BY_NAME}
    draft = _Draft(values=ours, seed=dict.fromkeys(SEED, "") if former else {})
    _take_variables(draft, environ)
    _take_place(draft, given, environ)
    _take_project(draft, given, source)
    _take_pip(draft, given)
    words = environ.get("DH_VIRTUALENV_ARGUMENTS", "").split()
    _take_virtualenv_arguments(draft, [*words, *given.get("extra-virtualenv-arg", ())])
    _take_pip_arguments(draft, given.get("extra-pip-arg", ()))
    if "use-system-packages" in given:
        draft.set("system-site-packages", "true")
    if "setuptools" in given:
        draft.seed.setdefault("setuptools", "")
    if "setuptools-test" in given:
        draft.notes.append(
            "--setuptools-test: setuptools has no command for tests since version 72. Put the tests into the "
            "key smoke, or into a target execute_after_: bin/python in the stage runs them"
        )
    defaults: dict[str, object] = {}
    if former:
        folder = draft.values.get("project", ["."])[-1]
        file = PurePosixPath("" if folder == "false" else folder, "requirements.txt")
        # Locks, which dh-virtualenv did not know, are for those who say so.
        defaults["requirements"] = [str(file)] if (source / file).is_file() else []
        defaults["seed"] = [f"{name}{rest}" for name, rest in draft.seed.items()]
    elif draft.seed:
        draft.notes.append(
            f"{', '.join(draft.seed)} would be in the environment for nothing: uv or Debian's pip installs "
            "(key installer), and each build gets what it requires (PEP 517). The key seed puts them there"
        )
    return Translation(values=draft.values, defaults=defaults, notes=tuple(draft.notes))


def _take_variables(draft: _Draft, environ: Mapping[str, str]) -> None:
    """Take those of dh-virtualenv's build system, ``--buildsystem=dh_virtualenv``."""
    if "DH_REQUIREMENTS_FILE" in environ and "requirements" not in draft.values:
        draft.set("requirements", environ["DH_REQUIREMENTS_FILE"])
    for name in ("pip", "setuptools", "wheel"):
        version = environ.get(f"DH_UPGRADE_{name.upper()}")
        if version is not None:
            draft.seed[name] = f"=={version}" if version else ">=0"
    _take_pip_arguments(draft, environ.get("DH_PIP_EXTRA_ARGS", "").split())


def _take_place(draft: _Draft, given: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> None:
    """Take where the environment goes: a folder, and a path below it."""
    own = _last(given, "install-root") or environ.get(BY_NAME["install-root"].variable)
    root = PurePosixPath(own or PurePosixPath("/", environ.get(ROOT) or DEFAULT_ROOT))
    suffix = _last(given, "install-suffix") or environ.get(SUFFIX, "")
    if environ.get(ROOT) and not own:
        draft.set("install-root", str(root))
    path = PurePosixPath(suffix.strip("/"))
    if path.name:
        draft.set("env-name", path.name)
        if len(path.parts) > 1:
            draft.set("install-root", str(root / path.parent))


def _take_project(draft: _Draft, given: Mapping[str, Sequence[str]], source: Path) -> None:
    """Take what is installed: the project in a folder, and a requirements file in the same."""
    folder = _last(given, "sourcedirectory")
    if folder:
        draft.set("project", folder)
    if "skip-install" in given:
        draft.set("project", "false")
    named = draft.values.pop("requirements", None)
    if named is None:
        return
    found = []
    for name in named:
        places = [str(PurePosixPath(folder, name)), name] if folder else [name]
        place = next((place for place in places if (source / place).is_file()), "")
        if place:
            found.append(place)
        else:
            draft.notes.append(
                f"there is no {places[0]}: nothing is installed from it, as with dh-virtualenv"
            )
    draft.values["requirements"] = found


def _take_pip(draft: _Draft, given: Mapping[str, Sequence[str]]) -> None:
    """Take which pip does the work, and from where."""
    if "pypi-url" in given:
        draft.set("index-url", given["pypi-url"][-1])
        draft.notes.append("--pypi-url is an old name of --index-url")
    wanted = _last(given, "upgrade-pip-to")
    if "upgrade-pip" in given or wanted:
        draft.seed["pip"] = f"=={wanted}" if wanted not in ("", "latest") else ">=0"
    tool = _last(given, "pip-tool")
    if tool in ("pip", "uv"):
        draft.set("installer", tool)
    elif tool:
        draft.notes.append(
            f"--pip-tool {tool}: installed is with uv or pip (key installer), which keep downloads and wheels"
        )


def _take_virtualenv_arguments(draft: _Draft, words: Iterable[str]) -> None:
    """Take options of virtualenv and venv."""
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name, has_value, value = word.partition("=")
        if word in VIRTUALENV_IDLE:
            continue
        if word == "--system-site-packages":
            draft.set("system-site-packages", "true")
        elif name in ("-p", "--python"):
            draft.set("python", value if has_value else (waiting.pop(0) if waiting else ""))
        elif word in ("--no-pip", "--without-pip", "--no-setuptools", "--no-wheel", "--no-seed"):
            gone = SEED if word == "--no-seed" else (word.rpartition("-")[2],)
            for one in gone:
                draft.seed.pop(one, None)
        elif word in ("--copies", "--always-copy"):
            draft.notes.append(
                f"{word}: bin/python is a link to Debian's Python, on which the package depends; "
                'interpreter = "bundled" puts a whole Python into the package'
            )
        elif name in VIRTUALENV_IDLE_VALUES:
            waiting[:] = waiting if has_value else waiting[1:]
        elif name in ("--pip", "--setuptools", "--wheel"):
            version = value if has_value else (waiting.pop(0) if waiting else "")
            draft.seed[name[2:]] = {"bundle": "", "embed": "", "": ""}.get(version, f"=={version}")
        elif name == "--extra-search-dir":
            draft.set("find-links", value if has_value else (waiting.pop(0) if waiting else ""))
        else:
            draft.notes.append(
                f"virtualenv's {word} has no meaning here: python3 -m venv makes the environment"
            )


def _take_pip_arguments(draft: _Draft, words: Iterable[str]) -> None:
    """Take options of pip install; what is no key of ours is pip's alone, and needs pip."""
    waiting = [part for word in words for part in _split(word)]
    others: list[str] = []
    while waiting:
        word = waiting.pop(0)
        name, has_value, value = word.partition("=")
        if name not in PIP_VALUES and word[:2] in PIP_VALUES and not word.startswith("--"):
            name, has_value, value = word[:2], "=", word[2:].strip()
        if word in PIP_IDLE:
            continue
        if name in PIP_IDLE_VALUES:
            waiting[:] = waiting if has_value else waiting[1:]
        elif word in PIP_FLAGS:
            draft.set(*PIP_FLAGS[word])
        elif name in PIP_VALUES and (has_value or waiting):
            told = value if has_value else waiting.pop(0)
            key = PIP_VALUES[name]
            draft.set(key, *(told.split(",") if key.endswith("-binary") else [told]))
        else:
            others.append(word)
    if others:
        draft.set("installer-args", *others)
        draft.values.setdefault("installer", ["pip"])


def _split(word: str) -> list[str]:
    """Return the options in a word, of which some write several into one."""
    if not word.startswith("-") or " -" not in word:
        return [word]
    try:
        return shlex.split(word)
    except ValueError:
        return [word]


def _last(given: Mapping[str, Sequence[str]], name: str) -> str:
    words = given.get(name, ())
    return words[-1] if words else ""

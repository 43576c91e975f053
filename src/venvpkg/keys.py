"""Every configuration key: its name, kind, default and meaning."""

from dataclasses import dataclass
from typing import Literal

KeyKind = Literal["string", "list", "bool", "project", "automatic", "choice", "expose", "table", "records"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of ``[tool.venvpkg]``."""

    name: str
    kind: KeyKind
    """``project`` is a string or false; ``automatic`` is true, false or unset; ``expose`` a list or "all";
    ``table`` and ``records`` have no command-line option."""
    meaning: str
    """One line for the reference."""
    choices: tuple[str, ...] = ()

    @property
    def has_option(self) -> bool:
        """Tell whether ``dh_venvpkg`` has an option, and the environment a variable, for the key."""
        return self.kind not in ("table", "records")

    @property
    def option(self) -> str:
        """Return the option as Getopt::Long declares it."""
        suffix = {"list": "=s@", "expose": "=s@", "bool": "!", "automatic": "!"}.get(self.kind, "=s")
        return self.name + suffix

    @property
    def variable(self) -> str:
        """Return the environment variable's name."""
        return "DH_VENVPKG_" + self.name.upper().replace("-", "_")


KEYS = (
    Key(
        name="python",
        kind="string",
        meaning='Which Python to package for: "python3", "3.12" or a path.',
    ),
    Key(
        name="interpreter",
        kind="choice",
        choices=("system", "bundled"),
        meaning="system links Debian's Python and depends on it; bundled ships one inside.",
    ),
    Key(
        name="install-root",
        kind="string",
        meaning="The folder that holds the environments, /opt/venvs by default.",
    ),
    Key(
        name="env-name",
        kind="string",
        meaning="The environment's folder under install-root; the binary package's name by default.",
    ),
    Key(
        name="project",
        kind="project",
        meaning='The project to install, "." by default; false installs requirements only.',
    ),
    Key(
        name="requirements",
        kind="list",
        meaning="Requirements files or a lock; found by default.",
    ),
    Key(name="extras", kind="list", meaning="Extras of the project to install."),
    Key(name="groups", kind="list", meaning="Dependency groups (PEP 735) to install."),
    Key(name="constraints", kind="list", meaning="Constraints files, as pip defines them."),
    Key(
        name="preinstall",
        kind="list",
        meaning="Requirements to install before everything else, for builds without isolation.",
    ),
    Key(
        name="seed",
        kind="list",
        meaning="Put pip, setuptools or wheel into the environment first: Debian's, or a version, pip==24.0.",
    ),
    Key(
        name="require-hashes",
        kind="automatic",
        meaning="Enforce hashes of the requirements; on where every pin has one.",
    ),
    Key(
        name="system-site-packages",
        kind="bool",
        meaning="Let the environment see Debian's own Python modules.",
    ),
    Key(
        name="installer",
        kind="choice",
        choices=("auto", "uv", "pip"),
        meaning="auto takes uv where there is one, else pip.",
    ),
    Key(name="installer-args", kind="list", meaning="Further arguments for the installer."),
    Key(name="index-url", kind="string", meaning="The index to use instead of PyPI."),
    Key(name="extra-index-url", kind="list", meaning="Indexes to use beside it."),
    Key(name="find-links", kind="list", meaning="Folders or pages that hold wheels and sdists."),
    Key(name="no-index", kind="bool", meaning="Use find-links only."),
    Key(name="no-binary", kind="list", meaning='Distributions to build from source, or ":all:".'),
    Key(name="only-binary", kind="list", meaning='Distributions to take as wheels only, or ":all:".'),
    Key(
        name="build-isolation",
        kind="bool",
        meaning="Build from source in an environment of its own (on by default).",
    ),
    Key(name="build-constraints", kind="list", meaning="Constraints for build requirements."),
    Key(
        name="config-settings",
        kind="table",
        meaning="Settings for build back ends (PEP 517): a table by distribution.",
    ),
    Key(
        name="build-depends",
        kind="list",
        meaning="Debian packages that the build needs, in debian/control's syntax.",
    ),
    Key(
        name="build-depends-of",
        kind="list",
        meaning="Debian source packages whose Build-Depends are wanted.",
    ),
    Key(
        name="install-build-depends",
        kind="bool",
        meaning="Let the dh step install what is missing, when it is really root.",
    ),
    Key(
        name="bytecode",
        kind="choice",
        choices=("build", "install", "none"),
        meaning="build ships .pyc files, install compiles in postinst, none does neither.",
    ),
    Key(
        name="strip",
        kind="choice",
        choices=("built", "none"),
        meaning="built sends what this build compiled through dh_dwz and dh_strip.",
    ),
    Key(
        name="prune",
        kind="list",
        meaning="What to leave out of the package: presets, and globs relative to the prefix.",
    ),
    Key(
        name="bundle-keep",
        kind="list",
        meaning="Parts of a bundled interpreter to keep: tests, idle, ensurepip, static, headers.",
    ),
    Key(name="layers", kind="bool", meaning="Two packages: the project, and the environment under it."),
    Key(name="expose", kind="expose", meaning='Programs to put on PATH; "all" are those of the project.'),
    Key(
        name="demote",
        kind="table",
        meaning='System libraries of a distribution become "Recommends" or "Suggests".',
    ),
    Key(name="hermetic", kind="bool", meaning="Scripts start Python with -I."),
    Key(
        name="compression",
        kind="choice",
        choices=("zstd", "xz", "gzip", "none"),
        meaning="How dpkg-deb compresses the source package's packages.",
    ),
    Key(name="smoke", kind="list", meaning="Commands to run against the staged environment."),
    Key(name="accept", kind="records", meaning="Findings to accept: code, path and reason."),
)

BY_NAME = {key.name: key for key in KEYS}

"""The only writer under debian/, with the Perl fronts, which do debhelper's part with its own library."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self

from venvpkg.configuration import read_configuration
from venvpkg.control import Package, relation_names
from venvpkg.depends import Needs
from venvpkg.errors import VenvpkgError
from venvpkg.evidence import Clash
from venvpkg.interpreter import Interpreter
from venvpkg.maintscripts import Snippet
from venvpkg.plan import STATE, Plan
from venvpkg.stage import Populated
from venvpkg.tree import Tree

# Keys whose values may hold credentials; what is handed on stays on the disk.
INDEX_KEYS = ("index-url", "extra-index-url", "find-links", "installer-args")
FIELDS = {"depends": "Depends", "recommends": "Recommends", "suggests": "Suggests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a front was called with."""

    packages: tuple[str, ...]
    """Binary packages to act on, after -a, -i, -p, -N and build profiles."""
    roots: Mapping[str, Path]
    """Each one's package build root, absolute."""
    options: Mapping[str, Sequence[str]]
    """Keys given on the command line, each with its values."""
    cross: bool = False
    """The package is for another architecture than that of this machine."""
    former: bool = False
    """The command is ``dh_virtualenv``."""
    scripts: bool = True
    """Maintainer scripts and triggers are wanted; not with ``--noscripts``."""

    @classmethod
    def from_json(cls, text: str, source: Path) -> Self:
        """Read what a front wrote to standard input."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            packages=tuple(values["packages"]),
            roots={name: source / folder for name, folder in values["roots"].items()},
            options=values.get("options", {}),
            cross=values.get("cross", False),
            former=values.get("former", False),
            scripts=values.get("scripts", True),
        )


@dataclass(slots=True)
class Answer:
    """What a front has to do with debhelper's library, in order."""

    actions: list[dict[str, str]] = field(default_factory=list)

    def add_depends(self, package: str, substvar: str, clauses: Sequence[str]) -> None:
        """Ask for ``addsubstvar``."""
        for clause in clauses:
            self.actions.append({"do": "substvar", "package": package, "name": substvar, "value": clause})

    def add_snippets(self, package: str, folder: Path, snippets: Sequence[Snippet]) -> None:
        """Write snippets into ``folder`` and ask for ``autoscript``."""
        folder.mkdir(parents=True, exist_ok=True)
        for snippet in snippets:
            (folder / snippet.script).write_text(snippet.text, encoding="utf-8")
            self.actions.append(
                {"do": "autoscript", "package": package, "script": snippet.script, "folder": str(folder)}
            )

    def add_trigger(self, package: str, path: str) -> None:
        """Ask for ``autotrigger``: this package wants to hear of changes of ``path``."""
        self.actions.append({"do": "trigger", "package": package, "type": "interest-noawait", "path": path})

    def to_json(self) -> str:
        """Return the actions for the front."""
        return json.dumps({"actions": self.actions})


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What dh_venvpkg hands on to the later steps of the same build."""

    values: Mapping[str, Any]
    """The configuration, key by key; those of :data:`INDEX_KEYS` are as the files have them."""
    interpreter: Interpreter
    """dpkg takes a while to say whose it is."""
    project: str
    """Normalized name of the project's distribution, or empty."""
    installer: str
    scratch: str
    """The temporary folder that builds ran in."""
    built: tuple[str, ...]
    """ELF files that this build compiled, relative to the prefix; dh_strip and dh_dwz see them."""
    scripts: bool = True
    """Maintainer scripts are wanted."""
    former: bool = False
    """``dh_virtualenv`` made the environment."""
    clashes: tuple[Clash, ...] = ()
    """Paths at which the installed distributions ship different bytes."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        populated: Populated,
        built: Iterable[PurePosixPath],
        clashes: Iterable[Clash],
        call: Call,
    ) -> Self:
        """Collect what the later steps have to know."""
        return cls(
            values=plan.spec.values,
            interpreter=plan.interpreter,
            project=populated.project,
            installer=populated.installer,
            scratch=populated.scratch,
            built=tuple(str(path) for path in built),
            clashes=tuple(clashes),
            scripts=call.scripts,
            former=call.former,
        )

    def save(self, plan: Plan, tree: Tree) -> None:
        """Write the state, what the fronts that hide read, and which files the environment has now."""
        plan.state.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in self.values.items() if name not in INDEX_KEYS}
        text = json.dumps({**asdict(self), "values": kept}, indent=1, default=str)
        (plan.state / "state.json").write_text(text, encoding="utf-8")
        hidden = {"prefix": str(plan.inside), "built": list(self.built)}
        (plan.state / "hide.json").write_text(json.dumps(hidden), encoding="utf-8")
        stamps = {str(entry.path): entry.stamp for entry in tree if entry.kind in ("file", "symlink")}
        (plan.state / "stamps.json").write_text(json.dumps(stamps), encoding="utf-8")

    @classmethod
    def load(cls, source: Path, package: str) -> Self | None:
        """Read the state of a package, if dh_venvpkg ran for it.

        Raises:
            VenvpkgError: what :func:`venvpkg.configuration.read_configuration` raises.
        """
        path = source / STATE / package / "state.json"
        if not path.is_file():
            return None
        values = json.loads(path.read_text(encoding="utf-8"))
        clashes = tuple(Clash(path=c["path"], names=tuple(c["names"])) for c in values["clashes"])
        told = read_configuration(source)
        again = {
            k: v for k, v in {**told.values, **told.packages.get(package, {})}.items() if k in INDEX_KEYS
        }
        return cls(
            **{
                **values,
                "values": {**again, **values["values"]},
                "interpreter": Interpreter.from_json(values["interpreter"]),
                "built": tuple(values["built"]),
                "clashes": clashes,
            }
        )


def changed_since_build(plan: Plan, tree: Tree) -> Tree:
    """Return what others wrote into the environment, or changed in it, after dh_venvpkg had made it."""
    stamps = json.loads((plan.state / "stamps.json").read_text(encoding="utf-8"))
    return Tree({path: e for path, e in tree.entries.items() if stamps.get(str(path)) != e.stamp})


def write_relations(answer: Answer, package: Package, needs: Needs) -> list[str]:
    """Ask for substvars, and return notes for fields that debian/control has not.

    What the interpreter and the standard library need goes into ``misc:`` variables, libraries into
    ``shlibs:`` ones, where dpkg-gencontrol merges them with what dh_shlibdeps found.
    """
    notes = []
    for prefix, dependencies in (("misc", needs.interpreter), ("shlibs", needs.libraries)):
        for level, title in FIELDS.items():
            clauses, name = getattr(dependencies, level), f"{prefix}:{title}"
            if clauses and level != "depends" and f"${{{name}}}" not in package.fields.get(title, ""):
                # dpkg-gencontrol warns of a variable that no field uses.
                notes.append(f"{title}: ${{{name}}} in debian/control would bring: {', '.join(clauses)}")
            else:
                answer.add_depends(package.name, name, clauses)
    return notes


def read_weaker(source: Path, package: str) -> dict[str, str]:
    """Return the packages that debian/rules put into weaker relationships, each with its level.

    That is done with ``dpkg-shlibdeps -p … -dRecommends``, whose substvars are there by now.
    """
    path = source / "debian" / f"{package}.substvars"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition("=")
        level = name.rstrip("?!").rpartition(":")[2].lower()
        if level in ("recommends", "suggests") and not name.startswith("misc:"):
            found |= {names[0]: level for names in relation_names(value) if names}
    return found


def refuse_cross_build(call: Call) -> None:
    """Refuse to build for another architecture.

    Raises:
        VenvpkgError: ``cross-build``.
    """
    if call.cross:
        raise VenvpkgError(
            code="cross-build",
            message="A cross build is not there yet.",
            causes=["The environment's interpreter has to run during the build."],
            hint="Build on the architecture that the package is for.",
        )

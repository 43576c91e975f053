"""Compares two packages, or two environments, for people and for debian/changelog."""

import hashlib
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from debian.deb822 import Deb822
from packaging.version import InvalidVersion, Version

from venvpkg.control import relation_names
from venvpkg.distributions import Distribution, read_distributions, text_of
from venvpkg.errors import printable
from venvpkg.evidence import find_environments, minor_of
from venvpkg.inventory import find_owners, measure, megabytes
from venvpkg.tree import Entry, Tree

RELATIONS = (
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Provides",
    "Replaces",
)
# Every build has others of these, or they follow from what else is told.
DERIVED_FIELDS = ("Installed-Size", *RELATIONS)
DERIVED = re.compile(
    r"DEBIAN/(control|md5sums)|.*\.dist-info/RECORD|.*/venvpkg\.json"
    r"|usr/share/doc/[^/]+/(changelog[^/]*|sbom\.cdx\.json)"
)
SHOWN = 20
Pair = tuple[str, str]
"""Before and after; empty for what is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is compared of one package."""

    fields: Mapping[str, str]
    """Those of its control file; none where only an environment is at hand."""
    prefixes: tuple[str, ...]
    pythons: tuple[str, ...]
    distributions: Mapping[str, Distribution]
    sizes: Mapping[str, int]
    """Bytes of each distribution."""
    size: int
    """Bytes of all files."""
    prints: Mapping[str, str]
    """Kind, mode, and target or hash of all files, folders and links, by path from the prefix or the root."""
    owners: Mapping[str, str]
    """Which distribution a file is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs between two packages; empty where nothing does."""

    fields: Mapping[str, Pair] = field(default_factory=dict)
    """Control fields, relationships aside."""
    prefix: Pair | None = None
    python: Pair | None = None
    distributions: Mapping[str, Pair] = field(default_factory=dict)
    """Versions of those that came, went or changed."""
    rebuilt: tuple[str, ...] = ()
    """Distributions that have the same version and other files."""
    relations: Mapping[str, Mapping[str, Pair]] = field(default_factory=dict)
    """Clauses by field, and by the name of their first package."""
    scripts: Mapping[str, Pair] = field(default_factory=dict)
    """Entry points, with what they call."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files that none of the above explains: ``added``, ``removed``, ``changed``."""
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes of the distributions whose size differs, and of all files under the name ``total``."""

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return any(getattr(self, name) for name in self.__dataclass_fields__)

    def to_json(self) -> str:
        """Return the difference as JSON, with ``different`` beside the fields."""
        return json.dumps({"different": bool(self), **asdict(self)}, indent=2)

    def to_text(self) -> str:
        """Return the difference for people, a paragraph for each kind."""
        titled: list[tuple[str, list[str]]] = [
            ("control", [f"{name}: {_arrow(pair)}" for name, pair in self.fields.items()]),
            ("prefix", [_arrow(self.prefix)] if self.prefix else []),
            ("Python", [_arrow(self.python)] if self.python else []),
            ("distributions", [self._describe(name) for name in self.distributions]),
            ("the same version, with other files", list(self.rebuilt)),
        ]
        titled += [
            (name, [_arrow(pair) for pair in clauses.values()]) for name, clauses in self.relations.items()
        ]
        titled += [
            ("entry points", [f"{name}: {_arrow(pair)}" for name, pair in self.scripts.items()]),
            ("other files", [f"{how} {path}" for path, how in self.files.items()]),
        ]
        lines = []
        for title, found in titled:
            if found:
                lines += [title, *(f"  {line}" for line in found[:SHOWN])]
                lines += [f"  … and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        if "total" in self.sizes:
            before, after = self.sizes["total"]
            lines.append(f"size: {megabytes(before)} -> {megabytes(after)} ({_signed(after - before)})")
        return "\n".join(map(printable, lines))

    def to_changelog(self) -> str:
        """Return lines that fit under an entry of debian/changelog (deb-changelog(5))."""
        return "\n".join(
            textwrap.fill(
                printable(text),
                78,
                initial_indent="  * ",
                subsequent_indent="    ",
                break_on_hyphens=False,
                break_long_words=False,
            )
            for text in self._sentences()
        )

    def _describe(self, name: str) -> str:
        before, after = self.sizes.get(name, (0, 0))
        sized = f" ({_signed(after - before)})" if before != after else ""
        old, new = self.distributions[name]
        if old and new:
            return f"{name} {old} -> {new}{sized}"
        return f"{'+' if new else '-'} {name} {new or old}{sized}"

    def _sentences(self) -> Iterator[str]:
        if self.python:
            yield f"Build for Python {self.python[1]} instead of {self.python[0]}."
        if self.prefix:
            yield f"Move from {self.prefix[0]} to {self.prefix[1]}."
        for name, (old, new) in self.distributions.items():
            if old and new:
                verb = "Downgrade" if _is_older(new, old) else "Update"
                yield f"{verb} {name} from {old} to {new}."
            else:
                yield f"Add {name} {new}." if new else f"Remove {name} {old}."
        if self.rebuilt:
            yield f"Rebuild {', '.join(self.rebuilt)}."
        for title, clauses in self.relations.items():
            for old, new in clauses.values():
                if old and new:
                    yield f"{title}: {new} instead of {old}."
                else:
                    yield f"{title}: add {new}." if new else f"{title}: remove {old}."
        for name, (old, new) in self.scripts.items():
            if old and new:
                yield f"The command {name} calls {new} instead of {old}."
            else:
                yield f"{'Add' if new else 'Remove'} the command {name}."
        for path, how in self.files.items():
            yield f"{how.capitalize()}: {path}."


def describe_side(tree: Tree, control: Mapping[str, str] | None) -> Side:
    """Return what is compared of a tree, which is walked once.

    Args:
        tree: a package with DEBIAN/, or an environment, whose paths are those on the server.
        control: the package's fields, where the tree has no DEBIAN/control.
    """
    if control is None:
        text = text_of(tree, PurePosixPath("DEBIAN/control"))
        control = next(iter(Deb822.iter_paragraphs(text, use_apt_pkg=False)), {})
    environments = find_environments(tree)
    distributions: dict[str, Distribution] = {}
    sizes: dict[str, int] = {}
    owners: dict[str, str] = {}
    several = len(environments) > 1
    for inside in environments:
        environment = tree.below(inside)
        # The same distribution may be in two environments.
        label = f" in /{inside}" if several else ""
        found = read_distributions(environment)
        distributions |= {d.name + label: d for d in found}
        sizes |= {name + label: size for name, size in measure(environment, found).items()}
        for path, name in find_owners(environment, found).items():
            owners[_key(inside / path, environments)] = name + label
    return Side(
        fields=dict(control),
        prefixes=tuple(f"/{inside}" for inside in environments),
        pythons=tuple(minor_of(tree, inside) for inside in environments),
        distributions=distributions,
        sizes=sizes,
        size=sum(entry.size for entry in tree.files()),
        prints=dict(_prints(tree, environments)),
        owners=owners,
    )


def _prints(tree: Tree, environments: list[PurePosixPath]) -> Iterator[tuple[str, str]]:
    hashes: dict[PurePosixPath, str] = {}
    for entry in tree.walk():
        if entry.kind == "file" and not entry.target:
            hashes[entry.path] = hashlib.sha256(entry.load()).hexdigest()
    for entry in tree:
        if entry.path.parts == ("DEBIAN",):
            continue
        if entry.path.parts[0] == "DEBIAN" and entry.path not in hashes and entry.kind == "file":
            hashes[entry.path] = hashlib.sha256(entry.load()).hexdigest()
        yield _key(entry.path, environments), _print(entry, hashes)


def _print(entry: Entry, hashes: Mapping[PurePosixPath, str]) -> str:
    content = entry.target
    if entry.kind == "file":
        content = hashes[PurePosixPath(entry.target) if entry.target else entry.path]
    mode = "" if entry.kind == "symlink" else f"{entry.mode:04o}"
    return f"{entry.kind} {mode} {content}"


def _key(path: PurePosixPath, environments: list[PurePosixPath]) -> str:
    """Return the name under which a file is compared: from the prefix, where there is but one."""
    if len(environments) == 1 and path.is_relative_to(environments[0]):
        return str(PurePosixPath("PREFIX") / path.relative_to(environments[0]))
    return str(path)


def compare(before: Side, after: Side) -> Difference:
    """Return what differs between two packages or environments."""
    versions = _pairs(
        {name: d.version for name, d in before.distributions.items()},
        {name: d.version for name, d in after.distributions.items()},
    )
    explained = set(versions)
    # Another Python has another folder of modules; another prefix is in every script and in all bytecode.
    follows = ["PREFIX/lib/python3*", "PREFIX/bin/python*"] if before.pythons != after.pythons else []
    follows += ["PREFIX/bin/*", "PREFIX/pyvenv.cfg", "*.pyc"] if before.prefixes != after.prefixes else []
    differing = [
        path
        for path in sorted(before.prints.keys() | after.prints.keys())
        if before.prints.get(path) != after.prints.get(path)
        and not any(fnmatchcase(path, pattern) for pattern in follows)
    ]
    rebuilt = {
        owner
        for path in differing
        for owner in (before.owners.get(path, ""), after.owners.get(path, ""))
        if owner and owner not in explained and not DERIVED.fullmatch(path)
    }
    explained |= rebuilt
    files: dict[str, str] = {}
    derived: dict[str, str] = {}
    folders = {str(p) for path in differing for p in PurePosixPath(path).parents}
    for path in differing:
        # A folder comes and goes with what is in it.
        if path in folders and not (path in before.prints and path in after.prints):
            continue
        if explained & {before.owners.get(path, ""), after.owners.get(path, "")}:
            continue
        how = "added" if path not in before.prints else "removed" if path not in after.prints else "changed"
        (derived if DERIVED.fullmatch(path) else files)[path] = how
    found = Difference(
        fields=_pairs(_own_fields(before.fields), _own_fields(after.fields)),
        prefix=_changed(before.prefixes, after.prefixes),
        python=_changed(before.pythons, after.pythons),
        distributions=versions,
        rebuilt=tuple(sorted(rebuilt)),
        relations=_relations(before.fields, after.fields),
        scripts=_pairs(_scripts(before), _scripts(after)),
        files=files,
        sizes=_sizes(before, after),
    )
    # What follows from other differences is told where there is no other.
    return found if found else Difference(files=derived)


def _relations(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, dict[str, Pair]]:
    found = {
        name: _pairs(_clauses(before.get(name, "")), _clauses(after.get(name, ""))) for name in RELATIONS
    }
    return {name: pairs for name, pairs in found.items() if pairs}


def _clauses(text: str) -> dict[str, str]:
    """Return the clauses of a field by the names in them, versions of one name together."""
    clauses: dict[str, list[str]] = {}
    for clause in (c for c in text.split(",") if c.strip()):
        (names,) = relation_names(clause)
        clauses.setdefault(" | ".join(names), []).append(" ".join(clause.split()))
    return {name: ", ".join(sorted(found)) for name, found in clauses.items()}


def _own_fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in DERIVED_FIELDS}


def _scripts(side: Side) -> dict[str, str]:
    return {name: target for d in side.distributions.values() for name, target in d.scripts.items()}


def _sizes(before: Side, after: Side) -> dict[str, tuple[int, int]]:
    names = sorted(before.sizes.keys() | after.sizes.keys())
    pairs = {name: (before.sizes.get(name, 0), after.sizes.get(name, 0)) for name in names}
    pairs["total"] = (before.size, after.size)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _pairs(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Pair]:
    names = sorted(before.keys() | after.keys())
    pairs = {name: (before.get(name, ""), after.get(name, "")) for name in names}
    return {name: pair for name, pair in pairs.items() if before.get(name) != after.get(name)}


def _changed(before: tuple[str, ...], after: tuple[str, ...]) -> Pair | None:
    return (", ".join(before), ", ".join(after)) if before != after else None


def _is_older(one: str, other: str) -> bool:
    try:
        return Version(one) < Version(other)
    except InvalidVersion:
        return False


def _arrow(pair: Pair) -> str:
    old, new = pair
    return f"{old} -> {new}" if old and new else f"+ {new}" if new else f"- {old}"


def _signed(size: int) -> str:
    return f"{'+' if size >= 0 else '-'}{megabytes(abs(size))}"

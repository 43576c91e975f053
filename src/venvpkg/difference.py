"""Compares two packages, or two environments, for people and for debian/changelog."""

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from debian.deb822 import Deb822, PkgRelation
from packaging.version import InvalidVersion, Version

from venvpkg.control import canonical_fields, relation_names
from venvpkg.distributions import Distribution, find_owners, read_distributions, text_of
from venvpkg.errors import printable
from venvpkg.evidence import find_environments, minor_of
from venvpkg.inventory import measure, megabytes
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
# Of an installed package no others are known; see venvpkg.inspection.read_owner.
ASKED = RELATIONS[:4]
# Every build has others of these, or they follow from what else is told.
DERIVED_FIELDS = ("Installed-Size", *RELATIONS)
DERIVED = re.compile(
    r"DEBIAN/(control|md5sums)|.*\.dist-info/RECORD|.*/venvpkg\.json|.*/site-packages/venvpkg_selfcheck\.py"
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
    inner_size: int
    """Bytes of the files below the prefixes."""
    whole: bool
    """It is a package, and not an environment alone."""
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
    rebuilt: Mapping[str, int] = field(default_factory=dict)
    """Distributions that have the same version and other files, and how many."""
    relations: Mapping[str, Mapping[str, Pair]] = field(default_factory=dict)
    """Clauses by field, and by the name of their first package."""
    scripts: Mapping[str, Pair] = field(default_factory=dict)
    """Entry points, with what they call."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files that none of the above explains, by path in the package: ``added``, ``removed``, ``changed``,
    ``mode changed`` where nothing else is, and ``target changed`` of a link."""
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes of the distributions whose size differs."""
    size: tuple[int, int] | None = None
    """Bytes of all files."""

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
            (
                "the same version, with other files",
                [f"{name} ({_count(files)})" for name, files in self.rebuilt.items()],
            ),
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
        if self.size:
            before, after = self.size
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
        if self.prefix and all(self.prefix):
            yield f"Move from {self.prefix[0]} to {self.prefix[1]}."
        elif self.prefix:
            old, new = self.prefix
            yield f"Add the environment {new}." if new else f"Remove the environment {old}."
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
        fields=canonical_fields(control),
        prefixes=tuple(f"/{inside}" for inside in environments),
        pythons=tuple(minor_of(tree, inside) for inside in environments),
        distributions=distributions,
        sizes=sizes,
        size=sum(entry.size for entry in tree.files()),
        inner_size=sum(e.size for e in tree.files() if any(e.path.is_relative_to(i) for i in environments)),
        # A package has the folders above a prefix, too.
        whole=not environments or any(not entry.path.is_relative_to(environments[0]) for entry in tree),
        prints=dict(_prints(tree, environments)),
        owners=owners,
    )


def _prints(tree: Tree, environments: list[PurePosixPath]) -> Iterator[tuple[str, str]]:
    hashes: dict[PurePosixPath, str] = {}
    for entry in tree.walk():
        if entry.kind == "file":
            # A hard link comes after its original, which may be a hard link itself.
            original = hashes.get(PurePosixPath(entry.target)) if entry.target else None
            hashes[entry.path] = original or entry.digest().hex()
    for entry in tree:
        # The folders that lead to an environment go where it goes.
        leading = any(inside.is_relative_to(entry.path) for inside in environments)
        if entry.path.parts == ("DEBIAN",) or (entry.kind == "folder" and leading):
            continue
        if entry.path.parts[0] == "DEBIAN" and entry.path not in hashes and entry.kind == "file":
            hashes[entry.path] = entry.digest().hex()
        yield _key(entry.path, environments), _print(entry, hashes)


def _print(entry: Entry, hashes: Mapping[PurePosixPath, str]) -> str:
    content = hashes[entry.path] if entry.kind == "file" else entry.target
    mode = "" if entry.kind == "symlink" else f"{entry.mode:04o}"
    return f"{entry.kind} {mode} {content}"


def _key(path: PurePosixPath, environments: list[PurePosixPath]) -> str:
    """Return the name under which a file is compared: from its environment's prefix."""
    for number, inside in enumerate(environments, 1):
        if path.is_relative_to(inside):
            name = "PREFIX" if len(environments) == 1 else f"PREFIX{number}"
            return str(PurePosixPath(name) / path.relative_to(inside))
    return str(path)


def compare(before: Side, after: Side) -> Difference:
    """Return what differs between two packages or environments.

    An environment alone is compared with that of a package, and with nothing else that the package has.
    Environments are paired by prefix; the only one that is left on each side is a pair as well.
    """
    if before.whole != after.whole:
        before, after = _narrow(before, after), _narrow(after, before)
    pairs = _pair(before.prefixes, after.prefixes)
    prefixes = [(before.prefixes[one], after.prefixes[other]) for one, other in pairs]
    pythons = [(before.pythons[one], after.pythons[other]) for one, other in pairs]
    gone = tuple(p for n, p in enumerate(before.prefixes) if n not in {one for one, _ in pairs})
    come = tuple(p for n, p in enumerate(after.prefixes) if n not in {other for _, other in pairs})
    follows = list(_consequences(prefixes, pythons))
    several = max(len(before.prefixes), len(after.prefixes)) > 1
    shown: dict[str, str] = {}
    aligned = []
    for at, side in enumerate((before, after)):
        numbers = [pair[at] for pair in pairs]
        places = {number: f"PAIR{place}" for place, number in enumerate(numbers)}
        minors = {n: old_new[at] for n, old_new in zip(numbers, pythons, strict=True) if _differ(old_new)}
        names = _align(side, places, minors, "AFTER" if at else "BEFORE")
        shown |= {name: _path_in(side, path) for path, name in names.items()}
        # The environments of a pair have one name, which is that of the later one.
        later = {n: new for n, (_, new) in zip(numbers, prefixes, strict=True)} if several else None
        aligned.append(_renamed(side, names, later))
    before, after = aligned
    versions = _pairs(
        {name: d.version for name, d in before.distributions.items()},
        {name: d.version for name, d in after.distributions.items()},
    )
    both = before.prints.keys() & after.prints.keys()
    differing = [
        path
        for path in sorted(before.prints.keys() | after.prints.keys())
        if before.prints.get(path) != after.prints.get(path)
        and not (path in both and any(fnmatchcase(path, pattern) for pattern in follows))
    ]
    rebuilt = Counter(
        owner
        for path in differing
        for owner in {before.owners.get(path, ""), after.owners.get(path, "")}
        if owner and owner not in versions and not DERIVED.fullmatch(path)
    )
    explained = {*versions, *rebuilt}
    files: dict[str, str] = {}
    derived: dict[str, str] = {}
    folders = {str(p) for path in differing for p in PurePosixPath(path).parents}
    for path in differing:
        # A folder comes and goes with what is in it.
        if path in folders and path not in both:
            continue
        if explained & {before.owners.get(path, ""), after.owners.get(path, "")}:
            continue
        how = _tell(before.prints.get(path), after.prints.get(path))
        (derived if DERIVED.fullmatch(path) else files)[shown[path]] = how
    found = Difference(
        fields=_pairs(_own_fields(before.fields), _own_fields(after.fields)),
        prefix=_join([*filter(_differ, prefixes), *((p, "") for p in gone), *(("", p) for p in come)]),
        python=_join(filter(_differ, pythons)),
        distributions=versions,
        rebuilt=dict(sorted(rebuilt.items())),
        relations=_relations(before.fields, after.fields),
        scripts=_pairs(_scripts(before), _scripts(after)),
        files=dict(sorted(files.items())),
        sizes=_sizes(before, after),
        size=(before.size, after.size) if before.size != after.size else None,
    )
    # What follows from other differences is told where there is no other.
    return (
        found if replace(found, size=None, sizes={}) else replace(found, files=dict(sorted(derived.items())))
    )


def _narrow(side: Side, other: Side) -> Side:
    """Return what a side has of its environments, and of the fields that both sides can know."""
    # An environment that no package installed has no field.
    asked = ASKED if "Package" in other.fields else ()
    return replace(
        side,
        fields={name: v for name, v in side.fields.items() if name in other.fields or name in asked},
        prints={path: shape for path, shape in side.prints.items() if _number(side, path) is not None},
        size=side.inner_size,
    )


def _pair(before: tuple[str, ...], after: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return which environments of two sides are compared, by their numbers."""
    pairs = [(number, after.index(prefix)) for number, prefix in enumerate(before) if prefix in after]
    left = [number for number, prefix in enumerate(before) if prefix not in after]
    right = [number for number, prefix in enumerate(after) if prefix not in before]
    return pairs + ([(left[0], right[0])] if len(left) == len(right) == 1 else [])


def _align(side: Side, places: Mapping[int, str], minors: Mapping[int, str], alone: str) -> dict[str, str]:
    """Return, for each path of a side, the name that it is compared by.

    Args:
        side: what has the paths.
        places: environments of the side by number, each with what its pair is called.
        minors: those with another Python than their pair's, each with its own minor version.
        alone: what an environment without a pair is called.
    """
    names = {}
    for path in side.prints.keys() | side.owners.keys():
        number = _number(side, path)
        if number is None:
            names[path] = path
            continue
        inside = path.partition("/")[2]
        if number in minors:
            minor = re.escape(minors[number])
            inside = re.sub(rf"^(lib|bin)/python{minor}(?=/|$)", r"\1/python3", inside)
            inside = re.sub(rf"\.cpython-{minors[number].replace('.', '')}(?=[.-])", ".cpython-3", inside)
        names[path] = f"{places.get(number, f'{alone}{number}')}/{inside}"
    return names


def _renamed(side: Side, names: Mapping[str, str], prefixes: Mapping[int, str] | None) -> Side:
    """Return a side with other names for paths, and with these prefixes after distributions' names."""
    labels = {}
    for label, d in side.distributions.items():
        # What follows a distribution's name tells its environment, where there are several.
        number = side.prefixes.index(label[len(d.name) + len(" in ") :]) if label != d.name else 0
        prefix = (prefixes or {}).get(number, side.prefixes[number])
        labels[label] = d.name if prefixes is None else f"{d.name} in {prefix}"
    return replace(
        side,
        distributions={labels[label]: d for label, d in side.distributions.items()},
        sizes={labels[label]: size for label, size in side.sizes.items()},
        prints={names[path]: shape for path, shape in side.prints.items()},
        owners={names[path]: labels[label] for path, label in side.owners.items()},
    )


def _number(side: Side, path: str) -> int | None:
    """Return the number of the environment that a path of :func:`_key` begins with."""
    found = re.match(r"PREFIX([1-9][0-9]*)?/", path)
    number = int(found[1] or 1) - 1 if found else len(side.prefixes)
    return number if number < len(side.prefixes) else None


def _consequences(prefixes: Iterable[Pair], pythons: Iterable[Pair]) -> Iterator[str]:
    """Yield patterns of what differs in a pair of environments because its prefix or its Python does."""
    for number, (prefix, python) in enumerate(zip(prefixes, pythons, strict=True)):
        patterns = {"bin/python*", "pyvenv.cfg", "*.pyc"} if _differ(python) else set()
        # All scripts name the prefix.
        patterns |= {"bin/*", "pyvenv.cfg", "*.pyc"} if _differ(prefix) else set()
        yield from (f"PAIR{number}/{pattern}" for pattern in sorted(patterns))


def _path_in(side: Side, path: str) -> str:
    number = _number(side, path)
    return path if number is None else f"{side.prefixes[number].lstrip('/')}/{path.partition('/')[2]}"


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
        text = PkgRelation.str(PkgRelation.parse_relations(clause))
        clauses.setdefault(" | ".join(names), []).append(text)
    return {name: ", ".join(sorted(found)) for name, found in clauses.items()}


def _own_fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in DERIVED_FIELDS}


def _scripts(side: Side) -> dict[str, str]:
    # What follows a distribution's name tells its environment, where there are several.
    return {
        name + label[len(d.name) :]: target
        for label, d in side.distributions.items()
        for name, target in d.scripts.items()
    }


def _sizes(before: Side, after: Side) -> dict[str, tuple[int, int]]:
    names = sorted(before.sizes.keys() | after.sizes.keys())
    pairs = {name: (before.sizes.get(name, 0), after.sizes.get(name, 0)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _pairs(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Pair]:
    names = sorted(before.keys() | after.keys())
    pairs = {name: (before.get(name, ""), after.get(name, "")) for name in names}
    return {name: pair for name, pair in pairs.items() if before.get(name) != after.get(name)}


def _differ(pair: Pair) -> bool:
    return pair[0] != pair[1]


def _join(pairs: Iterable[Pair]) -> Pair | None:
    """Return all that was before, and all that came after; none where nothing did."""
    both = list(zip(*dict.fromkeys(pairs), strict=True))
    return (", ".join(filter(None, both[0])), ", ".join(filter(None, both[1]))) if both else None


def _is_older(one: str, other: str) -> bool:
    try:
        return Version(one) < Version(other)
    except InvalidVersion:
        return False


def _tell(before: str | None, after: str | None) -> str:
    """Return what happened to a file, from what :func:`_print` gave of it."""
    if before is None or after is None:
        return "removed" if before else "added"
    (kind, mode, content), (new_kind, new_mode, new_content) = before.split(" ", 2), after.split(" ", 2)
    if kind == new_kind == "symlink":
        return "target changed"
    return "mode changed" if (kind, content) == (new_kind, new_content) and mode != new_mode else "changed"


def _count(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


def _arrow(pair: Pair) -> str:
    old, new = pair
    return f"{old} -> {new}" if old and new else f"+ {new}" if new else f"- {old}"


def _signed(size: int) -> str:
    return f"{'+' if size >= 0 else '-'}{megabytes(abs(size))}"

"""What an environment needs of the system: everything that goes into Depends, Recommends and Suggests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from venvpkg.contents import Contents
from venvpkg.control import Dependencies, format_relations, relation_names
from venvpkg.distributions import Distribution
from venvpkg.elf import Elf
from venvpkg.errors import VenvpkgError
from venvpkg.plan import BUNDLE, Plan
from venvpkg.process import Runner
from venvpkg.report import Finding
from venvpkg.shlibs import (
    OPTIONAL,
    External,
    Link,
    Missing,
    Scan,
    explain_missing,
    host_machine,
    link_objects,
    optional_module,
    owners_beyond,
    resolve,
    seal_libraries,
)
from venvpkg.smoke import Smoke
from venvpkg.stdlib import Import, require_packaged, split_dependencies
from venvpkg.system import System
from venvpkg.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The relationships of an environment, by where they come from."""

    interpreter: Dependencies
    """The interpreter and split-off parts of the standard library; ``misc:`` substvars."""
    libraries: Dependencies
    """Shared libraries, and packages whose files the smoke run used; ``shlibs:`` substvars."""
    links: tuple[Link, ...]
    notes: tuple[str, ...]
    above: "Needs | None" = None
    """Of a layered environment what the project's own package needs beside the other one's."""

    def describe(self) -> list[str]:
        """Return the clauses of Depends, for the log."""
        above = self.above.describe() if self.above else []
        return list(dict.fromkeys([*self.interpreter.depends, *self.libraries.depends, *above]))

    def weaken(self, levels: Mapping[str, str]) -> "Needs":
        """Return the needs without those libraries' packages in Depends that have another level already."""
        kept = tuple(c for c in self.libraries.depends if relation_names(c)[0][0] not in levels)
        return replace(self, libraries=replace(self.libraries, depends=kept))

    def clauses(self) -> list[str]:
        """Return every relationship with its field, but for those of the package above."""
        found = {"misc": self.interpreter, "shlibs": self.libraries}
        levels = ("depends", "recommends", "suggests")
        return [f"{k}:{n}: {c}" for k, d in found.items() for n in levels for c in getattr(d, n)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What an environment's files tell of its needs, without anything of it running."""

    elves: Mapping[PurePosixPath, Elf]
    """Those of the interpreter's machine."""
    symbols: Mapping[PurePosixPath, int]
    """Bytes of debug information and symbols in each of these."""
    imports: tuple[Import, ...]
    """Of parts of the standard library that Debian has in packages of their own."""


def survey(plan: Plan, contents: Mapping[PurePosixPath, Contents]) -> Survey:
    """Take what the files of an environment tell, by path relative to the prefix."""
    machine = host_machine(plan.interpreter.path)
    elves = {
        path: found.elf
        for path, found in contents.items()
        if found.elf and machine in (None, (found.elf.machine, found.elf.bits))
    }
    imports = tuple(
        Import(path=path, module=module, certain=certain)
        for path, found in contents.items()
        # The standard library's own imports of its parts are guarded, and some are for other systems.
        if path.parts[0] != BUNDLE
        for module, certain in found.imports
    )
    return Survey(elves=elves, symbols={path: contents[path].symbols for path in elves}, imports=imports)


def compute(
    plan: Plan,
    tree: Tree,
    found: Survey,
    distributions: Sequence[Distribution],
    smoke: Smoke,
    project: str,
    scan: Scan,
) -> Needs:
    """Return what the environment needs.

    Args:
        plan: where it is built, and for what.
        tree: the environment as it will ship.
        found: what its files tell.
        distributions: those that it has.
        smoke: what came of running it.
        project: normalized name of the project's distribution, or empty.
        scan: how dpkg is asked.

    Raises:
        VenvpkgError: ``soname-not-found``, ``shlibdeps-failed``, ``split-module-not-packaged``,
            ``split-module-gone``.
    """
    notes: list[str] = []
    run, elves = scan.run, found.elves
    used = [*smoke.mapped, *smoke.modules.values()]
    inside = [p for p in used if PurePosixPath(p).is_relative_to(plan.prefix)]
    outside = [p for p in used if p not in inside]
    system = System.read(run, outside)
    links = link_objects(elves, plan.prefix, system, inside)
    split = _split(plan, found.imports, distributions, smoke, project, run)
    wanted = {package for clause in relation_names(", ".join(split.depends)) for package in clause}
    unused = {path for path in elves if OPTIONAL.get(optional_module(path), "") not in {"", *wanted}}
    # What the project needs changes with it, and must not change the package under it.
    own = (
        frozenset(p for d in distributions if d.name == project for p in d.files) if plan.spec.layers else ()
    )
    missing = [link for link in links if isinstance(link, Missing) and not _accepts(plan, link)]
    missing = [link for link in missing if link.object not in unused]
    if missing:
        raise explain_missing(missing, plan.prefix, run)
    if scan.memory.cache.folder:
        scan = replace(scan, seal=seal_libraries(plan, tree, elves, system, scan.memory.digests))
    below, above = ([k for k in links if (k.object in own) is is_own] for is_own in (False, True))
    libraries = resolve(plan, elves, below, distributions, scan, unused)
    more = resolve(plan, elves, above, distributions, scan, unused) if above else Dependencies()
    if plan.bundled:
        # OpenSSL and zoneinfo look where Debian has their data; all else of the standard library is inside.
        interpreter = Dependencies(depends=("ca-certificates", "tzdata"))
    else:
        interpreter = Dependencies(
            depends=(plan.interpreter.package, *split.depends), suggests=split.suggests
        )
    known = format_relations(
        [
            *interpreter.depends,
            # What a guarded import found here is not needed for that.
            *interpreter.suggests,
            *libraries.depends,
            *libraries.recommends,
            *libraries.suggests,
            *more.depends,
            *more.recommends,
            *more.suggests,
        ]
    )
    # dpkg-shlibdeps has nothing to say of a library that is needed by another name than its soname.
    reasons = {
        system.sonames[link.soname]: link.object
        for link in links
        if isinstance(link, External) and link.object not in unused
    }
    for package, path in owners_beyond([*outside, *reasons], known, system).items():
        user = f"{plan.prefix / reasons[path]} needs" if path in reasons else "the smoke run used"
        notes.append(f"{package} was added to Depends: {user} {path}")
        # What the run used without a header's saying so, the project may have asked for.
        if plan.spec.layers and reasons.get(path) in (None, *own):
            more = replace(more, depends=(*more.depends, package))
        else:
            libraries = replace(libraries, depends=(*libraries.depends, package))
    if not plan.spec.layers:
        return Needs(interpreter=interpreter, libraries=libraries, links=links, notes=tuple(notes))
    base = tuple(clause for clause in interpreter.depends if clause not in split.depends)
    return Needs(
        interpreter=Dependencies(depends=base),
        libraries=libraries,
        links=links,
        notes=tuple(notes),
        above=Needs(interpreter=split, libraries=more, links=(), notes=()),
    )


def _accepts(plan: Plan, link: Missing) -> bool:
    finding = Finding(code="V007", path=str(plan.inside / link.object), message="")
    return any(record.covers(finding) for record in plan.spec.accept)


def _split(
    plan: Plan,
    imports: Sequence[Import],
    distributions: Sequence[Distribution],
    smoke: Smoke,
    project: str,
    run: Runner,
) -> Dependencies:
    loaded = frozenset(
        PurePosixPath(p).relative_to(plan.prefix)
        for p in smoke.modules.values()
        if PurePosixPath(p).is_relative_to(plan.prefix)
    )
    own = frozenset(path for d in distributions if d.name == project for path in d.files)
    minor = plan.interpreter.minor
    dependencies, gone = split_dependencies(imports, own, loaded, distributions, minor)
    if gone:
        raise VenvpkgError(
            code="split-module-gone",
            message=f"The project imports {', '.join(gone)}, which Python {plan.interpreter.minor} has not.",
            hint="Change the import, add setuptools for distutils, or package for an older Python.",
        )
    if not plan.bundled:
        require_packaged(dependencies.depends, plan, run)
    return dependencies

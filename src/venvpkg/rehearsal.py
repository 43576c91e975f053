"""Installs a project in a copy that is thrown away, to learn what will be inside its package."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from venvpkg.distributions import Distribution, read_distributions, read_headers
from venvpkg.metadata import Metadata
from venvpkg.pipeline import World, install
from venvpkg.shlibs import read_elves
from venvpkg.spec import Spec
from venvpkg.toolchain import debian_flags
from venvpkg.tree import Tree
from venvpkg.wheelhouse import find_wheelhouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What an environment turned out to hold."""

    project: Metadata
    """Empty where no project is installed."""
    modules: tuple[str, ...]
    """The project's top-level modules."""
    programs: frozenset[str] = frozenset()
    """All that is in bin/, of whatever distribution."""
    distributions: tuple[tuple[str, str], ...]
    """Name and licence of all others; the licence is empty where none is told."""
    machine_code: bool
    """It has ELF files."""
    compiles: bool
    """Something was compiled here, which takes Python's headers."""


def rehearse(specs: Sequence[Spec], world: World) -> list[Inside]:
    """Install each environment, below debian/ of the world's source, and tell what is in it.

    Raises:
        VenvpkgError: whatever installing raises.
    """
    flags = debian_flags(world.run, world.environ, world.source)
    world = replace(world, environ={**world.environ, **flags})
    return [_rehearse(spec, world) for spec in specs]


def _rehearse(spec: Spec, world: World) -> Inside:
    plan, populated = install(
        spec, world.source / "debian" / spec.package, find_wheelhouse(world.source), world
    )
    tree = Tree.from_dir(plan.workshop)
    found = read_distributions(tree)
    project = next((d for d in found if d.name == populated.project), None)
    return Inside(
        project=_metadata(tree, project) if project else Metadata(),
        modules=project.packages() if project else (),
        programs=frozenset(entry.path.name for entry in tree.below(PurePosixPath("bin"))),
        distributions=tuple((d.name, d.licence) for d in found if d is not project),
        machine_code=plan.bundled or bool(read_elves(tree)),
        compiles=any(d.built_here for d in found),
    )


def _metadata(tree: Tree, project: Distribution) -> Metadata:
    headers = read_headers(tree, project.folder / "METADATA")
    made = Metadata.from_headers(headers, project.licence, project.programs)
    # Paths in a distribution's metadata are those inside its .dist-info folder.
    return replace(made, licence_files=())

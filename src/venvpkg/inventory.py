"""What is inside an environment: distributions, entry points, libraries, sizes."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from venvpkg.distributions import Distribution, find_owners, text_of
from venvpkg.errors import printable
from venvpkg.evidence import Evidence
from venvpkg.shlibs import Bundled, External
from venvpkg.tree import Tree

BAR = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One distribution."""

    name: str
    version: str
    licence: str
    """As the distribution tells it; empty where it tells none."""
    source: str
    """``index``, ``built``, or the URL of direct_url.json (PEP 610)."""
    size: int
    """Bytes of its files, compiled ones included."""
    scripts: Mapping[str, str]
    """Entry points: name to ``module:function``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One environment."""

    prefix: str
    interpreter: str
    """Where bin/python leads."""
    python: str
    """The minor version, ``3.11``."""
    size: int
    """Bytes of all files under the prefix."""
    distributions: tuple[Item, ...]
    system_libraries: Mapping[str, tuple[str, ...]]
    """Sonames that the system provides, each with the distributions that need it."""
    private_libraries: Mapping[str, tuple[str, ...]]
    """Sonames that the environment holds, each with the distributions that need it."""

    def to_json(self) -> str:
        """Return the inventory as JSON."""
        return json.dumps(asdict(self), indent=2)

    def to_text(self) -> str:
        """Return the inventory for people, distributions by size with a bar each."""
        count = f"{len(self.distributions)} distributions, {megabytes(self.size)}"
        lines = [f"{self.prefix}: Python {self.python} ({self.interpreter}), {count}", ""]
        largest = max((item.size for item in self.distributions), default=0) or 1
        width = max((len(f"{i.name} {i.version}") for i in self.distributions), default=0)
        for item in sorted(self.distributions, key=lambda i: (-i.size, i.name)):
            bar = "█" * round(BAR * item.size / largest)
            name = f"{item.name} {item.version}"
            lines.append(f"  {name:{width}} {megabytes(item.size):>10}  {bar:{BAR}}  {item.licence}".rstrip())
        for title, libraries in (("system", self.system_libraries), ("private", self.private_libraries)):
            lines += ["", f"{len(libraries)} {title} libraries"]
            lines += [f"  {soname}: {', '.join(needers)}" for soname, needers in libraries.items()]
        scripts = [name for item in self.distributions for name in item.scripts]
        lines += ["", f"entry points: {', '.join(sorted(scripts)) or 'none'}"]
        return "\n".join(map(printable, lines))


def take_inventory(evidence: Evidence) -> Inventory:
    """Return what an environment holds, from the evidence about it."""
    environment = evidence.tree.below(evidence.inside)
    sizes = measure(environment, evidence.distributions)
    owners = {path: d.name for d in evidence.distributions for path in d.files}
    system: dict[str, dict[str, None]] = {}
    private: dict[str, dict[str, None]] = {}
    for link in evidence.links:
        if isinstance(link, External | Bundled):
            kind = system if isinstance(link, External) else private
            kind.setdefault(link.soname, {})[owners.get(link.object, str(link.object))] = None
    return Inventory(
        prefix=f"/{evidence.inside}",
        interpreter=f"/{evidence.tree.resolve(evidence.inside / 'bin' / 'python')}",
        python=evidence.minor,
        size=sum(entry.size for entry in environment.files()),
        distributions=tuple(
            Item(
                name=d.name,
                version=d.version,
                licence=d.licence,
                source=_source(d, text_of(environment, d.folder / "direct_url.json")),
                size=sizes[d.name],
                scripts=d.scripts,
            )
            for d in evidence.distributions
        ),
        system_libraries={soname: tuple(sorted(names)) for soname, names in sorted(system.items())},
        private_libraries={soname: tuple(sorted(names)) for soname, names in sorted(private.items())},
    )


def measure(environment: Tree, distributions: Iterable[Distribution]) -> dict[str, int]:
    """Return how many bytes each distribution has, its bytecode included."""
    known = tuple(distributions)
    sizes = {d.name: 0 for d in known}
    for path, name in find_owners(environment, known).items():
        entry = environment.get(path)
        sizes[name] += entry.size if entry and entry.kind == "file" else 0
    return sizes


def megabytes(size: int) -> str:
    """Return a size as people read it: ``12.3 MB``, of a million bytes each."""
    return f"{size / 1e6:.1f} MB"


def _source(distribution: Distribution, direct_url: str) -> str:
    try:
        url = json.loads(direct_url).get("url", "") if direct_url else ""
    except (ValueError, AttributeError, RecursionError):
        url = ""
    return str(url) or ("built" if distribution.built_here else "index")

"""Divides an environment into two packages: the project's own files, and all that these stand on."""

import hashlib
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from debian.deb822 import Deb822
from debian.debian_support import Version

from venvpkg.control import Package, relation_names
from venvpkg.distributions import Distribution, find_owners, text_of
from venvpkg.errors import VenvpkgError
from venvpkg.plan import BUNDLE, Plan
from venvpkg.spec import Spec, env_package
from venvpkg.stage import merge
from venvpkg.tree import Entry, Tree

# What the lower layer says of itself; the manifest is in the upper one, for it changes with the project.
NAME = "venvpkg-layer.json"
RECORD = PurePosixPath("debian/venvpkg-layers.json")
CONTROL = PurePosixPath("DEBIAN/control")
RELATIONS = ("Pre-Depends", "Depends", "Recommends", "Suggests")
# Of the files beside the prefix these are written anew for every version, or say nothing to a server.
TOLD = ("usr/share/doc", "usr/share/lintian")
# What makes a folder an environment, in bin/ (see venv in the library reference).
SKELETON = re.compile(
    r"pyvenv\.cfg|venvpkg-layer\.json|lib64|bin/python[\d.]*|bin/[Aa]ctivate(\.[a-z0-9]+)?|include(/.*)?"
)
# What debhelper takes into a package's control archive (dh_installdeb(1), dh_installdebconf(1)).
MAINTAINED = ("preinst", "postinst", "prerm", "postrm", "config", "templates", "triggers", "conffiles")
DIGITS = 16


def require_declared(spec: Spec, packages: Sequence[Package]) -> None:
    """Make sure that debian/control has both packages of a layered environment, and that they fit.

    Raises:
        VenvpkgError: ``layer-undeclared``, ``layers-architecture``, ``layer-version-bound``.
    """
    name, lower = spec.package, spec.env_package
    if name == lower:
        return
    found = {package.name: package for package in packages}
    upper = found[name]
    if lower not in found:
        raise VenvpkgError(
            code="layer-undeclared",
            message=f"layers = true, and debian/control has no package {lower}.",
            causes=[f"The interpreter and what {name} requires go into {lower}, the project into {name}."],
            hint=f"Add to debian/control:\n\n{make_stanza(upper)}\nand to the stanza of {name}:\n"
            f"Replaces: {lower}",
        )
    if found[lower].architecture.split() != upper.architecture.split():
        raise VenvpkgError(
            code="layers-architecture",
            message=f"{name} and {lower} are one environment, and debian/control builds them for different "
            "architectures.",
            causes=[f"{p.name} has Architecture: {p.architecture}" for p in (upper, found[lower])],
            hint=f"Write in the stanza of {lower}:\nArchitecture: {upper.architecture}",
        )
    bound = re.search(rf"(?:^|,)\s*({re.escape(lower)}\s*\([^)]*\))", upper.fields.get("Depends", ""))
    if bound:
        raise VenvpkgError(
            code="layer-version-bound",
            message=f"{name} depends on {bound[1]}, and {lower} keeps its version while it stays the same.",
            hint=f"Leave {bound[1]} out of Depends: ${{misc:Depends}} brings the one that fits.",
        )


def make_stanza(upper: Package) -> str:
    """Return the stanza of debian/control for the package under another one."""
    return (
        f"Package: {env_package(upper.name)}\n"
        f"Architecture: {upper.architecture}\n"
        "Depends: ${misc:Depends}, ${shlibs:Depends}\n"
        "Provides: ${misc:Provides}\n"
        f"Replaces: {upper.name}\n"
        f"Description: environment of {upper.name}\n"
        f" Python and everything that {upper.name} requires.\n"
    )


def require_bound(upper: Mapping[str, str], lower: Mapping[str, str], layer: str) -> None:
    """Make sure that the final control files hold both packages of an environment together.

    Args:
        upper: the fields of the project's package.
        lower: the fields of the package under it.
        layer: the name that the first has to depend on, and the second to provide.

    Raises:
        VenvpkgError: ``layers-unbound``.
    """
    one, other = upper.get("Package", ""), lower.get("Package", "")
    wrong = {
        f"{one}: Depends: ${{misc:Depends}}": layer not in names_in(upper, "Depends"),
        f"{other}: Provides: ${{misc:Provides}}": layer not in names_in(lower, "Provides"),
        # A module may go from the one to the other, with which dpkg would stop at the second owner.
        f"{one}: Replaces: {other}": other not in names_in(upper, "Replaces"),
        f"{other}: Replaces: {one}": one not in names_in(lower, "Replaces"),
    }
    missing = [line for line, is_missing in wrong.items() if is_missing]
    if missing:
        raise VenvpkgError(
            code="layers-unbound",
            message=f"debian/control does not hold {one} and {other} together.",
            causes=[f"missing in the stanza of {line}" for line in missing],
            hint="Add to debian/control, each in its stanza:\n"
            + "\n".join(line.partition(": ")[2] for line in missing),
        )


def names_in(fields: Mapping[str, str], field: str) -> set[str]:
    """Return the packages that a relationship field names."""
    return {name for clause in relation_names(fields.get(field, "")) for name in clause}


def divide(tree: Tree, distributions: Iterable[Distribution], project: str) -> frozenset[PurePosixPath]:
    """Return the files of an environment that the project stands on; the rest is the project's.

    What no distribution has is the project's too, for it ships with every version: files that debian/install
    put there, say. A path that several distributions have is below.

    Args:
        tree: with paths relative to the prefix.
        distributions: those that it has.
        project: normalized name of the project's, or empty.
    """
    others = tuple(d for d in distributions if d.name != project)
    owned = find_owners(tree, others)
    folders = {d.folder for d in others}
    checks = re.compile(r"lib/python3\.\d+/site-packages/(__pycache__/)?venvpkg_selfcheck\.[\w.-]*")
    filled = {entry.path.parent for entry in tree}
    found = set()
    for entry in tree:
        path = entry.path
        skeleton = path.parts[0] == BUNDLE or SKELETON.fullmatch(str(path)) or checks.fullmatch(str(path))
        is_below = path in owned or path.parent in folders or bool(skeleton)
        # A folder with something in it goes where that goes.
        if is_below and not (entry.kind == "folder" and path in filled):
            found.add(path)
    return frozenset(found)


def join(plan: Plan) -> None:
    """Put what an earlier run divided together again."""
    if plan.spec.layers and plan.env_stage.is_dir():
        plan.stage.mkdir(parents=True, exist_ok=True)
        merge(plan.env_stage, plan.stage)
        plan.env_stage.rmdir()


def part(plan: Plan, below: frozenset[PurePosixPath]) -> None:
    """Move what the project stands on into the package build root of its own package."""
    made = set()
    for path in below:
        target = plan.env_stage / path
        for folder in reversed([target, *target.parents][1:]):
            if folder not in made and not folder.is_dir():
                folder.mkdir()
                # The build's umask may be any.
                folder.chmod(0o755)
            made.add(folder)
        (plan.stage / path).rename(target)
    for folder in sorted({plan.stage / p for path in below for p in path.parents if p.name}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def describe_lower(plan: Plan, codename: str) -> None:
    """Write what the lower layer says of itself, which no change of the project changes."""
    content = {
        "schema": 1,
        "package": plan.spec.env_package,
        "for": plan.spec.package,
        "prefix": str(plan.prefix),
        "python": plan.interpreter.minor,
        "built_on": codename,
    }
    path = plan.env_stage / NAME
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    path.chmod(0o644)


def name_layer(plan: Plan, relations: Iterable[str], scripts: Iterable[str]) -> str:
    """Return the name that the lower package provides: its own, and a hash of all that it brings.

    That is names, kinds, modes and bytes of its files, what it depends on, and its maintainer scripts.
    """
    digest = hashlib.sha256()
    for entry in Tree.from_dir(plan.env_root):
        if entry.path.parts[0] == "DEBIAN" or str(entry.path).startswith(TOLD):
            continue
        # The mode of a link is the file system's.
        mode = "" if entry.kind == "symlink" else f"{entry.mode:o}"
        content = hashlib.sha256(entry.load()).hexdigest() if entry.kind == "file" else entry.target
        digest.update(json.dumps([str(entry.path), entry.kind, mode, content]).encode())
    own = (plan.spec.source / "debian" / f"{plan.spec.env_package}.{name}" for name in MAINTAINED)
    written = [path.read_text("utf-8", "replace") for path in own if path.is_file()]
    digest.update(json.dumps([sorted(relations), list(scripts), written]).encode())
    return f"{plan.spec.env_package}-{digest.hexdigest()[:DIGITS]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A lower package that servers have."""

    layer: str
    """The name that it provides."""
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What debian/venvpkg-layers.json tells: the last package of each kind that servers have."""

    published: Mapping[str, Mapping[str, Published]]
    """By package, and by release and architecture: ``bookworm/amd64``."""

    @classmethod
    def read(cls, source: Path) -> "Record":
        """Read the record of a source package; an empty one where there is none.

        Raises:
            VenvpkgError: ``layer-record-invalid``.
        """
        path = source / RECORD
        try:
            told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            return cls(
                published={
                    package: {
                        place: Published(layer=str(one["layer"]), version=str(Version(one["version"])))
                        for place, one in places.items()
                    }
                    for package, places in told.items()
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise VenvpkgError(
                code="layer-record-invalid",
                message=f"{RECORD} is not as venvpkg record writes it.",
                causes=[repr(error)],
                hint=f"Take it from version control, or remove it and write it again:\nrm {RECORD}\n"
                "venvpkg record ../*-env_*.deb",
            ) from error

    def add(self, package: str, place: str, published: Published) -> "Record":
        """Return the record with one more package, in the place of that which it follows.

        Raises:
            VenvpkgError: ``layer-version-lower``.
        """
        last = self.published.get(package, {}).get(place)
        if last and Version(published.version) < Version(last.version):
            raise explain_lower(package, place, published.version, last.version)
        places = {**self.published.get(package, {}), place: published}
        return Record(published={**self.published, package: places})

    def write(self, source: Path) -> None:
        """Write it, for version control: in order, with a line for each fact."""
        content = {
            package: {
                place: {"layer": one.layer, "version": one.version} for place, one in sorted(places.items())
            }
            for package, places in sorted(self.published.items())
        }
        (source / RECORD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def choose_version(self, package: str, place: str, layer: str, current: str) -> str:
        """Return the version of a lower package: that of the last one where it is the same, else the current.

        Raises:
            VenvpkgError: ``layer-version-lower``.
        """
        last = self.published.get(package, {}).get(place)
        if last is None:
            return current
        if last.layer == layer:
            return last.version
        if Version(current) < Version(last.version):
            raise explain_lower(package, place, current, last.version)
        return current


def explain_lower(package: str, place: str, version: str, last: str) -> VenvpkgError:
    """Return the error for a version under one that servers may have."""
    return VenvpkgError(
        code="layer-version-lower",
        message=f"{package} has changed, and {version} is lower than the version that servers have.",
        causes=[f"{RECORD} has {last} for {place}."],
        hint=f"Give debian/changelog a higher version: dch -v {last}+1",
    )


def place_of(codename: str, architecture: str) -> str:
    """Return the key of a record: packages of one name for two releases are not the same."""
    return f"{codename or 'unknown'}/{architecture}"


def read_published(tree: Tree, path: Path, packages: Container[str]) -> tuple[str, str, Published]:
    """Return package, place and what a record keeps of a finished lower package.

    Args:
        tree: the package.
        path: where it is, for messages.
        packages: those that debian/control has.

    Raises:
        VenvpkgError: ``layer-none``, ``package-unknown``.
    """
    fields = read_fields(tree)
    package = fields.get("Package", "")
    layers = [n for n in names_in(fields, "Provides") if re.fullmatch(rf"{re.escape(package)}-[0-9a-f]+", n)]
    about: dict[str, object] = {}
    for entry in tree.files():
        if entry.path.name == NAME:
            about = json.loads(text_of(tree, entry.path) or "{}")
    if len(layers) != 1 or about.get("package") != package:
        raise VenvpkgError(
            code="layer-none",
            message=f"{path} is not the environment's package of a layered one.",
            causes=[f"It is {package}, and has no {NAME}."],
            hint="Name the package that a build with layers = true made: venvpkg record ../*-env_*.deb",
        )
    if package not in packages:
        raise VenvpkgError(
            code="package-unknown",
            message=f"{path} is {package}, and debian/control has no such package.",
            hint="Run this in the folder of the source package, or name that with --into.",
        )
    place = place_of(str(about.get("built_on", "")), fields.get("Architecture", ""))
    return package, place, Published(layer=layers[0], version=fields.get("Version", ""))


def keep_version(plan: Plan, version: str, current: str) -> None:
    """Give the lower package the version that servers have, and leave it out of what is published.

    dpkg-gencontrol has a -v for that; but who overrides dh_gencontrol may hand it options that another run
    would not have, so what it wrote is changed in the same way. An archive has a package of this name and
    version already, with another changelog and other times in it: dpkg-genchanges must not list this one.
    """
    control = plan.env_root / CONTROL
    text = control.read_text(encoding="utf-8")
    if version == current or f"\nVersion: {version}\n" in text:
        return
    text = re.sub(r"^Version: .*$", f"Version: {version}", text, count=1, flags=re.MULTILINE)
    # Where the source's version is another one, dpkg-gencontrol tells it.
    source = re.search(r"^Source: \S+( \(.*\))?$", text, re.MULTILINE)
    if source is None:
        told = f"\nSource: {plan.spec.env_package} ({current})\nVersion: "
        text = text.replace("\nVersion: ", told, 1)
    elif not source[1]:
        text = text.replace(source[0], f"{source[0]} ({current})", 1)
    control.write_text(text, encoding="utf-8")
    files = plan.spec.source / "debian" / "files"
    lines = files.read_text(encoding="utf-8").splitlines(keepends=True) if files.is_file() else []
    files.write_text(
        "".join(x for x in lines if not x.startswith(f"{plan.spec.env_package}_")), encoding="utf-8"
    )


def read_fields(tree: Tree) -> dict[str, str]:
    """Return the fields of DEBIAN/control; none where there is no such file."""
    text = text_of(tree, CONTROL)
    return dict(next(iter(Deb822.iter_paragraphs(text, use_apt_pkg=False)), {}))


def unite(upper: Tree, lower: Tree) -> Tree:
    """Return the two packages of an environment as one tree, with the control archive of the upper one.

    That of the lower one is a folder in it, for what is looked for in every file.
    """
    name = read_fields(lower).get("Package") or "lower"
    moved = {}
    for entry in lower:
        inside = entry.path.parts[0] == CONTROL.parts[0] and len(entry.path.parts) > 1
        path = CONTROL.parent.joinpath(name, *entry.path.parts[1:]) if inside else entry.path
        moved[path] = entry if path == entry.path else replace(entry, path=path)
    both = dict(sorted({**moved, **upper.entries}.items()))
    if not (upper.again or lower.again):
        return Tree(both)

    def walk() -> Iterator[Entry]:
        return chain(upper.walk(), (e for e in lower.walk() if e.path.parts[0] != CONTROL.parts[0]))

    return Tree(both, walk)


def unite_fields(upper: Mapping[str, str], lower: Mapping[str, str]) -> dict[str, str]:
    """Return the control fields of the two packages of an environment as those of one."""
    joined = {name: ", ".join(f[name] for f in (upper, lower) if f.get(name)) for name in RELATIONS}
    return {**lower, **upper, **{name: value for name, value in joined.items() if value}}

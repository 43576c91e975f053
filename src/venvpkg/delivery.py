"""From a project's folder to packages in dist/: what ``venvpkg build`` does."""

import hashlib
import json
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from debian.deb822 import Deb822, PkgRelation

from venvpkg.addon import EVENTS, with_addon
from venvpkg.builddeps import Wanted, apt_line, find_missing, install
from venvpkg.configuration import read_configuration
from venvpkg.control import format_relations, read_control, read_upstream_version
from venvpkg.display import Display
from venvpkg.drafting import Wish, choose_specs, draft_debian, find_warnings, looks_compiled, read_metadata
from venvpkg.errors import VenvpkgError
from venvpkg.export import copy_for_build
from venvpkg.log import silence
from venvpkg.pipeline import VERIFIED, World
from venvpkg.plan import STATE
from venvpkg.process import describe_status, follow
from venvpkg.scaffold import find_unfinished, python_package, render_draft, write_files
from venvpkg.scratch import scratch_folder
from venvpkg.system import host_architecture
from venvpkg.watch import Watch

# What a build takes beside the packages that it declares.
TOOLS = {"dpkg-buildpackage": "dpkg-dev", "dh": "debhelper", "make": "build-essential"}
# Folders of a working tree that are no part of what is packaged.
LEFT_OUT = (
    "dist",
    ".cache",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".vagrant",
)
# This program is these packages.
OURS = re.compile(r"(dh-sequence-venvpkg|dh-venvpkg)\b")
ERROR = re.compile(r"error\[([a-z0-9-]+)\]: (.*)")
SHOWN_LINES = 25
RESULTS = ("*.deb", "*.ddeb", "*.changes", "*.buildinfo", "*.dsc", "*.tar.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for."""

    folder: Path
    """The project's folder, absolute."""
    output: Path
    """Where the results go, absolute."""
    source: bool = False
    """The source package is wanted, too."""
    sign: str | None = None
    """A key to sign with (dpkg-buildpackage(1), -k), empty for the maintainer's, None for no signature."""
    install_build_depends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One binary package that was built."""

    package: str
    version: str
    architecture: str
    file: Path
    size: int
    """Of the .deb, in bytes."""
    installed_size: int
    """In bytes, as debhelper estimated it (Policy §5.6.20)."""
    depends: str
    sha256: str
    """Of the .deb, hexadecimal."""
    commands: tuple[str, ...]
    """What it brings into /usr/bin, else the project's own programs, as paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What came of an order."""

    folder: Path
    products: tuple[Product, ...]
    files: tuple[Path, ...]
    """All that was written into the output folder."""
    log: Path
    steps: tuple[tuple[str, float], ...]
    """Title and seconds."""
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it for ``--json``: sizes in bytes, times in seconds."""
        return {
            "folder": str(self.folder),
            "packages": [{**asdict(p), "file": str(p.file)} for p in self.products],
            "files": [str(path) for path in self.files],
            "log": str(self.log),
            "steps": [{"title": title, "seconds": seconds} for title, seconds in self.steps],
            "seconds": self.seconds,
        }

    def to_text(self) -> str:
        """Return it for people."""
        lines = []
        for product in self.products:
            lines += [
                f"{product.file}",
                f"  {_size(product.size)}, installed {_size(product.installed_size)}",
                f"  Depends: {product.depends or 'nothing'}",
            ]
            lines += [f"  runs: {', '.join(product.commands)}"] if product.commands else []
        # Debug symbols are for whoever asks for them.
        debs = [p.file for p in self.products if not p.package.endswith("-dbgsym")]
        if debs:
            shown = (str(d) if d.is_absolute() else f"./{d}" for d in map(_shown, debs))
            words = shlex.join(shown)
            lines += ["", f"Built in {self.seconds:.1f} s. To install:", f"  sudo apt install {words}"]
        return "\n".join(lines)


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def deliver(order: Order, world: World, display: Display) -> Delivery:
    """Build the packages of a project, with its own debian/ or one that is made for the occasion.

    The project's folder stays as it is, but for the output folder: the build runs in a copy.

    Raises:
        VenvpkgError: ``project-not-found``, ``build-tools-missing``, ``debian-unfinished``,
            ``build-depends-missing``, ``build-failed``, and what a step of the build raised.
    """
    begun = time.monotonic()
    # Where there is no such folder Python takes another one, and dpkg-deb fails; and a build changes folders.
    world = replace(world, environ={**world.environ, "TMPDIR": str(Path(tempfile.gettempdir()).absolute())})
    require_project(order.folder)
    require_tools(order, world, display)
    with scratch_folder() as scratch:
        # Tools that make environments stumble over a colon, and some over what is not ASCII.
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", order.folder.name).strip("-") or "source"
        copy = scratch / "build" / name
        copy.parent.mkdir()
        copy_for_build(order.folder, copy, left_out(order) | {scratch})
        # It has the mode of the project's folder, which need not be writable.
        copy.chmod(0o755)
        for line in find_warnings(order.folder, world):
            display.line(f"   warning: {line}")
        steps = prepare(order, copy, world, display)
        log = run_build(order, copy, scratch / "events", world, display, steps)
        files = hand_over(order, copy, log)
    products = tuple(describe(path, world) for path in files if path.suffix in (".deb", ".ddeb"))
    return Delivery(
        folder=order.folder,
        products=products,
        files=files,
        log=order.output / log.name,
        steps=tuple(steps),
        seconds=round(time.monotonic() - begun, 1),
    )


def require_project(folder: Path) -> None:
    """Make sure that there is something to build.

    Raises:
        VenvpkgError: ``debian-unfinished``, where lines of debian/ are left to their owner;
            ``project-not-found``, ``project-invalid``.
    """
    unfinished = find_unfinished(folder)
    if unfinished:
        raise VenvpkgError(
            code="debian-unfinished",
            message=f"{len(unfinished)} lines in debian/ are not written yet.",
            causes=unfinished,
            hint="Replace each FIXME by what it asks for, and build again.",
        )
    if not (folder / "debian" / "control").is_file():
        read_metadata(folder, read_configuration(folder))


def require_tools(order: Order, world: World, display: Display) -> None:
    """Make sure that Debian's tools are there.

    Raises:
        VenvpkgError: ``build-tools-missing``; what installing raises.
    """
    path = world.environ.get("PATH")
    missing = [package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)]
    if missing and order.install_build_depends and shutil.which("apt-get", path=path):
        display.begin("installing build-essential and debhelper")
        install(
            Wanted(relations=("build-essential", "debhelper"), sources=()),
            world.run,
            world.environ,
            sudo=True,
        )
        missing = [package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)]
    if missing:
        raise VenvpkgError(
            code="build-tools-missing",
            message="Debian's tools for building packages are not installed.",
            causes=[f"Missing: {', '.join(missing)}."],
            hint="apt-get install --no-install-recommends build-essential debhelper\n"
            "Or let it do that: venvpkg build --install-build-depends",
        )


def left_out(order: Order) -> set[Path]:
    """Return what of a working tree is not copied: results, environments, caches of other tools."""
    found = {order.output, *(order.folder / name for name in LEFT_OUT)}
    return found | {path.parent for path in order.folder.glob("*/pyvenv.cfg")}


def prepare(order: Order, copy: Path, world: World, display: Display) -> list[tuple[str, float]]:
    """Give the copy a debian/ where there is none, and the machine what the build depends on."""
    steps: list[tuple[str, float]] = []

    def done(title: str, start: float) -> None:
        seconds = time.monotonic() - start
        steps.append((title, round(seconds, 1)))
        display.end(title, seconds)

    start = time.monotonic()
    display.begin("looking for build dependencies")
    if (copy / "debian" / "control").is_file():
        relations = declared(copy)
        require_installed(relations, order, world, display)
        done(count(relations), start)
        return steps
    configuration = read_configuration(copy)
    specs = choose_specs(configuration, read_metadata(copy, configuration), world.environ)
    relations = list(Wanted.of(specs).relations)
    if order.install_build_depends and looks_compiled(copy, specs):
        # Without it the project can't be looked at.
        relations += [f"{python_package(spec)}-dev" for spec in specs]
    require_installed(relations, order, world, display)
    done(count(relations), start)
    start = time.monotonic()
    display.begin("looking at what is inside, for debian/")
    with silence():
        draft = draft_debian(copy, world, Wish(whole=True))
    # A name that is given to a package comes from pyproject.toml, not from what lies in debian/ already.
    made = {name: text for name, text in render_draft(draft).items() if not (copy / name).exists()}
    write_files(made, copy, force=False)
    require_installed(declared(copy), order, world, display)
    done(f"debian/ made for {draft.name} {draft.version}", start)
    return steps


def count(relations: Sequence[str]) -> str:
    """Say how many build dependencies are installed."""
    return f"build dependencies: {len(relations) or 'none'} declared{', all installed' if relations else ''}"


def declared(source: Path) -> list[str]:
    """Return the clauses of Build-Depends without this program itself, which is there."""
    clauses = read_control(source / "debian" / "control").build_depends.split(",")
    return [c.strip() for c in clauses if c.strip() and not OURS.match(c.strip())]


def require_installed(relations: Sequence[str], order: Order, world: World, display: Display) -> None:
    """Make sure that build dependencies are installed.

    Raises:
        VenvpkgError: ``build-depends-missing``; what installing raises.
    """
    missing = find_missing(relations, world.run)
    if missing and order.install_build_depends:
        display.begin(f"installing {', '.join(missing)}")
        install(Wanted(relations=missing, sources=()), world.run, world.environ, sudo=True)
        missing = find_missing(relations, world.run)
    if missing:
        raise VenvpkgError(
            code="build-depends-missing",
            message=f"{len(missing)} build dependencies are not installed.",
            causes=[f"Missing: {', '.join(missing)}."],
            hint=f"{apt_line(missing)}\nOr let it do that: venvpkg build --install-build-depends",
        )


def run_build(
    order: Order,
    copy: Path,
    events: Path,
    world: World,
    display: Display,
    steps: list[tuple[str, float]],
) -> Path:
    """Run dpkg-buildpackage in the copy, add what it did to ``steps``, and return its log.

    Raises:
        VenvpkgError: what a step of venvpkg's own said, else ``build-failed``; the log is kept.
    """
    words = ["dpkg-buildpackage", "-d", "-F" if order.source else "-b"]
    words += ["-us", "-uc"] if order.sign is None else [f"-k{order.sign}"] if order.sign else []
    read_upstream_version(copy / "debian" / "changelog")
    control = Deb822(world.run(["dpkg-parsechangelog"], cwd=copy).stdout)
    version = control["Version"].partition(":")[2] or control["Version"]
    name = f"{control['Source']}_{version}_{host_architecture(world.run)}.build"
    log = copy.parent / name
    watch = Watch(display=display, log=log, events=events, roots=copy / "debian", steps=steps)
    environ = with_addon(world.environ) | {EVENTS: str(events)}
    status = follow(words, env=environ, cwd=copy, hear=watch.hear, tick=watch.tick)
    watch.take_events()
    watch.next_command("")
    display.clear()
    if status != 0:
        order.output.mkdir(parents=True, exist_ok=True)
        kept = order.output / name
        shutil.copyfile(log, kept)
        raise explain(watch.lines, kept, status)
    return log


def explain(lines: Sequence[str], log: Path, status: int) -> VenvpkgError:
    """Return the error that a failed build ended with: that of a step of ours, else the last lines."""
    found = [number for number, line in enumerate(lines) if ERROR.match(line)]
    if found:
        first = ERROR.match(lines[found[-1]])
        assert first
        causes, hints = [], []
        for line in lines[found[-1] + 1 :]:
            if line.startswith("hint: "):
                hints.append(line.removeprefix("hint: "))
            elif line.startswith("  ") and not hints:
                causes.append(line[2:])
            else:
                break
        return VenvpkgError(
            code=first[1], message=first[2], causes=[*causes, f"The whole log: {log}"], hint="\n".join(hints)
        )
    findings = [
        n for n, line in enumerate(lines) if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+: \d+ findings", line)
    ]
    if findings:
        block = []
        for line in lines[findings[-1] + 1 :]:
            if not re.match(r"V\d{3} |  hint: ", line):
                break
            block.append(line)
        return VenvpkgError(
            code="findings",
            message=f"The checks found something in {lines[findings[-1]].replace(':', ',')}.",
            causes=[*block, f"The whole log: {log}"],
            hint="Mend it, or accept a finding with its reason (docs/configuration.md, accept).",
        )
    if full := [line for line in lines if "No space left on device" in line]:
        return VenvpkgError(
            code="no-space",
            message="There is no space left on the disk.",
            causes=[*full[:3], f"The whole log: {log}"],
            hint="Free some space, or name another folder for temporary files: TMPDIR=/var/tmp",
        )
    return VenvpkgError(
        code="build-failed",
        message=f"dpkg-buildpackage ended with {describe_status(status)}.",
        causes=[*lines[-SHOWN_LINES:], f"The whole log: {log}"],
        hint="Look above for the first line that is an error.",
    )


def hand_over(order: Order, copy: Path, log: Path) -> tuple[Path, ...]:
    """Put the results into the output folder, and beside each package the proof that it works."""
    results = sorted({path for glob in RESULTS for path in copy.parent.glob(glob) if path.is_file()})
    results += [log, *write_proofs(copy, results)]
    order.output.mkdir(parents=True, exist_ok=True)
    with scratch_folder(order.output) as scratch:
        for path in results:
            shutil.copyfile(path, scratch / path.name)
        for path in results:
            (scratch / path.name).replace(order.output / path.name)
    return tuple(order.output / path.name for path in results)


def write_proofs(copy: Path, results: Sequence[Path]) -> list[Path]:
    """Write what dh_venvpkg_verify found out of each package that has an environment."""
    written = []
    for path in results:
        told = copy / STATE / path.name.partition("_")[0] / VERIFIED
        if path.suffix == ".deb" and told.is_file():
            proof = {"file": path.name, "sha256": digest_of(path), **json.loads(told.read_text("utf-8"))}
            beside = path.with_suffix(".verified.json")
            beside.write_text(json.dumps(proof, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            written.append(beside)
    return written


def digest_of(path: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe(deb: Path, world: World) -> Product:
    """Return what a .deb says of itself (dpkg-deb(1))."""
    fields = Deb822(world.run(["dpkg-deb", "--field", deb], env=world.environ).stdout)
    names = world.run(["dpkg-deb", "--contents", deb], env=world.environ).stdout.splitlines()
    paths = [line.split(maxsplit=5)[5].removeprefix(".") for line in names if line.count(" ") >= 5]
    commands = [p for p in paths if re.fullmatch(r"/usr/s?bin/[^/]+", p)]
    told = deb.with_suffix(".verified.json")
    if not commands and told.is_file():
        commands = json.loads(told.read_text("utf-8"))["programs"]
    return Product(
        package=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        file=deb,
        size=deb.stat().st_size,
        installed_size=int(fields.get("Installed-Size", "0")) * 1024,
        depends=format_relations(PkgRelation.str(PkgRelation.parse_relations(fields["Depends"])).split(","))
        if fields.get("Depends")
        else "",
        sha256=digest_of(deb),
        commands=tuple(commands),
    )

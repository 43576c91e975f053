"""From a project's folder to packages in dist/: what ``venvpkg build`` does."""

import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

from debian.deb822 import Deb822

from venvpkg.addon import EVENTS, OUTPUT, with_addon
from venvpkg.builddeps import Wanted
from venvpkg.configuration import read_configuration
from venvpkg.control import read_upstream_version
from venvpkg.display import Display
from venvpkg.drafting import (
    Wish,
    choose_date,
    choose_specs,
    draft_debian,
    find_warnings,
    looks_compiled,
    read_metadata,
)
from venvpkg.errors import VenvpkgError
from venvpkg.export import copy_for_build
from venvpkg.log import silence
from venvpkg.order import (
    OTHER_OUTPUT,
    Order,
    declared,
    require_executable,
    require_installed,
    require_key,
    require_output,
    require_project,
    require_tools,
)
from venvpkg.pipeline import World
from venvpkg.process import follow
from venvpkg.products import Product, describe, write_proofs
from venvpkg.scaffold import (
    python_package,
    render_draft,
    write_files,
)
from venvpkg.scratch import scratch_folder
from venvpkg.source import fetch_upstream, find_ignored, set_aside
from venvpkg.system import host_architecture
from venvpkg.watch import SHOWN_LINES, Watch, explain

# Folders of a working tree that are no part of what is packaged.
LEFT_OUT = (
    ".cache",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".vagrant",
)
GLOBS = ("*.deb", "*.ddeb", "*.changes", "*.buildinfo", "*.dsc", "*_*.tar.*")


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
        lines = [line for product in self.products for line in product.to_lines()]
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
    require_output(order)
    with display.ticking(), scratch_folder() as scratch:
        require_executable(scratch)
        require_tools(order, world, display)
        require_key(order, world)
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
        log = run_build(order, copy, scratch, world, display, steps)
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


def left_out(order: Order) -> set[Path]:
    """Return what of a working tree is not copied: results, environments, caches of other tools."""
    found = {order.folder / name for name in LEFT_OUT}
    # What else lies there may be the project's: a front end's dist/, say.
    for folder in (order.output, order.folder / "dist"):
        found |= {path for glob in (*GLOBS, "*.build", "*.verified.json") for path in folder.glob(glob)}
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
    # The same for each clone: the copy has no repository above it, and files of a clone are as old as that.
    date = choose_date(order.folder, world, now=False)
    world = replace(world, environ={**world.environ, "SOURCE_DATE_EPOCH": str(int(date.timestamp()))})
    display.begin("looking at what is inside, for debian/")

    def show(event: Mapping[str, Any]) -> None:
        if event["event"] == "advance":
            display.advance(event["done"], event["total"], event["unit"])

    with silence(show):
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


def run_build(
    order: Order,
    copy: Path,
    scratch: Path,
    world: World,
    display: Display,
    steps: list[tuple[str, float]],
) -> Path:
    """Run dpkg-buildpackage in the copy, add what it did to ``steps``, and return its log.

    Raises:
        VenvpkgError: what a step of venvpkg's own said, else ``build-failed``; the log is kept.
            ``upstream-tarball-missing``.
    """
    words = ["dpkg-buildpackage", "-d", "-F" if order.source else "-b"]
    words += ["-us", "-uc"] if order.sign is None else [f"-k{order.sign}"] if order.sign else []
    read_upstream_version(copy / "debian" / "changelog")
    control = Deb822(world.run(["dpkg-parsechangelog"], cwd=copy).stdout)
    if order.source:
        fetch_upstream(order.folder, copy, control)
        aside = set_aside(find_ignored(order.folder, left_out(order), world), copy, scratch / "aside")
        words += aside.words
        if aside.names:
            display.line(f"   not in the source package, for git ignores it: {aside}")
    version = control["Version"].partition(":")[2] or control["Version"]
    name = f"{control['Source']}_{version}_{host_architecture(world.run)}.build"
    log, events = copy.parent / name, scratch / "events"
    watch = Watch(display=display, log=log, events=events, roots=copy / "debian", steps=steps)
    own = (order.folder / "debian" / "control").is_file()
    shown = order.output
    if shown.is_relative_to(order.folder):
        shown = shown.relative_to(order.folder)
    environ = with_addon(world.environ) | {EVENTS: str(events), OUTPUT: str(shown) if own else ""}
    status = follow(words, env=environ, cwd=copy, hear=watch.hear, tick=watch.tick)
    watch.take_events()
    watch.next_command("")
    display.clear()
    if status != 0 and order.sign is not None and any("failed to sign" in line for line in watch.lines):
        hand_over(order, copy, log)
        raise VenvpkgError(
            code="signing-failed",
            message="The packages are built, and could not be signed.",
            causes=[*watch.lines[-SHOWN_LINES:], f"They are in {order.output}, without a signature."],
            hint="Does gpg-agent know the key's passphrase? Sign them later:\n"
            f"debsign {shlex.quote(str(order.output))}/*.changes",
        )
    if status != 0:
        put(order, [log])
        raise explain(watch.lines, order.output / name, status)
    return log


def hand_over(order: Order, copy: Path, log: Path) -> tuple[Path, ...]:
    """Put the results into the output folder, and beside each package the proof that it works."""
    results = sorted({path for glob in GLOBS for path in copy.parent.glob(glob) if path.is_file()})
    results += [log, *write_proofs(copy, results)]
    for path in results:
        target = order.output / path.name
        if target in order.taken:
            raise VenvpkgError(
                code="output-taken",
                message=f"{target} was just built of another project.",
                causes=[f"Of {order.taken[target]}; this one is {order.folder}."],
                hint="Give one of them another name or version, or each an --output of its own.",
            )
    put(order, results)
    return tuple(order.output / path.name for path in results)


def put(order: Order, paths: Sequence[Path]) -> None:
    """Copy files into the output folder, all or none.

    Raises:
        VenvpkgError: ``no-space``, ``output-unusable``.
    """
    try:
        order.output.mkdir(parents=True, exist_ok=True)
        with scratch_folder(order.output) as scratch:
            for path in paths:
                shutil.copyfile(path, scratch / path.name)
            for path in paths:
                (scratch / path.name).replace(order.output / path.name)
    except OSError as error:
        raise VenvpkgError(
            code="no-space" if error.errno == ENOSPC else "output-unusable",
            message=f"The packages can't go into {order.output}.",
            causes=[f"{error.strerror}."],
            hint=f"Free some space there.\n{OTHER_OUTPUT}" if error.errno == ENOSPC else OTHER_OUTPUT,
        ) from error

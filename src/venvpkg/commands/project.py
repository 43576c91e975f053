"""From a project to a package."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from venvpkg.errors import VenvpkgError
from venvpkg.guard import EXIT_FOUND, EXIT_KNOWN, explain_os_error, guarded, tell
from venvpkg.process import Shell, current_environment
from venvpkg.steps import make_world

if TYPE_CHECKING:
    from venvpkg.scaffold import Draft
    from venvpkg.spec import Spec


@click.command("build", short_help="Build packages, of a project with or without a debian/.")
@click.option(
    "--install-build-depends",
    is_flag=True,
    help="Install what the build needs with apt (as root, or with sudo).",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where packages and logs go; dist/ of the project by default.",
)
@click.option("--source", "wants_source", is_flag=True, help="Build the source package, too.")
@click.option(
    "--sign",
    is_flag=False,
    flag_value="",
    metavar="[KEY]",
    help="Sign with this OpenPGP key, or the maintainer's: --sign=KEY.",
)
@click.option("--keep-going", is_flag=True, help="Go on with the next project when one does not build.")
@click.option("--json", "as_json", is_flag=True, help="Print what was built as one object.")
@click.argument(
    "folders", nargs=-1, metavar="[DIR]...", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@guarded
def build_command(
    install_build_depends: bool,
    output: Path | None,
    wants_source: bool,
    sign: str | None,
    keep_going: bool,
    as_json: bool,
    folders: tuple[Path, ...],
) -> None:
    """Build packages of the projects in each DIR, the current folder by default.

    A project needs a pyproject.toml and nothing else: where it has no debian/, one is made for the build, as
    "venvpkg init" would write it. The folder stays as it is; the build runs in a copy. Beside each package
    lies what was checked, and the log.
    """
    from venvpkg.delivery import Delivery, deliver
    from venvpkg.display import Display
    from venvpkg.order import Order

    display = Display(live=sys.stderr.isatty())
    taken: dict[Path, Path] = {}
    made: list[Delivery] = []
    failed: list[dict[str, object]] = []
    if sign and Path(sign).is_dir():
        raise click.UsageError(f"{sign} is no key but a folder: --sign=KEY, or --sign after the folders")
    for source in dict.fromkeys(folder.resolve() for folder in folders or (Path(),)):
        order = Order(
            folder=source,
            output=(output or source / "dist").absolute(),
            source=wants_source,
            sign=sign,
            install_build_depends=install_build_depends,
            taken=taken,
        )
        try:
            made.append(deliver(order, make_world(source), display))
            taken |= dict.fromkeys(made[-1].files, source)
        except (VenvpkgError, OSError) as raised:
            error = raised if isinstance(raised, VenvpkgError) else explain_os_error(raised)
            display.clear()
            if not as_json and not keep_going:
                raise error from raised
            failed.append({"folder": str(source), **error.to_dict()})
            tell(str(error), current_environment())
            if not keep_going:
                break
            continue
        if not as_json:
            click.echo(made[-1].to_text())
    if as_json:
        click.echo(json.dumps({"builds": [each.to_dict() for each in made], "failed": failed}, indent=1))
    sys.exit(EXIT_KNOWN if failed else 0)


@click.command("init", short_help="Write a debian/ from pyproject.toml.")
@click.option("--service", "wants_service", is_flag=True, help="Write a systemd unit, too.")
@click.option("--command", help="The service's program with its arguments, where the project has several.")
@click.option("--interactive", is_flag=True, help="Ask for what goes into debian/control.")
@click.option(
    "--static", is_flag=True, help="Read pyproject.toml alone; install nothing to see what is inside."
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option("--missing", is_flag=True, help="Write only those files that are not there.")
@click.option("--dry-run", is_flag=True, help="Print the files, and write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; say what of debian/ does not fit the project.")
@click.argument(
    "folder", metavar="[DIR]", type=click.Path(exists=True, file_okay=False, path_type=Path), default="."
)
@guarded
def init_command(
    wants_service: bool,
    command: str | None,
    interactive: bool,
    static: bool,
    force: bool,
    missing: bool,
    dry_run: bool,
    check: bool,
    folder: Path,
) -> None:
    """Write a debian/ for the project in DIR.

    It comes from pyproject.toml, and from what is inside the environment, which is installed in a temporary
    folder for that: the Architecture, and the licences of what is bundled. What can't be known is a line
    that begins with FIXME, which "venvpkg build" refuses.
    """
    from venvpkg.drafting import Wish, draft_debian, find_stale
    from venvpkg.scaffold import (
        ALWAYS,
        find_unfinished,
        render_draft,
        require_folder,
        require_room,
        write_files,
    )

    if force and missing:
        raise click.UsageError("--force and --missing exclude each other")
    if interactive and sys.stdin is None:
        raise click.UsageError("--interactive asks, and standard input is closed")
    source = folder.resolve()
    world = make_world(source)
    require_folder(source)
    if check:
        stale = find_stale(source, world)
        for line in stale or ("debian/ fits the project",):
            click.echo(line)
        sys.exit(EXIT_FOUND if stale else 0)
    if not (force or missing or dry_run):
        require_room(ALWAYS, source)
    service = (command or "") if wants_service or command else None
    draft = draft_debian(source, world, Wish(service=service, static=static, missing=missing))
    made = render_draft(_asked(draft) if interactive else draft)
    if missing:
        made = {name: text for name, text in made.items() if not (source / name).exists()}
    if dry_run:
        for name, text in made.items():
            click.echo(f"--- {name}\n{text}")
        return
    write_files(made, source, force=force)
    for name in made:
        click.echo(f"wrote {name}")
    if not made:
        click.echo("nothing is missing")
    unfinished = find_unfinished(source)
    for line in unfinished:
        click.echo(f"left to you: {line}")
    click.echo(
        'Next: "venvpkg build"' if not unfinished else 'Next: replace each FIXME, then "venvpkg build"'
    )


def _asked(draft: "Draft") -> "Draft":
    answers = {
        name: click.prompt(
            title, default=getattr(draft, name), err=True, value_proc=_checked(pattern, wanted)
        )
        for name, title, pattern, wanted in (
            ("version", "Version", r"(\d+:)?\d[\w.+~-]*", "a version begins with a digit and has no blank"),
            (
                "maintainer",
                "Maintainer",
                r"[^<>]+ <[^\s@<>]+@[^\s@<>]+>",
                "as in Ada Example <ada@example.org>",
            ),
            ("synopsis", "Description, in one line", r".*\w.*", "a few words"),
            ("section", "Section", r"[a-z/-]+", "as in utils"),
            ("homepage", "Homepage", r"(https?://\S+)?", "as in https://example.org"),
            ("licence", "Licence", r"\S.*", "as in GPL-3+"),
        )
    }
    return replace(draft, **answers)


def _checked(pattern: str, wanted: str) -> Callable[[str], str]:
    def check(answer: str) -> str:
        if not re.fullmatch(pattern, answer.strip()):
            # click asks again then.
            raise click.UsageError(wanted)
        return answer.strip()

    return check


@click.command("build-depends", short_help="List, install or write down what the build needs of Debian.")
@click.option(
    "--install", "wants_install", is_flag=True, help="Install them with apt (as root, or with sudo)."
)
@click.option("--write-control", is_flag=True, help="Add what debian/control's Build-Depends has not.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@guarded
def build_depends(wants_install: bool, write_control: bool, folder: Path) -> None:
    """List the Debian packages that the build needs, and say which are missing.

    They are what build-depends and build-depends-of declare, for all environments of the source package
    in FOLDER. Exit code 1 says that something is missing.
    """
    from venvpkg import builddeps

    run, environ = Shell(verbose=bool(current_environment().get("DH_VERBOSE"))), current_environment()
    source = folder.resolve()
    wanted = builddeps.Wanted.of(_specs(source))
    control = source / "debian" / "control"
    expanded = builddeps.expand_sources(wanted.sources, run) if wanted.sources else ()
    relations = (*wanted.relations, *expanded)
    if write_control:
        added = builddeps.write_control(relations, control)
        click.echo("\n".join(f"added to {control}: {r}" for r in added) or f"{control} has them all")
    if wants_install:
        builddeps.install(wanted, run, environ, sudo=True)
    missing = builddeps.find_missing(relations, run)
    for relation in relations:
        click.echo(f"{relation}{'  (missing)' if relation in missing else ''}")
    if missing:
        click.echo(f"{len(missing)} missing. To install:\n  {builddeps.apt_line(missing)}")
        sys.exit(EXIT_FOUND)


def _specs(source: Path) -> "list[Spec]":
    from venvpkg.configuration import make_specs, read_configuration, read_variables
    from venvpkg.control import Package, read_control

    control = source / "debian" / "control"
    alone = Package(name=source.name, architecture="any", fields={})
    packages = read_control(control).packages if control.exists() else [alone]
    variables = read_variables(current_environment())
    return make_specs(read_configuration(source), packages, [p.name for p in packages], variables, {})


@click.command("vendor", short_help="Fetch all that a build takes, for builds without a network.")
@click.option("--check", is_flag=True, help="Fetch nothing; say what is stale or changed.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@guarded
def vendor_command(check: bool, folder: Path) -> None:
    """Fetch everything that the build needs into debian/wheelhouse, for builds without a network.

    That is wheels, sdists and what building these takes, for the Python and the architecture that the
    source package in FOLDER is built for here, with a list of their hashes. A build takes them from there,
    and nothing from elsewhere. With --check, exit code 1 says that the folder does not fit any more.
    """
    from venvpkg.system import host_architecture
    from venvpkg.vendor import find_outdated, vendor
    from venvpkg.wheelhouse import FOLDER

    environ = current_environment()
    run = Shell(verbose=bool(environ.get("DH_VERBOSE")))
    source = folder.resolve()
    specs, architecture = _specs(source), host_architecture(run)
    if check:
        outdated = find_outdated(source, specs, architecture, run, environ)
        for line in outdated or ("up to date",):
            click.echo(f"{FOLDER}: {line}")
        sys.exit(EXIT_FOUND if outdated else 0)
    names = vendor(source, specs, architecture, run, environ)
    size = sum((source / FOLDER / name).stat().st_size for name in names)
    click.echo(f"{FOLDER}: {len(names)} archives, {size / 1e6:.1f} MB")


@click.command("migrate", short_help="Turn a debian/ of dh-virtualenv into one of venvpkg.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@guarded
def migrate_command(dry_run: bool, folder: Path) -> None:
    """Turn a debian/ that was written for dh-virtualenv into one of venvpkg's own form.

    Shows what changes in debian/ and pyproject.toml of FOLDER, and writes it. What it can't translate stays,
    with a comment that says why; "venvpkg build-depends" and a build tell the rest.
    """
    from venvpkg.migration import plan_migration

    migration = plan_migration(folder.resolve())
    click.echo(migration.diff() or "nothing here is of dh-virtualenv\n", nl=False)
    if not dry_run:
        migration.write()
    for text in migration.notes:
        click.echo(f"note: {text}", err=True)
    for text in migration.marks:
        click.echo(f"left to you: {text}", err=True)


@click.command("record", short_help="Note which package of a layered environment is published.")
@click.option(
    "--into",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The source package's folder; the current one by default.",
)
@click.argument("debs", nargs=-1, required=True, type=click.Path(path_type=Path))
@guarded
def record_command(folder: Path, debs: tuple[Path, ...]) -> None:
    """Note in debian/venvpkg-layers.json that the environment's package of a layered one is published.

    The next build gives a package that holds the same the same version, so that no server fetches it
    again. Commit the file. Each DEB is one that a build with layers = true made, MYAPP-env.
    """
    from venvpkg.control import read_control
    from venvpkg.deb import read_deb
    from venvpkg.layers import RECORD, Record, read_published

    source = folder.resolve()
    packages = {p.name for p in read_control(source / "debian" / "control").packages}
    record = Record.read(source)
    for deb in debs:
        package, place, published = read_published(read_deb(deb), deb, packages)
        record = record.add(package, place, published)
        click.echo(f"{RECORD}: {package} {published.version} for {place}")
    record.write(source)

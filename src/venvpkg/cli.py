"""The command line: click, the environment, exit codes."""

import json
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

import venvpkg as about
from venvpkg.errors import VenvpkgError
from venvpkg.guard import EXIT_FOUND, EXIT_KNOWN, explain_os_error, guarded, tell
from venvpkg.process import Shell, current_environment
from venvpkg.steps import dh, make_world

SECTIONS = {
    "From a project to a package": ("build", "init", "build-depends", "vendor", "migrate", "record"),
    "What is in a package": ("verify", "inspect", "diff", "check-reproducible"),
    "On a server": ("list", "run", "shell"),
    "More": ("relocate", "cache", "schema"),
}

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from venvpkg.scaffold import Draft
    from venvpkg.spec import Spec


class Sections(click.Group):
    """Lists the commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each of :data:`SECTIONS`."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(80)) for name in names])


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="See venvpkg(1), venvpkg.toml(5) and dh_venvpkg(1).",
)
@click.version_option(about.__version__, message="venvpkg %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def venvpkg(debug: bool) -> None:
    """Build a Python project's whole environment into a Debian package.

    In the folder of a project, "venvpkg build" is all that it takes. With a debian/ of its own, say
    "dh $@ --with venvpkg" in debian/rules, and build as usual.
    """


@venvpkg.command("build", short_help="Build packages, of a project with or without a debian/.")
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
    from venvpkg.delivery import Delivery, Order, deliver
    from venvpkg.display import Display

    display = Display(live=sys.stderr.isatty())
    made: list[Delivery] = []
    failed: list[dict[str, object]] = []
    for folder in folders or (Path(),):
        source = folder.resolve()
        order = Order(
            folder=source,
            output=(output or source / "dist").absolute(),
            source=wants_source,
            sign=sign,
            install_build_depends=install_build_depends,
        )
        try:
            made.append(deliver(order, make_world(source), display))
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


@venvpkg.command("init", short_help="Write a debian/ from pyproject.toml.")
@click.option("--service", "wants_service", is_flag=True, help="Write a systemd unit, too.")
@click.option("--command", help="The service's program with its arguments, where the project has several.")
@click.option("--interactive", is_flag=True, help="Ask for what goes into debian/control.")
@click.option(
    "--static", is_flag=True, help="Read pyproject.toml alone; install nothing to see what is inside."
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
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
    from venvpkg.scaffold import ALWAYS, find_unfinished, render_draft, require_room, write_files

    source = folder.resolve()
    world = make_world(source)
    if check:
        stale = find_stale(source, world)
        for line in stale or ("debian/ fits the project",):
            click.echo(line)
        sys.exit(EXIT_FOUND if stale else 0)
    if not (force or dry_run):
        require_room(ALWAYS, source)
    service = (command or "") if wants_service or command else None
    draft = draft_debian(source, world, Wish(service=service, static=static))
    made = render_draft(_asked(draft) if interactive else draft)
    if dry_run:
        for name, text in made.items():
            click.echo(f"--- {name}\n{text}")
        return
    write_files(made, source, force=force)
    for name in made:
        click.echo(f"wrote {name}")
    unfinished = find_unfinished(source)
    for line in unfinished:
        click.echo(f"left to you: {line}")
    click.echo(
        'Next: "venvpkg build"' if not unfinished else 'Next: replace each FIXME, then "venvpkg build"'
    )


def _asked(draft: "Draft") -> "Draft":
    from dataclasses import replace

    answers = {
        name: click.prompt(title, default=getattr(draft, name), err=True)
        for name, title in (
            ("version", "Version"),
            ("maintainer", "Maintainer"),
            ("synopsis", "Description, in one line"),
            ("section", "Section"),
            ("homepage", "Homepage"),
            ("licence", "Licence"),
        )
    }
    return replace(draft, **answers)


@venvpkg.command("schema", short_help="Print a JSON schema of the configuration.")
@guarded
def schema_command() -> None:
    """Print a JSON schema of the configuration, for editors.

    It fits the table [tool.venvpkg] of pyproject.toml, and debian/venvpkg.toml as a whole.
    """
    from venvpkg.schema import make_schema, to_json

    click.echo(to_json(make_schema()))


@venvpkg.command("build-depends", short_help="List, install or write down what the build needs of Debian.")
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


@venvpkg.command("verify", short_help="Check packages or environments, whatever made them.")
@click.option("--json", "as_json", is_flag=True, help='Print {"findings": [...], "checked": N}.')
@click.option("--run", "wants_run", is_flag=True, help="Import its modules and run its commands, too.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="TARBALL",
    help="Install a .deb in this clean root, made by mmdebstrap, and check it there.",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@guarded
def verify_command(as_json: bool, wants_run: bool, root: Path | None, paths: tuple[Path, ...]) -> None:
    """Check finished packages, installed environments, or folders that hold one.

    Each PATH is a .deb of any tool's, the prefix of an environment, or a package build root. Nothing
    that is in it runs without --run or --root. The two packages of a layered environment are named
    together. Exit code 0 says that nothing was found, 1 that something was, 3 that a PATH could not be
    checked.
    """
    from venvpkg.inspection import open_paths, verify_subject
    from venvpkg.report import Report

    environ = current_environment()
    run = Shell(verbose=bool(environ.get("DH_VERBOSE")))
    reports = {
        str(subject): verify_subject(subject, run, environ, wants_run=wants_run, root=root)
        for subject in open_paths(paths, run)
    }
    total = Report(
        findings=tuple(f for report in reports.values() for f in report.findings),
        checked=sum(report.checked for report in reports.values()),
    )
    if as_json:
        click.echo(total.to_json())
    else:
        for title, report in reports.items():
            count = f"{len(report.findings)} findings" if report.findings else "nothing found"
            click.echo(f"{title}: {report.checked} files, {count}")
            if report.findings:
                click.echo(report.to_text())
    sys.exit(EXIT_FOUND if total.findings else 0)


@venvpkg.command("inspect", short_help="Tell what is inside; as a bill of materials, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a list, with one object for each environment.")
@click.option("--sbom", "as_sbom", is_flag=True, help="Print a bill of materials, in CycloneDX 1.6.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@guarded
def inspect_command(as_json: bool, as_sbom: bool, paths: tuple[Path, ...]) -> None:
    """Tell what is inside a package, an installed environment or a folder that holds one.

    Interpreter, distributions with version, licence and size, libraries and who needs them, entry points.
    The two packages of a layered environment are named together.
    """
    from venvpkg.inspection import collect, open_paths
    from venvpkg.inventory import take_inventory
    from venvpkg.sbom import Environment, Subject, make_sbom, to_json

    if as_json and as_sbom:
        raise click.UsageError("--json and --sbom exclude each other")
    run = Shell(verbose=bool(current_environment().get("DH_VERBOSE")))
    subjects = open_paths(paths, run)
    if as_sbom and len(subjects) > 1:
        raise click.UsageError("--sbom is of one package, or of two that are one environment")
    found = [evidence for subject in subjects for evidence in collect(subject, run)]
    if as_sbom:
        subject = Subject.from_control(found[0].control)
        click.echo(to_json(make_sbom(subject, map(Environment.from_evidence, found))), nl=False)
        return
    inventories = [take_inventory(evidence) for evidence in found]
    if as_json:
        click.echo(f"[{', '.join(inventory.to_json() for inventory in inventories)}]")
    else:
        click.echo("\n\n".join(inventory.to_text() for inventory in inventories))


@venvpkg.command("diff", short_help="Tell what differs between two packages or environments.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@click.option("--changelog", "as_changelog", is_flag=True, help="Print lines for debian/changelog.")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@guarded
def diff_command(as_json: bool, as_changelog: bool, before: Path, after: Path) -> None:
    """Tell what differs between two packages, installed environments or folders.

    Distributions, dependencies, entry points, sizes, and the files that none of these explains. Exit code 0
    says that both hold the same, 1 that they do not.
    """
    from venvpkg.difference import compare, describe_side
    from venvpkg.inspection import open_path

    if as_json and as_changelog:
        raise click.UsageError("--json and --changelog exclude each other")
    run = Shell(verbose=bool(current_environment().get("DH_VERBOSE")))
    subjects = [open_path(path, run) for path in (before, after)]
    found = compare(*(describe_side(subject.tree, subject.control) for subject in subjects))
    if as_json:
        click.echo(found.to_json())
    elif as_changelog:
        text = found.to_changelog()
        click.echo(text and f"{text}\n", nl=False)
    else:
        click.echo(found.to_text() if found else f"{before} and {after} hold the same")
    sys.exit(EXIT_FOUND if found else 0)


@venvpkg.command("check-reproducible", short_help="Build twice under different conditions, and compare.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@guarded
def check_reproducible_command(folder: Path) -> None:
    """Build the source package in FOLDER twice, under different conditions, and compare the packages.

    Neither build touches FOLDER. Exit code 1 says that a package differs, and the first file that does is
    named; diffoscope shows more where it is installed.
    """
    from venvpkg.reproducibility import check_reproducible

    environ = current_environment()
    outcomes = check_reproducible(folder.resolve(), Shell(verbose=bool(environ.get("DH_VERBOSE"))), environ)
    for outcome in outcomes:
        click.echo(outcome.to_text())
    sys.exit(0 if all(outcome.same for outcome in outcomes) else EXIT_FOUND)


@venvpkg.command("vendor", short_help="Fetch all that a build takes, for builds without a network.")
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


@venvpkg.command("record", short_help="Note which package of a layered environment is published.")
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


@venvpkg.command("relocate", short_help="Copy a virtual environment to another prefix.")
@click.option(
    "--final", type=click.Path(path_type=PurePosixPath), help="The prefix that it will have elsewhere."
)
@click.option("--move", "remove", is_flag=True, help="Remove SOURCE when the new one is proven.")
@click.option("--dry-run", is_flag=True, help="List the files that would be rewritten, and stop.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@guarded
def relocate_command(
    final: PurePosixPath | None, remove: bool, dry_run: bool, source: Path, target: Path
) -> None:
    """Copy a virtual environment to another prefix, with every path in it rewritten.

    SOURCE may come from venv, virtualenv or uv, and may have been copied from elsewhere before. TARGET
    is the new folder; with --final it is made for another place or machine.
    """
    from venvpkg.relocation import carry_out, list_edits, plan_relocation

    environ = current_environment()
    if final is not None and not final.is_absolute():
        raise click.UsageError("--final must be an absolute path")
    relocation = plan_relocation(source, target, final)
    if dry_run:
        for edit in list_edits(relocation):
            what = "rewrite" if edit.data is not None else "link" if edit.target is not None else "remove"
            click.echo(f"{what} {edit.path}{f' -> {edit.target}' if edit.target else ''}")
        return
    count = carry_out(relocation, Shell(verbose=bool(environ.get("DH_VERBOSE"))), environ, remove=remove)
    click.echo(f"{relocation.target}: {count} edits, for {relocation.final}")


@venvpkg.command("migrate", short_help="Turn a debian/ of dh-virtualenv into one of venvpkg.")
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


@venvpkg.command("cache", short_help="Show or clear what builds keep for the next ones.")
@click.option("--clear", is_flag=True, help="Remove everything that is kept.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help='Print {"folder", "limit", "kinds": {KIND: {"entries", "bytes"}}}.',
)
@guarded
def cache_command(clear: bool, as_json: bool) -> None:
    """Show what builds keep for the next ones, or clear it.

    Bytecode, what dpkg-shlibdeps said, and which modules could be imported without what prune leaves out, in
    the user's cache folder, or in VENVPKG_CACHE_DIR. What was not used for longest goes when there is too
    much. What uv and pip keep is theirs.
    """
    from venvpkg.cache import LIMIT, Cache

    cache = Cache.of(current_environment())
    if clear:
        cache.clear()
    kinds = {kind: {"entries": count, "bytes": size} for kind, (count, size) in cache.sizes().items()}
    if as_json:
        folder = str(cache.folder) if cache.folder else None
        click.echo(json.dumps({"folder": folder, "limit": LIMIT, "kinds": kinds}, indent=1))
    elif cache.folder is None:
        click.echo("none: there is no folder of this user's to keep anything in")
    else:
        click.echo(f"{cache.folder}, {LIMIT / 1e9:.1f} GB at most")
        for kind, told in kinds.items():
            click.echo(f"  {kind}: {told['entries']} entries, {told['bytes'] / 1e6:.1f} MB")


@venvpkg.command("list", short_help="List the environments that packages brought.")
@click.option("--json", "as_json", is_flag=True, help="Print a list, with one object for each environment.")
@guarded
def list_command(as_json: bool) -> None:
    """List the environments that packages on this machine brought.

    Package, version, Python, prefix, number of distributions and state, of packages of dh-virtualenv too.
    Files are looked for and not read; "venvpkg verify PREFIX" compares them.
    """
    from venvpkg import host
    from venvpkg.system import read_codename

    found = host.list_environments(current_environment(), read_codename(), Shell())
    if as_json:
        click.echo(host.to_json(found))
    else:
        click.echo(host.to_text(found) if found else "no package on this machine brought an environment")


def _complete_environment(
    _context: click.Context, _parameter: click.Parameter, begun: str
) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    from venvpkg.host import find_places, list_names

    if "/" in begun:
        return [CompletionItem(begun, type="dir")]
    try:
        names = list_names(find_places(current_environment()))
    except Exception:
        # Whatever is said here would stand in the middle of a line that is being typed.
        return []
    return [CompletionItem(name) for name in names if name.startswith(begun) and name.isprintable()]


@venvpkg.command(
    "run",
    short_help="Run a command in an environment.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("name", shell_complete=_complete_environment)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARG]...")
@guarded
def run_command(name: str, command: tuple[str, ...]) -> None:
    """Run a command in an environment: one of its programs, or any other with it activated.

    NAME is a package, the name of an environment, or a prefix.
    """
    from venvpkg.host import Start, activate, choose, find_command, replace_process

    words = command[1:] if command[0] == "--" else command
    if not words:
        raise click.UsageError("Missing argument 'COMMAND'.")
    prefix = choose(name, current_environment())
    environ = activate(prefix, current_environment())
    replace_process(Start(program=find_command(words[0], prefix, environ), argv=words, environ=environ))


@venvpkg.command("shell", short_help="Start a shell with an environment activated.")
@click.argument("name", shell_complete=_complete_environment)
@guarded
def shell_command(name: str) -> None:
    """Start your own shell with an environment activated; "exit" leaves it.

    NAME is a package, the name of an environment, or a prefix.
    """
    from venvpkg.host import choose, plan_shell, replace_process

    environ = current_environment()
    prefix = choose(name, environ)
    replace_process(plan_shell(prefix, environ, interactive=sys.stdin.isatty()))


venvpkg.add_command(dh)

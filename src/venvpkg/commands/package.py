"""What is in a package."""

import sys
from pathlib import Path

import click

from venvpkg.guard import EXIT_FOUND, guarded
from venvpkg.process import Shell, current_environment


@click.command("verify", short_help="Check packages or environments, whatever made them.")
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


@click.command("inspect", short_help="Tell what is inside; as a bill of materials, too.")
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


@click.command("diff", short_help="Tell what differs between two packages or environments.")
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


@click.command("check-reproducible", short_help="Build twice under different conditions, and compare.")
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

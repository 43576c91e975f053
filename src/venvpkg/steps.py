"""What the dh_venvpkg commands call; each reads and writes JSON."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from venvpkg.addon import EVENTS
from venvpkg.guard import EXIT_FOUND, guarded
from venvpkg.log import send_events
from venvpkg.process import Shell, current_environment

if TYPE_CHECKING:
    from venvpkg.pipeline import World


def make_world(source: Path) -> "World":
    """Return this machine as the steps need it, for the source package in a folder."""
    from venvpkg.cache import Cache
    from venvpkg.pipeline import World
    from venvpkg.system import read_codename

    environ = current_environment()
    return World(
        source=source,
        run=Shell(verbose=bool(environ.get("DH_VERBOSE"))),
        environ=environ,
        codename=read_codename(),
        cache=Cache.of(environ),
    )


@click.group(hidden=True)
def dh() -> None:
    """What the dh_venvpkg commands call; each reads and writes JSON."""


@dh.command()
@guarded
def options() -> None:
    """Print the options of dh_venvpkg as Getopt::Long declares them."""
    from venvpkg.keys import KEYS
    from venvpkg.virtualenv import OPTIONS

    click.echo("\n".join([*(key.option for key in KEYS if key.has_option), *OPTIONS]))


@dh.command()
@guarded
def environment() -> None:
    """Print the variables that a build needs, a line each: what dpkg-deb compresses with."""
    from venvpkg.configuration import read_compression, read_configuration, read_variables

    environ = current_environment()
    configuration = read_configuration(Path.cwd())
    for name, value in read_compression(configuration, read_variables(environ)).items():
        if name not in environ:
            click.echo(f"{name}={value}")


@dh.command()
@click.argument("name", type=click.Choice(["build", "settle", "verify"]))
@guarded
def step(name: str) -> None:
    """Run one step for the packages that standard input names, and print what debhelper has to do."""
    from venvpkg import pipeline
    from venvpkg.debhelper import Answer, Call

    environ = current_environment()
    if environ.get(EVENTS):
        send_events(Path(environ[EVENTS]))
    source = Path.cwd().resolve()
    world = make_world(source)
    call = Call.from_json(sys.stdin.read(), source)
    if name == "verify":
        reports = pipeline.gate(call, world)
        for package, report in reports.items():
            if report.findings:
                click.echo(f"{package}: {len(report.findings)} findings\n{report.to_text()}", err=True)
        if any(report.findings for report in reports.values()):
            sys.exit(EXIT_FOUND)
    steps = {"build": pipeline.build, "settle": pipeline.settle}
    answer = steps[name](call, world) if name in steps else Answer()
    click.echo(answer.to_json())

"""On a server."""

import sys
from typing import TYPE_CHECKING

import click

from venvpkg.guard import guarded
from venvpkg.process import Shell, current_environment

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@click.command("list", short_help="List the environments that packages brought.")
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


@click.command(
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


@click.command("shell", short_help="Start a shell with an environment activated.")
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

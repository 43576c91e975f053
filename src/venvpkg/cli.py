"""The program ``venvpkg``: its commands, by what they are for."""

import click

import venvpkg as about
from venvpkg.commands import more, package, project, server
from venvpkg.steps import dh

SECTIONS = {
    "From a project to a package": (
        project.build_command,
        project.init_command,
        project.build_depends,
        project.vendor_command,
        project.migrate_command,
        project.record_command,
    ),
    "What is in a package": (
        package.verify_command,
        package.inspect_command,
        package.diff_command,
        package.check_reproducible_command,
    ),
    "On a server": (server.list_command, server.run_command, server.shell_command),
    "More": (more.relocate_command, more.cache_command, more.schema_command),
}


class Sections(click.Group):
    """Lists the commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each of :data:`SECTIONS`."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(each.name), each.get_short_help_str(80)) for each in commands])


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


for command in (*(each for commands in SECTIONS.values() for each in commands), dh):
    venvpkg.add_command(command)

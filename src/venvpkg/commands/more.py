"""Beside packages."""

import json
from pathlib import Path, PurePosixPath

import click

from venvpkg.guard import guarded
from venvpkg.process import Shell, current_environment


@click.command("relocate", short_help="Copy a virtual environment to another prefix.")
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


@click.command("cache", short_help="Show or clear what builds keep for the next ones.")
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


@click.command("schema", short_help="Print a JSON schema of the configuration.")
@guarded
def schema_command() -> None:
    """Print a JSON schema of the configuration, for editors.

    It fits the table [tool.venvpkg] of pyproject.toml, and debian/venvpkg.toml as a whole.
    """
    from venvpkg.schema import make_schema, to_json

    click.echo(to_json(make_schema()))

"""What stands around every command: errors become one message and an exit code."""

import functools
import io
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from errno import ENOSPC
from pathlib import Path
from typing import ParamSpec

import click

import venvpkg as about
from venvpkg.credentials import known_secrets
from venvpkg.errors import VenvpkgError
from venvpkg.process import current_environment, redact

EXIT_FOUND, EXIT_KNOWN, EXIT_CRASH = 1, 3, 4
P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors into one message and an exit code: 3 for a known one, 4 for a crash of ours."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        environ = current_environment()
        # What was made on the way goes away, as after an interruption by hand.
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Not where it is ignored, as nohup(1) asks.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end)
        _open_streams()
        # What is shown may have names that the terminal's encoding has not.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            command(*args, **kwargs)
        except VenvpkgError as error:
            if wants_traceback(environ):
                traceback.print_exc()
            tell(str(error), environ)
            sys.exit(EXIT_KNOWN)
        except (
            click.exceptions.ClickException,
            click.exceptions.Exit,
            click.exceptions.Abort,
            BrokenPipeError,
        ):
            raise
        except OSError as error:
            # A full disk or a read-only tree is the user's to mend, wherever it was met.
            tell(str(explain_os_error(error)), environ)
            sys.exit(EXIT_KNOWN)
        except Exception as error:
            if wants_traceback(environ):
                raise
            tell(str(explain_crash(error, environ)), environ)
            sys.exit(EXIT_CRASH)

    return wrapper


def _open_streams() -> None:
    """Give a place to what is written where a caller closed the standard streams."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # To the end of this process.
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def wants_traceback(environ: Mapping[str, str]) -> bool:
    """Tell whether it was asked for, with --debug or by the variable VENVPKG_DEBUG."""
    context = click.get_current_context(silent=True)
    return bool(environ.get("VENVPKG_DEBUG") or (context and context.find_root().params.get("debug")))


def explain_crash(error: Exception, environ: Mapping[str, str]) -> VenvpkgError:
    """Keep what is known of a crash of ours in a file, and return what to do with it."""
    number, name = tempfile.mkstemp(prefix="venvpkg-crash-", suffix=".log")
    told = f"{sys.argv}\n{''.join(traceback.format_exception(error))}"
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(f"venvpkg {about.__version__}, Python {sys.version}\n")
        stream.write(redact(told, known_secrets(environ)))
    return VenvpkgError(
        code="crash",
        message=f"{type(error).__name__}: {error}",
        causes=[f"This is a bug in venvpkg {about.__version__}."],
        hint=f"Please report it, with {name}: reportbug dh-venvpkg\n"
        "--debug, or VENVPKG_DEBUG=1, shows where it happened.",
    )


def tell(text: str, environ: Mapping[str, str]) -> None:
    """Write an error; what it quotes of a configuration or a tool may hold passwords."""
    click.echo(redact(text, known_secrets(environ)), err=True)


def explain_os_error(error: OSError) -> VenvpkgError:
    """Return the known error that a failed system call is."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # One for each file that could not be copied.
        causes = [str(each[-1]) for each in error.args[0]]
        full = any(f"[Errno {ENOSPC}]" in cause for cause in causes)
        return VenvpkgError(
            code="no-space" if full else "system-call-failed",
            message=f"{len(causes)} files could not be copied.",
            causes=causes[:10],
            hint="Free some space, or name another folder for temporary files: TMPDIR=/var/tmp"
            if full
            else "Check that these files may be read.",
        )
    return VenvpkgError(
        code="no-space" if error.errno == ENOSPC else "system-call-failed",
        message=f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}",
        hint="Free some space, and build again."
        if error.errno == ENOSPC
        else "Check that the place is there and may be written.",
    )

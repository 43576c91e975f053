"""The only door to ``subprocess``."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, BinaryIO, Protocol, cast

from venvpkg.credentials import known_secrets
from venvpkg.errors import VenvpkgError
from venvpkg.log import heed, watched

KEPT_LINES = 4000
SHOWN_LINES = 25
# Seconds.
TICK, GRACE = 0.1, 10
# Up to the last @ before the path, for a password may hold one; the second is one with a slash in it, which
# no port has.
SECRET = re.compile(r"(?<=://)(?:[^/\s]+@|[^\s/:@]*:(?!\d*(?:[/?#\s]|$))[^\s@]*/\S*@)")


@dataclass(slots=True, kw_only=True)
class CommandFailedError(VenvpkgError):
    """A command that ended with another status than 0; its causes are the last lines that it wrote."""

    lines: Sequence[str] = ()
    """More of what it wrote to standard error, for whoever can read a reason out of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished command left."""

    returncode: int
    """Exit status; negative for a signal, as ``subprocess`` has it."""
    stdout: str
    """Standard output, decoded as UTF-8 with replacement."""
    lines: tuple[str, ...]
    """The last lines of standard error, 4000 at most, without credentials."""

    @property
    def tail(self) -> tuple[str, ...]:
        """Return as many of the last lines as an error shows."""
        return self.lines[-SHOWN_LINES:]


class Runner(Protocol):
    """Runs a command to its end."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
        check: bool = True,
    ) -> Result:
        """Run ``argv``; ``env`` replaces the whole environment.

        Raises:
            VenvpkgError: ``command-not-found``; CommandFailedError where ``check`` is set.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shell:
    """The runner that really runs commands."""

    verbose: bool = False
    """Show every command before it runs, and what it says while it runs."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
        check: bool = True,
    ) -> Result:
        """Run ``argv`` as :class:`Runner` says."""
        words = [str(word) for word in argv]
        if self.verbose:
            print(f"\t{redact(shlex.join(words))}", file=sys.stderr, flush=True)
        try:
            child = subprocess.Popen(
                words,
                env=None if env is None else dict(env),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise VenvpkgError(
                code="command-not-found",
                message=f"Could not run {words[0]}.",
                causes=[str(error)],
                hint=f"Install the package that holds {words[0]}, or check its permissions.",
            ) from error
        result = self._finish(child, stdin, current_environment() if env is None else env)
        if check and result.returncode != 0:
            raise CommandFailedError(
                code="command-failed",
                message=f"{Path(words[0]).name} ended with {describe_status(result.returncode)}.",
                causes=[*result.tail] or [f"It ran: {redact(shlex.join(words))}"],
                hint="DH_VERBOSE=1 in the environment shows every command that runs.",
                lines=result.lines,
            )
        return result

    def _finish(self, child: "subprocess.Popen[bytes]", stdin: str, env: Mapping[str, str]) -> Result:
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        assert child.stdin and child.stdout and child.stderr

        # Standard error is drained by a thread, so that neither pipe can fill up and stop the child.
        def follow(stream: IO[bytes]) -> None:
            secrets: tuple[bytes, ...] | None = None
            for raw in stream:
                # What a command was given it may say, without a URL around it.
                secrets = known_secrets(env) if secrets is None else secrets
                line = redact(raw.decode("utf-8", "replace").rstrip("\n"), secrets)
                if heed(line):
                    continue
                lines.append(line)
                if self.verbose:
                    print(line, file=sys.stderr, flush=True)

        follower = threading.Thread(target=follow, args=(child.stderr,))
        feeder = threading.Thread(target=_feed, args=(child.stdin, stdin))
        follower.start()
        feeder.start()
        # pip says there what it downloads.
        said = bytearray()
        for raw in child.stdout:
            said += raw
            if watched():
                heed(raw.decode("utf-8", "replace").rstrip("\n"))
        stdout = said.decode("utf-8", "replace")
        feeder.join()
        follower.join()
        child.stdout.close()
        child.stderr.close()
        return Result(returncode=child.wait(), stdout=stdout, lines=tuple(lines))


@contextmanager
def stream(argv: Sequence[str | Path]) -> Iterator[BinaryIO]:
    """Give the standard output of a command while it runs; one that is no longer read is ended.

    Raises:
        CommandFailedError: where it ends with another status than 0 after everything was read.
    """
    words = [str(word) for word in argv]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout and child.stderr
    finished = False
    try:
        yield cast(BinaryIO, child.stdout)
        child.stdout.read()
        finished = True
    finally:
        child.stdout.close()
        said = redact(child.stderr.read().decode("utf-8", "replace")).splitlines()
        child.stderr.close()
        status = child.wait()
    if finished and status != 0:
        raise CommandFailedError(
            code="command-failed",
            message=f"{Path(words[0]).name} ended with {describe_status(status)}.",
            causes=said[-SHOWN_LINES:],
            lines=said,
        )


def follow(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    hear: Callable[[str], None],
    tick: Callable[[int], None],
) -> int:
    """Run a command that takes long, and return its exit status.

    Args:
        argv: the command; what it starts is ended with it, when this is interrupted.
        env: its whole environment.
        cwd: where it runs.
        hear: is given each line of its output, standard error among it, without credentials.
        tick: is called several times a second with the id of its session (setsid(2)).
    """
    child = subprocess.Popen(
        [str(word) for word in argv],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout
    secrets = known_secrets(env)
    said: SimpleQueue[bytes | None] = SimpleQueue()

    def read(stream: IO[bytes]) -> None:
        for raw in stream:
            said.put(raw)
        said.put(None)

    reader = threading.Thread(target=read, args=(child.stdout,), daemon=True)
    reader.start()
    ended = 0.0
    try:
        while True:
            try:
                raw = said.get(timeout=TICK)
            except Empty:
                tick(child.pid)
                # What was left running in the background keeps the pipe, and is nobody's to wait for.
                ended = ended or (time.monotonic() if child.poll() is not None else 0)
                if ended and time.monotonic() - ended > 1:
                    break
                continue
            if raw is None:
                break
            hear(redact(raw.decode("utf-8", "replace").rstrip("\n"), secrets))
        return child.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        raise


def _feed(stream: IO[bytes], text: str) -> None:
    # A child that does not want its input closes the pipe; its exit status tells what came of it.
    with suppress(BrokenPipeError), stream:
        stream.write(text.encode("utf-8", "surrogateescape"))


def redact(text: str, secrets: Iterable[bytes] = ()) -> str:
    """Return text without the credentials of the URLs in it, and without the secrets that are given."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret.decode("utf-8", "replace"), "***")
    return SECRET.sub("***@", text)


def describe_status(returncode: int) -> str:
    """Say an exit status in words: ``status 2``, ``signal 11 (SIGSEGV)``."""
    if returncode >= 0:
        return f"status {returncode}"
    try:
        return f"signal {-returncode} ({signal.Signals(-returncode).name})"
    except ValueError:  # Most of the real-time signals have no name.
        return f"signal {-returncode}"


def python_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` without what would change how another Python starts.

    The add-on may itself run with PYTHONPATH set (from a checkout); the packaged interpreter must not
    see that, or the package would be tested against modules that it does not hold.
    """
    unwanted = (
        "PYTHON",
        "VIRTUAL_ENV",
        "__PYVENV",
        "CONDA_",
        "UV_PROJECT",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
    )
    kept = {k: v for k, v in environ.items() if not k.startswith(unwanted)}
    kept["PYTHONNOUSERSITE"] = "1"
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    return kept


def current_environment() -> dict[str, str]:
    """Return a copy of the process's environment."""
    return dict(os.environ)

"""One line a step, with its time; and the same as events, for a program that watches the build."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

# What one of our own programs writes to standard error: ADVANCE DONE TOTAL UNIT.
ADVANCE = "venvpkg-advance"
UNITS = {
    "B": 1e-6,
    "KiB": 1024e-6,
    "MiB": 1024**2 / 1e6,
    "GiB": 1024**3 / 1e6,
    "bytes": 1e-6,
    "kB": 1e-3,
    "MB": 1.0,
    "GB": 1e3,
}
# uv says so of what is large, and fetches several at once; pip says so of every archive, one after the other.
BEGUN, FETCHED = re.compile(r" *Downloading (\S+) \(([\d.]+) ?(\w+)\)"), re.compile(r" *Downloaded (\S+)")
ARCHIVE = re.compile(r"\.(whl|gz|zip|bz2|xz|metadata)$")
# pip's --progress-bar=raw.
PROGRESS = re.compile(r" *Progress (\d+) of (\d+)")


Hear = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True)
class Events:
    """Where events go, and what has been downloaded so far."""

    stream: IO[str] | None = None
    sizes: dict[str, float] = field(default_factory=dict)
    """In megabytes, by distribution."""
    done: set[str] = field(default_factory=set)
    part: float = 0.0
    """What there is of the one that is being downloaded, in megabytes."""
    silent: bool = False
    """Nothing is written to standard error."""
    hear: Hear | None = None
    """Is given each event, in this process."""

    def say(self, text: str) -> None:
        """Write a line for people."""
        if not self.silent:
            print(text, file=sys.stderr, flush=True)

    def tell(self, event: str, **values: object) -> None:
        """Write one event, a line of JSON."""
        told = {"event": event, **values}
        if self.stream:
            print(json.dumps(told), file=self.stream, flush=True)
        if self.hear:
            self.hear(told)


_events = Events()


def send_events(path: Path) -> None:
    """Append an event to a file for each step that begins and ends, and for each part of it that is done.

    They are ``{"event": "begin", "title"}``, ``{"event": "end", "title", "details", "seconds"}``,
    ``{"event": "advance", "done", "total", "unit"}``, and ``{"event": "note" | "warning", "text"}``.
    """
    _events.stream = path.open("a", encoding="utf-8")


@contextmanager
def silence(hear: Hear | None = None) -> Iterator[None]:
    """Say nothing of the steps of the body: it is a rehearsal, and what follows will say the same.

    Args:
        hear: is given the events, as :func:`send_events` has them, maybe in another thread.
    """
    before, _events.silent, _events.hear = (_events.silent, _events.hear), True, hear
    try:
        yield
    finally:
        _events.silent, _events.hear = before


def watched() -> bool:
    """Tell whether anybody wants to hear how far a step is."""
    return bool(_events.stream or _events.hear)


def heed(line: str) -> bool:
    """Take a line of a command's output for an event, and tell whether it was nothing else."""
    if not watched():
        return line.startswith(f"{ADVANCE} ")
    if line.startswith(f"{ADVANCE} "):
        _, done, total, unit = line.split(maxsplit=3)
        _events.tell("advance", done=int(done), total=int(total), unit=unit)
        return True
    if begun := BEGUN.fullmatch(line):
        if ARCHIVE.search(begun[1]):
            _events.done.update(_events.sizes)
        _events.sizes[begun[1]] = float(begun[2]) * UNITS.get(begun[3], 1)
        _events.part = 0.0
    elif fetched := FETCHED.fullmatch(line):
        _events.done.add(fetched[1])
    elif progress := PROGRESS.fullmatch(line):
        _events.part = int(progress[1]) / 1e6
    elif line.startswith("Installing collected packages") and _events.sizes:
        _events.done.update(_events.sizes)
        _events.part = 0.0
    else:
        return False
    got = sum(size for name, size in _events.sizes.items() if name in _events.done) + _events.part
    total_size = sum(_events.sizes.values())
    _events.tell("advance", done=round(got, 1), total=round(total_size, 1), unit="MB downloaded")
    return False


@contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Say what a step did and how long it took, in seconds.

    On a terminal the title stands there while the step runs. What the body appends to the list that
    it is given follows the title. A step that fails says nothing: its error does.
    """
    live = sys.stderr.isatty() and not _events.silent
    if live:
        print(f"   {title} …", end="", file=sys.stderr, flush=True)
    _events.tell("begin", title=title)
    details: list[str] = []
    start = time.monotonic()
    try:
        yield details
    except BaseException:
        if live:
            print(file=sys.stderr)
        raise
    seconds = time.monotonic() - start
    _events.tell("end", title=title, details=details, seconds=round(seconds, 1))
    line = f"   {title}{': ' if details else ''}{', '.join(details)} ({seconds:.1f} s)"
    _events.say(f"\r\033[K{line}" if live else line)


def counted(count: int, thing: str) -> str:
    """Return ``1 module`` or ``3 modules``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def note(text: str) -> None:
    """Say something that the user may want to know."""
    _events.tell("note", text=text)
    _events.say(f"   note: {text}")


def warn(text: str) -> None:
    """Say something that the user should look at."""
    _events.tell("warning", text=text)
    _events.say(f"   warning: {text}")

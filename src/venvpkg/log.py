"""One line a step, with its time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Say what a step did and how long it took, in seconds.

    On a terminal the title stands there while the step runs. What the body appends to the list that
    it is given follows the title. A step that fails says nothing: its error does.
    """
    live = sys.stderr.isatty()
    if live:
        print(f"   {title} …", end="", file=sys.stderr, flush=True)
    details: list[str] = []
    start = time.monotonic()
    try:
        yield details
    except BaseException:
        if live:
            print(file=sys.stderr)
        raise
    line = f"   {title}{': ' if details else ''}{', '.join(details)} ({time.monotonic() - start:.1f} s)"
    print(f"\r\033[K{line}" if live else line, file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Say something that the user may want to know."""
    print(f"   note: {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Say something that the user should look at."""
    print(f"   warning: {text}", file=sys.stderr, flush=True)

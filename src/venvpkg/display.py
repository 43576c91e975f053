"""Shows how far a build is: bars on a terminal, plain lines elsewhere."""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

WIDTH = 24
# Seconds.
TICK = 0.2
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@dataclass(slots=True)
class Display:
    """A line for each step, and on a terminal one below them for what is going on."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    live: bool = False
    """The output is a terminal, whose last line can be written again."""
    doing: str = ""
    part: str = ""
    """How far that is: a bar, or nothing."""
    begun: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held while a line is written."""

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Write the line that does not stay again and again, while the body says nothing."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(TICK):
                self.draw()

        ticker = threading.Thread(target=tick, daemon=True)
        if self.live:
            ticker.start()
        try:
            yield
        finally:
            over.set()
            if self.live:
                ticker.join()

    def begin(self, title: str) -> None:
        """Say what is done now."""
        self.doing, self.part, self.begun = title, "", time.monotonic()
        self.draw()

    def advance(self, done: float, total: float, unit: str) -> None:
        """Say how much of it is done."""
        share = min(1.0, done / total) if total else 0.0
        full = round(share * WIDTH)
        # Whole numbers stay so.
        shown = [f"{n:.1f}" if n % 1 else f"{n:.0f}" for n in (done, total)]
        self.part = f"[{'#' * full}{'-' * (WIDTH - full)}] {share:4.0%}  {'/'.join(shown)} {unit}"
        self.draw()

    def end(self, title: str, seconds: float) -> None:
        """Say that a step is done."""
        self.doing = self.part = ""
        self.line(f"   {title} ({seconds:.1f} s)")

    def line(self, text: str) -> None:
        """Write a line that stays."""
        with self.lock:
            print(f"\r\033[K{text}" if self.live else text, file=self.out, flush=True)
            self.draw()

    def draw(self) -> None:
        """Write the line that does not stay, on a terminal."""
        with self.lock:
            if not self.live or not self.doing:
                return
            width = shutil.get_terminal_size().columns
            seconds = time.monotonic() - self.begun
            head = f" {SPINNER[int(seconds / TICK) % len(SPINNER)]} "
            tail = f" … {seconds:.0f} s  {self.part}"
            # The bar is what changes: where there is no room for both, the title is cut.
            title = self.doing[: max(12, width - 1 - len(head) - len(tail))]
            print(f"\r\033[K{f'{head}{title}{tail}'[: width - 1]}", end="", file=self.out, flush=True)

    def clear(self) -> None:
        """Take the line that does not stay away."""
        with self.lock:
            self.doing = self.part = ""
            if self.live:
                print("\r\033[K", end="", file=self.out, flush=True)

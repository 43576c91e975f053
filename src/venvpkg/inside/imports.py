"""Import modules, and tell which can't be imported and which of some files and modules they looked for.

Reads ``{"groups": [[NAME, ...], ...], "modules": [...], "files": [...], "jobs": N, "seconds": N}`` as
JSON from standard input. Each group has a process of its own; one that a module ends, or that takes too long
over one, is followed by another for the rest. Writes JSON lines to the file descriptor that the first
argument names: ``{"module": NAME, "error": TEXT, "missing": NAME}`` for one that can't be imported,
``{"module": NAME, "wants": NAME or PATH, "by": NAME}`` for what is on one of the lists, ``{"module": NAME,
"loaded": [NAME, ...]}`` with the packages of the first level that a group's process had loaded when it came
to the end of the group, and ``{"groups": N}`` at the end of all.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import mmap
import os
import signal
import sys
import traceback
from types import FrameType

# What stands between a module and the file or the module that it asks for.
BETWEEN = {__name__, "importlib", "os", "posixpath", "genericpath", "codecs", "io", "pathlib", "pkgutil"}


class Witness:
    """A finder that finds nothing, and a hook for opened files; both tell what they were asked for."""

    def __init__(self, channel: int, modules: list[str], files: list[str]) -> None:
        self.channel, self.modules, self.files = channel, set(modules), set(files)
        self.own, self.module = os.getpid(), ""
        self.told: set[str] = set()

    def tell(self, **what: object) -> None:
        """Write a line about the module that is being imported."""
        # A module that forks has a copy of us. One write each keeps the lines of several processes whole.
        if os.getpid() == self.own:
            os.write(self.channel, json.dumps({"module": self.module, **what}).encode() + b"\n")

    def want(self, name: str) -> None:
        """Tell once that something was asked for."""
        if name not in self.told:
            self.told.add(name)
            self.tell(wants=name, by=importer())

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Do what importlib asks of a finder: it is asked before all others."""
        if name in self.modules:
            self.want(name)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        """Do what sys.addaudithook asks of a hook."""
        if event == "open" and isinstance(arguments[0], str):
            path = os.path.abspath(arguments[0])
            if path in self.files:
                self.want(path)


def importer() -> str:
    """Return the module whose code is running, beneath the machinery of imports and files."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name not in BETWEEN and not name.startswith(("importlib.", "_frozen_importlib", "encodings.")):
            return name
        frame = frame.f_back
    return ""


def work(names: list[str], done: mmap.mmap, witness: Witness, seconds: int) -> None:
    """Import the modules that are still to do; the process ends with the last of them."""
    witness.own = own = os.getpid()
    # What a module leaves running is ended with this process's group.
    os.setsid()
    sys.meta_path.insert(0, witness)
    sys.addaudithook(witness.hook)
    for at in range(read_number(done), len(names)):
        done[:8] = at.to_bytes(8, "little")
        witness.module = names[at]
        # Nothing survives that signal, not even a loop in machine code.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        try:
            importlib.import_module(names[at])
        except BaseException as error:
            text = traceback.format_exception_only(type(error), error)[-1].strip()
            missing = error.name if isinstance(error, ModuleNotFoundError) else ""
            witness.tell(error=text or type(error).__name__, missing=missing or "")
        if os.getpid() != own:
            os._exit(0)
    witness.tell(loaded=sorted({name.partition(".")[0] for name in list(sys.modules)}))
    done[:8] = len(names).to_bytes(8, "little")
    os._exit(0)


def read_number(done: mmap.mmap) -> int:
    return int.from_bytes(done[:8], "little")


def ending(status: int, seconds: int) -> str:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return f"no end within {seconds} s"
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
    return f"the process ended with {how}"


def main() -> None:
    # A module of the environment may have this program's name.
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != own]
    asked = json.load(sys.stdin)
    witness = Witness(int(sys.argv[1]), asked["modules"], asked["files"])
    waiting = [(names, mmap.mmap(-1, 8)) for names in reversed(asked["groups"])]
    running: dict[int, tuple[list[str], mmap.mmap]] = {}
    while waiting or running:
        while waiting and len(running) < asked["jobs"]:
            names, done = waiting.pop()
            child = os.fork()
            if not child:
                work(names, done, witness, asked["seconds"])
            running[child] = (names, done)
        child, status = os.wait()
        if child not in running:
            continue
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        names, done = running.pop(child)
        at = read_number(done)
        if at < len(names):
            witness.module = names[at]
            witness.tell(error=ending(status, asked["seconds"]), missing="", ended=True)
            done[:8] = (at + 1).to_bytes(8, "little")
            waiting.append((names, done))
    os.write(witness.channel, json.dumps({"groups": len(asked["groups"])}).encode() + b"\n")


if __name__ == "__main__":
    main()

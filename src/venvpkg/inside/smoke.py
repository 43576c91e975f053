"""Import modules one after the other and tell what became of each.

Reads ``{"modules": [...]}`` as JSON from standard input. Writes JSON lines to the file descriptor that the
first argument names: ``{"start": NAME}``, then ``{"end": NAME, "error": TEXT}`` for each, and at the end
``{"mapped": [...], "files": [...]}``: the files that the process has mapped (proc(5)), and the files of the
modules that are loaded. A module that ends the process leaves a start without an end.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback


def main() -> None:
    channel = os.fdopen(int(sys.argv[1]), "w")
    # A module of the environment may have this program's name.
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != own]

    def tell(**what: object) -> None:
        channel.write(json.dumps(what) + "\n")
        channel.flush()

    for name in json.load(sys.stdin)["modules"]:
        tell(start=name)
        try:
            importlib.import_module(name)
            tell(end=name, error="")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            text = traceback.format_exception_only(type(error), error)[-1].strip()
            tell(end=name, error=text or type(error).__name__)
    tell(mapped=mapped_files(), files=module_files())
    # Threads and exit handlers of what was imported have nothing more to say here.
    channel.flush()
    os._exit(0)


def mapped_files() -> list[str]:
    found: set[str] = set()
    with open("/proc/self/maps") as stream:
        for line in stream:
            parts = line.rstrip("\n").split(None, 5)
            if len(parts) == 6 and parts[5].startswith("/") and ".so" in os.path.basename(parts[5]):
                found.add(parts[5])
    return sorted(found)


def module_files() -> dict[str, str]:
    names: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        # This program is no part of the environment; multiprocessing gives it a second name. Some modules
        # come out of an archive, or name the source that they were made from: that is no file.
        if isinstance(place, str) and place != __file__ and os.path.isabs(place) and os.path.isfile(place):
            names[name] = place
    return names


if __name__ == "__main__":
    main()

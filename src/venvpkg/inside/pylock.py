"""Say what a pylock.toml (PEP 751) selects for the Python that runs this.

Reads ``{"site", "lock", "extras", "groups"}`` as JSON from standard input: the folder that holds
``packaging``, and the lock's content. Writes ``{"lines", "selected", "indexes", "unfit"}``: requirements with
the hashes of all files that the lock has of them, their names and versions, the indexes that they come from,
and why the lock is not for this Python, if it is not.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    asked = json.load(sys.stdin)
    sys.path.insert(0, asked["site"])
    from packaging.pylock import Pylock, PylockSelectError

    lock = Pylock.from_dict(asked["lock"])
    told: dict[str, Any] = {"lines": [], "selected": [], "indexes": [], "unfit": []}
    try:
        selected = list(lock.select(extras=asked["extras"], dependency_groups=asked["groups"] or None))
    except PylockSelectError as error:
        selected, told["unfit"] = [], [str(error)]
    for package, source in selected:
        told["lines"].append(line_of(package, source))
        told["selected"].append((package.name, str(package.version or "")))
        told["indexes"] += [package.index] if package.index else []
    json.dump(told, sys.stdout)


def line_of(package: Any, source: Any) -> str:
    kind = type(source).__name__
    if kind in ("PackageWheel", "PackageSdist"):
        files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
        return " ".join(["{}=={}".format(package.name, package.version), *hashes_of(files)])
    folder = "#subdirectory={}".format(source.subdirectory) if source.subdirectory else ""
    if kind == "PackageDirectory":
        return path_of(source)
    if kind == "PackageVcs":
        where = "{}+{}@{}".format(source.type, source.url or source.path, source.commit_id)
        return "{} @ {}{}".format(package.name, where, folder)
    if source.url:
        return " ".join(["{} @ {}{}".format(package.name, source.url, folder), *hashes_of([source])])
    return path_of(source)


def path_of(source: Any) -> str:
    path = str(source.path)
    return path if path.startswith((".", "/")) else "./" + path


def hashes_of(files: list[Any]) -> list[str]:
    return [
        "--hash={}:{}".format(kind, value) for file in files for kind, value in sorted(file.hashes.items())
    ]


if __name__ == "__main__":
    main()

"""Say what a pylock.toml (PEP 751) selects for the Python that runs this.

Reads ``{"site", "lock", "extras", "groups", "project"}`` as JSON from standard input: the folder that holds
``packaging``, the lock's content, and the requirements of the project. Writes ``{"lines", "stale"}``:
requirements with the hashes of all files that the lock has of them, and what the project requires and the
lock has not.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    asked = json.load(sys.stdin)
    sys.path.insert(0, asked["site"])
    from packaging.pylock import Pylock
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lock = Pylock.from_dict(asked["lock"])
    selected = list(lock.select(extras=asked["extras"], dependency_groups=asked["groups"] or None))
    lines = [line_of(package, source) for package, source in selected]
    versions = {canonicalize_name(package.name): package.version for package, _ in selected}
    stale = []
    for text in asked["project"]:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in versions:
            stale.append("the project requires {}, which the lock has not".format(text))
            continue
        version = versions[name]
        if version and not requirement.specifier.contains(version, prereleases=True):
            stale.append("the project requires {}, and the lock has {}".format(text, version))
    json.dump({"lines": lines, "stale": stale}, sys.stdout)


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

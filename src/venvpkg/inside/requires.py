"""Say what it takes to build a source tree, its own back end asked (PEP 517).

Reads ``{"archive", "folder", "settings", "answer"}`` as JSON from standard input: an sdist to unpack, or a
folder that is one unpacked, the settings for the back end, and the file that gets the list of requirements.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile


def main() -> None:
    asked = json.load(sys.stdin)
    from build.env import DefaultIsolatedEnv
    from pyproject_hooks import quiet_subprocess_runner

    from build import ProjectBuilder

    with tempfile.TemporaryDirectory() as scratch, DefaultIsolatedEnv() as env:
        source = asked["folder"]
        if asked["archive"]:
            shutil.unpack_archive(asked["archive"], scratch)
            (name,) = os.listdir(scratch)
            source = os.path.join(scratch, name)
        builder = ProjectBuilder.from_isolated_env(env, source, runner=quiet_subprocess_runner)
        requires = set(builder.build_system_requires)
        if not os.path.exists(os.path.join(source, "pyproject.toml")):
            # Installers want it for a project of that age, whatever the back end says.
            requires.add("wheel")
        env.install(requires)
        requires |= builder.get_requires_for_build("wheel", asked["settings"])
    with open(asked["answer"], "w", encoding="utf-8") as stream:
        json.dump(sorted(requires), stream)


if __name__ == "__main__":
    main()

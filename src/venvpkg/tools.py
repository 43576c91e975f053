"""Programs in environments of their own, kept in the user's cache; no package ever holds one."""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from venvpkg.errors import VenvpkgError
from venvpkg.installers import Installer, Request
from venvpkg.plan import Install
from venvpkg.process import Runner, python_environment
from venvpkg.spec import Spec


def tool_environment(
    name: str,
    wants: tuple[str, ...],
    scratch: Path,
    spec: Spec,
    installer: Installer,
    run: Runner,
    environ: Mapping[str, str],
    python: Path | None = None,
) -> Path:
    """Return an environment with a tool, from the user's cache or made now; no package ever holds it.

    It is made with ``python``, or else with the interpreter that runs this.

    Raises:
        VenvpkgError: ``lock-tool-missing``.
    """
    base = (python or Path(sys.executable)).resolve()
    key = hashlib.sha256("\n".join((*wants, str(base))).encode()).hexdigest()[:12]
    home = environ.get("HOME") or "/nonexistent"
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(home, ".cache")) / "venvpkg" / "tools"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        place = (cache if os.access(cache, os.W_OK) else scratch) / f"{name}-{key}"
    except OSError:
        place = scratch / f"{name}-{key}"
    # The interpreter that it was made with may have gone since.
    if (place / "complete").is_file() and (place / "bin" / "python").exists():
        return place
    # An environment can't be moved, so it is made where it stays; the last file says that it is whole.
    shutil.rmtree(place, ignore_errors=True)
    request = Request(
        install=Install(title=name, lines=wants),
        python=place / "bin" / "python",
        files=(scratch / f"{name}.txt",),
        downloads=scratch / "downloads",
    )
    request.files[0].write_text("".join(f"{line}\n" for line in wants), encoding="utf-8")
    # The project's choices of wheels and sdists are not for the tool.
    plain = replace(
        spec,
        no_binary=(),
        only_binary=(),
        config_settings={},
        installer_args=(),
        build_constraints=(),
        build_isolation=True,
    )
    try:
        run([base, "-I", "-m", "venv", "--without-pip", place], env=python_environment(environ))
        settings = installer.environment(plain, request.install, environ)
        # The first index may have another version of what is pinned here.
        settings.setdefault("UV_INDEX_STRATEGY", "unsafe-first-match")
        # Not in the project's folder, whose pyproject.toml may tell uv of other indexes and versions.
        run(installer.command(plain, request), env=settings, cwd=place)
    except VenvpkgError as error:
        raise VenvpkgError(
            code="lock-tool-missing",
            message=f"The lock takes {name} to read it, which is not on PATH and could not be installed.",
            causes=error.causes,
            hint="Build once where the index can be reached, which keeps the tool; or export the lock where\n"
            'the tool is, and name the result: requirements = ["requirements.txt"]',
        ) from error
    (place / "complete").touch()
    return place

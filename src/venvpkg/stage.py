"""The only writer of the staged tree."""

import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path, PurePosixPath

from venvpkg.bundle import copy_interpreter, leave_out
from venvpkg.distributions import Distribution, read_distributions
from venvpkg.errors import VenvpkgError
from venvpkg.export import export_project, find_project, project_in, version_fallback
from venvpkg.failures import explain_failure
from venvpkg.installers import Installer, Request
from venvpkg.plan import BUNDLE, Install, Plan
from venvpkg.process import Runner, python_environment
from venvpkg.relocate import LONGEST_SHEBANG, Edit
from venvpkg.scratch import scratch_folder
from venvpkg.toolchain import build_settings, cache_folders, wrap_compilers
from venvpkg.tree import Tree

# uv's notes on its own cache hold times, and its lock has done its work.
NOTES = ("uv_cache.json", "uv_build.json")
# A folder's name is one byte at least; what lies deeper than Python's calls go can't be removed by it either.
LONGEST_NAME = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Populated:
    """What came of populating."""

    project: str
    """Normalized name of the project's distribution, or empty."""
    installer: str
    """``uv 0.9.1``."""
    scratch: str
    """The temporary folder that builds ran in, gone by now."""


def populate(plan: Plan, installer: Installer, run: Runner, environ: Mapping[str, str]) -> Populated:
    """Make the environment in the plan's workshop; the only step that talks to an index.

    Raises:
        VenvpkgError: ``venv-failed``, ``environment-overwritten``, and what
            :func:`venvpkg.failures.explain_failure` tells apart.
    """
    shutil.rmtree(plan.workshop.parent, ignore_errors=True)
    plan.workshop.parent.mkdir(parents=True)
    make_environment(plan, run, environ)
    made = _identity(plan)
    project = ""
    with scratch_folder() as scratch:
        constraints = [plan.spec.source / name for name in plan.spec.build_constraints]
        caches = cache_folders(environ, scratch, constraints, plan.spec.build_depends)
        wrap_compilers(scratch / "compilers", (scratch, *caches.values()), environ)
        env = {name: str(folder) for name, folder in caches.items()}
        env |= build_settings(environ)
        env |= {"TMPDIR": str(scratch), "PATH": f"{scratch / 'compilers'}:{environ.get('PATH', '')}"}
        if plan.spec.project is not None:
            env |= version_fallback(plan, environ, export_project(plan, scratch / "source"))
        for number, install in enumerate(plan.installs):
            request = make_request(plan, install, scratch, number)
            settings = installer.environment(plan.spec, install, environ) | env
            fetch, command = installer.fetch(plan.spec, request), installer.command(plan.spec, request)
            try:
                if fetch:
                    run(fetch, env=settings, cwd=plan.spec.source)
                    archives = tuple(sorted(request.downloads.iterdir()))
                    command = installer.command(plan.spec, replace(request, archives=archives))
                run(command, env=settings, cwd=plan.spec.source)
            except VenvpkgError as error:
                minor = plan.interpreter.minor
                raise explain_failure(error, installer.title, install, plan.spec, minor) from error
        if plan.bundled:
            leave_out(plan, set(plan.spec.bundle_keep))
        tree = Tree.from_dir(plan.workshop)
        require_identity(plan, tree, made)
        if plan.spec.project is not None:
            project = find_project(tree, project_in(plan.spec, scratch / "source"))
        for entry in tree.files():
            noted = entry.path.name in NOTES and entry.path.parent.suffix == ".dist-info"
            if noted or str(entry.path) == ".lock":
                (plan.workshop / entry.path).unlink()
    require_known_settings(plan, project)
    return Populated(project=project, installer=installer.title, scratch=str(scratch))


def require_known_settings(plan: Plan, project: str) -> None:
    """Make sure that every table of ``config-settings`` was for something that was built by its name.

    Raises:
        VenvpkgError: ``config-settings-unknown``.
    """
    unknown = sorted(set(plan.spec.config_settings) - plan.requirements.names - {project})
    if unknown:
        raise VenvpkgError(
            code="config-settings-unknown",
            message=f"config-settings names what is neither pinned nor the project: {', '.join(unknown)}.",
            causes=[f"The project is {project or 'not installed'}."],
            hint="Correct the name, or put the distribution into the requirements.",
        )


def make_environment(plan: Plan, run: Runner, environ: Mapping[str, str]) -> None:
    """Make an empty virtual environment without pip, its links as the server needs them."""
    python = copy_interpreter(plan, run) if plan.bundled else plan.interpreter.path
    words: list[str | Path] = [python, "-I", "-m", "venv", "--without-pip"]
    words += ["--system-site-packages"] if plan.spec.system_site_packages else []
    try:
        run([*words, plan.workshop], env=python_environment(environ))
    except VenvpkgError as error:
        raise VenvpkgError(
            code="venv-failed",
            message=f"{plan.interpreter.path} could not make a virtual environment.",
            causes=error.causes,
            hint="Is the disk full, or the source tree read-only?",
        ) from error
    # Python 3.13 keeps environments out of version control; a package is no working tree.
    (plan.workshop / ".gitignore").unlink(missing_ok=True)
    folder = plan.workshop / "bin"
    for link in [p for p in folder.iterdir() if p.is_symlink() and p.name.startswith("python")]:
        link.unlink()
    # From one folder of the prefix to another, a link has to be as Policy 10.5 wants it.
    (folder / "python").symlink_to(f"../{BUNDLE}/bin/{python.name}" if plan.bundled else python)
    for name in ("python3", f"python{plan.interpreter.minor}"):
        (folder / name).symlink_to("python")


def _identity(plan: Plan) -> dict[PurePosixPath, bytes | None]:
    """Return what makes a folder this environment: bytes of files, targets of links, None for none."""
    links = [PurePosixPath("bin", name) for name in ("python", "python3", f"python{plan.interpreter.minor}")]
    found: dict[PurePosixPath, bytes | None] = {}
    for path in (PurePosixPath("pyvenv.cfg"), PurePosixPath("venvpkg.json"), *links):
        place = plan.workshop / path
        if place.is_symlink():
            found[path] = b"-> " + os.fsencode(place.readlink())
        else:
            found[path] = place.read_bytes() if place.is_file() else b"" if place.exists() else None
    return found


def require_identity(plan: Plan, tree: Tree, made: Mapping[PurePosixPath, bytes | None]) -> None:
    """Make sure that no distribution wrote over what makes the folder an environment.

    Raises:
        VenvpkgError: ``environment-overwritten``.
    """
    changed = [path for path, content in _identity(plan).items() if content != made[path]]
    if changed:
        brought = {path: d.name for d in read_distributions(tree) for path in d.files}
        raise VenvpkgError(
            code="environment-overwritten",
            message="A distribution wrote over a part of the environment itself.",
            causes=[
                f"{path} (of {brought.get(path, 'a distribution that does not say so')})" for path in changed
            ],
            hint="Leave the distribution out; its data_files or scripts have a name that they may not have.",
        )


def require_fit_names(tree: Tree) -> None:
    """Make sure that a package can hold every name.

    A line of md5sums and of dpkg's own list ends where a name does, and a terminal shows what is not a
    character as something else. What lies too deep can be neither walked nor removed by many programs.

    Raises:
        VenvpkgError: ``name-unfit``.
    """
    unfit = [name for name in map(str, tree.entries) if _is_unfit(name)]
    if unfit:
        raise VenvpkgError(
            code="name-unfit",
            message=f"{len(unfit)} files have a name that no package can hold.",
            causes=[ascii(name if len(name) <= LONGEST_NAME else f"{name[:100]}…") for name in unfit[:10]],
            hint="Unfit are control characters, bytes that are not UTF-8, and paths of more than "
            f"{LONGEST_NAME} bytes.\nCorrect the name, or leave the file out with the key prune.",
        )


def _is_unfit(name: str) -> bool:
    size = len(name.encode(errors="surrogateescape"))
    return bool(re.search(r"[\x00-\x1f\x7f\udc80-\udcff]", name)) or size > LONGEST_NAME


def remove(folder: Path) -> None:
    """Remove a folder, also one that is too deep for :func:`shutil.rmtree`, which calls itself."""
    for entry in reversed(list(Tree.from_dir(folder))):
        path = folder / entry.path
        path.rmdir() if entry.kind == "folder" else path.unlink()
    folder.rmdir()


def make_request(plan: Plan, install: Install, scratch: Path, number: int) -> Request:
    """Write the files that an install needs into ``scratch``; the project is exported there already."""
    files = list(install.files)
    if install.lines:
        own = scratch / f"requirements-{number}.txt"
        own.write_text("\n".join(install.lines) + "\n", encoding="utf-8")
        files.append(own)
    extras = f"[{','.join(plan.spec.extras)}]" if plan.spec.extras and install.dependencies else ""
    return Request(
        install=install,
        python=plan.workshop / "bin" / "python",
        files=tuple(files),
        project=f"{project_in(plan.spec, scratch / 'source')}{extras}" if install.project else "",
        downloads=scratch / f"downloads-{number}",
    )


def put_in_place(plan: Plan, tree: Tree) -> None:
    """Move the finished environment, whose files are ``tree``, into the package build root.

    What debian/install put under the prefix stays, and wins over a file of the same name; what an
    earlier run of this step left goes.

    Raises:
        VenvpkgError: ``name-unfit``, with nothing moved and the environment removed.
    """
    stage, workshop, note = plan.stage, plan.workshop, plan.before
    there = Tree.from_dir(stage)
    try:
        require_fit_names(tree)
        require_fit_names(there)
    except VenvpkgError:
        remove(workshop)
        raise
    present = {str(e.path) for e in there}
    # Without an environment there, dh_prep has run since, and the note speaks of another build.
    again = note.is_file() and (stage / "pyvenv.cfg").is_file()
    before = set(json.loads(note.read_text(encoding="utf-8"))) if again else present
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(sorted(before)), encoding="utf-8")
    if stage.is_dir():
        for name in sorted(present - before, reverse=True):
            path = stage / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        merge(stage, workshop)
        stage.rmdir()
    stage.parent.mkdir(parents=True, exist_ok=True)
    workshop.rename(stage)
    shutil.rmtree(workshop.parent, ignore_errors=True)


def free_pip(plan: Plan, distributions: Iterable[Distribution]) -> None:
    """Let the environment's own pip work in the stage, until :func:`bring_back` takes what it wrote.

    Every other script names the final prefix, and starts there alone.
    """
    scripts = [
        path
        for d in distributions
        if d.name == "pip"
        for path in d.files
        if path.parent == PurePosixPath("bin")
    ]
    python = plan.stage / "bin" / "python"
    # A first line can hold no blank, and so much of a path: sh(1) takes a longer one, and Python a text.
    plain = " " not in str(python) and len(os.fsencode(python)) < LONGEST_SHEBANG
    head = f"#!{python}\n" if plain else f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
    edits = []
    for path in scripts:
        first, _, rest = (plan.stage / path).read_bytes().partition(b"\n")
        if first == f"#!{plan.prefix}/bin/python".encode():
            edits.append(Edit(path=path, data=os.fsencode(head) + rest))
    apply(edits, plan.stage)


def bring_back(plan: Plan) -> Tree:
    """Put the environment that stepped aside back into the package build root, and return what is there.

    What was put under the prefix in the meantime stays, and wins.

    Raises:
        VenvpkgError: ``name-unfit``, ``stage-missing``.
    """
    if plan.aside.is_dir():
        if plan.stage.is_dir():
            merge(plan.stage, plan.aside)
            plan.stage.rmdir()
        plan.stage.parent.mkdir(parents=True, exist_ok=True)
        plan.aside.rename(plan.stage)
    if not (plan.stage / "pyvenv.cfg").is_file():
        raise VenvpkgError(
            code="stage-missing",
            message=f"The environment is not in {plan.stage} any more.",
            causes=["A command between dh_venvpkg and this one removed or moved it."],
            hint="Look at override_ and execute_ targets in debian/rules.",
        )
    _add_selfcheck(plan)
    tree = Tree.from_dir(plan.stage)
    require_fit_names(tree)
    return tree


def _add_selfcheck(plan: Plan) -> None:
    """Write the module that compares the installed environment with what the package shipped.

    It is in no RECORD, for it is no distribution's.
    """
    name = f"lib/python{plan.interpreter.minor}/site-packages/venvpkg_selfcheck.py"
    path = plan.stage / name
    # What has the name already may be a link, or a hard link into an installer's cache.
    path.unlink(missing_ok=True)
    path.write_bytes((files("venvpkg") / "inside" / "selfcheck.py").read_bytes())


def merge(source: Path, target: Path) -> None:
    """Move everything below ``source`` into ``target``, over what has the same name there."""
    for child in sorted(source.iterdir()):
        there = target / child.name
        both = all(p.is_dir() and not p.is_symlink() for p in (child, there))
        if both:
            merge(child, there)
            child.rmdir()
            continue
        if there.is_symlink():
            there.unlink()
        elif there.is_dir():
            shutil.rmtree(there)
        child.rename(there)


def apply(edits: Iterable[Edit], folder: Path) -> int:
    """Carry out edits below ``folder``; returns how many there were.

    A file is written beside itself and renamed, so that a hard link to it elsewhere (a cache's, say)
    keeps its bytes.
    """
    count = 0
    for edit in edits:
        count += 1
        path = folder / edit.path
        if edit.data is not None:
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
            # A name may be as long as names can be.
            temporary = path.with_name(".venvpkg-new")
            temporary.write_bytes(edit.data)
            temporary.chmod(mode)
            temporary.replace(path)
        else:
            path.unlink()
            if edit.target is not None:
                path.symlink_to(edit.target)
    return count


def level_times(root: Path, environ: Mapping[str, str]) -> None:
    """Give files that are older than the build's date that date; dpkg-deb does so with newer ones.

    A unit or a configuration file has the time at which it was checked out: another one in every clone
    (https://reproducible-builds.org/specs/source-date-epoch/).
    """
    told = environ.get("SOURCE_DATE_EPOCH", "")
    if told.isdigit():
        moment = int(told)
        for folder, _, names in os.walk(root):
            for path in (Path(folder), *(Path(folder, name) for name in names)):
                if path.lstat().st_mtime < moment:
                    os.utime(path, (moment, moment), follow_symlinks=False)


def normalise_modes(folder: Path) -> None:
    """Give every file the mode that dh_fixperms gives, which does not see the tree.

    The umask of the build, and modes in wheels' archives, do not reach the package: folders are 0755,
    files 0644, or 0755 where their owner may execute them. Set-id and sticky bits stay, for a check to find.
    """
    root = os.geteuid() == 0
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as children:
            for child in children:
                status = child.stat(follow_symlinks=False)
                # What is right already is not touched: most is.
                if root and (status.st_uid, status.st_gid) != (0, 0):
                    os.chown(child.path, 0, 0, follow_symlinks=False)
                mode, is_folder = stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode)
                wanted = mode & 0o7000 | (0o755 if is_folder or mode & 0o100 else 0o644)
                # A change of owner takes set-id bits away.
                if (mode != wanted or mode & 0o7000) and (is_folder or stat.S_ISREG(status.st_mode)):
                    Path(child.path).chmod(wanted)
                waiting += [child.path] if is_folder else []
    folder.chmod(0o755)
    if root:
        os.chown(folder, 0, 0)

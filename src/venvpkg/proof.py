"""Proves that every module that could be imported with all files in their place still can without some."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from venvpkg.cache import make_key
from venvpkg.digests import Digests, Memory
from venvpkg.errors import VenvpkgError
from venvpkg.plan import BUNDLE, Plan
from venvpkg.process import Runner
from venvpkg.pruning import Pruning, module_of, move, remove_empty, top_of, with_imports
from venvpkg.smoke import Trial, read_told, run_apart, workplace
from venvpkg.toolchain import parallel_jobs
from venvpkg.tree import Tree

# They do something when they are imported, or are a part of another program.
SKIPPED = frozenset({"__main__", "antigravity", "conftest", "manage", "setup"})
# So many modules share a process; those of a larger package are imported in several.
TOGETHER = 250
SECONDS = 60
ROUNDS = 25
PROGRAM = "imports.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A module or a file that is left out and that something asked for."""

    name: str
    """Name of a module, or an absolute path."""
    module: str
    """The module that was being imported."""
    by: str
    """The module that asked."""


@dataclass(slots=True, kw_only=True)
class Proof:
    """The imports that are tried, and what they brought back so far."""

    plan: Plan
    run: Runner
    jobs: int
    trial: Trial
    env: Mapping[str, str]
    place: Path
    memory: Memory
    seals: Mapping[str, str]
    """A hash of the modules of each package of the first level."""
    left: dict[PurePosixPath, str]
    """What is aside, with its preset."""
    kept: dict[PurePosixPath, str] = field(default_factory=dict)
    """What was brought back, with the reason."""

    def witness(
        self, groups: Sequence[Sequence[str]], *, whole: bool = False
    ) -> tuple[dict[str, str], list[Want]]:
        """Import groups of modules; returns which failed, for want of which module, and what was asked for.

        What came of a group that asked for nothing is kept in the cache, until a package changes that it
        loaded. ``whole`` says that nothing is aside at the moment.

        Raises:
            VenvpkgError: ``prune-unproven``.
        """
        python = self.plan.interpreter.version
        program = hashlib.sha256(self.trial.outside(self.place / PROGRAM).read_bytes()).hexdigest()
        left = () if whole else sorted(str(path) for path in self.left)
        keys = [make_key(python, program, sorted(self.seals), group, left) for group in groups]
        failed: dict[str, str] = {}
        fresh: list[tuple[str, Sequence[str]]] = []
        for key, group in zip(keys, groups, strict=True):
            known = json.loads(self.memory.cache.get("imports", key) or b"{}")
            if known and all(self.seals[name] == seal for name, seal in known["loaded"].items()):
                failed |= known["failed"]
            else:
                fresh.append((key, group))
        lines = self._import([group for _, group in fresh]) if fresh else []
        for key, group in fresh:
            told = [line for line in lines if line.get("module") in set(group)]
            loaded = [name for line in told for name in line.get("loaded", ()) if name in self.seals]
            failures = {line["module"]: line["missing"] for line in told if "error" in line}
            failed |= failures
            if loaded and not any("wants" in line or "ended" in line for line in told):
                value = {"failed": failures, "loaded": {name: self.seals[name] for name in loaded}}
                self.memory.cache.put("imports", key, json.dumps(value).encode())
        wants = [line for line in lines if "wants" in line]
        return failed, [Want(name=w["wants"], module=w["module"], by=w["by"]) for w in wants]

    def _import(self, groups: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        asked = {
            "groups": groups,
            "modules": sorted(self.watched()),
            "files": [str(self.plan.stage / path) for path in self.left],
            "jobs": self.jobs,
            "seconds": SECONDS,
        }
        told = self.place / "told.jsonl"
        told.unlink(missing_ok=True)
        # The shell opens descriptor 3, since what is imported may write to any of the usual ones.
        script = 'exec 3>>"$1"; shift; exec "$@" 3'
        python = self.plan.stage / "bin" / "python"
        words = ["sh", "-c", script, "sh", str(told), str(python), str(self.place / PROGRAM)]
        _, said = run_apart(self.trial, words, self.run, self.env, self.place, json.dumps(asked))
        text = told.read_text(encoding="utf-8", errors="replace") if told.exists() else ""
        lines = list(read_told(text))
        if not any("groups" in line for line in lines):
            raise VenvpkgError(
                code="prune-unproven",
                message="Could not import the modules of the environment, to prove that they need no more.",
                causes=said,
                hint='Use globs in place of the presets: prune = ["*/site-packages/*/tests", "*.pyi"]',
            )
        return lines

    def watched(self) -> set[str]:
        """Return the modules that are aside, and the packages that they alone make."""
        names = {module_of(path) for path in self.left} - {""}
        site = next((p for p in self.plan.stage.glob("lib/python3*/site-packages")), self.plan.stage)
        above = {n.rsplit(".", count)[0] for n in names for count in range(1, n.count(".") + 1)}
        return names | {name for name in above if not site.joinpath(*name.split(".")).is_dir()}

    def bring_back(self, reasons: Mapping[PurePosixPath, str]) -> None:
        """Put files that are aside back into the stage."""
        back = {path: reason for path, reason in reasons.items() if path in self.left}
        move(self.plan.pruned, self.plan.stage, back)
        self.kept |= back
        for path in back:
            del self.left[path]

    def wanted(self, wants: Iterable[Want]) -> dict[PurePosixPath, str]:
        """Return the files that are aside and that were asked for, with all that they import of it."""
        aside = Tree.from_dir(self.plan.pruned)
        modules = {module_of(path): path for path in self.left if module_of(path)}
        reasons: dict[PurePosixPath, str] = {}
        for want in wants:
            by = want.by if want.by not in ("", "importlib") else want.module
            if want.name.startswith("/"):
                found = [PurePosixPath(want.name).relative_to(self.plan.stage)]
            else:
                # A package without an __init__ is the modules in it.
                names = [want.name] if want.name in modules else []
                names = names or [n for n in modules if n.rpartition(".")[0] == want.name]
                found = list(with_imports(aside, names, modules))
            reasons |= {
                path: f"{by} asks for it" for path in found if path in self.left and path not in reasons
            }
        return reasons


def prove(plan: Plan, pruning: Pruning, run: Runner, environ: Mapping[str, str], memory: Memory) -> Pruning:
    """Import every module that is there, and bring back what one of them asks for or fails without.

    A module that fails is tried again with everything in its place; what fails then too was broken before.
    What stays aside is gone afterwards, and so is what the modules wrote.

    Raises:
        VenvpkgError: ``prune-unproven``.
    """
    stage = Tree.from_dir(plan.stage)
    trial = Trial(folder=plan.stage, prefix=plan.prefix, modules={})
    with workplace(trial, environ, PROGRAM) as (env, place):
        # No window opens, and no browser.
        env = {k: v for k, v in env.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")} | {"BROWSER": "true"}
        if plan.spec.bytecode != "build":
            # Modules that several processes import are compiled once.
            del env["PYTHONDONTWRITEBYTECODE"]
            env["PYTHONPYCACHEPREFIX"] = str(place / "bytecode")
        proof = Proof(
            plan=plan,
            run=run,
            jobs=parallel_jobs(environ),
            trial=trial,
            env=env,
            place=place,
            memory=memory,
            seals=seal(memory.digests, stage, Tree.from_dir(plan.pruned)),
            left=dict(pruning.left_out),
        )
        groups, before = importable(stage), frozenset(stage.entries)
        # It takes as much memory as all else.
        del stage
        failed = _settle_wants(proof, groups)
        tops = {top_of(path) for path in before}
        # One that wants a module that no distribution has fails with all files in their place as well.
        doubtful = sorted(name for name, missing in failed.items() if not missing or first(missing) in tops)
        if doubtful:
            _restore_broken(proof, doubtful)
    _remove_new(plan, before, proof.kept)
    remove_empty(plan.stage, proof.left)
    return Pruning(left_out=proof.left, kept={**pruning.kept, **proof.kept})


def _settle_wants(proof: Proof, groups: list[list[str]]) -> dict[str, str]:
    """Import until nothing is asked for any more; returns the modules that fail."""
    failed: dict[str, str] = {}
    for _ in range(ROUNDS):
        outcome, wants = proof.witness(groups)
        failed = {name: missing for name, missing in failed.items() if not _has(groups, name)} | outcome
        found = proof.wanted(wants)
        if not found:
            return failed
        proof.bring_back(found)
        asking = {want.module for want in wants}
        groups = [group for group in groups if asking & set(group)]
    return failed


def _restore_broken(proof: Proof, doubtful: Sequence[str]) -> None:
    """Bring back what modules fail without, as little of it as is known to be needed."""
    plan, aside = proof.plan, tuple(proof.left)
    move(plan.pruned, plan.stage, aside)
    failed, wants = proof.witness(by_top(doubtful), whole=True)
    move(plan.stage, plan.pruned, aside)
    broken = [name for name in doubtful if name not in failed]
    reasons = proof.wanted(want for want in wants if want.module in broken)
    tops = {first(name): name for name in broken}
    for more in (
        reasons,
        {path: f"{tops[top_of(path)]} fails without it" for path in aside if top_of(path) in tops},
        dict.fromkeys(aside, f"{', '.join(broken[:3])} fails without it"),
    ):
        if broken:
            proof.bring_back(more)
            failed, _ = proof.witness(by_top(broken))
            broken = [name for name in broken if name in failed]


def seal(digests: Digests, *trees: Tree) -> dict[str, str]:
    """Return a hash for each package of the first level: of its modules' bytes, and its files' sizes."""
    made: dict[str, Any] = {}
    for entry in (entry for tree in trees for entry in tree.files()):
        if name := top_of(entry.path):
            content = digests.of(entry) if entry.path.suffix in (".py", ".so") else b""
            text = f"{entry.path} {entry.size} {content.hex()}\n"
            made.setdefault(name, hashlib.sha256()).update(text.encode(errors="surrogateescape"))
    return {name: digest.hexdigest() for name, digest in made.items()}


def _has(groups: Iterable[Sequence[str]], name: str) -> bool:
    return any(name in group for group in groups)


def first(name: str) -> str:
    """Return the first part of a module's name."""
    return name.partition(".")[0]


def importable(tree: Tree) -> list[list[str]]:
    """Return the modules of an environment in groups to import, the largest first.

    What lies inside a package in a folder without an ``__init__`` is data, and not imported.
    """
    paths = [e.path for e in tree.files() if module_of(e.path) and e.path.parts[0] != BUNDLE]
    packages = {path.parent for path in paths if path.name.split(".")[0] == "__init__"}
    names = set()
    for path in paths:
        chain = [folder in packages for folder in reversed(path.parents)]
        data = True in chain and False in chain[chain.index(True) :]
        if not data and path.name.split(".")[0] not in SKIPPED:
            names.add(module_of(path))
    return by_top(names)


def by_top(names: Iterable[str]) -> list[list[str]]:
    """Return modules in groups of one package of the first level, the largest group first."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(first(name), []).append(name)
    cut = (
        group[start : start + TOGETHER]
        for group in groups.values()
        for start in range(0, len(group), TOGETHER)
    )
    return sorted(cut, key=lambda group: (-len(group), group))


def _remove_new(plan: Plan, before: Iterable[PurePosixPath], kept: Iterable[PurePosixPath]) -> None:
    """Remove what the modules wrote into the stage while they were imported."""
    known = {*before, *kept, *(folder for path in kept for folder in path.parents)}
    for entry in reversed(list(Tree.from_dir(plan.stage))):
        if entry.path not in known:
            path = plan.stage / entry.path
            path.rmdir() if entry.kind == "folder" else path.unlink()

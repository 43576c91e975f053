"""A second build takes what did not change from the cache, and has the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from builds import Case, run_cli
from venvpkg import pipeline
from venvpkg.cache import Cache
from venvpkg.process import Result, Shell

MakeCase = Callable[..., Case]
FILES = {
    "demo/__main__.py": "def main():\n    from demo import part\n    print(part.PLACE)\n",
    "demo/part.py": "PLACE = __file__\n",
    "demo/inner/__init__.py": "",
    "demo/inner/deep.py": "def f():\n    return {'a', 'b'}\n",
}


@dataclass
class Recorder:
    """Runs everything for real, and remembers what it ran."""

    ran: list[str] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)
    """The modules that were compiled."""

    def __call__(self, argv: Sequence[str | Path], **more: Any) -> Result:
        """Run a command."""
        self.ran.append(Path(argv[0]).name)
        if str(argv[-1]).endswith("compile.py"):
            self.compiled += json.loads(more["stdin"])["files"]
        return Shell()(argv, **more)


@dataclass
class Kitchen:
    """Builds one project again and again, in a fresh folder each time."""

    make: MakeCase
    cache: Cache
    number: int = 0

    def build(self, config: str = "", cache: Cache | None = None, **project: object) -> tuple[Case, Recorder]:
        """Build, with the shared cache unless another one is given."""
        self.number += 1
        case: Case = self.make(config, at=f"{self.number}/src", **project)
        case.cache = self.cache if cache is None else cache
        case.build()
        recorder = Recorder()
        answer = pipeline.settle(case.call(), replace(case.world(), run=recorder))
        case.actions += answer.actions
        return case, recorder


@pytest.fixture
def kitchen(make: MakeCase, tmp_path: Path) -> Kitchen:
    """With an empty cache."""
    return Kitchen(make, Cache(tmp_path / "cache"))


def test_second_build_compiles_and_scans_nothing(kitchen: Kitchen) -> None:
    """And has the same bytes as the first, and as one without a cache."""
    wanted = {"files": FILES, "dependencies": ["wren-omp"]}
    first, ran = kitchen.build(**wanted)
    assert len(ran.compiled) >= len(FILES)
    assert "dpkg-shlibdeps" in ran.ran
    second, ran = kitchen.build(**wanted)
    assert ran.compiled == []
    assert "dpkg-shlibdeps" not in ran.ran
    clean, ran = kitchen.build(**wanted, cache=Cache())
    assert ran.compiled and "dpkg-shlibdeps" in ran.ran
    assert first.files() == second.files() == clean.files()
    assert first.depends() == second.depends() == clean.depends()
    assert not second.gate()


def test_change_compiles_its_own_folder_alone(kitchen: Kitchen) -> None:
    """One line of one module; what is beside it in other folders is taken as it was."""
    kitchen.build(files=FILES)
    changed = {**FILES, "demo/inner/deep.py": "def f():\n    return {'a', 'c'}\n"}
    case, ran = kitchen.build(files=changed)
    assert {Path(name).name for name in ran.compiled} == {"__init__.py", "deep.py"}
    clean, _ = kitchen.build(files=changed, cache=Cache())
    assert case.files() == clean.files()


def test_file_that_does_not_compile_is_not_tried_again(kitchen: Kitchen) -> None:
    """It has no .pyc in the second build either."""
    files = {**FILES, "demo/inner/template.py": "{{ name }} = :\n"}
    first, _ = kitchen.build(files=files)
    second, ran = kitchen.build(files=files)
    assert ran.compiled == []
    assert first.files() == second.files()
    assert not [name for name in second.files() if "template." in name and name.endswith(".pyc")]


def test_another_prefix_is_another_place(kitchen: Kitchen) -> None:
    """Bytecode names the final path of its module."""
    kitchen.build(files=FILES)
    case, ran = kitchen.build('install-root = "/opt/other"', files=FILES)
    assert len(ran.compiled) >= len(FILES)
    (found,) = (case.root / "opt/other").rglob("part.*.pyc")
    assert b"/opt/other/demo/lib" in found.read_bytes()


def test_damaged_cache_is_made_again(kitchen: Kitchen) -> None:
    """Nothing of it reaches the package."""
    first, _ = kitchen.build(files=FILES)
    assert kitchen.cache.folder
    for path in kitchen.cache.folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-3] + b"xxx")
    second, ran = kitchen.build(files=FILES)
    assert len(ran.compiled) >= len(FILES)
    assert first.files() == second.files()


def test_build_from_the_command_line_uses_the_users_cache(make: MakeCase, tmp_path: Path) -> None:
    """`venvpkg cache` tells what is there, and clears it."""
    case: Case = make(files=FILES)
    for step in ("build", "settle"):
        assert case.step(step).returncode == 0
    place = Path(case.environ["HOME"], ".cache/venvpkg")
    assert list(place.rglob("*"))
    told = json.loads(run_cli(["cache", "--json"], tmp_path, case.environ).stdout)
    assert told["folder"] == str(place)
    assert told["kinds"]["bytecode"]["entries"] > 0
    shown = run_cli(["cache"], tmp_path, case.environ).stdout
    assert str(place) in shown and "bytecode" in shown
    assert run_cli(["cache", "--clear"], tmp_path, case.environ).returncode == 0
    told = json.loads(run_cli(["cache", "--json"], tmp_path, case.environ).stdout)
    assert {kind["entries"] for kind in told["kinds"].values()} == {0}
    assert run_cli(["cache"], tmp_path, {**case.environ, "HOME": "/nonexistent"}).stdout.startswith("none")

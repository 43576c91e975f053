"""Bytecode: the same bytes every time, the final path in it, and relocation of what others compiled."""

from __future__ import annotations

import json
import marshal
import os
import random
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path, PurePosixPath
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pythons import Python, find_pythons
from venvpkg.bytecode import compile_tree, drop_stale
from venvpkg.digests import Memory
from venvpkg.errors import VenvpkgError
from venvpkg.interpreter import Interpreter
from venvpkg.plan import Move, Plan, make_plan
from venvpkg.process import Shell, python_environment
from venvpkg.relocate import relocate_bytes
from venvpkg.spec import Spec
from venvpkg.tree import Tree

PYTHONS = find_pythons()
EVERY = pytest.mark.parametrize("python", PYTHONS, ids=str)
COMPILER = files("venvpkg") / "inside" / "compile.py"
FINAL = "/opt/venvs/app/lib"
# Shared strings, sets, nested code, numbers of every kind: what marshal writes in different ways.
MODULES = {
    "a.py": "def f(x):\n    return {'one', 'two', 'three'} if x in {'one', 'two'} else lambda: x\n",
    "b.py": "one = 'one'\nclass C:\n def two(self):\n  return [one for one in (1.5, 2j, 10**30, b'x')]\n",
    "pkg/__init__.py": "from a import f\n__all__ = ['f', 'one', 'two']\n",
    "pkg/c.py": "two = frozenset(('three', 'two', 'one'))\nasync def g():\n    yield f'{two!r:>10}'\n",
    "pkg/ü.py": "# -*- coding: utf-8 -*-\nname = 'grün'\n",
    "empty.py": "",
}
LOADER = """
import json, marshal, sys
from types import CodeType
with open(sys.argv[1], "rb") as stream:
    data = stream.read()
code = marshal.loads(data[16:])
found = []
def walk(code):
    found.append([code.co_name, code.co_filename])
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            walk(constant)
walk(code)
space = {"__name__": "loaded"}
exec(code, space)
print(json.dumps({"codes": found, "said": repr(space.get("say", lambda: None)())}))
"""


def environment() -> dict[str, str]:
    """What compile_tree sets."""
    return {**python_environment(os.environ), "PYTHONHASHSEED": "0"}


def lay_out(folder: Path, modules: dict[str, str] = MODULES) -> Path:
    """Write modules."""
    for name, text in modules.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def compiled(folder: Path) -> dict[str, bytes]:
    """The .pyc files below a folder, by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.pyc")}


def compile_all(python: Python, folder: Path, names: list[str], jobs: int = 1) -> dict[str, object]:
    """Run the program that runs inside the packaged Python, and return what it answers."""
    asked = {"stage": str(folder), "final": FINAL, "jobs": jobs, "files": names}
    words = [python.path, "-s", "-S", str(COMPILER)]
    answer: dict[str, object] = json.loads(Shell()(words, env=environment(), stdin=json.dumps(asked)).stdout)
    return answer


def load(python: Python, path: Path) -> dict[str, object]:
    """Load a .pyc with the Python that wrote it."""
    answer = Shell()([python.path, "-I", "-S", "-c", LOADER, path], env=environment())
    said: dict[str, object] = json.loads(answer.stdout)
    return said


@EVERY
def test_order_and_number_of_jobs_change_no_byte(python: Python, tmp_path: Path) -> None:
    """What was compiled before decides which strings marshal shares, unless each file starts afresh."""
    names = list(MODULES)
    found = []
    for number, jobs in enumerate((1, 1, 4, 4)):
        folder = lay_out(tmp_path / str(number))
        random.Random(number).shuffle(names)
        assert compile_all(python, folder, names, jobs) == {
            "compiled": len(names),
            "failed": [],
            "broken": [],
        }
        found.append(compiled(folder))
    assert len(found[0]) == len(MODULES)
    assert all(other == found[0] for other in found)


@EVERY
def test_one_folder_alone_has_the_same_bytes_as_among_many(python: Python, tmp_path: Path) -> None:
    """A package that gained a module ships those of other folders unchanged."""
    many, one = lay_out(tmp_path / "many"), lay_out(tmp_path / "one")
    compile_all(python, many, list(MODULES), jobs=2)
    compile_all(python, one, [name for name in MODULES if name.startswith("pkg/")])
    assert len(compiled(one)) == 3
    assert compiled(one).items() <= compiled(many).items()


@EVERY
def test_an_interpreter_that_falls_over_loses_one_file(python: Python, tmp_path: Path) -> None:
    """The others of its folder are compiled; a module cannot kill the compiler, so this kills itself."""
    folder = lay_out(tmp_path, {"a.py": "", "bad.py": "", "z.py": ""})
    fall = '    "bad" in source and os.kill(os.getpid(), 11)\n'
    killer = COMPILER.read_text().replace("    code = compile(", f"{fall}    code = compile(")
    (tmp_path / "killer.py").write_text(killer)
    asked = {"stage": str(folder), "final": FINAL, "jobs": 2, "files": ["a.py", "bad.py", "z.py"]}
    words = [python.path, "-s", "-S", str(tmp_path / "killer.py")]
    answer = json.loads(Shell()(words, env=environment(), stdin=json.dumps(asked)).stdout)
    assert (answer["compiled"], answer["failed"], answer["broken"]) == (2, [str(folder / "bad.py")], [])


@EVERY
def test_bytecode_is_hash_based_and_unchecked(python: Python, tmp_path: Path) -> None:
    """PEP 552: the flags say 1, and no time is in it."""
    folder = lay_out(tmp_path)
    compile_all(python, folder, ["a.py"])
    (data,) = compiled(folder).values()
    assert data[4:8] == b"\x01\0\0\0"


@EVERY
def test_bytecode_names_the_final_file(python: Python, tmp_path: Path) -> None:
    """In every nested code object, and never the stage."""
    folder = lay_out(tmp_path)
    compile_all(python, folder, ["a.py", "b.py"])
    place = folder / "__pycache__" / f"b.{python.cache_tag}.pyc"
    codes = load(python, place)["codes"]
    assert isinstance(codes, list)
    assert {name for name, _ in codes} >= {"<module>", "C", "two"}
    assert {filename for _, filename in codes} == {f"{FINAL}/b.py"}
    assert str(tmp_path).encode() not in place.read_bytes()


@EVERY
def test_a_file_with_broken_syntax_is_left_out(python: Python, tmp_path: Path) -> None:
    """Templates end in .py too; the others are compiled, and no empty folder is left."""
    broken = {
        "bad/x.py": "def f(:\n",
        "bad/nul.py": "x = 1\0\n",
        "bad/enc.py": "# coding: no-such-encoding\n",
        "bad/tab.py": "if 1:\n\tx\n        y\n z\n",
    }
    folder = lay_out(tmp_path, {**broken, "a.py": MODULES["a.py"]})
    (folder / "bad" / "latin.py").write_bytes(b"x = '\xff'\n")
    names = [*broken, "bad/latin.py", "a.py"]
    answer = compile_all(python, folder, names)
    assert answer["compiled"] == 1
    assert answer["failed"] == sorted(str(folder / name) for name in names[:-1])
    assert answer["broken"] == []
    assert not (folder / "bad" / "__pycache__").exists()
    assert list(compiled(folder)) == [f"__pycache__/a.{python.cache_tag}.pyc"]


@EVERY
@pytest.mark.parametrize(
    "text", ["-" * 20000 + "1", "(" * 5000 + ")" * 5000, "x" + ".y" * 20000], ids=str.__len__
)
def test_a_file_that_is_nested_too_deeply_breaks_nothing(python: Python, text: str, tmp_path: Path) -> None:
    """Some interpreters give up with an error, some by falling over; the other files are compiled."""
    folder = lay_out(tmp_path, {"deep.py": text, "a.py": MODULES["a.py"]})
    answer = compile_all(python, folder, ["deep.py", "a.py"])
    assert answer["broken"] == []
    assert f"__pycache__/a.{python.cache_tag}.pyc" in compiled(folder)


@EVERY
def test_warnings_of_the_compiler_are_kept_quiet(python: Python, tmp_path: Path) -> None:
    """A SyntaxWarning is for the author."""
    folder = lay_out(tmp_path, {"w.py": "assert (1, 'x')\nx = 1 is 1\ns = '\\d'\n"})
    asked = {"stage": str(folder), "final": FINAL, "jobs": 1, "files": ["w.py"]}
    answer = Shell()([python.path, "-s", "-S", str(COMPILER)], env=environment(), stdin=json.dumps(asked))
    assert (json.loads(answer.stdout)["compiled"], answer.tail) == (1, ())


def plan_for(python: Python, folder: Path, **values: object) -> Plan:
    """A plan whose stage lies below ``folder``."""
    spec = Spec.from_values("app", folder, {"project": ".", **values})
    interpreter = Interpreter(
        path=python.path,
        version=python.version,
        cache_tag=python.cache_tag,
        stdlib=Path("/usr/lib"),
        package=str(python),
        origin=Path("/usr"),
    )
    return make_plan(spec, interpreter, folder / "debian" / "app")


@EVERY
def test_the_stage_is_compiled_and_stale_bytecode_goes(python: Python, tmp_path: Path) -> None:
    """What an installer compiled names the wrong path; what has no source goes with it."""
    plan = plan_for(python, tmp_path)
    lay_out(plan.stage / "lib")
    stale = plan.stage / "lib" / "__pycache__" / "gone.cpython-38.pyc"
    lone = plan.stage / "other" / "__pycache__" / "x.pyc"
    for path in (stale, lone):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"old")
    count = compile_tree(plan, Tree.from_dir(plan.stage), Shell(), os.environ, Memory())
    assert count == len(MODULES)
    assert not stale.exists()
    assert not lone.parent.exists()
    made = plan.stage / "lib" / "pkg" / "__pycache__" / f"c.{python.cache_tag}.pyc"
    assert {f for _, f in load(python, made)["codes"]} == {"/opt/venvs/app/lib/pkg/c.py"}  # type: ignore[attr-defined]
    assert made.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("choice", ["install", "none"])
def test_other_choices_ship_no_bytecode(choice: str, tmp_path: Path) -> None:
    """The server compiles, or nobody does; stale files go all the same."""
    plan = plan_for(PYTHONS[-1], tmp_path, bytecode=choice)
    lay_out(plan.stage)
    (plan.stage / "__pycache__").mkdir()
    (plan.stage / "__pycache__" / "a.pyc").write_bytes(b"old")
    assert compile_tree(plan, Tree.from_dir(plan.stage), Shell(), os.environ, Memory()) == 0
    assert compiled(plan.stage) == {}


def test_a_module_that_ships_without_source_is_kept(tmp_path: Path) -> None:
    """Only a __pycache__ folder holds what can be made again."""
    (tmp_path / "legacy.pyc").write_bytes(b"x")
    drop_stale(tmp_path, Tree.from_dir(tmp_path))
    assert (tmp_path / "legacy.pyc").exists()


def test_bytecode_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A file where the folder should be: said, with its name."""
    plan = plan_for(PYTHONS[-1], tmp_path)
    lay_out(plan.stage, {"a.py": "x = 1\n"})
    (plan.stage / "__pycache__").write_text("in the way", encoding="utf-8")
    with pytest.raises(VenvpkgError) as caught:
        compile_tree(plan, Tree.from_dir(plan.stage), Shell(), os.environ, Memory())
    assert caught.value.code == "compile-failed"
    assert "__pycache__" in "\n".join(caught.value.causes)


# --- Relocation of bytecode that came with a distribution

BUILD = "/build/a place/app"
SOURCE = f"""\
'''A docstring that names {BUILD}/share in its midst, and z={BUILD}.'''
PLACE = "{BUILD}/etc/conf"
BYTES = b"{BUILD}/x"
UMLAUT = "{BUILD}/gr\\u00fcn"
TWICE = "{BUILD}:{BUILD}/two:{BUILD}2"
NUMBERS = (1, -1, 2**70, -2**70, 1.5, 2j, None, True, ..., frozenset({{"a", "b"}}))
LONG = {{"k": ["{"x" * 300}", "{BUILD}/{"y" * 300}"]}}
class Outer:
    def method(self, *, key="{BUILD}/default"):
        return [(lambda: PLACE + key)() for _ in range(1)]
async def waits():
    yield
def say():
    return [PLACE, BYTES, UMLAUT, TWICE, Outer().method(), __doc__, sorted(NUMBERS[9]), LONG]
"""


def renamed(item: object, build: str, final: str) -> object:
    """Return a value with a path replaced in its strings."""
    pattern = re.escape(build) + r"(?![A-Za-z0-9_.+~-])"
    if isinstance(item, str):
        return re.sub(pattern, lambda _: final, item)
    if isinstance(item, bytes):
        return re.sub(pattern.encode(), lambda _: final.encode(), item)
    if isinstance(item, list | tuple):
        return type(item)(renamed(i, build, final) for i in item)
    if isinstance(item, dict):
        return {renamed(k, build, final): renamed(v, build, final) for k, v in item.items()}
    return item


def expected(final: str) -> str:
    """What the relocated module says."""
    space: dict[str, object] = {"__name__": "loaded"}
    exec(SOURCE, space)
    return repr(renamed(space["say"](), BUILD, final))  # type: ignore[operator]


@EVERY
@pytest.mark.parametrize(
    "final",
    ["/opt/x", "/opt/venvs/application-with-a-longer-name", "/opt/" + "long/" * 60 + "app", "/opt/grün/app"],
    ids=["shorter", "longer", "over 255 bytes", "beyond ASCII"],
)
def test_relocated_bytecode_loads_and_speaks_of_the_final_path(
    python: Python, final: str, tmp_path: Path
) -> None:
    """Every nested code object, every constant; the same Python loads and runs it."""
    source, target = tmp_path / "m.py", tmp_path / "m.pyc"
    source.write_text(SOURCE, encoding="utf-8")
    words = "import py_compile, sys; py_compile.compile(*sys.argv[1:3], dfile=sys.argv[3], doraise=True)"
    Shell()([python.path, "-I", "-c", words, source, target, f"{BUILD}/lib/m.py"], env=environment())
    move = Move(build=PurePosixPath(BUILD), final=PurePosixPath(final))
    moved = relocate_bytes(target.read_bytes(), move)
    assert relocate_bytes(moved, move) == moved
    target.write_bytes(moved)
    said = load(python, target)
    assert {filename for _, filename in said["codes"]} == {f"{final}/lib/m.py"}  # type: ignore[attr-defined]
    assert len(said["codes"]) >= 6  # type: ignore[arg-type]
    assert said["said"] == expected(final)


@EVERY
def test_bytecode_without_the_path_is_untouched(python: Python, tmp_path: Path) -> None:
    """A neighbour's path is none."""
    folder = lay_out(tmp_path, {"n.py": "x = '/b/app2/x'\n"})
    compile_all(python, folder, ["n.py"])
    (data,) = compiled(folder).values()
    move = Move(build=PurePosixPath("/b/app"), final=PurePosixPath("/opt/venvs/app"))
    assert relocate_bytes(data, move) == data


def header() -> bytes:
    """The running Python's magic number, and the rest of a header."""
    import importlib.util

    return importlib.util.MAGIC_NUMBER + b"\0" * 12


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.binary(max_size=20)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["/b/app", "/b/app/x", "z=/b/app", "/b/app2", "z /b/app/y" * 30, ...]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_any_marshalled_value_is_relocated_as_a_value(value: object) -> None:
    """What loads afterwards is the same value with the path replaced in its strings."""
    move = Move(build=PurePosixPath("/b/app"), final=PurePosixPath("/o/a"))
    moved = relocate_bytes(header() + marshal.dumps([value, "\0"]), move)
    assert marshal.loads(moved[16:]) == [renamed(value, "/b/app", "/o/a"), "\0"]


@given(st.data())
def test_damaged_bytecode_is_no_crash(data: st.DataObject) -> None:
    """Cut short or changed: whatever it is, relocation ends."""
    code = compile("x = '/b/app/x'\ndef f(): return (1, 'y')\n", "/b/app/lib/m.py", "exec")
    assert isinstance(code, CodeType)
    content = bytearray(header() + marshal.dumps(code))
    content = content[: data.draw(st.integers(4, len(content)))]
    for place, value in data.draw(st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), max_size=4)):
        if place < len(content):
            content[place] = value
    move = Move(build=PurePosixPath("/b/app"), final=PurePosixPath("/opt/venvs/app"))
    relocate_bytes(bytes(content), move)


def test_bytecode_of_an_unknown_python_is_untouched() -> None:
    """Its layout may be another one; check V002 names the file."""
    code = marshal.dumps(compile("x = 1\n", "/b/app/m.py", "exec"))
    move = Move(build=PurePosixPath("/b/app"), final=PurePosixPath("/opt/venvs/app"))
    old = (3394).to_bytes(2, "little") + b"\r\n" + b"\0" * 12 + code
    assert relocate_bytes(old, move) == old


def test_the_programs_inside_run_on_every_python() -> None:
    """At least the running one is among them."""
    assert PYTHONS, shutil.which("python3") or sys.executable

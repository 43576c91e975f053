"""What a build finds out about the system, and what it says where something is wrong."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping

import pytest

from backend import pack
from debs import clauses, contents, control_field
from projects import Project
from roots import Base
from workbench import NATIVE, Bench, Built, Recipe, library, odd_wheel

pytestmark = pytest.mark.root

Benches = Callable[[str], Bench]

ALL_LEVELS = "Suggests: ${misc:Suggests}\nRecommends: ${shlibs:Recommends}\n"
TK = ["python3-tk (<< 3.12)", "python3-tk (>= 3.11~)"]
GUARDED = "try:\n    import tkinter\nexcept ImportError:\n    tkinter = None\n"
FAILS = "smoke = [\"python -c 'raise SystemExit(5)'\"]"


def starting(code: str, **changes: object) -> Project:
    """A project whose package runs this code when it is imported."""
    return Project(files={"demo/__init__.py": code}, **changes)  # type: ignore[arg-type]


def native_wheel(needs: str) -> tuple[str, bytes]:
    """A wheel with a library that needs another one, which nothing loads."""
    data = library("libpainter.so.1", needs)
    return pack("painter", "1.0", {"painter/__init__.py": b"", "painter/libpainter.so.1": data})


# --- What the environment needs of the system


@pytest.fixture(scope="module")
def equipped(builder_base: Callable[[str], Base]) -> Iterator[Bench]:
    """A bench with python3-tk, python3-yaml and libpng-dev."""
    with builder_base("bookworm").open() as root:
        root.apt("install", "python3-tk", "python3-yaml", "libpng-dev")
        yield Bench(root)


@pytest.fixture(scope="module")
def built(equipped: Bench) -> dict[str, Built]:
    """Projects that need something of the system, by what that is."""
    painter = {"dependencies": ["painter"], "wheels": [native_wheel("libpng16.so.16")]}
    projects = {
        "tkinter": starting("import tkinter\n", fields=ALL_LEVELS),
        "guarded tkinter": starting(GUARDED, fields=ALL_LEVELS),
        "guarded tkinter, no Suggests": starting(GUARDED),
        "ctypes": starting("import ctypes\nctypes.CDLL('libpng16.so.16')\n"),
        "linked": Project(
            files={"demo/__init__.py": "from demo import _native\n", "demo/_native.c": NATIVE},
            link=["-Wl,--no-as-needed", "-lpng16"],
        ),
        "painter": Project(**painter, fields=ALL_LEVELS),  # type: ignore[arg-type]
        "demoted": Project(
            **painter,  # type: ignore[arg-type]
            config='demote = { Painter = "Recommends" }',
            fields=ALL_LEVELS,
        ),
        "system-site-packages": starting("import yaml\n", config="system-site-packages = true"),
    }
    return equipped.build_all({name: Recipe(project=project) for name, project in projects.items()})


def test_tkinter_at_top_level_is_depended_on(built: Mapping[str, Built]) -> None:
    """With both bounds, since python3-tk has the module of one Python only."""
    found = clauses(built["tkinter"].deb())
    assert set(TK) < set(found)
    assert control_field(built["tkinter"].deb(), "Suggests") == ""


def test_guarded_tkinter_is_suggested(built: Mapping[str, Built]) -> None:
    """The project does without; where debian/control has no field for it, the log says what it would hold."""
    deb = built["guarded tkinter"].deb()
    assert sorted(clauses(deb, "Suggests")) == TK
    assert not [clause for clause in clauses(deb) if "tk" in clause]
    without = built["guarded tkinter, no Suggests"]
    assert not [clause for clause in clauses(without.deb()) if "tk" in clause]
    assert "${misc:Suggests}" in without.log


def test_library_that_ctypes_loads_is_depended_on(built: Mapping[str, Built]) -> None:
    """No ELF file names it; the smoke run saw it mapped, and the log says so."""
    assert "libpng16-16" in {clause.split()[0] for clause in clauses(built["ctypes"].deb())}
    assert re.search(r"libpng16-16 was added to Depends.*libpng16\.so", built["ctypes"].log)


def test_library_of_an_extension_is_depended_on(built: Mapping[str, Built]) -> None:
    """With the version that dpkg-shlibdeps finds."""
    names = {clause.split()[0] for clause in clauses(built["linked"].deb())}
    assert names == {"python3.11", "libpng16-16", "libc6"}


def test_library_of_a_wheel_is_depended_on_or_recommended(built: Mapping[str, Built]) -> None:
    """The key demote moves what one distribution needs; its name is normalized."""
    assert "libpng16-16" in {clause.split()[0] for clause in clauses(built["painter"].deb())}
    deb = built["demoted"].deb()
    assert "libpng16-16" in {clause.split()[0] for clause in clauses(deb, "Recommends")}
    assert "libpng16-16" not in {clause.split()[0] for clause in clauses(deb)}


def test_debian_module_of_system_site_packages_is_depended_on(built: Mapping[str, Built]) -> None:
    """The smoke run loaded it from dist-packages."""
    assert "python3-yaml" in {clause.split()[0] for clause in clauses(built["system-site-packages"].deb())}


# --- Bad input


SETTLE = "dh_prep && dh_venvpkg && dh_venvpkg_settle"
PAINT = {"dependencies": ["painter"], "wheels": [native_wheel("libpaint.so.7")]}
OWN_PYTHON = "mkdir -p /opt/own && cp /usr/bin/python3.11 /opt/own/python3.11 && dh_venvpkg"
WRONG_HASH = "odd==1.0 --hash=sha256:" + "0" * 64
DOC = "Package: demo-doc\nArchitecture: all\nDepends: ${misc:Depends}\nDescription: text\n Text.\n"

BAD: dict[str, tuple[Recipe, str, list[str]]] = {
    "an unknown key": (
        Recipe(project=Project(config='instal-root = "/srv"')),
        "config-invalid",
        ["instal-root", "nearest is 'install-root'"],
    ),
    "an unknown key, seen by dh": (
        Recipe(project=Project(config='instal-root = "/srv"'), command="dh binary"),
        "config-invalid",
        ["instal-root"],
    ),
    "every mistake at once": (
        Recipe(project=Project(config='bytecode = "often"\nextras = "all"\nhermetic = 1')),
        "config-invalid",
        ["bytecode must be one of", "extras must be a list of strings", "hermetic must be true or false"],
    ),
    "a value of the wrong kind": (
        Recipe(project=Project(config='install-root = "opt/venvs"')),
        "config-invalid",
        ["install-root must be an absolute path"],
    ),
    "an unknown variable": (
        Recipe(project=Project(), env={"DH_VENVPKG_BYTECODES": "none"}),
        "config-invalid",
        ["DH_VENVPKG_BYTECODES", "nearest is 'DH_VENVPKG_BYTECODE'"],
    ),
    "broken TOML": (Recipe(project=Project(config="extras = [")), "config-syntax", ["pyproject.toml"]),
    "a requirements file that is not there": (
        Recipe(project=Project(config='requirements = ["pins.txt"]')),
        "requirements-missing",
        ["pins.txt"],
    ),
    "a project that is not there": (
        Recipe(project=Project(config='project = "sub"')),
        "project-not-found",
        ["sub"],
    ),
    "a requirement that does not resolve": (
        Recipe(project=Project(dependencies=["odd==7"], wheels=[odd_wheel()])),
        "requirement-not-found",
        ["odd==7"],
    ),
    "an index out of reach": (
        Recipe(
            project=Project(dependencies=["odd"]),
            env={"PIP_RETRIES": "0", "PIP_INDEX_URL": "http://index.invalid/simple"},
        ),
        "index-unreachable|requirement-not-found",
        ["odd"],
    ),
    "a hash that does not match": (
        Recipe(
            project=Project(
                dependencies=["odd"], wheels=[odd_wheel()], files={"requirements.txt": WRONG_HASH + "\n"}
            )
        ),
        "hash-mismatch",
        ["odd"],
    ),
    "a header that is missing": (
        Recipe(project=Project(files={"demo/_native.c": "#include <png.h>\n"})),
        "build-failed",
        ["fatal error: png.h", "libpng-dev"],
    ),
    "code that does not compile": (
        Recipe(project=Project(files={"demo/_native.c": "int main(void) { return nothing; }\n"})),
        "build-failed",
        ["nothing"],
    ),
    "a Python that is not there": (
        Recipe(project=Project(config='python = "3.9"')),
        "python-not-found",
        ["python3.9", "/usr/bin/python3.11"],
    ),
    "a Python that no package owns": (
        Recipe(project=Project(config='python = "/opt/own/python3.11"'), command=OWN_PYTHON),
        "python-not-packaged",
        ["/opt/own/python3.11", "/usr/bin/python3.11"],
    ),
    "a table for a package that debian/control has not": (
        Recipe(project=Project(config="[tool.venvpkg.packages.other]")),
        "package-unknown",
        ["other", "demo"],
    ),
    "several packages and none named": (
        Recipe(project=Project(packages=DOC)),
        "packages-unnamed",
        ["demo, demo-doc", "[tool.venvpkg.packages.demo]"],
    ),
    "an entry point that is not there": (
        Recipe(project=Project(config='expose = ["dome"]')),
        "expose-not-found",
        ["dome", "demo"],
    ),
    "a build dependency that is missing": (
        Recipe(project=Project(config='build-depends = ["libpng-dev"]', dependencies=["nowhere"])),
        "build-depends-missing",
        ["apt-get", "libpng-dev"],
    ),
    "a library that nothing provides": (
        Recipe(project=Project(**PAINT), command=SETTLE),  # type: ignore[arg-type]
        "soname-not-found",
        ["libpaint.so.7", "painter/libpainter.so.1"],
    ),
    "an import that fails": (
        Recipe(project=starting("import nowhere\n"), command=SETTLE),
        "smoke-failed",
        ["import demo", "nowhere"],
    ),
    "an import that fails, with nocheck": (
        Recipe(project=starting("import nowhere\n"), command=SETTLE, env={"DEB_BUILD_OPTIONS": "nocheck"}),
        "smoke-failed",
        ["import demo", "nowhere"],
    ),
    "a smoke command that fails": (
        Recipe(project=Project(config=FAILS), command=SETTLE),
        "smoke-failed",
        ["SystemExit(5)", "status 5"],
    ),
    "a stage that a target of debian/rules removed": (
        Recipe(project=Project(), command="dh_prep && dh_venvpkg && rm -r debian/demo && dh_venvpkg_settle"),
        "stage-missing",
        ["debian/demo"],
    ),
}


@pytest.fixture(scope="module")
def failed(bench: Benches) -> dict[str, Built]:
    """A run of the step for every kind of bad input; dh_venvpkg where nothing else is said."""
    recipes = {}
    for name, (recipe, _, _) in BAD.items():
        command = "dh_venvpkg" if recipe.command == Recipe.command else recipe.command
        recipes[name] = Recipe(project=recipe.project, command=command, env=recipe.env)
    return bench("bookworm").build_all(recipes)


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_error_with_a_hint(what: str, failed: Mapping[str, Built]) -> None:
    """Exit status 3, one error with its code, causes and a hint, and no traceback of ours."""
    _, code, texts = BAD[what]
    said = failed[what].error()
    errors = re.findall(r"^error\[(\S+)\]: (.+)$", said, re.MULTILINE)
    assert [bool(re.fullmatch(code, found)) for found, _ in errors] == [True], said
    assert failed[what].status == 3, said
    assert "Traceback" not in said
    for text in texts:
        assert text in said
    assert re.search(r"^hint: ", said, re.MULTILINE)


def test_nocheck_skips_smoke_commands(bench: Benches) -> None:
    """DEB_BUILD_OPTIONS=nocheck is Policy's way to say that tests are not wanted."""
    built = bench("bookworm").build(Project(config=FAILS), DEB_BUILD_OPTIONS="nocheck")
    assert "opt/venvs/demo/bin/demo" in contents(built.deb())


def test_smoke_commands_run_the_staged_scripts(bench: Benches) -> None:
    """Through the staged Python, though their first line names the final prefix, where nothing is yet."""
    commands = 'smoke = ["demo", "python -c \'import demo, sys; assert \\"debian/demo\\" in sys.prefix\'"]'
    built = bench("bookworm").build(Project(config=commands.replace('\\"', '\\\\\\"')))
    assert "2 commands" in built.log


def test_failed_build_is_in_nobodys_way(bench: Benches) -> None:
    """After the mistake is mended, the same tree builds."""
    work = bench("bookworm")
    project = Project(
        dependencies=["odd"], wheels=[odd_wheel()], files={"requirements.txt": f"{WRONG_HASH}\n"}
    )
    folder = work.write(project)
    assert work.run(folder, "debian/rules binary").returncode != 0
    mended = work.run(folder, "echo odd==1.0 >requirements.txt && debian/rules binary")
    assert mended.returncode == 0, mended.stdout


def test_full_disk_is_an_error_with_a_code(bench: Benches) -> None:
    """The file system that the package is built on has no room for the environment."""
    work = bench("bookworm")
    folder = work.write(Project(files={"demo/data.bin": bytes(3_000_000)}))
    small = work.root.inside(folder)
    kept = small.with_name("kept")
    small.rename(kept)
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(small)]
    subprocess.run(mount, check=True)
    try:
        work.root.run(["cp", "-a", f"{folder}/../kept/.", folder])
        done = work.run(folder, "dh_prep && dh_venvpkg")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 3, done.stdout
    assert "error[no-space]" in done.stdout
    assert "Traceback" not in done.stdout

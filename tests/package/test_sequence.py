"""The add-on among debhelper's commands: nothing touches the environment, and everything else is as usual."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from backend import pack
from debs import Member, clauses, contents, differences, maintainer_files, read
from projects import Project
from roots import difference, snapshot
from workbench import BIG, Bench, Built, Recipe, mixed, odd_wheel

pytestmark = pytest.mark.root

Benches = Callable[[str], Bench]

MANGLERS = (
    "dh_strip", "dh_dwz", "dh_makeshlibs", "dh_shlibdeps", "dh_strip_nondeterminism", "dh_compress",
)  # fmt: skip
BARE_OVERRIDES = "".join(f"override_{command}:\n\t{command}\n\n" for command in MANGLERS)
PREFIX = "opt/venvs/demo"
SITE = f"{PREFIX}/lib/python3.11/site-packages"

# Killed while pip installs: the environment is there and not yet in its place.
KILLED_INSTALLING = """\
setsid debian/rules binary >/dev/null 2>&1 &
until [ -e debian/.debhelper/venvpkg/demo/build/demo/pyvenv.cfg ]; do sleep 0.02; done
sleep 0.2
kill -9 -$!
test ! -e debian/demo/opt/venvs/demo/pyvenv.cfg || exit 9
debian/rules binary
"""
# Killed while the environment is aside.
KILLED_HIDDEN = """\
setsid debian/rules binary >/dev/null 2>&1 &
until [ -e debian/.debhelper/venvpkg/demo/env/pyvenv.cfg ]; do sleep 0.02; done
kill -9 -$!
test -e debian/.debhelper/venvpkg/demo/env/pyvenv.cfg || exit 9
debian/rules binary
"""


def as_package(project: Project) -> Recipe:
    """With dpkg-buildpackage; it does not take compat 14, which debhelper does not provide yet."""
    return Recipe(project=project, command="dpkg-buildpackage -us -uc -b" + " -d" * (project.compat == 14))


def replaced(project: Project, path: str, old: str, new: str) -> Project:
    """The project with another text in one of its files."""
    text = dict(project._generated())[path]
    assert isinstance(text, str) and old in text
    project.files = {**project.files, path: text.replace(old, new)}
    return project


def hashed(data: bytes) -> str:
    """A hash as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def normal(path: str) -> str:
    """The path without `..`."""
    parts: list[str] = []
    for part in path.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def records(deb: Path, site: str = SITE) -> set[str]:
    """Every path that a RECORD lists, after a comparison of hash and size with the file's."""
    files = contents(deb)
    listed = set()
    for record in [p for p in files if p.startswith(site) and p.endswith(".dist-info/RECORD")]:
        for name, digest, size in csv.reader(io.StringIO(read(deb, record).decode())):
            path = normal(f"{site}/{name}")
            assert path in files, f"{record} lists {name}"
            if digest:
                data = read(deb, path)
                assert (digest, size) == (hashed(data), str(len(data))), name
            listed.add(path)
    return listed


def environment(deb: Path, prefix: str = PREFIX) -> dict[str, Member]:
    """The part of a package that is the environment."""
    return {path: m for path, m in contents(deb).items() if path.startswith(f"{prefix}/")}


def sections(deb: Path, path: str, tmp_path: Path) -> set[str]:
    """The names of an ELF file's sections."""
    (tmp_path / "elf").write_bytes(read(deb, path))
    command = ["readelf", "-SW", str(tmp_path / "elf")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\] (\.\S+)", shown))


def find(deb: Path, pattern: str) -> str:
    """The one path of a package that matches."""
    (path,) = [p for p in contents(deb) if re.search(pattern, p)]
    return path


# --- The same bytes, whatever is around

VARIANTS: dict[str, Callable[[], Recipe]] = {
    **{f"plain {n}": lambda n=n: Recipe(project=mixed(compat=n)) for n in (12, 13, 14)},
    **{
        f"overridden {n}": lambda n=n: as_package(mixed(compat=n, rules=BARE_OVERRIDES)) for n in (12, 13, 14)
    },
    "umask 027": lambda: Recipe(
        project=mixed(), command="chmod -R g-w,o-rwx . && umask 027 && debian/rules binary"
    ),
    "user": lambda: Recipe(project=mixed(), command="dpkg-buildpackage -us -uc -b", user="builder"),
    "fakeroot": lambda: Recipe(
        project=replaced(
            mixed(), "debian/control", "Rules-Requires-Root: no", "Rules-Requires-Root: binary-targets"
        ),
        command="dpkg-buildpackage -us -uc -b -rfakeroot",
        user="builder",
    ),
    "dpkg-buildpackage -b twice": lambda: Recipe(
        project=mixed(),
        command="dpkg-buildpackage -us -uc -b && rm ../*.deb && dpkg-buildpackage -us -uc -b",
    ),
    "debian/rules binary twice": lambda: Recipe(
        project=mixed(), command="debian/rules binary && rm ../*.deb && debian/rules binary"
    ),
    "a folder with a blank and a quote": lambda: Recipe(project=mixed(), at="it's a demo"),
    "Build-Depends-Arch": lambda: Recipe(
        project=replaced(
            mixed(),
            "debian/control",
            "debhelper-compat (= 13), dh-sequence-venvpkg, python3-dev",
            "debhelper-compat (= 13)\nBuild-Depends-Arch: dh-sequence-venvpkg, python3-dev",
        ),
        command="dpkg-buildpackage -us -uc -B",
    ),
    "--with": lambda: Recipe(
        project=replaced(mixed(addon=""), "debian/rules", "dh $@", "dh $@ --with venvpkg")
    ),
    "a build killed while it installs": lambda: Recipe(project=mixed(), command=KILLED_INSTALLING),
    "a build killed while the environment is aside": lambda: Recipe(project=mixed(), command=KILLED_HIDDEN),
}  # fmt: skip
APART = {"debian/rules binary twice", "a folder with a blank and a quote"}
LIKE_PLAIN = [name for name in VARIANTS if not re.match(r"plain|overridden", name) and name not in APART]


@pytest.fixture(scope="module")
def variants(bench: Benches) -> dict[str, Built]:
    """The mixed project, built in every way that may make no difference; by the way's name."""
    work = bench("bookworm")
    if not work.root.inside("/home/builder").exists():
        work.root.add_user("builder")
    return work.build_all({name: make() for name, make in VARIANTS.items()})


@pytest.mark.parametrize("compat", [12, 13, 14])
def test_bare_overrides_change_no_byte(compat: int, variants: Mapping[str, Built]) -> None:
    """A bare `override_dh_strip:` loses what an add-on said to dh_strip, so nothing hangs on that."""
    found = differences(variants[f"plain {compat}"].debs, variants[f"overridden {compat}"].debs)
    assert found == []


@pytest.mark.parametrize("compat", [12, 14])
def test_compat_level_changes_nothing_in_the_environment(compat: int, variants: Mapping[str, Built]) -> None:
    """dh_fixperms, dh_compress and dh_strip_nondeterminism run at other places in compat 14."""
    one, other = variants["plain 13"].deb(), variants[f"plain {compat}"].deb()
    assert environment(one) == environment(other)
    assert clauses(one) == clauses(other)


@pytest.mark.parametrize("way", LIKE_PLAIN)
def test_way_of_building_changes_no_byte(way: str, variants: Mapping[str, Built]) -> None:
    """The packages are those of a plain `debian/rules binary` by root."""
    assert differences(variants["plain 13"].debs, variants[way].debs) == []


def test_second_binary_without_clean_gives_the_same_package(variants: Mapping[str, Built]) -> None:
    """What the first run left is in nobody's way (debhelper itself counts old debug files in -dbgsym)."""
    one, other = ({"demo": variants[name].deb()} for name in ("plain 13", "debian/rules binary twice"))
    assert differences(one, other) == []


def test_source_folder_with_a_blank_and_a_quote_gives_the_same_environment(
    variants: Mapping[str, Built], bench: Benches
) -> None:
    """Only activators differ: venv quotes the path for the shell, and it stays quoted."""
    odd = variants["a folder with a blank and a quote"].deb()
    found = difference(environment(variants["plain 13"].deb()), environment(odd))
    assert {Path(path).name for path in found} <= {"activate", "activate.fish"}
    (bench("bookworm").root.inside("/tmp/activate")).write_bytes(read(odd, f"{PREFIX}/bin/activate"))
    shown = bench("bookworm").root.run(". /tmp/activate; echo $VIRTUAL_ENV; deactivate; echo $VIRTUAL_ENV.")
    assert shown.stdout == "/opt/venvs/demo\n.\n"


def test_clean_leaves_the_tree_as_it_was(bench: Benches) -> None:
    """Neither the build nor `dh clean` adds, removes or changes a file of the source."""
    work = bench("bookworm")
    folder = work.write(mixed())
    before = snapshot(work.root.inside(folder))
    assert work.run(folder, "debian/rules binary").returncode == 0
    made = {path.split("/")[0] for path in difference(before, snapshot(work.root.inside(folder)))}
    assert made == {"debian", "tool"}
    work.root.run("debian/rules clean", cwd=folder)
    assert difference(before, snapshot(work.root.inside(folder))) == {}


# --- What steps aside, and what does not


def test_wheel_is_shipped_byte_for_byte(variants: Mapping[str, Built]) -> None:
    """strip, dwz and compress would have changed the libraries and the text."""
    deb = variants["plain 13"].deb()
    with zipfile.ZipFile(io.BytesIO(odd_wheel()[1])) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info" not in name]
        assert len(names) == 4
        for name in names:
            assert read(deb, f"{SITE}/{name}") == wheel.read(name), name


def test_program_elsewhere_in_the_package_is_stripped(variants: Mapping[str, Built], tmp_path: Path) -> None:
    """A Makefile of the project is built as usual, and what it installs is treated as usual."""
    found = sections(variants["plain 13"].deb(), "usr/bin/demo-tool", tmp_path)
    assert ".symtab" not in found and ".debug_info" not in found
    assert ".gnu_debuglink" in found


def test_man_page_elsewhere_in_the_package_is_compressed(variants: Mapping[str, Built]) -> None:
    """dh_compress does its work outside the environment."""
    assert "usr/share/man/man1/demo-tool.1.gz" in contents(variants["plain 13"].deb())


def test_extension_compiled_by_the_build_is_stripped(variants: Mapping[str, Built], tmp_path: Path) -> None:
    """Its debug information is in -dbgsym, found by its build id."""
    built = variants["plain 13"]
    path = find(built.deb(), r"/_native.*\.so$")
    found = sections(built.deb(), path, tmp_path)
    assert ".symtab" not in found and ".debug_info" not in found
    notes = ["readelf", "-n", str(tmp_path / "elf")]
    shown = subprocess.run(notes, capture_output=True, text=True, check=True).stdout
    number = shown.split("Build ID: ")[1].split()[0]
    assert f"usr/lib/debug/.build-id/{number[:2]}/{number[2:]}.debug" in contents(built.deb("demo-dbgsym"))


def test_record_is_right_afterwards(variants: Mapping[str, Built]) -> None:
    """RECORD knows the stripped extension and the bytecode; each hash and size is the file's."""
    listed = records(variants["plain 13"].deb())
    assert find(variants["plain 13"].deb(), r"/_native.*\.so$") in listed


def test_file_that_debian_install_put_under_the_prefix_survives_and_wins(
    variants: Mapping[str, Built],
) -> None:
    """The environment comes to what is there, and replaces nothing."""
    deb = variants["plain 13"].deb()
    assert read(deb, f"{PREFIX}/etc/settings.ini") == b"[settings]\n"
    assert read(deb, f"{PREFIX}/bin/activate.csh") == b"# ours\n"


def test_private_libraries_are_offered_to_nobody(variants: Mapping[str, Built]) -> None:
    """No shlibs file, no ldconfig trigger, and the package does not depend on itself."""
    deb = variants["plain 13"].deb()
    files = maintainer_files(deb)
    assert "shlibs" not in files and "symbols" not in files
    assert b"ldconfig" not in files["triggers"]
    names = {clause.split()[0] for clause in clauses(deb)}
    assert names == {"python3.11", "libc6"}


def test_environment_below_usr_share_doc_is_not_compressed(bench: Benches) -> None:
    """Where dh_compress looks for long texts, too."""
    config = 'install-root = "/usr/share/doc"\nenv-name = "demo-env"'
    built = bench("bookworm").build(
        Project(dependencies=["odd"], wheels=[odd_wheel()], config=config, files={
            "debian/docs": "long.txt\n", "long.txt": BIG,
        })
    )  # fmt: skip
    files = contents(built.deb())
    assert "usr/share/doc/demo/long.txt.gz" in files
    assert "usr/share/doc/demo-env/lib/python3.11/site-packages/odd/big.txt" in files
    assert records(built.deb(), "usr/share/doc/demo-env/lib/python3.11/site-packages")


# --- dh_python3 in the same package

SCRIPT = "#!/usr/bin/env python3\nprint(1)\n"


def with_python3(root: str, way: str) -> Project:
    """A project that lives where dh_python3 looks, with a script of its own there."""
    project = Project(
        architecture="all",
        config=f'install-root = "{root}"',
        addon="" if way.startswith("--with") else "venvpkg",
        build_depends=["dh-sequence-python3", "python3-all"] if way == "Build-Depends" else [],
        depends="python3, ${misc:Depends}, ${shlibs:Depends}, ${python3:Depends}",
        files={
            "bin/other": SCRIPT,
            "debian/install": "bin/other usr/bin\n",
            "demo/tool.py": "#!/usr/bin/env python3\n",
        },
    )
    if way.startswith("--with"):
        replaced(project, "debian/rules", "dh $@", f"dh $@ {way}")
    return project


@pytest.fixture(scope="module")
def beside_python3(bench: Benches) -> dict[tuple[str, str], Built]:
    """Builds with dh_python3 by install root and way of loading it; the way "" is without."""
    ways = ["", "--with python3,venvpkg", "--with venvpkg,python3", "Build-Depends"]
    recipes = {f"{root} {way}": (root, way) for root in ("/usr/lib", "/usr/share") for way in ways}
    # python3-all is not here; dh_python3 works without.
    command = "debian/rules binary"
    built = bench("bookworm").build_all(
        {name: Recipe(project=with_python3(*key), command=command) for name, key in recipes.items()}
    )
    return {key: built[name] for name, key in recipes.items()}


@pytest.mark.parametrize("way", ["--with python3,venvpkg", "--with venvpkg,python3", "Build-Depends"])
@pytest.mark.parametrize("root", ["/usr/lib", "/usr/share"])
def test_dh_python3_leaves_the_environment_alone(
    root: str, way: str, beside_python3: Mapping[tuple[str, str], Built]
) -> None:
    """It moves modules, rewrites first lines and adds maintainer scripts elsewhere, as it should."""
    without, beside = beside_python3[root, ""].deb(), beside_python3[root, way].deb()
    prefix = f"{root}/demo".lstrip("/")
    assert difference(environment(without, prefix), environment(beside, prefix)) == {}
    assert read(without, "usr/bin/other").startswith(b"#!/usr/bin/env")
    assert read(beside, "usr/bin/other").startswith(b"#! /usr/bin/python3\n")
    assert maintainer_files(without).keys() == maintainer_files(beside).keys()
    assert b"py3compile" not in maintainer_files(beside)["postinst"]


# --- Targets and options of debian/rules

HOOKED = ("dh_venvpkg", "dh_venvpkg_settle", "dh_venvpkg_verify", "dh_auto_build", "dh_auto_install")


def test_override_and_execute_targets_run(bench: Benches) -> None:
    """For our commands and for dh_auto_*, each once and in order."""
    rules = "".join(
        f"execute_before_{c}:\n\t@echo : before {c}\noverride_{c}:\n\t@echo : instead {c}\n\t{c}\n"
        f"execute_after_{c}:\n\t@echo : after {c}\n\n"
        for c in HOOKED
    )
    built = bench("bookworm").build(mixed(rules=rules))
    assert built.deb()
    said = [line[2:] for line in built.log.splitlines() if line.startswith(": ")]
    order = ("dh_auto_build", "dh_auto_install", "dh_venvpkg", "dh_venvpkg_settle", "dh_venvpkg_verify")
    assert said == [f"{when} {command}" for command in order for when in ("before", "instead", "after")]


def test_changes_between_build_and_settle_are_taken_as_they_are(bench: Benches) -> None:
    """Deleted, added and pip-installed files: RECORD, bytecode and paths follow, and the gate passes."""
    stage = "debian/demo/opt/venvs/demo"
    site = f"{stage}/lib/python3.11/site-packages"
    pip = f"python3 -m pip -q --python {stage}/bin/python install --no-index --find-links late late"
    rules = (
        f"execute_after_dh_venvpkg:\n\trm {site}/demo/unwanted.py\n\techo 'x = 1' >{site}/demo/added.py\n"
        f"\techo 'y = 2' >>{site}/demo/changed.py\n\t{pip}\n"
    )
    late = pack("late", "1.0", {"late.py": b"def main():\n    pass\n"}, scripts={"late": "late:main"})
    built = bench("bookworm").build(
        Project(
            rules=rules,
            files={"demo/unwanted.py": "", "demo/changed.py": "x = 1\n", f"late/{late[0]}": late[1]},
        )
    )
    deb = built.deb()
    files, listed = contents(deb), records(deb)
    assert not [path for path in files if "unwanted" in path]
    for name in ("added", "changed"):
        assert f"{SITE}/demo/{name}.py" in files
        assert f"{SITE}/demo/__pycache__/{name}.cpython-311.pyc" in files
    assert f"{SITE}/demo/changed.py" in listed
    assert f"{SITE}/__pycache__/late.cpython-311.pyc" in files
    assert read(deb, f"{PREFIX}/bin/late").startswith(b"#!/opt/venvs/demo/bin/python")
    assert f"{PREFIX}/bin/late" in listed


def test_options_of_dh_venvpkg_beat_the_configuration(bench: Benches) -> None:
    """An override that calls it with options: requirements alone, and no bytecode."""
    options = "--project=false --requirements=odd.txt --bytecode=none --python=/usr/bin/python3"
    built = bench("bookworm").build(
        Project(
            rules=f"override_dh_venvpkg:\n\tdh_venvpkg {options}\n",
            wheels=[odd_wheel()],
            config='bytecode = "build"',
            files={"odd.txt": "odd\n"},
        )
    )
    files = contents(built.deb())
    assert f"{SITE}/odd/__init__.py" in files
    assert f"{SITE}/demo/__init__.py" not in files
    assert not [path for path in files if path.endswith(".pyc")]


def test_options_reach_dh_venvpkg_by_every_way_of_debhelper(bench: Benches) -> None:
    """`dh $@ -O--key`, DH_OPTIONS and DH_VENVPKG_KEY; an option beats the variable."""
    told = replaced(Project(), "debian/rules", "dh $@", "dh $@ -O--bytecode=none")
    recipes = {
        "-O": Recipe(project=told),
        "DH_OPTIONS": Recipe(project=Project(), env={"DH_OPTIONS": "-O--bytecode=none"}),
        "DH_VENVPKG": Recipe(project=Project(), env={"DH_VENVPKG_BYTECODE": "none"}),
        "both": Recipe(project=told, env={"DH_VENVPKG_BYTECODE": "build"}),
    }
    for way, built in bench("bookworm").build_all(recipes).items():
        assert not [path for path in contents(built.deb()) if path.endswith(".pyc")], way


# --- dh_auto_*

REFUSES = "raise SystemExit('setup.py was run')\n"


def test_lone_setup_py_is_in_nobodys_way(bench: Benches) -> None:
    """Left alone, debhelper's own build system for it fails in dh_auto_clean, and knows no pyproject.toml."""
    project = lambda compat: Project(compat=compat, files={"setup.py": REFUSES})  # noqa: E731
    recipes = {
        f"{n}": Recipe(
            project=project(n), command="debian/rules clean && debian/rules binary && debian/rules clean"
        )
        for n in (12, 13)
    }
    for built in bench("bookworm").build_all(recipes).values():
        assert f"{SITE}/demo/__init__.py" in contents(built.deb())
        assert "setup.py" not in built.log


def test_named_build_system_is_left_alone(bench: Benches) -> None:
    """`--buildsystem` is the user's word, with a setup.py beside it or not."""
    project = replaced(
        mixed(files={"setup.py": REFUSES}), "debian/rules", "dh $@", "dh $@ --buildsystem=makefile"
    )
    built = bench("bookworm").build(project)
    assert "usr/bin/demo-tool" in contents(built.deb())
    assert "setup.py" not in built.log


# --- Several binary packages

TABLE = "[tool.venvpkg.packages.{}]\n"


def paragraph(name: str, architecture: str = "any", more: str = "") -> str:
    """One more binary package of debian/control."""
    depends = "Depends: ${misc:Depends}, ${shlibs:Depends}\n"
    return f"Package: {name}\nArchitecture: {architecture}\n{depends}{more}Description: another\n It is.\n\n"


def test_named_packages_get_an_environment(bench: Benches) -> None:
    """And the others none: two environments beside a package of documentation, all and any mixed."""
    project = Project(
        config=TABLE.format("demo") + TABLE.format("demo-all") + 'env-name = "other"\nbytecode = "none"\n',
        packages=paragraph("demo-all", "all") + paragraph("demo-doc", "all"),
        files={"debian/demo-doc.docs": "notes\n", "notes": "notes\n"},
    )
    made = bench("bookworm").build_all(
        {way: Recipe(project=project, command=f"dpkg-buildpackage -us -uc -{way}") for way in "bAB"}
    )
    assert set(made["b"].debs) == {"demo", "demo-all", "demo-doc"}
    assert set(made["B"].debs) == {"demo"}
    assert set(made["A"].debs) == {"demo-all", "demo-doc"}
    both = {**made["A"].debs, **made["B"].debs}
    assert differences(made["b"].debs, both) == []
    assert not [path for path in contents(both["demo-doc"]) if path.startswith("opt")]
    assert "postinst" not in maintainer_files(both["demo-doc"])
    assert "opt/venvs/other/bin/demo" in contents(both["demo-all"])
    assert not [path for path in contents(both["demo-all"]) if path.endswith(".pyc")]
    assert "python3.11" in clauses(both["demo-all"])


def test_packages_can_be_chosen_as_debhelper_has_it(bench: Benches) -> None:
    """`-p` and `-N` on dh's command line, and a build profile."""
    two = Project(
        config=TABLE.format("demo") + TABLE.format("demo-more"),
        packages=paragraph("demo-more", "any", "Build-Profiles: <!nomore>\n"),
    )
    recipes = {
        "-p": Recipe(project=two, command="dh binary -pdemo"),
        "-N": Recipe(project=two, command="dh binary -Ndemo-more"),
        "profile": Recipe(project=two, env={"DEB_BUILD_PROFILES": "nomore"}),
        "no profile": Recipe(project=two),
    }
    made = bench("bookworm").build_all(recipes)
    assert set(made.pop("no profile").debs) == {"demo", "demo-more"}
    for way, built in made.items():
        assert set(built.debs) == {"demo"}, way
        assert f"{SITE}/demo/__init__.py" in contents(built.deb()), way
        assert "/opt/venvs/demo-more" not in built.log, way


def test_named_package_that_a_profile_leaves_out_is_no_error(bench: Benches) -> None:
    """What remains is built without an environment."""
    project = Project(
        config=TABLE.format("demo"),
        packages=paragraph("demo-doc", "all"),
    )
    replaced(project, "debian/control", "Package: demo\n", "Package: demo\nBuild-Profiles: <!noenv>\n")
    built = bench("bookworm").build(project, DEB_BUILD_PROFILES="noenv")
    assert set(built.debs) == {"demo-doc"}
    assert "installed with" not in built.log


def test_python3_prefix_of_a_package_means_nothing(bench: Benches) -> None:
    """`python3-foo` is a name like any other, the project's and the package's."""
    built = bench("bookworm").build(Project(name="python3-foo", architecture="all"))
    assert "opt/venvs/python3-foo/bin/python3-foo" in contents(built.deb("python3-foo"))


@pytest.mark.parametrize("compat", [13, 14])
def test_trixie_too_changes_no_byte_with_bare_overrides(compat: int, bench: Benches, tmp_path: Path) -> None:
    """Its debhelper 13.24 has other commands in other places."""
    recipes = {
        "plain": as_package(mixed(compat=compat)),
        "overridden": as_package(mixed(compat=compat, rules=BARE_OVERRIDES)),
    }
    made = bench("trixie").build_all(recipes)
    assert differences(made["plain"].debs, made["overridden"].debs) == []
    deb = made["plain"].deb()
    site = SITE.replace("3.11", "3.13")
    with zipfile.ZipFile(io.BytesIO(odd_wheel()[1])) as wheel:
        for name in ("odd/_odd.so", "odd.libs/libodd-1a2b3c4d.so.1", "odd/big.txt"):
            assert read(deb, f"{site}/{name}") == wheel.read(name)
    found = sections(deb, find(deb, r"/_native.*\.so$"), tmp_path)
    assert ".symtab" not in found and ".debug_info" not in found
    assert records(deb, site)
    assert {clause.split()[0] for clause in clauses(deb)} == {"python3.13", "libc6"}
    assert "shlibs" not in maintainer_files(deb)

"""`layers = true`: one environment in two packages, of which the lower one stays while it is the same."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from backend import pack
from builds import Case, clean_environment, fail, run_cli
from projects import Project
from venvpkg.control import Package
from venvpkg.layers import RECORD, make_stanza

OTHER = {"lark.py": b"VALUE = 1\n", "lark_data/words.txt": b"one\n"}


def lark(version: str = "1.0", **files: bytes) -> tuple[str, bytes]:
    """What the project requires: a module, data and a program."""
    return pack("lark", version, {**OTHER, **files}, scripts={"lark": "lark:main"})


def stanza(name: str = "demo", **changes: str) -> str:
    """The stanza that the error offers, with other lines."""
    text = make_stanza(Package(name=name, architecture="any", fields={}))
    for old, new in changes.items():
        text = "".join(new if x.startswith(f"{old.capitalize()}:") else x for x in text.splitlines(True))
    return text


def layered(folder: Path, environ: dict[str, str], config: str = "", **changes: object) -> Case:
    """A source package with both stanzas."""
    values: dict[str, object] = {
        "wheels": [lark()],
        "dependencies": ["lark"],
        "fields": "Replaces: demo-env\n",
        "packages": stanza(),
        **changes,
    }
    project = Project(config=f'installer = "uv"\nlayers = true\n{config}', **values)  # type: ignore[arg-type]
    return Case(source=project.write(folder), environ=environ, packages=("demo", "demo-env"))


def names(case: Case, package: str) -> set[str]:
    """The files and links that one of the packages has below the prefix, with the minor version left out."""
    top = case.source / "debian" / package / "opt/venvs/demo"
    found = [p for p in top.rglob("*") if p.is_symlink() or p.is_file()]
    return {re.sub(r"^lib/python3\.\d+/site-packages", "site", str(p.relative_to(top))) for p in found}


def layer(case: Case) -> str:
    """What the lower package provides."""
    return str(case.manifest()["layer"])


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user's environment with a home of its own."""
    home = tmp_path_factory.mktemp("home")
    return clean_environment(HOME=str(home), UV_CACHE_DIR=str(home / "uv"), PIP_CACHE_DIR=str(home / "pip"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> Case:
    """One that is built and checked."""
    case = layered(tmp_path_factory.mktemp("layers") / "src", environ, 'expose = ["demo"]').finish()
    assert case.gate() == ()
    return case


def test_the_project_is_in_one_package_and_the_rest_in_the_other(built: Case) -> None:
    """Modules with bytecode, scripts and launchers here; interpreter, activators and requirements there."""
    upper, lower = names(built, "demo"), names(built, "demo-env")
    assert not upper & lower
    assert {"site/demo/__init__.py", "bin/demo", "venvpkg.json", "site/demo-1.0.dist-info/RECORD"} <= upper
    assert any(n.startswith("site/demo/__pycache__/__main__.") for n in upper)
    assert {"bin/python", "pyvenv.cfg", "bin/activate", "bin/lark", "site/lark_data/words.txt"} <= lower
    assert any(n.startswith("site/__pycache__/lark.") for n in lower)
    assert not [n for n in upper if "lark" in n]
    assert not [n for n in lower if "demo" in n]
    assert (built.root / "usr/bin/demo").exists()


def test_each_package_depends_on_what_is_its_own(built: Case) -> None:
    """The interpreter is the lower one's, and the upper one holds to the very one that it was built with."""
    upper, lower = built.write_control("demo"), built.write_control("demo-env")
    assert f"Depends: {layer(built)}\n" in upper
    assert "Depends: python3." in lower
    assert f"Provides: {layer(built)}\n" in lower


def test_a_change_of_the_project_leaves_the_layer_as_it_is(built: Case, tmp_path: Path) -> None:
    """Another folder, another version, other modules, another name for a program: the same hash."""
    files = {"demo/more.py": "import lark\n", "requirements.txt": "# nothing\nlark\n"}
    case = layered(tmp_path / "elsewhere", built.environ, version="2.0", files=files).finish()
    assert layer(case) == layer(built)
    assert case.gate() == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"wheels": [lark("1.1")]},
        {"wheels": [lark(**{"lark_data/words.txt": b"two\n"})]},
        {"config": "hermetic = true"},
        {"config": 'bytecode = "install"'},
        {"files": {"debian/demo-env.postinst": "#!/bin/sh\n#DEBHELPER#\n"}},
    ],
    ids=["version", "bytes", "scripts", "maintainer scripts", "own maintainer script"],
)  # fmt: skip
def test_a_change_below_gives_another_layer(built: Case, tmp_path: Path, changes: dict[str, object]) -> None:
    """A server must not run the project on what it was not built with."""
    assert layer(layered(tmp_path / "src", built.environ, **changes).finish()) != layer(built)  # type: ignore[arg-type]


def test_settling_again_gives_the_same(tmp_path: Path, environ: dict[str, str]) -> None:
    """What an earlier run divided is put together before it is looked at."""
    case = layered(tmp_path / "src", environ).finish()
    before = layer(case), names(case, "demo"), names(case, "demo-env")
    case.settle()
    assert (layer(case), names(case, "demo"), names(case, "demo-env")) == before


def test_what_was_put_into_the_prefix_ships_with_the_project(tmp_path: Path, environ: dict[str, str]) -> None:
    """Nothing says what it is of, and the project's package is the one that every version brings."""
    case = layered(tmp_path / "src", environ)
    case.build()
    (case.stage / "etc").mkdir()
    (case.stage / "etc/demo.conf").write_text("a = 1\n")
    case.settle()
    assert "etc/demo.conf" in names(case, "demo")
    assert case.gate() == ()


def test_without_a_project_the_lower_package_has_all(tmp_path: Path, environ: dict[str, str]) -> None:
    """The code is somewhere else then; the upper package holds to the layer, and has the manifest."""
    config = 'project = false\nrequirements = ["needs.txt"]'
    case = layered(tmp_path / "src", environ, config, files={"needs.txt": "lark\n"}).finish()
    assert names(case, "demo") == {"venvpkg.json"}
    assert case.gate() == ()


def test_a_bundled_interpreter_is_below(tmp_path: Path, environ: dict[str, str]) -> None:
    """Thirty megabytes that no deploy has to carry."""
    case = layered(tmp_path / "src", environ, 'interpreter = "bundled"').finish()
    assert not [n for n in names(case, "demo") if n.startswith("python/")]
    assert [n for n in names(case, "demo-env") if n.startswith("python/bin/python3.")]
    assert case.gate() == ()


# --- What has to be declared


def test_a_missing_stanza_is_offered(tmp_path: Path, environ: dict[str, str]) -> None:
    """What the hint shows is all that is missing."""
    case = layered(tmp_path / "src", environ, packages="", fields="")
    error = fail(case)
    assert error.code == "layer-undeclared"
    offered = error.hint.partition("\n\n")[2].partition("\nand to")[0]
    control = case.source / "debian/control"
    control.write_text(f"{control.read_text()}Replaces: demo-env\n\n{offered}")
    assert case.finish().gate() == ()


def test_both_are_for_the_same_architectures(tmp_path: Path, environ: dict[str, str]) -> None:
    """One hash cannot be that of several machines' environments."""
    case = layered(tmp_path / "src", environ, packages=stanza(architecture="Architecture: all\n"))
    assert fail(case).code == "layers-architecture"


def test_a_pure_environment_may_be_for_all(tmp_path: Path, environ: dict[str, str]) -> None:
    """Both packages are, then."""
    packages = stanza(architecture="Architecture: all\n")
    case = layered(tmp_path / "src", environ, architecture="all", packages=packages).finish()
    assert case.gate() == ()


def test_the_environments_version_is_not_bound_to_the_projects(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """It keeps its version while the project goes on."""
    case = layered(tmp_path / "src", environ, depends="${misc:Depends}, demo-env (= ${binary:Version})")
    error = fail(case)
    assert error.code == "layer-version-bound"
    assert "demo-env (= ${binary:Version})" in error.message


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"packages": stanza(provides="")}, "Provides: ${misc:Provides}"),
        ({"packages": stanza(replaces="")}, "Replaces: demo"),
        ({"fields": ""}, "Replaces: demo-env"),
        ({"depends": "${shlibs:Depends}"}, "Depends: ${misc:Depends}"),
    ],
)
def test_what_holds_the_two_together_is_in_the_control_files(
    tmp_path: Path, environ: dict[str, str], changes: dict[str, object], missing: str
) -> None:
    """Looked for where it counts, whichever way it came there."""
    case = layered(tmp_path / "src", environ, **changes).finish()  # type: ignore[arg-type]
    error = fail(case, "gate")
    assert error.code == "layers-unbound"
    assert missing in error.hint.splitlines()


def test_a_table_for_the_lower_package_is_a_mistake(tmp_path: Path, environ: dict[str, str]) -> None:
    """The keys are those of the environment, which is the project's."""
    config = '[tool.venvpkg.packages.demo]\n[tool.venvpkg.packages.demo-env]\nextras = ["a"]'
    error = fail(layered(tmp_path / "src", environ, config))
    assert error.code == "config-invalid"
    assert "packages.demo-env" in error.causes[0]


# --- The version of the lower package


def pack_up(case: Case, package: str) -> Path:
    """What dh_md5sums and dh_builddeb do."""
    root = case.source / "debian" / package
    files = sorted(
        p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and "DEBIAN" not in p.parts
    )
    sums = subprocess.run(
        ["md5sum", *[p.relative_to(root) for p in files]], cwd=root, capture_output=True, check=True
    )
    (root / "DEBIAN/md5sums").write_bytes(sums.stdout)
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", root, case.source.parent]
    subprocess.run(command, check=True, capture_output=True)
    return max(case.source.parent.glob(f"{package}_*.deb"), key=lambda p: p.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def debs(built: Case) -> dict[str, Path]:
    """Both packages as files."""
    return {name: pack_up(built, name) for name in built.packages}


def record(case: Case, deb: Path) -> subprocess.CompletedProcess[str]:
    """Note a package as published."""
    return run_cli(["record", str(deb)], case.source, case.environ)


def test_the_same_environment_keeps_its_version(
    built: Case, debs: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And .changes does not list it again: an archive has a package of that name and version."""
    case = layered(tmp_path / "src", built.environ, version="1.1")
    assert record(case, debs["demo-env"]).returncode == 0
    noted = json.loads((case.source / RECORD).read_text())
    assert [*noted["demo-env"].values()] == [{"layer": layer(built), "version": "1.0"}]
    case.finish()
    assert "keeps that version" in capfd.readouterr().err
    assert case.gate() == ()
    control = (case.source / "debian/demo-env/DEBIAN/control").read_text()
    assert "Version: 1.0\n" in control
    assert "Source: demo (1.1)\n" in control
    files = (case.source / "debian/files").read_text()
    assert "demo_1.1_" in files
    assert "demo-env" not in files


def test_another_environment_has_the_current_version(
    built: Case, debs: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log says what to do when it is published; the tree of the build is not written to."""
    case = layered(tmp_path / "src", built.environ, version="1.1", wheels=[lark("1.1")])
    record(case, debs["demo-env"])
    before = (case.source / RECORD).read_text()
    case.finish()
    assert "venvpkg record ../demo-env_1.1_" in capfd.readouterr().err
    assert case.gate() == ()
    assert "Version: 1.1\n" in (case.source / "debian/demo-env/DEBIAN/control").read_text()
    assert "demo-env_1.1_" in (case.source / "debian/files").read_text()
    assert (case.source / RECORD).read_text() == before


def test_a_version_never_falls_behind_one_that_servers_have(
    built: Case, debs: dict[str, Path], tmp_path: Path
) -> None:
    """Apt would keep the newer one, and the project would not fit it."""
    case = layered(tmp_path / "src", built.environ, version="0.9", wheels=[lark("1.1")])
    record(case, debs["demo-env"])
    case.build()
    error = fail(case, "settle")
    assert error.code == "layer-version-lower"
    assert error.hint == "Give debian/changelog a higher version: dch -v 1.0+1"


def test_another_release_or_architecture_has_a_record_of_its_own(
    built: Case, debs: dict[str, Path], tmp_path: Path
) -> None:
    """A package for trixie is another one, whatever its version."""
    case = layered(tmp_path / "src", built.environ, version="1.1")
    record(case, debs["demo-env"])
    text = (case.source / RECORD).read_text()
    (case.source / RECORD).write_text(text.replace('"testing/', '"elsewhere/'))
    assert case.finish().gate() == ()
    assert "Version: 1.1\n" in (case.source / "debian/demo-env/DEBIAN/control").read_text()


@pytest.mark.parametrize(
    ("deb", "package", "code"), [("demo", "demo", "layer-none"), ("demo-env", "other", "package-unknown")]
)
def test_only_this_sources_lower_package_can_be_recorded(
    built: Case, debs: dict[str, Path], tmp_path: Path, deb: str, package: str, code: str
) -> None:
    """The project's own says nothing, and another source's would be forgotten at once."""
    source = Project(name=package).write(tmp_path / "src")
    done = run_cli(["record", "--into", str(source), str(debs[deb])], tmp_path, built.environ)
    assert (done.returncode, code in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("text", ["{", '{"demo-env": {"a/b": {}}}', '{"demo-env": 3}', "[]"])
def test_a_broken_record_is_an_error(built: Case, tmp_path: Path, text: str) -> None:
    """Taken for none, it would let a version fall."""
    case = layered(tmp_path / "src", built.environ)
    (case.source / RECORD).write_text(text)
    case.build()
    assert fail(case, "settle").code == "layer-record-invalid"


# --- Finished packages


def verify(case: Case, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Venvpkg verify."""
    return run_cli(["verify", *map(str, paths)], case.source.parent, case.environ)


def test_both_packages_are_checked_as_one(built: Case, debs: dict[str, Path]) -> None:
    """In either order; what is in one counts for the other."""
    for order in (("demo", "demo-env"), ("demo-env", "demo")):
        done = verify(built, *(debs[name] for name in order))
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith(f"{debs['demo']} + {debs['demo-env']}: ")


def test_both_package_build_roots_are_checked_as_one(built: Case) -> None:
    """As they are after a build, with --run as well."""
    roots = [built.source / "debian" / name for name in built.packages]
    done = run_cli(["verify", "--run", *map(str, roots)], built.source, built.environ)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_projects_package_alone_says_which_other_one_is_wanted(
    built: Case, debs: dict[str, Path]
) -> None:
    """There is no Python in it that anything could be held to."""
    done = verify(built, debs["demo"])
    assert done.returncode == 3
    assert "layer-alone" in done.stderr
    assert layer(built) in done.stderr


def test_the_lower_package_alone_is_an_environment(built: Case, debs: dict[str, Path]) -> None:
    """Everything in it can be checked."""
    done = verify(built, debs["demo-env"])
    assert done.returncode == 0, done.stdout


def test_packages_of_two_builds_are_told_apart(built: Case, debs: dict[str, Path], tmp_path: Path) -> None:
    """Apt would not install them together either."""
    case = layered(tmp_path / "src", built.environ, version="1.1", wheels=[lark("1.1")]).finish()
    case.gate()
    done = verify(built, debs["demo"], pack_up(case, "demo-env"))
    assert (done.returncode, "layers-apart" in done.stderr) == (3, True), done.stderr


def test_a_changed_file_of_either_is_found(built: Case, debs: dict[str, Path], tmp_path: Path) -> None:
    """Each has md5sums of its own."""
    broken = {}
    for name, place in (("demo", "demo/__init__.py"), ("demo-env", "lark.py")):
        folder = tmp_path / name
        subprocess.run(["dpkg-deb", "-R", debs[name], folder], check=True)
        (found,) = folder.glob(f"opt/venvs/demo/lib/python3*/site-packages/{place}")
        found.write_text("VALUE = 2\n")
        broken[name] = tmp_path / f"{name}.deb"
        subprocess.run(["dpkg-deb", "-Zgzip", "-b", folder, broken[name]], check=True, capture_output=True)
    done = verify(built, *broken.values())
    assert done.returncode == 1
    assert "demo/__init__.py" in done.stdout
    assert "lark.py" in done.stdout


def test_inspect_and_the_bill_of_materials_take_both(built: Case, debs: dict[str, Path]) -> None:
    """Each package has a bill of what is in it, and both together have one of all."""
    told = json.loads(
        run_cli(["inspect", "--sbom", *map(str, debs.values())], built.source, built.environ).stdout
    )
    assert {c["name"] for c in told["components"] if c["type"] != "platform"} == {"demo", "lark"}
    for name, inside in (("demo", {"demo"}), ("demo-env", {"lark"})):
        bill = built.source / "debian" / name / f"usr/share/doc/{name}/sbom.cdx.json"
        components = json.loads(bill.read_text())["components"]
        assert {c["name"] for c in components if c["type"] != "platform"} == inside

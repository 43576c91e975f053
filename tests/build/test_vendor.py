"""Builds from debian/wheelhouse, without a network, and the command that fills it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import wheels
from builds import Case, fail, run_cli
from roots import find_index_settings
from venvpkg.pipeline import read_specs
from venvpkg.wheelhouse import find_changes, find_stale, write_lists

MakeCase = Callable[..., Case]
VendorCase = Callable[..., Case]
# Nothing listens there: whoever asks an index fails.
NOWHERE = dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), "http://127.0.0.1:9/simple")
NEEDY = {"build_requires": ["wren-pure<2"]}


def house(case: Case) -> Path:
    """The folder of a case."""
    return case.source / "debian/wheelhouse"


def changed(path: Path) -> None:
    """Turn one bit of a file's middle byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def plain(make: MakeCase, wheelhouse: Path) -> MakeCase:
    """`plain("…", names)`: a case with a folder as `pip download` leaves it, and no index."""

    def made(config: str = "", *globs: str, **project: object) -> Case:
        case = make(config, offline=False, **project)
        case.environ |= NOWHERE
        house(case).mkdir()
        for glob in globs:
            for path in wheelhouse.glob(glob):
                shutil.copy(path, house(case))
        return case

    return made


def test_folder_alone_is_enough(plain: MakeCase, installer: str) -> None:
    """No key names it, and no index is asked; a path with a blank is one as any other."""
    case = plain("", "*pure*", "*needs*", dependencies=["wren-needs"], installer=installer, at="with blank")
    case.finish()
    assert case.versions() == {"demo": "1.0", "wren-needs": "1.0", "wren-pure": "2.0"}
    assert case.gate() == ()


def test_index_of_the_project_is_not_asked(plain: MakeCase, installer: str) -> None:
    """`index-url` says where to fetch from; links to pages go, too."""
    config = f'index-url = "{NOWHERE["PIP_INDEX_URL"]}"\nfind-links = ["http://127.0.0.1:9/links"]'
    case = plain(config, "*pure*", dependencies=["wren-pure"], installer=installer)
    case.build()
    assert "wren-pure" in case.distributions()


def test_machines_links_are_not_asked(plain: MakeCase, installer: str) -> None:
    """What pip is set to elsewhere does not mix in."""
    case = plain("", "*pure*", dependencies=["wren-pure"], installer=installer)
    case.environ["PIP_FIND_LINKS"] = case.environ["UV_FIND_LINKS"] = "http://127.0.0.1:9/links"
    case.build()
    assert "wren-pure" in case.distributions()


def test_what_is_not_there_is_said(plain: MakeCase, installer: str) -> None:
    """And is not fetched."""
    case = plain("", "*needs*", dependencies=["wren-needs"], installer=installer)
    assert fail(case).code == "requirement-not-found"


@pytest.mark.parametrize("how", ["changed", "gone", "added", "no list"])
def test_hashes_are_those_of_the_list(plain: MakeCase, how: str) -> None:
    """A changed file is named with both hashes, before anything is installed; put right, it builds."""
    case = plain("", "*pure*", dependencies=["wren-pure"])
    write_lists(house(case), {})
    (house(case) / "wheelhouse.json").unlink()
    sums = house(case) / "SHA256SUMS"
    sums.write_text("".join(x for x in sums.read_text().splitlines(True) if ".json" not in x))
    assert subprocess.run(["sha256sum", "--quiet", "-c", sums], cwd=house(case), check=False).returncode == 0
    wheel, kept = next(house(case).glob("*2.0*.whl")), sums.read_text()
    before, data = wheels.hash_of(wheel), wheel.read_bytes()
    if how == "changed":
        changed(wheel)
        expected = [f"{wheel.name}: listed with {before}, but it has {wheels.hash_of(wheel)}"]
    elif how == "gone":
        wheel.unlink()
        expected = [f"{wheel.name}: it is not there any more"]
    elif how == "added":
        (house(case) / "other.whl").touch()
        expected = ["other.whl: it is not in SHA256SUMS"]
    else:
        sums.write_text("nothing of the kind\n")
        expected = ["Line 1 of SHA256SUMS is none that sha256sum writes."]
    error = fail(case)
    assert (error.code, list(error.causes)) == ("wheelhouse-changed", expected)
    assert not case.root.exists()
    assert "venvpkg vendor" in error.hint
    wheel.write_bytes(data)
    sums.write_text(kept)
    (house(case) / "other.whl").unlink(missing_ok=True)
    case.build()
    assert case.versions()["wren-pure"] == "2.0"


def test_project_is_exported_without_the_folder(plain: MakeCase, installer: str) -> None:
    """A back end that takes everything along would otherwise ship every archive."""
    case = plain("", "*pure*", installer=installer)
    (case.source / "backend/backend.py").write_text(
        (case.source / "backend/backend.py").read_text()
        + "\nimport pathlib\nassert not pathlib.Path('debian/wheelhouse').exists()\n"
    )
    case.build()


# --- Constraints of build requirements

RECORDING = """\
import pathlib
import backend
import wren_pure

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    pathlib.Path("wren_needy/with.txt").write_text(wren_pure.__version__)
    return backend.build_wheel(wheel_directory)
"""


@pytest.mark.parametrize("hashed", [False, True])
def test_build_constraints_hold_in_build_environments(
    plain: MakeCase, installer: str, hashed: bool, tmp_path: Path, wheelhouse: Path
) -> None:
    """A build requirement gets the version, and with a hash the file, that they name."""
    old, new = (wheelhouse / f"wren_pure-{v}-py3-none-any.whl" for v in ("1.0", "2.0"))
    option = f" --hash={wheels.hash_of(old)}" if hashed else ""
    case = plain(
        'build-constraints = ["build constraints.txt"]',
        "*pure*",
        dependencies=["wren-needy"],
        installer=installer,
        files={"build constraints.txt": f"wren-pure==1.0{option}\n"},
    )
    wheels.write_sdist(
        house(case), "wren-needy", build_requires=["wren-pure"], files={"backend/recorder.py": RECORDING}
    )
    if installer == "pip" and hashed:
        error = fail(case)
        assert error.code == "pip-too-old"
        return
    case.build()
    assert (case.site / "wren_needy/with.txt").read_text() == "1.0"
    if hashed:
        (case.source / "build constraints.txt").write_text(f"wren-pure==1.0 --hash={wheels.hash_of(new)}\n")
        error = fail(case)
        assert error.code == "hash-mismatch"


# --- venvpkg vendor


@pytest.fixture
def online(make: MakeCase, wheelhouse: Path, tmp_path: Path, caches: Path) -> VendorCase:
    """`online(config, **project)`: a project whose distributions are found beside the machine's index."""

    def made(config: str = "", **project: object) -> Case:
        wheels.write_sdist(tmp_path / "more", "wren-needy", **NEEDY)
        links = f'find-links = ["{wheelhouse}", "{tmp_path / "more"}"]'
        case = make(f"{links}\n{config}", offline=False, **project)
        case.environ |= {"XDG_CACHE_HOME": str(caches / "xdg"), **find_index_settings()}
        return case

    return made


def vendor(case: Case, *words: str, status: int = 0) -> str:
    """Run the command, and return what it said."""
    answer = run_cli(["vendor", *words], case.source, case.environ)
    assert answer.returncode == status, answer.stderr
    return answer.stdout + answer.stderr


def offline(case: Case) -> Case:
    """Take away whatever could be asked."""
    case.environ |= NOWHERE
    case.environ.pop("PIP_FIND_LINKS", None)
    return case


@pytest.mark.network
def test_everything_is_fetched(online: VendorCase, installer: str, tmp_path: Path) -> None:
    """Wheels, sdists, what building them takes; extras, groups, preinstall and a repository as well."""
    tree = tmp_path / "tree"
    shutil.unpack_archive(wheels.write_sdist(tmp_path / "kept", "wren-tree", backend="backend"), tree)
    (repository,) = tree.iterdir()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(repository)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    case = online(
        'extras = ["more"]\ngroups = ["run"]\npreinstall = ["wren-second"]\nno-binary = ["wren-both"]',
        installer=installer,
        dependencies=["wren-needy", "wren-both", f"wren-tree @ git+file://{repository}"],
        files={
            "debian/source/format": "3.0 (quilt)\n",
            "debian/source/include-binaries": "debian/logo.png\n",
        },
    )
    pyproject = case.source / "pyproject.toml"
    extra = (
        '[project.optional-dependencies]\nmore = ["wren-needs"]\n[dependency-groups]\nrun = ["wren-extra"]\n'
    )
    pyproject.write_text(f"{pyproject.read_text()}\n{extra}")
    vendor(case)
    names = {path.name for path in house(case).iterdir()}
    assert {
        "wren_needy-1.0.tar.gz", "wren_both-1.0.tar.gz", "wren_pure-1.0-py3-none-any.whl",
        "wren_needs-1.0-py3-none-any.whl", "wren_second-1.0.tar.gz", "wren_tree-1.0.tar.gz",
        "wren_extra-1.0-py3-none-any.whl", "demo.txt", "SHA256SUMS",
    } <= names  # fmt: skip
    assert "up to date" in vendor(case, "--check")
    listed = (case.source / "debian/source/include-binaries").read_text().splitlines()
    archives = sorted(f"debian/wheelhouse/{n}" for n in names if n.endswith((".whl", ".gz")))
    assert listed == ["debian/logo.png", *archives]
    assert not (case.source / "debian/.debhelper").exists()
    offline(case).finish()
    assert set(case.versions()) == {
        "demo", "wren-needy", "wren-both", "wren-pure", "wren-needs", "wren-second", "wren-tree",
        "wren-extra",
    }  # fmt: skip
    assert case.gate() == ()


@pytest.mark.network
def test_what_is_stale_is_said(online: VendorCase) -> None:
    """By the command, and by a build, which stops; what does not matter changes nothing."""
    case = online(files={"requirements.txt": "wren-pure==1.0\n"})
    assert "it is not there" in vendor(case, "--check", status=1)
    vendor(case)
    pyproject = case.source / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('version = "1.0"', 'version = "1.1"'))
    vendor(case, "--check")
    (case.source / "requirements.txt").write_text("wren-pure==2.0\n")
    assert "requirements.txt: changed since" in vendor(case, "--check", status=1)
    error = fail(offline(case))
    assert (error.code, list(error.causes)) == ("wheelhouse-stale", ["requirements.txt: changed since"])
    case.environ |= find_index_settings()
    vendor(case)
    offline(case).build()
    assert case.versions() == {"demo": "1.1", "wren-pure": "2.0"}
    (spec,), place = read_specs(case.call(), case.world()), house(case)
    assert find_stale(spec, place, "3.99", "riscv64") == ["it is for Python 3.11, and demo gets 3.99"]
    record = json.loads((place / "wheelhouse.json").read_text())
    record["demo"]["architecture"] = "amd64"
    (place / "wheelhouse.json").write_text(json.dumps(record))
    assert "it is for amd64, and this is riscv64" in find_stale(spec, place, "3.11", "riscv64")
    assert find_changes(place)[0].startswith("wheelhouse.json: listed with sha256:")


@pytest.mark.network
def test_failure_leaves_the_old_folder(online: VendorCase) -> None:
    """Nothing half-written takes its place."""
    case = online(files={"requirements.txt": "wren-pure==1.0\n"})
    vendor(case)
    before = {p.name: p.read_bytes() for p in house(case).iterdir()}
    (case.source / "requirements.txt").write_text("wren-pure==1.0\nwren-nobody-has-this\n")
    assert "error[requirement-not-found]" in vendor(case, status=3)
    assert {p.name: p.read_bytes() for p in house(case).iterdir()} == before
    assert sorted(p.name for p in (case.source / "debian").iterdir()) == sorted(
        ["changelog", "control", "rules", "source", "wheelhouse"]
    )


@pytest.mark.network
def test_tree_that_gives_no_sdist_is_told(online: VendorCase, tmp_path: Path) -> None:
    """With the back end's own words, and the name of what it belongs to."""
    shutil.unpack_archive(wheels.write_sdist(tmp_path / "kept", "wren-tree"), tmp_path / "tree")
    (tree,) = (tmp_path / "tree").iterdir()
    with (tree / "backend/recorder.py").open("a") as stream:
        stream.write("\ndef build_sdist(folder, settings=None):\n    raise SystemExit('nothing to pack')\n")
    said = vendor(online(dependencies=[f"wren-tree @ file://{tree}"]), status=3)
    assert "error[vendor-failed]: Could not get an sdist of wren-tree." in said
    assert "nothing to pack" in said


def test_fetching_takes_a_tool_from_the_index(plain: MakeCase, installer: str) -> None:
    """Where that can't be reached, it is said of the tool and not of the project."""
    case = plain("", installer=installer)
    shutil.rmtree(house(case))
    case.environ |= {"PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"}
    said = vendor(case, status=3)
    assert "error[vendor-tool-missing]: " in said
    assert not house(case).exists()


@pytest.mark.network
def test_lock_needs_its_tool_no_more(online: VendorCase, tmp_path: Path) -> None:
    """What it pins is listed in the folder, with folders of the source package as they are."""
    if not shutil.which("uv"):
        pytest.skip("uv is not on PATH")
    sdist = wheels.write_sdist(tmp_path / "kept", "wren-local", build_requires=["wren-pure<2"])
    case = online(dependencies=["wren-local", "iniconfig"], installer="pip")
    shutil.unpack_archive(sdist, case.source / "libs")
    pyproject = case.source / "pyproject.toml"
    source = '[tool.uv.sources]\nwren-local = { path = "libs/wren_local-1.0" }\n'
    pyproject.write_text(
        f"{pyproject.read_text()}\n{source}".replace("[project]", '[project]\nrequires-python = ">=3.11"')
    )
    subprocess.run(["uv", "lock", "--quiet"], cwd=case.source, env=case.environ, check=True)
    vendor(case)
    listed = (house(case) / "demo.txt").read_text().splitlines()
    assert "./libs/wren_local-1.0" in listed
    assert any(line.startswith("iniconfig==") and "--hash=sha256:" in line for line in listed)
    offline(case).environ["PATH"] = "/usr/bin:/bin"
    case.finish()
    assert set(case.versions()) == {"demo", "wren-local", "iniconfig"}
    assert case.gate() == ()

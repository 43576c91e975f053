"""Where ``venvpkg build`` puts its results, and what it packs of the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bare import bare, built, environment, plain_wheel
from builds import run_cli
from projects import Project
from venvpkg.control import Package
from venvpkg.layers import make_stanza


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("a-file", "a-file is no folder."),
        ("a-file/below", "a-file is no folder."),
        ("lost", "It is a link to nowhere, which is not there."),
        ("/dev/null", "/dev/null is no folder."),
        ("debian/out", "What lies in debian/ is part of the source package."),
    ],
)
def test_output_that_is_no_folder_is_told_before_the_build(tmp_path: Path, place: str, reason: str) -> None:
    """With the option that names another; nothing is left behind."""
    folder = bare(tmp_path / "demo")
    (folder / "a-file").touch()
    (folder / "lost").symlink_to("nowhere")
    before = sorted(folder.rglob("*"))
    done = run_cli(["build", f"--output={place}"], folder, environment(tmp_path))
    if "is a file" in done.stderr:
        # click says so where it is a plain file.
        assert done.returncode == 2
        return
    assert done.returncode == 3 and "error[output-unusable]" in done.stderr
    assert reason in done.stderr and "venvpkg build --output DIR" in done.stderr
    assert sorted(folder.rglob("*")) == before


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """Mount a file system with these options on a new folder."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    made = subprocess.run(words, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"mount: {made.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted by root")
def test_full_output_is_told_with_its_own_name(tmp_path: Path) -> None:
    """Not with that of the folder for temporary files, which has room; the next build works."""
    folder, small = bare(tmp_path / "demo"), tmp_path / "small"
    with mounted(small, "size=16k"):
        done = run_cli(["build", f"--output={small}"], folder, environment(tmp_path))
        assert done.returncode == 3 and "error[no-space]" in done.stderr
        assert f"The packages can't go into {small}." in done.stderr and "--output DIR" in done.stderr
        assert list(small.iterdir()) == []
    assert built(folder, tmp_path, f"--output={small}")


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted by root")
def test_folder_that_runs_no_programs_is_told(tmp_path: Path) -> None:
    """As hardened servers have /tmp."""
    folder, odd = bare(tmp_path / "demo"), tmp_path / "odd"
    with mounted(odd, "noexec"):
        done = run_cli(["build"], folder, environment(tmp_path) | {"TMPDIR": str(odd)})
        assert done.returncode == 3
        assert f"error[temporary-noexec]: No program may be run in {odd}." in done.stderr
        assert list(odd.iterdir()) == []


def test_signature_is_not_left_out_in_silence(tmp_path: Path) -> None:
    """dpkg-buildpackage does so where there is no folder of gpg's."""
    folder = bare(tmp_path / "demo")
    done = run_cli(["build", "--sign=NOBODY"], folder, environment(tmp_path))
    assert done.returncode == 3
    assert "error[signing-failed]: There is no secret key NOBODY to sign with." in done.stderr
    assert not (folder / "dist").exists()
    taken = run_cli(["build", "--sign", str(folder)], tmp_path, environment(tmp_path))
    assert taken.returncode == 2 and "is no key but a folder" in taken.stderr


def test_packages_that_could_not_be_signed_are_there(tmp_path: Path) -> None:
    """With a key whose passphrase nobody can be asked for."""
    folder, env = bare(tmp_path / "demo"), environment(tmp_path)
    home = Path(env["HOME"]) / ".gnupg"
    home.mkdir(mode=0o700)
    words = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "secret"]
    made = subprocess.run(
        [*words, "--quick-gen-key", "Ada Example <ada@example.org>"], env=env, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=env, check=True)
    (home / "gpg-agent.conf").write_text("pinentry-program /bin/false\n")
    try:
        done = run_cli(["build", "--sign"], folder, env)
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=env, check=True)
    assert done.returncode == 3
    assert "error[signing-failed]: The packages are built, and could not be signed." in done.stderr
    assert len(list((folder / "dist").glob("*.deb"))) == 1


def test_same_folder_twice_is_one_build(tmp_path: Path) -> None:
    """Whatever it is called."""
    folder = bare(tmp_path / "demo")
    done = run_cli(["build", "--json", str(folder), f"{folder}/."], tmp_path, environment(tmp_path))
    assert done.returncode == 0 and done.stdout.count('"folder"') == 1


def test_what_setuptools_left_is_not_packed(tmp_path: Path) -> None:
    """Its build/lib is laid over the sources again; another build/ is the project's."""
    folder = bare(tmp_path / "demo")
    (folder / "build/lib/stale").mkdir(parents=True)
    (folder / "build/tool.txt").write_text("x\n")
    backend = folder / "backend/backend.py"
    seen = 'print(*Path("build").iterdir(), sep=" ", file=open("demo/seen.txt", "w"))'
    text = backend.read_text()
    start = '    pyproject = tomllib.loads(Path("pyproject.toml").read_text())\n    project = '
    assert start in text
    backend.write_text(text.replace(start, f"    {seen}\n{start}", 1))
    (package,) = built(folder, tmp_path)["packages"]  # type: ignore[misc]
    subprocess.run(["dpkg-deb", "-x", package["file"], tmp_path / "x"], check=True)
    (told,) = (tmp_path / "x").rglob("seen.txt")
    assert told.read_text() == "build/tool.txt\n"


def test_projects_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    """In one folder; each in its own is fine."""
    here, there = bare(tmp_path / "here"), bare(tmp_path / "there")
    words = ["build", str(here), str(there)]
    done = run_cli([*words, "--output", str(tmp_path / "out")], tmp_path, environment(tmp_path))
    assert done.returncode == 3 and "error[output-taken]" in done.stderr
    assert f"Of {here}; this one is {there}." in done.stderr
    assert len(list((tmp_path / "out").glob("*.deb"))) == 1
    assert run_cli(words, tmp_path, environment(tmp_path)).returncode == 0


def packed(folder: Path) -> set[str]:
    """The names in the source package's only tarball."""
    (archive,) = (folder / "dist").glob("*_*.tar.*")
    with tarfile.open(archive) as opened:
        return {name.partition("/")[2] for name in opened.getnames()}


def repository(folder: Path, ignored: str = "") -> Path:
    """A project that git knows, with all that is not ignored committed."""
    (folder / ".gitignore").write_text(ignored)
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    return folder


def test_source_package_has_nothing_that_git_ignores(tmp_path: Path) -> None:
    """And all else, whatever its name; the build has it all the same."""
    odd = os.fsdecode(b"notes/odd[1] \xe9\n.txt")
    files = {".env": "TOKEN=abc\n", odd: "x\n", "notes/odd1.txt": "x\n", "node_modules/deep/x.js": "x\n"}
    # The folder's name stands in the tarball before each of these.
    files |= {"build/x": "x\n", "demo/build/x": "x\n", "dist/index.html": "x\n", "debian/sign.key": "x\n"}
    files |= {"demo/secret.txt": "x\n"}
    folder = bare(tmp_path / "demo")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    repository(
        folder, "/.env\n/notes/odd*.txt\n!/notes/odd1.txt\n/node_modules/\n/build/\n*.key\nsecret.txt\n"
    )
    done = run_cli(["build", "--source"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    listed = ".env, build, debian/sign.key, demo/secret.txt, node_modules, notes/odd[1] ??.txt"
    assert f"not in the source package, for git ignores it: {listed}\n" in done.stderr
    names = packed(folder)
    assert names >= {"notes/odd1.txt", "demo/build/x", "dist/index.html", "pyproject.toml", "debian/control"}
    assert not names & {".env", ".git", "build", "node_modules", "debian/sign.key", "demo/secret.txt"}
    assert not [name for name in names if "odd[1]" in name]
    (deb,) = (folder / "dist").glob("*.deb")
    listing = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True).stdout
    assert "/demo/secret.txt" in listing
    # The results of that build are no part of the next one's source.
    again = run_cli(["build", "--source"], folder, environment(tmp_path))
    assert again.returncode == 0 and packed(folder) == names
    assert "git ignores" not in run_cli(["build"], folder, environment(tmp_path)).stderr


def test_very_many_ignored_files_are_no_trouble(tmp_path: Path) -> None:
    """The line names some of them."""
    folder = bare(tmp_path / "demo")
    for number in range(4000):
        (folder / f"{'x' * 200}{number}.csv").touch()
    repository(folder, "*.csv\n")
    done = run_cli(["build", "--source"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert ", and 3990 more\n" in done.stderr and not [name for name in packed(folder) if "csv" in name]


def test_submodule_ignores_for_itself(tmp_path: Path) -> None:
    """Its own .gitignore counts."""
    library = bare(tmp_path / "library")
    repository(library, "*.key\n")
    folder = repository(bare(tmp_path / "demo"))
    words = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendor/lib"]
    subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "vendor/lib/my.key").write_text("x\n")
    done = run_cli(["build", "--source"], folder, environment(tmp_path))
    assert done.returncode == 0 and "for git ignores it: vendor/lib/my.key\n" in done.stderr
    names = packed(folder)
    assert "vendor/lib/pyproject.toml" in names and not names & {"vendor/lib/my.key", "vendor/lib/.git"}


def test_upstream_tarball_is_taken_from_beside_the_project(tmp_path: Path) -> None:
    """Where it is missing the hint makes it; ignored files are no change of upstream's."""
    folder = Project(files={"debian/source/format": "3.0 (quilt)\n"}).write(tmp_path / "demo")
    changelog = folder / "debian/changelog"
    changelog.write_text(changelog.read_text().replace("(1.0)", "(1.0-1)"))
    repository(folder, "/.env\n")
    (folder / ".env").write_bytes(b"\0binary\n")
    missing = run_cli(["build", "--source"], folder, environment(tmp_path))
    assert missing.returncode == 3 and "error[upstream-tarball-missing]" in missing.stderr
    line = next(x for x in missing.stderr.splitlines() if "git archive" in x).partition("git archive")
    subprocess.run("".join(line[1:]), shell=True, cwd=folder, check=True)
    files = built(folder, tmp_path, "--source")["files"]
    names = {Path(str(name)).name for name in files}  # type: ignore[attr-defined]
    assert names >= {"demo_1.0-1.dsc", "demo_1.0.orig.tar.gz", "demo_1.0-1.debian.tar.xz"}
    with tarfile.open(folder / "dist/demo_1.0-1.debian.tar.xz") as packed:
        assert not [name for name in packed.getnames() if "patches" in name]


def test_layer_is_recorded_from_where_it_is(tmp_path: Path) -> None:
    """The line can be pasted in the project's folder."""
    folder = Project(
        config="layers = true",
        dependencies=["lark"],
        wheels=[plain_wheel()],
        fields="Replaces: demo-env\n",
        packages=make_stanza(Package(name="demo", architecture="any", fields={})),
    ).write(tmp_path / "demo")
    done = run_cli(["build"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    log = next((folder / "dist").glob("*.build")).read_text()
    (line,) = [line for line in log.splitlines() if "venvpkg record" in line]
    command = line.partition("venvpkg ")[2].partition(";")[0]
    assert run_cli(command.split(), folder, environment(tmp_path)).returncode == 0
    assert (folder / "debian/venvpkg-layers.json").is_file()
    shutil.rmtree(folder / "debian")
    done = run_cli(["build"], folder, environment(tmp_path))
    assert "demo-env is new. With a debian/ of its own" in done.stderr

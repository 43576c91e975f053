"""Where ``venvpkg build`` puts its results, and what it packs of the source."""

from __future__ import annotations

import os
import subprocess
import tarfile
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


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted by root")
def test_full_output_is_told_with_its_own_name(tmp_path: Path) -> None:
    """Not with that of the folder for temporary files, which has room; the next build works."""
    folder, small = bare(tmp_path / "demo"), tmp_path / "small"
    small.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", small], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"mount: {made.stderr}")
    try:
        done = run_cli(["build", f"--output={small}"], folder, environment(tmp_path))
        assert done.returncode == 3 and "error[no-space]" in done.stderr
        assert f"The packages can't go into {small}." in done.stderr and "--output DIR" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
    assert built(folder, tmp_path, f"--output={small}")


def test_projects_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    """In one folder; each in its own is fine."""
    here, there = bare(tmp_path / "here"), bare(tmp_path / "there")
    words = ["build", str(here), str(there)]
    done = run_cli([*words, "--output", str(tmp_path / "out")], tmp_path, environment(tmp_path))
    assert done.returncode == 3 and "error[output-taken]" in done.stderr
    assert f"Of {here}; this one is {there}." in done.stderr
    assert len(list((tmp_path / "out").glob("*.deb"))) == 1
    assert run_cli(words, tmp_path, environment(tmp_path)).returncode == 0


def test_source_package_has_nothing_that_git_ignores(tmp_path: Path) -> None:
    """The build has it all the same; debian/ goes along whatever git thinks of it."""
    folder = bare(tmp_path / "demo")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".gitignore").write_text("/.env\n/demo/odd\\[1].txt\n/node_modules/\n*.log\n")
    (folder / ".env").write_text("TOKEN=abc\n")
    (folder / "demo/odd[1].txt").write_text("x\n")
    (folder / "demo/odd1.txt").write_text("x\n")
    (folder / "node_modules/deep").mkdir(parents=True)
    (folder / "node_modules/deep/x.js").write_text("x\n")
    done = run_cli(["build", "--source"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not in the source package, for git ignores it: .env, demo/odd[1].txt, node_modules" in done.stderr
    (archive,) = (folder / "dist").glob("demo_1.0.tar.*")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert names >= {"demo/odd1.txt", "pyproject.toml", "debian/control", ".gitignore"}
    assert not names & {".env", "demo/odd[1].txt", "node_modules", "node_modules/deep/x.js"}
    assert run_cli(["build"], folder, environment(tmp_path)).stderr.count("git ignores") == 0


def test_upstream_tarball_is_taken_from_beside_the_project(tmp_path: Path) -> None:
    """Where it is missing the hint makes it; ignored files are no change of upstream's."""
    folder = Project(files={"debian/source/format": "3.0 (quilt)\n", ".gitignore": "/.env\n"}).write(
        tmp_path / "demo"
    )
    changelog = folder / "debian/changelog"
    changelog.write_text(changelog.read_text().replace("(1.0)", "(1.0-1)"))
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
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

"""``venvpkg init`` and ``venvpkg build`` on this machine, without an index."""

from __future__ import annotations

import json
import os
import pty
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend import pack
from bare import PLAIN, bare, built, environment, plain_wheel
from builds import run_cli
from projects import Project
from venvpkg.addon import with_addon
from venvpkg.cli import SECTIONS, venvpkg
from venvpkg.watch import read_by
from wheels import write_sdist


def test_bare_project_becomes_a_package_twice_the_same(tmp_path: Path) -> None:
    """In a folder with a blank, which is left as it was but for dist/."""
    folder = bare(tmp_path / "my project")
    before = sorted(folder.rglob("*"))
    one = built(folder, tmp_path)
    (package,) = one["packages"]  # type: ignore[misc]
    assert package["package"] == "demo" and package["version"] == "1.0"
    assert package["commands"] == ["/usr/bin/demo"]
    assert "python3." in package["depends"]
    assert Path(package["file"]).parent == folder / "dist"
    assert [p for p in sorted(folder.rglob("*")) if "dist" not in p.relative_to(folder).parts] == before
    proof = json.loads(Path(package["file"]).with_suffix(".verified.json").read_text())
    assert (proof["sha256"], proof["findings"], proof["imported"]) == (package["sha256"], [], ["demo"])
    titles = [step["title"] for step in one["steps"]]  # type: ignore[attr-defined]
    assert "dh_builddeb" in titles and any("compiled" in title for title in titles)
    again = built(folder, tmp_path, "--output", str(tmp_path / "else where"))
    assert again["packages"][0]["sha256"] == package["sha256"]  # type: ignore[index]
    assert os.listdir(tmp_path / "tmp") in ([], [".cache"])  # noqa: PTH208


def test_project_with_a_debian_of_its_own_is_built_with_it(tmp_path: Path) -> None:
    """And with its source package, where that is asked for."""
    folder = replace(PLAIN, version="2.0").write(tmp_path / "demo")
    made = built(folder, tmp_path, "--source")
    names = {Path(name).name for name in made["files"]}  # type: ignore[attr-defined]
    assert {"demo_2.0.dsc", "demo_2.0.tar.xz"} <= names
    assert not (folder / "debian/demo").exists() and not (folder / "debian/files").exists()


@pytest.mark.parametrize(
    ("config", "files", "code"),
    [
        (
            'no-index = true\nsmoke = ["demo --fail"]',
            {"demo/__main__.py": "def main():\n    1 / 0\n"},
            "smoke-failed",
        ),
        ("no-index = true\nlayer = 1", {}, "config-invalid"),
        ("no-index = true", {"pyproject.toml": "[project\n"}, "config-syntax"),
        ("no-index = true", {"pyproject.toml": "[project]\nname = 1\n"}, "project-invalid"),
        ("no-index = true", {"requirements.txt": "no-such-thing==1.0\n"}, "requirement-not-found"),
        ('build-depends = ["no-such-package-dev"]', {}, "build-depends-missing"),
    ],
)
@pytest.mark.parametrize("with_debian", [False, True])
def test_what_goes_wrong_is_one_error(
    tmp_path: Path, config: str, files: Mapping[str, str], code: str, with_debian: bool
) -> None:
    """Its own code, no traceback, no package; the log stays where there is one."""
    folder = replace(PLAIN, config=config, files=files).write(tmp_path / "demo")
    if not with_debian:
        shutil.rmtree(folder / "debian")
    elif code in ("build-depends-missing", "project-invalid"):
        pytest.skip("debian/control says what a build takes, and whose project it is")
    done = run_cli(["build"], folder, environment(tmp_path))
    assert done.returncode == 3, done.stdout
    assert f"error[{code}]" in done.stderr and done.stderr.count("error[") == 1
    assert "Traceback" not in done.stderr
    assert not list(folder.rglob("*.deb"))
    if "The whole log: " in done.stderr:
        place = done.stderr.partition("The whole log: ")[2].splitlines()[0]
        assert f"error[{code}]" in Path(place).read_text()
    # As --json has it.
    told = run_cli(["build", "--json"], folder, environment(tmp_path))
    (failed,) = json.loads(told.stdout)["failed"]
    assert (told.returncode, failed["code"]) == (3, code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["build/demo", "build/demo/debian/demo"])
def test_ended_build_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    """Neither files nor processes; what a kill -9 leaves in /tmp is in nobody's way."""
    folder = bare(tmp_path / "demo")
    words = [sys.executable, "-m", "venvpkg", "build"]
    env = {
        **environment(tmp_path),
        **{k: v for k, v in os.environ.items() if k in ("PYTHONPATH", "PERL5LIB")},
    }
    child = subprocess.Popen(
        words,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Whatever runs the tests in the background ignores it, and a child would do so as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while not list((tmp_path / "tmp").glob(f"venvpkg-*/{moment}")) and time.monotonic() < until:
        time.sleep(0.02)
    assert child.poll() is None
    child.send_signal(number)
    child.communicate(timeout=30)
    assert child.returncode != 0
    if number != signal.SIGKILL:
        assert not list((tmp_path / "tmp").glob("venvpkg-*"))
        assert not (folder / "dist").exists()
        assert not left_running(tmp_path)
    assert built(folder, tmp_path)["packages"]


def left_running(folder: Path) -> list[str]:
    """The command lines of processes whose working folder is inside this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    """Bars for compilation and compression, on a line that is written again."""
    noise = random.Random(1).randbytes(60_000_000)
    modules = {f"demo/m{n}/__init__.py": f"X = {n}\n" for n in range(40)}
    project = replace(PLAIN, files={"demo/noise.bin": noise, **modules})
    folder = bare(tmp_path / "demo", project)
    env = {
        **environment(tmp_path),
        **{k: v for k, v in os.environ.items() if k in ("PYTHONPATH", "PERL5LIB")},
    }
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "venvpkg", "build"]
    child = subprocess.Popen(words, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while data := os.read(ours, 65536):
            said += data
    except OSError:
        # The other side is closed.
        pass
    assert child.wait() == 0, said.decode()
    text = said.decode()
    assert "MB compressed" in text and "% " in text
    assert "modules" in text
    assert "\r\033[K" in text
    assert text.rstrip().endswith("demo_1.0_all.deb")


def test_projects_that_do_not_build_stop_the_rest_unless_told(tmp_path: Path) -> None:
    """With --keep-going the others are built; the status tells of the failure either way."""
    good, bad = bare(tmp_path / "good"), tmp_path / "bad"
    bad.mkdir()
    done = run_cli(["build", str(bad), str(good)], tmp_path, environment(tmp_path))
    assert done.returncode == 3 and not (good / "dist").exists()
    assert f"There is no Python project in {bad}." in done.stderr
    done = run_cli(["build", "--keep-going", str(bad), str(good)], tmp_path, environment(tmp_path))
    assert done.returncode == 3 and list((good / "dist").glob("*.deb"))


def test_requirements_alone_become_a_package(tmp_path: Path) -> None:
    """By the folder's name, with a version that sorts before any real one."""
    project = replace(PLAIN, config="project = false", wheels=[plain_wheel()])
    folder = bare(tmp_path / "Our Tools", project)
    (folder / "requirements.txt").write_text("lark==1.0\n")
    (package,) = built(folder, tmp_path)["packages"]  # type: ignore[misc]
    assert package["package"] == "our-tools" and package["version"].startswith("0~20")


# --- init


def test_init_tells_what_it_wrote_and_what_is_left(tmp_path: Path) -> None:
    """Once; the second time it touches nothing."""
    folder = bare(tmp_path / "demo")
    done = run_cli(["init"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "wrote debian/control" in done.stdout
    assert "left to you: debian/control:14: Description: FIXME: what it is, in one line" in done.stdout
    control = folder / "debian/control"
    assert "Architecture: all" in control.read_text()
    control.write_text("mine\n")
    again = run_cli(["init"], folder, environment(tmp_path))
    assert again.returncode == 3 and "error[debian-exists]" in again.stderr
    assert control.read_text() == "mine\n"
    assert run_cli(["init", "--force"], folder, environment(tmp_path)).returncode == 0
    assert control.read_text() != "mine\n"


def test_debian_that_is_no_folder_is_told(tmp_path: Path) -> None:
    """Before anything is tried, with its own name."""
    folder = bare(tmp_path / "demo")
    (folder / "debian").symlink_to("nowhere")
    for command in ("init", "build"):
        done = run_cli([command], folder, environment(tmp_path))
        assert done.returncode == 3 and f"error[debian-exists]: {folder}/debian is no folder." in done.stderr
        assert "It is a link to nowhere." in done.stderr


def test_service_may_be_a_program_of_a_requirement(tmp_path: Path) -> None:
    """As gunicorn is; what the environment has not is told."""
    module = {"gunicorn.py": b"def main(): pass\n"}
    wheel = pack("gunicorn", "1.0", module, scripts={"gunicorn": "gunicorn:main"})
    folder = bare(tmp_path / "demo", Project(dependencies=["gunicorn"], wheels=[wheel]))
    done = run_cli(["init", "--command", "gunicorn demo:app"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "ExecStart=/opt/venvs/demo/bin/gunicorn demo:app\n" in (folder / "debian/demo.service").read_text()
    for command in ("nothing", "./run.sh"):
        done = run_cli(["init", "--force", "--command", command], folder, environment(tmp_path))
        assert (
            done.returncode == 3
            and f"error[service-program-unknown]: The project has no program {command}" in (done.stderr)
        )


def test_missing_files_have_the_names_that_are_there(tmp_path: Path) -> None:
    """Of a debian/control that somebody wrote; where the changelog has another one that is told."""
    folder = bare(tmp_path / "demo")
    (folder / "debian").mkdir()
    (folder / "debian/control").write_text(
        "Source: acme-demo\nMaintainer: A <a@example.org>\nBuild-Depends: debhelper-compat (= 13), "
        "dh-sequence-venvpkg\n\nPackage: acme-demo\nArchitecture: any\nDepends: ${misc:Depends}\n"
        "Description: says so\n",
    )
    done = run_cli(["init", "--missing"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (folder / "debian/changelog").read_text().startswith("acme-demo (1.0)")
    assert "/opt/venvs/acme-demo/" in (folder / "debian/tests/control").read_text()
    assert run_cli(["init", "--check"], folder, environment(tmp_path)).returncode == 0
    changelog = folder / "debian/changelog"
    changelog.write_text(changelog.read_text().replace("acme-demo (", "demo ("))
    checked = run_cli(["init", "--check"], folder, environment(tmp_path))
    assert checked.stdout == "debian/changelog is of demo, and debian/control of acme-demo\n"


def test_debian_without_venvpkg_is_told(tmp_path: Path) -> None:
    """Its package has no environment; files of ours beside it would say otherwise."""
    folder = PLAIN.write(tmp_path / "demo")
    control = folder / "debian/control"
    control.write_text(control.read_text().replace(", dh-sequence-venvpkg", ""))
    checked = run_cli(["init", "--check"], folder, environment(tmp_path))
    assert checked.stdout.startswith("nothing in debian/ uses venvpkg") and checked.stdout.count("\n") == 1
    done = run_cli(["build"], folder, environment(tmp_path))
    assert "warning: nothing in debian/ uses venvpkg" in done.stderr


def test_requirements_alone_are_shown_their_key(tmp_path: Path) -> None:
    """Which makes a package of them, with a version that grows."""
    folder = tmp_path / "tools"
    (folder / "wheels").mkdir(parents=True)
    name, data = plain_wheel()
    (folder / "wheels" / name).write_bytes(data)
    (folder / "requirements.txt").write_text("lark\n")
    done = run_cli(["build"], folder, environment(tmp_path))
    assert done.returncode == 3 and "hint: For requirements alone: project = false" in done.stderr
    (folder / "debian").mkdir()
    keys = 'project = false\nno-index = true\nfind-links = ["wheels"]\n'
    (folder / "debian/venvpkg.toml").write_text(keys)
    os.utime(folder / "requirements.txt", (1_700_000_000, 1_700_000_000))
    os.utime(folder / "debian/venvpkg.toml", (1_600_000_000, 1_600_000_000))
    (package,) = built(folder, tmp_path)["packages"]  # type: ignore[misc]
    assert package["version"] == "0~20231114"


def test_clones_of_a_repository_make_the_same_package(tmp_path: Path) -> None:
    """Of a project that is one of its folders; its files are as old as the clone."""
    bare(tmp_path / "one/svc")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
        subprocess.run([*git, *words], cwd=tmp_path / "one", check=True)
    subprocess.run(["git", "clone", "--quiet", tmp_path / "one", tmp_path / "two"], check=True)
    os.utime(tmp_path / "two/svc/pyproject.toml", (1_700_000_000, 1_700_000_000))
    digests = {
        str(built(tmp_path / name / "svc", tmp_path)["packages"][0]["sha256"]) for name in ("one", "two")
    }  # type: ignore[index]
    assert len(digests) == 1


def test_temporary_folder_may_be_inside_the_project(tmp_path: Path) -> None:
    """The look inside does not copy itself."""
    folder = bare(tmp_path / "demo")
    (folder / ".tmp").mkdir()
    done = run_cli(["init"], folder, environment(tmp_path) | {"TMPDIR": str(folder / ".tmp")})
    assert done.returncode == 0, done.stderr
    assert "Architecture: all" in (folder / "debian/control").read_text()


def test_init_adds_what_is_missing(tmp_path: Path) -> None:
    """And says in --check that it would."""
    folder = bare(tmp_path / "demo")
    assert run_cli(["init", "--static"], folder, environment(tmp_path)).returncode == 0
    (folder / "debian/copyright").unlink()
    (folder / "debian/rules").write_text("#!/usr/bin/make -f\n%:\n\tdh $@ --with venvpkg\n# mine\n")
    checked = run_cli(["init", "--check"], folder, environment(tmp_path))
    assert checked.stdout == "debian/copyright is missing: venvpkg init --missing\n"
    done = run_cli(["init", "--static", "--missing"], folder, environment(tmp_path))
    assert done.returncode == 0 and done.stdout.startswith("wrote debian/copyright\nleft to you: ")
    assert (folder / "debian/rules").read_text().endswith("# mine\n")
    again = run_cli(["init", "--static", "--missing"], folder, environment(tmp_path))
    assert again.returncode == 0 and "nothing is missing" in again.stdout
    both = run_cli(["init", "--force", "--missing"], folder, environment(tmp_path))
    assert both.returncode == 2 and "exclude each other" in both.stderr


def test_program_without_a_launcher_is_told(tmp_path: Path) -> None:
    """A configuration that does not say which commands go into /usr/bin is its owner's."""
    folder = bare(tmp_path / "demo", Project(config="no-index = true"))
    done = run_cli(["init"], folder, environment(tmp_path))
    assert (
        "no launcher in /usr/bin for demo: [tool.venvpkg] in pyproject.toml has no key expose" in done.stderr
    )


def test_program_that_is_no_entry_point_gets_a_launcher(tmp_path: Path) -> None:
    """What pyproject.toml does not tell is seen inside."""
    project = Project(config="no-index = true", files={"scripts/demo-tool": "#!/bin/sh\necho told\n"})
    folder = bare(tmp_path / "demo", project)
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("[tool.venvpkg]\nno-index = true\n", ""))
    (package,) = built(folder, tmp_path)["packages"]  # type: ignore[misc]
    assert package["commands"] == ["/usr/bin/demo", "/usr/bin/demo-tool"]


def test_init_that_only_shows_writes_nothing(tmp_path: Path) -> None:
    """All files are printed, each under its name."""
    folder = bare(tmp_path / "demo")
    done = run_cli(["init", "--dry-run", "--static", "--service"], folder, environment(tmp_path))
    assert done.returncode == 0 and "--- debian/demo.service\n" in done.stdout
    assert not (folder / "debian").exists()


def test_init_asks_where_it_may(tmp_path: Path) -> None:
    """An empty answer takes what stands there."""
    folder = bare(tmp_path / "demo")
    answers = "1.0 beta\n\nnobody\n\nA tool of ours\nutils\nno url\nhttps://demo.example.org\nExpat\n"
    done = run_cli(["init", "--static", "--interactive"], folder, environment(tmp_path), answers)
    assert done.returncode == 0, done.stderr
    control = (folder / "debian/control").read_text()
    assert "Section: utils" in control and "Description: A tool of ours" in control
    assert "Maintainer: Ada Example <ada@example.org>" in control
    assert done.stderr.count("Error: ") == 3
    assert "FIXME" not in done.stdout


def test_init_checks_what_is_there(tmp_path: Path) -> None:
    """Version, dependencies and what is unwritten, a line each, with status 1."""
    folder = bare(tmp_path / "demo")
    assert run_cli(["init", "--check"], folder, environment(tmp_path)).returncode == 1
    assert run_cli(["init", "--static"], folder, environment(tmp_path)).returncode == 0
    control = folder / "debian/control"
    control.write_text(control.read_text().replace("FIXME: what it is, in one line", "a tool"))
    fits = run_cli(["init", "--check"], folder, environment(tmp_path))
    assert (fits.returncode, fits.stdout) == (0, "debian/ fits the project\n")
    changed = replace(PLAIN, version="1.1rc1", config=f'{PLAIN.config}\nbuild-depends = ["libpng-dev"]')
    (folder / "pyproject.toml").write_text(changed._pyproject())
    stale = run_cli(["init", "--check"], folder, environment(tmp_path))
    assert stale.returncode == 1
    assert "debian/changelog is at 1.0, and pyproject.toml at 1.1rc1: dch -v 1.1~rc1" in stale.stdout
    assert "Build-Depends has not: libpng-dev" in stale.stdout
    # init has put a file in the place of a table that was not there.
    assert (folder / "debian/venvpkg.toml").exists() is False
    (folder / "debian/venvpkg.toml").write_text('interpreter = "bundled"\n')
    unread = run_cli(["init", "--check"], folder, environment(tmp_path))
    assert "[tool.venvpkg] in pyproject.toml is not read" in unread.stdout
    assert "Architecture: all for demo, and the interpreter is bundled: any" not in unread.stdout
    control.write_text(control.read_text().replace("Architecture: any", "Architecture: all"))
    unread = run_cli(["init", "--check"], folder, environment(tmp_path))
    assert "Architecture: all for demo, and the interpreter is bundled: any" in unread.stdout


def test_age_of_files_makes_no_other_package(tmp_path: Path) -> None:
    """A clone has other times than the folder that it is of; dpkg-deb levels newer ones alone."""
    files = {
        "debian/demo.service": "[Service]\nExecStart=/usr/bin/demo\n",
        "debian/demo.install": "demo.conf etc\n",
    }
    folder = replace(PLAIN, files={**files, "demo.conf": "x\n"}).write(tmp_path / "demo")
    digests = set()
    for year in (1, 10, 0):
        for path in folder.rglob("*"):
            os.utime(path, (time.time() - year * 365 * 86400,) * 2)
        (package,) = built(folder, tmp_path)["packages"]  # type: ignore[misc]
        digests.add(package["sha256"])
    assert len(digests) == 1


def test_what_a_process_has_read_is_seen() -> None:
    """Of the processes of a session that have a name, and of no others."""
    words = ["sh", "-c", "head -c 3000000 /dev/zero >/dev/null; exec sleep 30"]
    child = subprocess.Popen(words, start_new_session=True)
    try:
        until = time.monotonic() + 20
        while not read_by("sleep", child.pid) and time.monotonic() < until:
            time.sleep(0.02)
        assert list(read_by("sleep", child.pid)) == [str(child.pid)]
        assert read_by("sleep", child.pid + 1) == {}
    finally:
        child.kill()
        child.wait()


def test_what_is_compiled_for_a_look_inside_is_compiled_once(tmp_path: Path) -> None:
    """A bare project is installed twice, with the same flags for compilers."""
    counter = """\
import os
import backend


def build_wheel(*words, **named):
    with open(os.environ["COUNTED"], "a") as stream:
        print(os.environ["CFLAGS"], file=stream)
    return backend.build_wheel(*words, **named)
"""
    archives = tmp_path / "archives"
    write_sdist(archives, "counted", backend="counter", files={"backend/counter.py": counter})
    config = f'no-index = true\ninstaller = "uv"\nfind-links = ["{archives}"]'
    folder = bare(tmp_path / "demo", Project(config=config, dependencies=["counted"]))
    counted = tmp_path / "count"
    done = run_cli(["build"], folder, environment(tmp_path, COUNTED=str(counted)))
    assert done.returncode == 0, done.stderr
    (flags,) = counted.read_text().splitlines()
    assert "-fstack-protector-strong" in flags


def test_help_lists_every_command_in_a_line() -> None:
    """By what it is for, and nothing is cut off."""
    listed = [each.name for commands in SECTIONS.values() for each in commands]
    assert sorted(listed) == sorted(name for name, each in venvpkg.commands.items() if not each.hidden)
    said = CliRunner().invoke(venvpkg, ["--help"]).output
    assert "...\n" not in said.partition("\n")[2] and all(f"\n  {name} " in said for name in listed)


def test_namespace_package_is_imported_below_the_namespace(tmp_path: Path) -> None:
    """Importing the namespace alone would prove nothing."""
    broken = {
        "demo/__init__.py": None,
        "demo/__main__.py": None,
        "demo/real/__init__.py": "raise RuntimeError\n",
    }
    text = PLAIN._pyproject().replace("demo.__main__:main", "demo.real:main")
    folder = bare(tmp_path / "demo", replace(PLAIN, files={**broken, "pyproject.toml": text}))
    done = run_cli(["build"], folder, environment(tmp_path))
    assert done.returncode == 3 and "error[smoke-failed]" in done.stderr
    (folder / "demo/real/__init__.py").write_text("def main():\n    print(1)\n")
    made = built(folder, tmp_path)
    proof = json.loads(Path(made["packages"][0]["file"]).with_suffix(".verified.json").read_text())  # type: ignore[index]
    assert proof["imported"] == ["demo.real"]


@pytest.mark.parametrize("name", ["ünï café", "co:lon", "日本", 'o\'ut "x"'])
def test_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    """With a debian/ or without."""
    folder = bare(tmp_path / name)
    done = run_cli(["build"], folder, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert shlex.split(done.stdout.rstrip().splitlines()[-1])[-1] == "./dist/demo_1.0_all.deb"


def test_temporary_folder_may_be_a_relative_one_or_none(tmp_path: Path) -> None:
    """Inside of the project, or where there is no folder."""
    folder = bare(tmp_path / "demo")
    for place in (".", "nowhere"):
        done = run_cli(["build"], folder, {**environment(tmp_path), "TMPDIR": place})
        assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["backend", "demo", "dist", "pyproject.toml"]


def test_what_does_not_fit_is_told_before_a_build(tmp_path: Path) -> None:
    """A version that was not carried over, a name that Debian has, a command of another package."""
    folder = PLAIN.write(tmp_path / "demo")
    (folder / "debian/copyright").write_text("x\n")
    (folder / "pyproject.toml").write_text(replace(PLAIN, version="2.0")._pyproject())
    said = run_cli(["build"], folder, environment(tmp_path)).stderr
    assert "warning: debian/changelog is at 1.0, and pyproject.toml at 2.0" in said
    named = bare(tmp_path / "bash", Project(name="bash", config="no-index = true"))
    said = run_cli(["build"], named, environment(tmp_path)).stderr
    assert "has a package bash, whose place this one would take" in said
    taken = bare(
        tmp_path / "ls", Project(name="ls", files={"pyproject.toml": Project(name="ls")._pyproject()})
    )
    done = run_cli(["init", "--dry-run"], taken, environment(tmp_path))
    assert "these are commands of other packages, and get no launcher in /usr/bin: ls" in done.stderr
    assert "expose" not in done.stdout
    # What draws the draft in a build is silent, for the build will say the same.
    assert "no launcher in /usr/bin: ls" in run_cli(["build"], taken, environment(tmp_path)).stderr


def test_every_failure_is_an_object_where_that_is_asked_for(tmp_path: Path) -> None:
    """Those of the operating system as well, and the next project is built."""
    bad, good = bare(tmp_path / "bad"), bare(tmp_path / "good")
    (bad / "debian/wheelhouse").mkdir(parents=True)
    (bad / "debian/wheelhouse/lark.whl").symlink_to("nowhere")
    words = ["build", "--json", "--keep-going", str(bad), str(good)]
    done = run_cli(words, tmp_path, environment(tmp_path))
    told = json.loads(done.stdout)
    assert done.returncode == 3 and len(told["builds"]) == 1
    assert [each["code"] for each in told["failed"]] == ["system-call-failed"]


def test_half_a_debian_is_told(tmp_path: Path) -> None:
    """By what is missing, and by what there is that has nothing of venvpkg."""
    folder = PLAIN.write(tmp_path / "demo")
    (folder / "debian/changelog").unlink()
    done = run_cli(["build"], folder, environment(tmp_path))
    assert done.returncode == 3 and "error[changelog-invalid]" in done.stderr
    other = replace(PLAIN, addon="python3").write(tmp_path / "other")
    (other / "debian/copyright").write_text("x\n")
    checked = run_cli(["init", "--check"], other, environment(tmp_path))
    assert checked.returncode == 1 and "nothing in debian/ uses venvpkg" in checked.stdout


def test_debhelper_builds_in_a_folder_of_any_name_too(tmp_path: Path) -> None:
    """Perl has characters and bytes, and what is compiled here may have such a name as well."""
    source = "#include <Python.h>\nint unused;\n"
    project = replace(PLAIN, link=["-lm"], files={"demo/nä.c": source})
    folder = project.write(tmp_path / "ünï café" / "demo")
    words = ["dpkg-buildpackage", "-b", "-d", "-us", "-uc"]
    env = with_addon(environment(tmp_path))
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # It was seen by dh_strip.
    assert list(folder.parent.glob("demo-dbgsym_*.deb"))

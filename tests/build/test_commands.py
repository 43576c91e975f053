"""The command line and the fronts, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from builds import Case, clean_environment, fail, run_cli
from venvpkg.cli import venvpkg
from venvpkg.delivery import explain

MakeCase = Callable[..., Case]
CHECKOUT = Path(__file__).resolve().parents[2]


# --- dh step


def test_steps_answer_with_actions_for_debhelper(make: MakeCase, minor: str) -> None:
    """JSON on standard output, words for people on standard error, status 0."""
    case = make(dependencies=["wren-pure"])
    answers = {}
    for name in ("build", "settle"):
        done = case.step(name)
        assert done.returncode == 0, done.stderr
        answers[name] = json.loads(done.stdout)["actions"]
        assert "/opt/venvs/demo" in done.stderr
    assert {a["do"] for a in answers["build"]} == {"autoscript", "trigger"}
    wanted = {"do": "substvar", "package": "demo", "name": "misc:Depends", "value": f"python{minor}"}
    assert wanted in answers["settle"]
    case.actions = [*answers["build"], *answers["settle"]]
    case.write_control()
    done = case.step("verify")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"actions": []})


def test_finding_ends_with_status_1(make: MakeCase) -> None:
    """Number, path and hint are told."""
    case = make().finish()
    case.write_control()
    (case.stage / "b").symlink_to("nothing")
    done = case.step("verify")
    assert done.returncode == 1
    assert "V004 opt/venvs/demo/b" in done.stderr
    assert "hint: " in done.stderr
    assert done.stdout == ""


def test_findings_of_a_log_are_one_error(make: MakeCase, tmp_path: Path) -> None:
    """A build of all of it ends with them, whatever dpkg-buildpackage says behind them."""
    case = make().finish()
    case.write_control()
    (case.stage / "b").symlink_to("nothing")
    said = case.step("verify").stderr.splitlines()
    error = explain([*said, "dpkg-buildpackage: error: debian/rules binary"], tmp_path / "log", 2)
    assert error.code == "findings"
    assert any(cause.startswith("V004 opt/venvs/demo/b") for cause in error.causes)
    assert not any("dpkg-buildpackage" in cause for cause in error.causes)


def test_cross_build_is_refused(make: MakeCase) -> None:
    """Before anything is made: the packaged Python would not run here."""
    case = make()
    asked = json.dumps({**json.loads(case.call_json()), "cross": True})
    done = run_cli(["dh", "step", "build"], case.source, case.environ, asked)
    assert done.returncode == 3
    assert "error[cross-build]" in done.stderr
    assert not case.root.exists()


def test_known_error_ends_with_status_3(make: MakeCase) -> None:
    """Four parts, and no traceback."""
    done = make('python = "3.99"').step("build")
    assert done.returncode == 3
    assert done.stderr.startswith("error[python-not-found]: Could not find python3.99.\n")
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_control_file_ends_with_status_3(make: MakeCase) -> None:
    """Run from somewhere else, say."""
    case = make()
    (case.source / "debian/control").unlink()
    done = case.step("build")
    assert done.returncode == 3
    assert "error[control-missing]" in done.stderr


def test_wrong_usage_ends_with_status_2(tmp_path: Path) -> None:
    """Unknown commands, steps and options."""
    for words in (["nonesuch"], ["dh", "step", "nonesuch"], ["build-depends", "--nonesuch"]):
        assert run_cli(words, tmp_path, clean_environment()).returncode == 2


def test_crash_of_ours_ends_with_status_4(make: MakeCase, tmp_path: Path) -> None:
    """The message says that it is a bug; VENVPKG_DEBUG shows where."""
    case = make()
    environ = {**case.environ, "TMPDIR": str(tmp_path)}
    done = run_cli(["dh", "step", "build"], case.source, environ, "no JSON at all")
    assert done.returncode == 4
    assert "error[crash]: JSONDecodeError" in done.stderr
    assert "bug in venvpkg" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_cli(["dh", "step", "build"], case.source, {**environ, "VENVPKG_DEBUG": "1"}, "no JSON")
    assert "Traceback" in done.stderr


def test_log_of_a_crash_holds_no_password(make: MakeCase, tmp_path: Path) -> None:
    """Of the command line neither, which goes into a bug report."""
    deb = tmp_path / "a.deb"
    words = ["diff", str(deb), "https://ada:opensesame@example.org/b.deb"]
    program = "import sys, venvpkg.guard as g; sys.argv = sys.argv[1:]; g.explain_crash(ValueError('x'), {})"
    environ = {**make().environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(CHECKOUT / "src")}
    subprocess.run([sys.executable, "-c", program, *words], env=environ, check=True)
    (log,) = tmp_path.glob("venvpkg-crash-*.log")
    text = log.read_text()
    assert "ValueError: x" in text and "example.org/b.deb" in text
    assert "opensesame" not in text


def test_tree_that_may_not_be_written_is_a_known_error(make: MakeCase) -> None:
    """The system call's own words, and status 3."""
    case = make()
    shutil.rmtree(case.source / "debian/.debhelper", ignore_errors=True)
    (case.source / "debian/.debhelper").write_text("a file in the way\n")
    done = case.step("build")
    assert done.returncode == 3
    assert "error[system-call-failed]" in done.stderr
    assert ".debhelper" in done.stderr


def test_verbose_shows_every_command(make: MakeCase) -> None:
    """DH_VERBOSE=1, as in all of debhelper."""
    done = make().step("build", DH_VERBOSE="1")
    assert done.returncode == 0
    assert "-m venv --without-pip" in done.stderr
    assert "pip install" in done.stderr


def test_options_cover_every_key_that_is_no_table() -> None:
    """In Getopt::Long's words."""
    answer = CliRunner().invoke(venvpkg, ["dh", "options"])
    lines = answer.output.split()
    assert answer.exit_code == 0
    assert {"python=s", "extras=s@", "hermetic!", "project=s", "expose=s@"} <= set(lines)
    assert not [line for line in lines if line.startswith(("accept", "config-settings", "demote"))]


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ("", ["DPKG_DEB_COMPRESSOR_TYPE=zstd", "DPKG_DEB_COMPRESSOR_LEVEL=9"]),
        ('compression = "xz"', ["DPKG_DEB_COMPRESSOR_TYPE=xz"]),
    ],
)
def test_compression_is_handed_to_dpkg_deb(make: MakeCase, config: str, wanted: list[str]) -> None:
    """By variables that reach overrides too."""
    case = make(config)
    done = run_cli(["dh", "environment"], case.source, case.environ)
    assert done.stdout.split() == wanted
    done = run_cli(["dh", "environment"], case.source, {**case.environ, "DPKG_DEB_COMPRESSOR_TYPE": "gzip"})
    assert "DPKG_DEB_COMPRESSOR_TYPE" not in done.stdout


# --- the fronts


@pytest.fixture
def front(make: MakeCase) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`front(case, name, *options)`: one of the commands that dh calls."""
    if not shutil.which("dh"):
        pytest.skip("debhelper is not installed")

    def run(case: Case, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        environ = {
            **case.environ,
            **{k: v for k, v in os.environ.items() if k.startswith("COVERAGE")},
            "PYTHONPATH": str(CHECKOUT / "src"),
            "PERL5LIB": str(CHECKOUT / "src/perl"),
        }
        command = [str(CHECKOUT / "src/perl/bin" / name), *options]
        return subprocess.run(command, cwd=case.source, env=environ, capture_output=True, text=True)

    return run


def test_fronts_take_a_package_through_all_steps(
    make: MakeCase, front: Callable[..., object], minor: str
) -> None:
    """Build, hide, bring back, control file, gate: with debhelper's own files in debian/."""
    case = make(dependencies=["wren-pure"])
    debian = case.source / "debian"
    must(front(case, "dh_venvpkg", "--expose=demo", "--no-hermetic"))
    assert (case.stage / "bin/demo").exists()
    assert (case.root / "usr/bin/demo").exists()
    for name in ("postinst", "prerm", "postrm"):
        assert "/opt/venvs/demo" in (debian / f"demo.{name}.debhelper").read_text()
    triggers = (debian / ".debhelper/generated/demo/triggers").read_text()
    assert f"interest-noawait /usr/bin/python{minor}\n" in triggers
    must(front(case, "dh_venvpkg_hide"))
    assert not case.stage.exists()
    must(front(case, "dh_venvpkg_hide_built"))
    must(front(case, "dh_venvpkg_settle"))
    assert case.stage.exists()
    assert f"misc:Depends=python{minor}" in (debian / "demo.substvars").read_text()
    subprocess.run(["dh_gencontrol"], cwd=case.source, env=case.environ, check=True, capture_output=True)
    must(front(case, "dh_venvpkg_verify"))


def must(done: object) -> None:
    """Assert that a command went well."""
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 0, done.stderr


def test_front_passes_the_exit_status_on(make: MakeCase, front: Callable[..., object]) -> None:
    """A known error is 3, wherever it was met; no state is left."""
    done = front(make(), "dh_venvpkg", "--python=3.99")
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 3
    assert "error[python-not-found]" in done.stderr


def test_front_leaves_other_packages_alone(make: MakeCase, front: Callable[..., object]) -> None:
    """-N, as in all of debhelper."""
    case = make()
    must(front(case, "dh_venvpkg", "-Ndemo"))
    assert not case.root.exists()


# --- build-depends


ABSENT = "no-such-package-in-debian"


def test_missing_build_dependency_stops_before_anything_is_made(make: MakeCase) -> None:
    """With the one line that installs what is missing, and not what is there."""
    case = make(f'build-depends = ["{ABSENT}", "dpkg", "dpkg (>= 1.0)"]')
    error = fail(case)
    assert error.code == "build-depends-missing"
    assert error.causes == [f"Missing: {ABSENT}."]
    assert error.hint == f"apt-get install --no-install-recommends {ABSENT}"
    assert not case.root.exists()


def test_missing_version_is_asked_for_with_satisfy(make: MakeCase) -> None:
    """apt-get install knows no relations."""
    case = make('build-depends = ["dpkg (>= 999)", "no-such-one | no-such-other"]')
    error = fail(case)
    assert error.hint == (
        "apt-get satisfy --no-install-recommends 'dpkg (>= 999), no-such-one | no-such-other'"
    )


def test_fakeroot_is_not_root(make: MakeCase) -> None:
    """The user id says so, and apt would fail."""
    case = make(f'build-depends = ["{ABSENT}"]\ninstall-build-depends = true')
    case.environ["FAKEROOTKEY"] = "1"
    error = fail(case)
    assert error.code == "build-depends-missing"
    assert any("fakeroot" in cause for cause in error.causes)


def test_difference_to_debian_control_is_told(make: MakeCase, capfd: pytest.CaptureFixture[str]) -> None:
    """The build goes on: the package is installed."""
    case = make('build-depends = ["dpkg"]')
    case.build()
    err = capfd.readouterr().err
    assert "Build-Depends has not: dpkg" in err
    assert "--write-control" in err


def test_no_word_where_debian_control_has_them(make: MakeCase, capfd: pytest.CaptureFixture[str]) -> None:
    """Blanks do not count."""
    case = make('build-depends = ["dpkg (>=1.0)"]', build_depends=["dpkg (>= 1.0)"])
    case.build()
    assert "Build-Depends" not in capfd.readouterr().err


def listed(case: Case, *words: str) -> tuple[int, str]:
    """Run venvpkg build-depends; status and output."""
    done = run_cli(["build-depends", *words, str(case.source)], case.source.parent, case.environ)
    return done.returncode, done.stdout + done.stderr


def test_list_says_what_is_missing(make: MakeCase) -> None:
    """Status 1, and the line for apt."""
    status, text = listed(make(f'build-depends = ["dpkg", "{ABSENT}"]'))
    assert status == 1
    assert text.splitlines() == [
        "dpkg",
        f"{ABSENT}  (missing)",
        "1 missing. To install:",
        f"  apt-get install --no-install-recommends {ABSENT}",
    ]


def test_list_of_what_is_there_ends_with_status_0(make: MakeCase) -> None:
    """Of all environments of the source package, each once."""
    stanza = "Package: demo-tools\nArchitecture: all\nDescription: t\n t"
    case = make(packages=stanza)
    path = case.source / "pyproject.toml"
    tables = '[tool.venvpkg.packages.demo]\nbuild-depends = ["dpkg"]\n'
    tables += '[tool.venvpkg.packages.demo-tools]\nbuild-depends = ["bash", "dpkg"]\n'
    path.write_text(path.read_text() + tables)
    assert listed(case) == (0, "dpkg\nbash\n")


def test_control_is_brought_in_line_and_keeps_its_layout(make: MakeCase) -> None:
    """Comments stay, a version is replaced, and a second run changes nothing."""
    case = make('build-depends = ["dpkg (>= 1.5)", "bash"]')
    control = case.source / "debian/control"
    text = control.read_text()
    (line,) = [x for x in text.splitlines() if x.startswith("Build-Depends:")]
    fields = (
        "Build-Depends:\n debhelper-compat (= 13),\n# why this one\n dh-sequence-venvpkg,\n dpkg (>= 1.0),"
    )
    control.write_text(text.replace(line, fields))
    status, said = listed(case, "--write-control")
    assert status == 0, said
    written = control.read_text()
    assert "# why this one\n dh-sequence-venvpkg,\n" in written
    assert "dpkg (>= 1.5)" in written and "dpkg (>= 1.0)" not in written
    assert "bash" in written
    assert written.partition("\n\n")[2] == text.partition("\n\n")[2]
    listed(case, "--write-control")
    assert control.read_text() == written


def test_write_control_of_a_single_line(make: MakeCase) -> None:
    """What is declared is added at the end."""
    case = make('build-depends = ["bash"]')
    assert listed(case, "--write-control")[0] == 0
    (line,) = [
        x for x in (case.source / "debian/control").read_text().splitlines() if x.startswith("Build-Depends:")
    ]
    assert line.endswith("bash")
    case.build()


def test_invalid_relation_is_a_mistake(make: MakeCase) -> None:
    """Debian's own syntax."""
    status, text = listed(make('build-depends = ["Lib Foo"]'))
    assert status == 3
    assert "error[config-invalid]" in text

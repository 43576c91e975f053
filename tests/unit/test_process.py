"""The only door to subprocess, with real commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from venvpkg.errors import VenvpkgError
from venvpkg.process import CommandFailedError, Shell, describe_status, python_environment, redact

SH = "/bin/sh"


def sh(script: str, **more: object) -> object:
    """Run a script of the shell and return what it left."""
    return Shell()([SH, "-c", script], **more)  # type: ignore[arg-type]


def test_output_errors_and_status_are_kept() -> None:
    """Each in its place."""
    result = Shell()([SH, "-c", "echo out; echo one >&2; echo two >&2; exit 3"], check=False)
    assert (result.stdout, result.tail, result.returncode) == ("out\n", ("one", "two"), 3)


def test_a_failure_is_an_error_with_the_last_lines() -> None:
    """The first of many lines are left out."""
    with pytest.raises(CommandFailedError) as caught:
        sh("i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i >&2; done; exit 2")
    assert (caught.value.code, caught.value.causes[-1]) == ("command-failed", "line 5000")
    assert len(caught.value.causes) < len(caught.value.lines) < 5000
    assert "status 2" in caught.value.message


def test_a_silent_failure_says_what_ran() -> None:
    """There is nothing else to say."""
    with pytest.raises(VenvpkgError) as caught:
        sh("exit 1")
    assert list(caught.value.causes) == ["It ran: /bin/sh -c 'exit 1'"]


@pytest.mark.parametrize(
    ("number", "text"), [(9, "signal 9 (SIGKILL)"), (11, "signal 11 (SIGSEGV)"), (36, "signal 36")]
)
def test_a_signal_is_named(number: int, text: str) -> None:
    """One that has no name has a number."""
    words = [sys.executable, "-c", f"import os; os.kill(os.getpid(), {number})"]
    assert describe_status(Shell()(words, check=False).returncode) == text


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    """So is one that may not be run."""
    (tmp_path / "script").write_text("#!/bin/sh\n", encoding="utf-8")
    for program in (tmp_path / "gone", tmp_path / "script", tmp_path):
        with pytest.raises(VenvpkgError) as caught:
            Shell()([program])
        assert caught.value.code == "command-not-found"


def test_large_input_and_output_do_not_block() -> None:
    """All three pipes are fuller than the kernel holds."""
    text = "x" * 79 + "\n"
    result = Shell()([SH, "-c", "tee /dev/stderr"], stdin=text * 20000)
    assert result.stdout == text * 20000
    assert set(result.tail) == {text.rstrip()}


@pytest.mark.filterwarnings("error")
def test_input_that_nobody_reads_is_no_error() -> None:
    """The child's status counts."""
    assert Shell()(["true"], stdin="x" * 1000000).returncode == 0


def test_input_with_a_name_beyond_utf8_gets_through() -> None:
    """As the bytes that it was."""
    result = Shell()([SH, "-c", "od -An -tx1"], stdin="\udcff")
    assert result.stdout.split() == ["ff"]


def test_output_that_is_no_utf8_is_read() -> None:
    """With replacements."""
    result = Shell()([SH, "-c", r"printf 'a\377b'; printf 'c\377d\n' >&2"])
    assert (result.stdout, result.tail) == ("a\ufffdb", ("c\ufffdd",))


def test_the_environment_is_replaced_and_the_folder_changed(tmp_path: Path) -> None:
    """Nothing of ours is left."""
    result = Shell()([SH, "-c", "echo $ONE-$HOME; pwd"], env={"ONE": "1"}, cwd=tmp_path)
    assert result.stdout.splitlines() == ["1-", str(tmp_path)]


def test_verbose_shows_the_command_and_its_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """As make would, before it runs."""
    Shell(verbose=True)([SH, "-c", "echo said >&2; echo out"])
    assert capsys.readouterr().err == "\t/bin/sh -c 'echo said >&2; echo out'\nsaid\n"


def test_credentials_are_shown_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in an error nor on the terminal."""
    with pytest.raises(CommandFailedError) as caught:
        Shell(verbose=True)([SH, "-c", "cat >&2; exit 1"], stdin="at https://me:pa@ss@e.org/x\n")
    shown = capsys.readouterr().err + str(caught.value) + "".join(caught.value.lines)
    assert "https://***@e.org/x" in shown
    assert "ss@" not in shown.replace("***@", "")


def test_a_secret_without_its_url_is_not_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of what the command was given, in its environment or in netrc."""
    (tmp_path / ".netrc").write_text("machine e.org login me password of-the-netrc\n", encoding="utf-8")
    env = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://me:p%40ss%2Fword@e.org/simple"}
    said = "p@ss/word p%40ss%2Fword of-the-netrc bWU6b2YtdGhlLW5ldHJj of me"
    with pytest.raises(CommandFailedError) as caught:
        Shell(verbose=True)([SH, "-c", "cat >&2; exit 1"], stdin=f"{said}\n", env=env)
    assert list(caught.value.causes) == ["*** *** *** *** of me"]
    assert capsys.readouterr().err.endswith("\n*** *** *** *** of me\n")


def test_credentials_on_a_command_line_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither before it runs, nor where it failed in silence."""
    with pytest.raises(VenvpkgError) as caught:
        Shell(verbose=True)([SH, "-c", "exit 1", "--index-url=https://me:word@e.org/"])
    shown = capsys.readouterr().err + str(caught.value)
    assert shown.count("--index-url=https://***@e.org/") == 2 and "word" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@e.org/x", "https://***@e.org/x"),
        ("https://token@e.org", "https://***@e.org"),
        ("https://u:p@ss@e.org/x", "https://***@e.org/x"),
        ("git+https://u:p@e.org/x and http://a:b@c/", "git+https://***@e.org/x and http://***@c/"),
        ("https://u:half/word@e.org/x", "https://***@e.org/x"),
        ("https://u:1/2@e.org/x", "https://u:1/2@e.org/x"),
        ("https://e.org:8080/a@b", "https://e.org:8080/a@b"),
        ("https://e.org/a@b", "https://e.org/a@b"),
        ("me@e.org", "me@e.org"),
        ("https://e.org b@c", "https://e.org b@c"),
    ],
)
def test_credentials_of_urls_are_redacted(text: str, shown: str) -> None:
    """An address of a person is none."""
    assert redact(text) == shown


def test_another_python_sees_nothing_of_ours() -> None:
    """Whatever would change how it starts is gone; the rest stays."""
    environ = {
        "PATH": "/bin", "PYTHONPATH": "x", "PYTHONHOME": "x", "VIRTUAL_ENV": "x", "__PYVENV_LAUNCHER__": "x",
        "PIP_TARGET": "x", "PIP_USER": "1", "PIP_INDEX_URL": "u", "UV_PROJECT_ENVIRONMENT": "x",
    }  # fmt: skip
    made = python_environment(environ)
    assert made == {
        "PATH": "/bin",
        "PIP_INDEX_URL": "u",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    assert environ["PYTHONPATH"] == "x"

"""One line a step."""

from __future__ import annotations

import os
import pty
import re
import sys

import pytest

from venvpkg.log import note, step, warn


def test_a_step_says_what_it_did_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    """Details follow the title; standard output stays free."""
    with step("made") as details:
        details += ["3 files", "2 links"]
    said = capsys.readouterr()
    assert re.fullmatch(r" {3}made: 3 files, 2 links \(\d+\.\d s\)\n", said.err)
    assert said.out == ""


def test_a_step_without_details_has_no_colon(capsys: pytest.CaptureFixture[str]) -> None:
    """Title and time alone."""
    with step("made"):
        pass
    assert re.fullmatch(r" {3}made \(\d+\.\d s\)\n", capsys.readouterr().err)


def test_a_step_that_fails_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Its error does."""
    with pytest.raises(ValueError, match="x"), step("made"):
        raise ValueError("x")
    assert capsys.readouterr().err == ""


def test_notes_and_warnings_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """By a word."""
    note("one")
    warn("two")
    assert capsys.readouterr().err == "   note: one\n   warning: two\n"


def terminal_says(monkeypatch: pytest.MonkeyPatch, *, fail: bool) -> str:
    """What a step writes to a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        try:
            with step("made"):
                if fail:
                    raise ValueError
        except ValueError:
            pass
        monkeypatch.undo()
        stream.flush()
        said = os.read(ours, 1000).decode()
    os.close(ours)
    return said


def test_on_a_terminal_the_title_stands_while_the_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is then replaced by the line."""
    said = terminal_says(monkeypatch, fail=False)
    assert re.fullmatch(r" {3}made …\r\x1b\[K {3}made \(\d+\.\d s\)\r\n", said)


def test_on_a_terminal_a_failed_step_leaves_its_title(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a line of its own, above the error."""
    assert terminal_says(monkeypatch, fail=True) == "   made …\r\n"

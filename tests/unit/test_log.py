"""One line a step."""

from __future__ import annotations

import os
import pty
import re
import sys

import pytest

from venvpkg.log import Events, heed, note, silence, step, warn


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


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["Downloading numpy (16.0MB)", "Downloading pip (1.0MB)", " Downloaded pip", " Downloaded numpy"],
            [(0, 16), (0, 17), (1, 17), (17, 17)],
        ),
        (
            [
                "  Downloading numpy-2.0-cp311-linux.whl (16.0 MB)",
                "Progress 4000000 of 16000000",
                "  Downloading pip-1.0.tar.gz (500 kB)",
                "Installing collected packages: numpy, pip",
            ],
            [(0, 16), (4, 16), (16, 16.5), (16.5, 16.5)],
        ),
    ],
)
def test_what_installers_say_of_downloads_is_heard(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], told: list[tuple[float, float]]
) -> None:
    """Several at once by uv; by pip one after the other, a new one of which has some share at first."""
    monkeypatch.setattr("venvpkg.log._events", Events())
    heard: list[tuple[float, float]] = []
    with silence(lambda event: heard.append((event["done"], event["total"]))):
        assert not any(map(heed, lines))
    assert heard == told
    heed("Downloading late (1.0MB)")
    assert heard == told


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

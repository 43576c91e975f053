"""What a build looks like on a terminal."""

from __future__ import annotations

import io
import time

import pytest

from venvpkg.display import TICK, Display


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def last(out: io.StringIO) -> str:
    """The line that stands there now."""
    return out.getvalue().rpartition("\033[K")[2]


@pytest.mark.parametrize("title", ["packing", "/opt/venvs/demo: installed with uv 0.9.1 for Python 3.11.2"])
def test_bar_has_its_place_beside_a_long_title(title: str) -> None:
    """It is what changes."""
    out = io.StringIO()
    display = Display(out=out, live=True)
    display.begin(title)
    display.advance(16.9, 33.8, "MB downloaded")
    assert (
        last(out).endswith("[############------------]  50%  16.9/33.8 MB downloaded") and len(last(out)) < 80
    )
    assert title[:12] in last(out)


def test_time_goes_on_while_nothing_is_said() -> None:
    """On a terminal alone; after the body nothing is written any more."""
    out, plain = io.StringIO(), io.StringIO()
    for stream, live in ((out, True), (plain, False)):
        display = Display(out=stream, live=live)
        with display.ticking():
            display.begin("apt")
            time.sleep(4 * TICK)
    assert out.getvalue().count("apt") >= 3 and plain.getvalue() == ""
    size = len(out.getvalue())
    time.sleep(2 * TICK)
    assert len(out.getvalue()) == size

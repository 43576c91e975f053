"""What the benchmark makes of logs and figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.bench import TABLE, read_options, size_of_folder
from benchmarks.figures import (
    GROUPS,
    group_steps,
    make_table,
    read_steps,
    results_table,
    sum_own,
    take_medians,
)
from benchmarks.measure import measure

LOG = """\
0.1 dpkg-buildpackage: info: source package skybench
0.2  dpkg-source --before-build .
0.5  debian/rules binary
0.6 dh binary
1.0    dh_venvpkg
1.1    warning: uv takes the highest version (of 2 indexes)
3.0    /opt/venvs/skybench: installed with uv 0.13.9 for Python 3.11.2 (1.5 s)
3.6    /opt/venvs/skybench: relocated: 16 edits (0.4 s)
4.0    dh_strip_nondeterminism
4.5    debian/rules override_dh_strip
4.6 make[1]: Entering directory '/build/venvpkg/skybench'
5.0    debian/rules execute_after_dh_strip
5.5    dh_builddeb
6.0 dpkg-deb: building package 'skybench' in '../skybench_1.0_amd64.deb'.
9.0  dpkg-genbuildinfo --build=binary -O../skybench_1.0_amd64.buildinfo
"""


def steps() -> dict[str, float]:
    """Return the steps of `LOG`, a build of ten seconds."""
    lines = [line.split(" ", 1) for line in LOG.splitlines()]
    return read_steps([(float(second), text) for second, text in lines], 10.0, "dpkg-buildpackage")


def test_a_log_is_split_into_commands_and_own_steps() -> None:
    """A command lasts until the next; one that tells of its steps is split, with what is left over apart."""
    assert steps() == pytest.approx(
        {
            "dpkg-buildpackage": 0.2,
            "dpkg-source": 0.3,
            "debian/rules binary": 0.1,
            "dh binary": 0.4,
            "dh_venvpkg: installed": 1.5,
            "dh_venvpkg: relocated": 0.4,
            "dh_venvpkg: the rest": 1.1,
            "dh_strip_nondeterminism": 0.5,
            "dh_strip": 1.0,
            "dh_builddeb": 0.5,
            "dpkg-deb": 3.0,
            "dpkg-genbuildinfo": 1.0,
        }
    )


def test_no_second_of_a_build_is_lost() -> None:
    """Steps add up to the wall time, and so do the groups, whatever a step is called."""
    assert sum(steps().values()) == pytest.approx(10.0)
    groups = group_steps({**steps(), "dh_venvpkg: unheard of": 5.0})
    assert tuple(groups) == GROUPS
    assert sum(groups.values()) == pytest.approx(15.0)
    assert groups["venvpkg, the rest"] == pytest.approx(6.1)
    assert sum_own(steps()) == pytest.approx(3.0)


def test_the_floor_names_its_own_steps() -> None:
    """A script without debhelper says what it does next."""
    lines = [(0.5, "== uv"), (2.0, "warning: no matter"), (3.5, "== compileall"), (6.0, "== dpkg-deb")]
    wanted = {"sh": 0.5, "uv": 3.0, "compileall": 2.5, "dpkg-deb": 2.0}
    assert read_steps(lines, 8.0, "sh") == pytest.approx(wanted)


def test_medians_are_taken_figure_by_figure() -> None:
    """One slow round changes nothing, and a step that most rounds have not is none."""
    runs = [
        {"wall_s": 1.0, "cpu_s": 5.0},
        {"wall_s": 9.0, "cpu_s": 3.0},
        {"wall_s": 2.0, "cpu_s": 4.0, "x": 1.0},
    ]
    assert take_medians(runs) == {"wall_s": 2.0, "cpu_s": 4.0, "x": 0}


def test_ratios_are_to_dh_virtualenv() -> None:
    """Speed is times faster, sizes are parts of the peer's."""
    figures = {"cpu_s": 1.0, "peak_kb": 2e5, "deb_bytes": 8e7, "installed_bytes": 4e8}
    peer = {**figures, "wall_s": 170.0, "deb_bytes": 1e8, "installed_bytes": 5e8}
    head, _, own, other = results_table(
        {"venvpkg": {**figures, "wall_s": 17.0}, "dh-virtualenv": peer}
    ).splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in (head, own, other)]
    assert cells[1] == ["venvpkg", "17.0", "10.0", "1.0", "205", "80.0", "0.80", "400", "0.80"]
    assert cells[2][2] == "1.0"
    assert len(cells[0]) == len(cells[1])


def test_ratios_are_left_out_without_dh_virtualenv() -> None:
    """A run of some tools alone still has a table."""
    figures = {"wall_s": 2.0, "cpu_s": 1.0, "peak_kb": 2e5, "deb_bytes": 8e7, "installed_bytes": 4e8}
    assert results_table({"pex": figures}).splitlines()[-1].split("|")[3].strip() == ""


def test_tables_are_aligned() -> None:
    """Every line is as wide as the others, and Markdown is told of the columns of numbers."""
    lines = make_table(["", "seconds"], [["a long name", "1.0"], ["b", "10.0"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].endswith("-:|")


def test_measuring_counts_children() -> None:
    """CPU time and memory are those of what the command started, and every line has its second."""
    work = "x = bytearray(60 << 20); import time\nwhile time.process_time() < 0.2: pass\nprint('done')"
    measured = measure(f'"{sys.executable}" -c "{work}"; sleep 0.1; echo late; exit 3')
    assert measured["status"] == 3
    assert measured["cpu_s"] >= 0.2
    assert measured["peak_kb"] >= 60 << 10
    (first, done), (second, late) = measured["lines"]
    assert (done, late) == ("done", "late")
    assert first + 0.1 <= second <= measured["wall_s"]


def test_a_file_with_two_names_is_counted_once(tmp_path: Path) -> None:
    """As it is on the disk."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/one").write_bytes(b"x" * 1000)
    (tmp_path / "two").hardlink_to(tmp_path / "folder/one")
    (tmp_path / "three").symlink_to("two")
    assert size_of_folder(tmp_path) == 1000


def test_quick_is_one_round() -> None:
    """Whatever else is asked for."""
    assert read_options(["--quick"]).rounds == 1
    assert read_options([]).rounds == 3


def test_a_second_build_follows_the_first() -> None:
    """Its folder must be there, and its figures come right after."""
    names = list(TABLE)
    for name, tool in TABLE.items():
        assert not tool.after or names[names.index(name) - 1] == tool.after

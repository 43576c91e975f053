"""What the benchmark makes of its measurements: steps, medians, tables. Nothing here runs anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

Figures = Mapping[str, float]
"""wall_s, cpu_s, peak_kb, deb_bytes, installed_bytes."""

PEER = "dh-virtualenv"

COMMAND = re.compile(
    r"""
      [ ]{3}(?:debian/rules[ ](?:override|execute_\w+?)_)?(?P<step>dh_\w+)\b   # dh names what it runs next
    | [ ](?P<stage>dpkg-\w+|debian/rules[ ]\w+)\b                              # so does dpkg-buildpackage
    | (?P<dh>dh[ ]\w+)\b                                                       # and make
    | (?P<deb>dpkg-deb):[ ]building
    | ==[ ](?P<mark>.+)                                                        # and the script of the floor
    """,
    re.VERBOSE,
)
OWN = re.compile(r"\s+/\S+: (?P<word>\w+)\b.* \((?P<seconds>\d+\.\d+) s\)$")
"""What venvpkg says after a step of its own."""

OTHER = "the rest"
PARTS = {
    "installed": "install",
    "relocated": "relocate",
    "compiled": "compile",
    "imported": "import, depends, verify",
    "depends": "import, depends, verify",
    "verified": "import, depends, verify",
}
COMMANDS = {
    "dh_virtualenv": "install",
    "uv": "install",
    "pex": "install",
    "shiv": "install",
    "compileall": "compile",
    "dh_strip_nondeterminism": "dh_strip_nondeterminism",
    "dpkg-deb": "compress",
}
GROUPS = (
    "install",
    "relocate",
    "compile",
    "import, depends, verify",
    "venvpkg, the rest",
    "dh_strip_nondeterminism",
    "other commands",
    "compress",
)
"""The parts of every build, in the order of a build, as far as two builds can be compared."""


def read_steps(lines: Iterable[tuple[float, str]], wall: float, first: str) -> dict[str, float]:
    """Return the seconds of each command of a build, from its log with the second of each line.

    A command lasts until the next one is named; `first` is what runs before any is. One that tells of its
    own steps is split into `command: word` for each, and `command: the rest`.
    """
    steps: dict[str, float] = {}
    current, began, told = first, 0.0, 0.0

    def add(name: str, seconds: float) -> None:
        steps[name] = steps.get(name, 0.0) + max(0.0, seconds)

    for second, text in [*lines, (wall, "== end")]:
        own, command = OWN.match(text), COMMAND.match(text)
        if own:
            told += float(own["seconds"])
            add(f"{current}: {own['word']}", float(own["seconds"]))
        elif command:
            add(f"{current}: {OTHER}" if told else current, second - began - told)
            current, began, told = next(name for name in command.groups() if name), second, 0.0
    return steps


def group_steps(steps: Figures) -> dict[str, float]:
    """Return the seconds of each of `GROUPS`."""
    groups = dict.fromkeys(GROUPS, 0.0)
    for name, seconds in steps.items():
        command, _, part = name.partition(": ")
        rest = "venvpkg, the rest" if command.startswith("dh_venvpkg") else "other commands"
        groups[PARTS.get(part) or COMMANDS.get(command) or rest] += seconds
    return groups


def name_rounds(count: int) -> str:
    """Return what the figures of so many rounds are, in words."""
    return "one round" if count == 1 else f"medians of {count} rounds"


def take_medians(runs: Sequence[Figures]) -> dict[str, float]:
    """Return the median of every figure; one that some runs have not is 0 in those."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: median(run.get(name, 0) for run in runs) for name in names}


def results_table(results: Mapping[str, Figures]) -> str:
    """Return the Markdown table of all tools, with their ratio to `PEER`, where that was measured."""
    peer = results.get(PEER, {})
    head = ["", "wall s", "speed", "CPU s", "peak MB", ".deb MB", "ratio", "installed MB", "ratio"]
    rows = [
        [
            name,
            f"{each['wall_s']:.1f}",
            _ratio(peer.get("wall_s"), each["wall_s"], 1),
            f"{each['cpu_s']:.1f}",
            f"{each['peak_kb'] * 1024 / 1e6:.0f}",
            f"{each['deb_bytes'] / 1e6:.1f}",
            _ratio(each["deb_bytes"], peer.get("deb_bytes"), 2),
            f"{each['installed_bytes'] / 1e6:.0f}",
            _ratio(each["installed_bytes"], peer.get("installed_bytes"), 2),
        ]
        for name, each in results.items()
    ]
    return make_table(head, rows)


def _ratio(value: float | None, base: float | None, digits: int) -> str:
    return f"{value / base:.{digits}f}" if value and base else ""


def steps_table(steps: Mapping[str, Figures], least: float = 0.1) -> str:
    """Return the Markdown table of steps by tool, without those that take under `least` seconds anywhere."""
    names = dict.fromkeys(name for tool in steps.values() for name in tool)
    shown = [name for name in names if any(tool.get(name, 0) >= least for tool in steps.values())]
    rows = [[name, *(_seconds(tool.get(name)) for tool in steps.values())] for name in shown]
    return make_table(
        ["", *steps], [*rows, ["together", *(f"{sum(t.values()):.1f}" for t in steps.values())]]
    )


def groups_table(steps: Mapping[str, Figures]) -> str:
    """Return the Markdown table of groups by tool, and what venvpkg's commands take together."""
    groups = {tool: group_steps(each) for tool, each in steps.items()}
    rows = [[name, *(_seconds(each[name]) for each in groups.values())] for name in GROUPS]
    rows.append(["together", *(_seconds(sum(each.values())) for each in groups.values())])
    rows.append(["of these, dh_venvpkg*", *(_seconds(sum_own(each)) for each in steps.values())])
    return make_table(["", *steps], rows)


def sum_own(steps: Figures) -> float:
    """Return the seconds of venvpkg's own commands."""
    return sum(seconds for name, seconds in steps.items() if name.startswith("dh_venvpkg"))


def startup_table(startup: Mapping[str, Mapping[str, float | None]]) -> str:
    """Return the Markdown table of start-up times."""
    rows = [
        [name, *(_seconds(each[key], 2) for key in ("first_s", "cold_s", "warm_s"))]
        for name, each in startup.items()
    ]
    return make_table(["", "first s", "cold s", "warm s"], rows)


def _seconds(value: float | None, digits: int = 1) -> str:
    return "" if not value else f"{value:.{digits}f}"


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table that is legible as it is: names to the left, numbers to the right."""
    widths = [max(3, *(len(row[i]) for row in [head, *rows])) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        padded = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [f"-{'-' * widths[0]}-", *(f"-{'-' * width}:" for width in widths[1:])]
    return "\n".join([line(head), f"|{'|'.join(rule)}|", *map(line, rows)])

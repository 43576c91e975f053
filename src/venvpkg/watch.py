"""Follows a build by its output, its events and its processes."""

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from venvpkg.display import Display
from venvpkg.errors import VenvpkgError
from venvpkg.process import describe_status

COMMAND = re.compile(r"   (dh_\w+)\b")
ERROR = re.compile(r"error\[([a-z0-9-]+)\]: (.*)")
SHOWN_LINES = 25


@dataclass(slots=True, kw_only=True)
class Watch:
    """Follows a build: its log, its events, and the processes that compress."""

    display: Display
    log: Path
    events: Path
    roots: Path
    """The folder debian/ of the build."""
    lines: list[str] = field(default_factory=list)
    steps: list[tuple[str, float]] = field(default_factory=list)
    at: int = 0
    """How much of the events was read."""
    command: str = ""
    since: float = field(default_factory=time.monotonic)
    read: dict[str, int] = field(default_factory=dict)
    """Bytes that each dpkg-deb has read, by process."""
    total: int = 0

    def hear(self, line: str) -> None:
        """Take a line of the build's output."""
        self.lines.append(line)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")
        if match := COMMAND.match(line):
            self.next_command(match[1])
        self.take_events()

    def next_command(self, name: str) -> None:
        """Note what debhelper does now, and how long it took with what came before."""
        now = time.monotonic()
        if self.command == "dh_builddeb":
            self.display.end("packed", now - self.since)
        if self.command:
            self.steps.append((self.command, round(now - self.since, 1)))
        self.command, self.since = name, now
        if name.startswith("dh_"):
            self.display.begin("packing" if name == "dh_builddeb" else name)
        if name == "dh_builddeb":
            self.total = sum(p.lstat().st_size for p in self.packed() if p.is_file() and not p.is_symlink())

    def packed(self) -> Iterable[Path]:
        """Yield the files in package build roots."""
        for root in self.roots.glob("*/DEBIAN"):
            yield from root.parent.rglob("*")

    def tick(self, session: int) -> None:
        """Look at what goes on without a word."""
        self.take_events()
        if self.command == "dh_builddeb" and self.display.live and self.total:
            self.read |= read_by("dpkg-deb", session)
            done = min(sum(self.read.values()), self.total)
            self.display.advance(round(done / 1e6, 1), round(self.total / 1e6, 1), "MB compressed")

    def take_events(self) -> None:
        """Show what the steps told since."""
        if not self.events.exists():
            return
        with self.events.open(encoding="utf-8") as stream:
            stream.seek(self.at)
            text = stream.read()
        whole = text[: text.rfind("\n") + 1]
        self.at += len(whole.encode())
        for line in whole.splitlines():
            self.take(json.loads(line))

    def take(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        match event["event"]:
            case "begin":
                self.display.begin(event["title"])
            case "advance":
                self.display.advance(event["done"], event["total"], event["unit"])
            case "end":
                title = ": ".join([event["title"], *filter(None, [", ".join(event["details"])])])
                self.steps.append((title, event["seconds"]))
                self.display.end(title, event["seconds"])
            case kind:
                self.display.line(f"   {kind}: {event['text']}")


def read_by(name: str, session: int) -> dict[str, int]:
    """Return how many bytes each process of a session that has this name has read (proc(5))."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if (folder / "comm").read_text().strip() != name:
                continue
            # The name is in brackets, and may hold any sign; the session is the fourth field behind it.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                told = (folder / "io").read_text().split()
                found[folder.name] = int(told[1])
        # It has ended meanwhile, or is another user's.
        except (OSError, ValueError, IndexError):
            continue
    return found


def explain(lines: Sequence[str], log: Path, status: int) -> VenvpkgError:
    """Return the error that a failed build ended with: that of a step of ours, else the last lines."""
    found = [number for number, line in enumerate(lines) if ERROR.match(line)]
    if found:
        first = ERROR.match(lines[found[-1]])
        assert first
        causes, hints = [], []
        for line in lines[found[-1] + 1 :]:
            if line.startswith("hint: "):
                hints.append(line.removeprefix("hint: "))
            elif line.startswith("  ") and not hints:
                causes.append(line[2:])
            else:
                break
        return VenvpkgError(
            code=first[1], message=first[2], causes=[*causes, f"The whole log: {log}"], hint="\n".join(hints)
        )
    findings = [
        n for n, line in enumerate(lines) if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+: \d+ findings", line)
    ]
    if findings:
        block = []
        for line in lines[findings[-1] + 1 :]:
            if not re.match(r"V\d{3} |  hint: ", line):
                break
            block.append(line)
        return VenvpkgError(
            code="findings",
            message=f"The checks found something in {lines[findings[-1]].replace(':', ',')}.",
            causes=[*block, f"The whole log: {log}"],
            hint="Mend it, or accept a finding with its reason (docs/configuration.md, accept).",
        )
    if full := [line for line in lines if "No space left on device" in line]:
        return VenvpkgError(
            code="no-space",
            message="There is no space left on the disk.",
            causes=[*full[:3], f"The whole log: {log}"],
            hint="Free some space, or name another folder for temporary files: TMPDIR=/var/tmp",
        )
    return VenvpkgError(
        code="build-failed",
        message=f"dpkg-buildpackage ended with {describe_status(status)}.",
        causes=[*lines[-SHOWN_LINES:], f"The whole log: {log}"],
        hint="Look above for the first line that is an error.",
    )

"""The pages of docs/, read as a reader does who types every command and writes every file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
RUN = ("tutorial.md", "how-to/*.md")
"""The pages whose commands tests/package/test_documentation.py runs."""

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
# What may stand in a line before a block, for the reader of the page's source alone.
MARK = re.compile(r"<!-- (?P<word>not run: |run by: |run |exit status )(?P<rest>[^>]*?) -->")
PLACES = ("on the server", "without a network", "in a long test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    page: str
    """Its path relative to docs/."""
    line: int
    """Where it begins, from 1."""
    language: str
    text: str
    name: str = ""
    """Of the file that it is, absolute or from the folder where the reader is; empty for no file."""
    not_run: str | None = None
    """Why a test does not run it; None where one does."""
    run_by: str = ""
    """The test that runs it in another form, where this page is not followed."""
    place: str = ""
    """Where or when it is run: one of ``PLACES``, or empty for the reader's own machine."""
    status: int = 0
    """What it ends with."""

    @property
    def commands(self) -> list[str]:
        """Its command lines, those that are continued as one."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    def __str__(self) -> str:
        """Say where it is."""
        return f"docs/{self.page}:{self.line}"


def read_blocks(path: Path) -> list[Block]:
    """Read the fenced blocks of a page, each with what the lines before it say of it."""
    return list(_blocks(path.read_text("utf-8"), str(path.relative_to(DOCS))))


def _blocks(text: str, page: str) -> Iterator[Block]:
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip("\n").rsplit("\n\n", 1)[-1].splitlines()
        marks = [m for line in before if (m := MARK.fullmatch(line.strip()))]
        told = {m["word"].strip(": "): m["rest"].strip() for m in marks}
        prose = [line for line in before if not line.lstrip().startswith("<!--")]
        last = prose[-1] if prose else ""
        if not prose and marks:
            # The comment is a paragraph of its own.
            earlier = text[: match.start()].rstrip("\n").rsplit("\n\n", 2)
            last = earlier[-2].splitlines()[-1] if len(earlier) > 2 else ""
        named = re.search(r"`([\w./-]+)`:$", last)
        yield Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            text=re.sub(rf"^{match['indent']}", "", match["text"], flags=re.M),
            name=named[1] if named and match["language"] != "sh" else "",
            not_run=told.get("not run"),
            run_by=told.get("run by", ""),
            place=told.get("run", ""),
            status=int(told.get("exit status", "0")),
        )


def pages_to_run() -> list[Path]:
    """The pages whose commands are run, the tutorial first: the others begin where it ends."""
    return [path for glob in RUN for path in sorted(DOCS.glob(glob))]


def fits(shown: str, printed: str) -> str | None:
    """Return the first line of what a page shows that was not printed, in this order; … is any text."""
    rest = printed.splitlines()
    for line in shown.splitlines():
        wanted = ".*".join(re.escape(part) for part in line.strip().split("…"))
        found = next((n for n, told in enumerate(rest) if re.fullmatch(wanted, told.strip())), None)
        if line.strip() and line.strip() != "…" and found is None:
            return line
        rest = rest[found + 1 :] if found is not None else rest
    return None


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    text = FENCE.sub("", path.read_text("utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(path: Path) -> list[str]:
    """The links of a page that lead to no file of the checkout, or to no heading in it."""
    found = []
    for target in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        there = (path.parent / place).resolve() if place else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            found.append(target)
    return found

"""debian/rules as blocks of lines, so that some can be replaced and the others stay as they are."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

RULE = re.compile(r"(?P<targets>[^\s#:=][^#:=]*?)\s*::?(?!=)(?P<rest>[^=]*)$")
VARIABLE = re.compile(r"(?P<export>export\s+)?(?P<name>[\w.-]+)\s*(?P<how>::?|\?|\+)?=\s*(?P<value>.*)$")
REFERENCE = re.compile(r"\$(?:\((?P<round>[\w.-]+)\)|\{(?P<curly>[\w.-]+)\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A rule with its recipe, a variable, or any other line."""

    lines: tuple[str, ...]
    """As written, without the ends of lines."""
    targets: tuple[str, ...] = ()
    """Of a rule."""
    name: str = ""
    """Of a variable."""
    value: str = ""
    exported: bool = False

    @property
    def recipe(self) -> tuple[str, ...]:
        """Return the lines of a rule's recipe, as written."""
        return self.lines[self._head() :]

    @property
    def commands(self) -> tuple[str, ...]:
        """Return the commands of a recipe, each as one line, without what make reads of it (@ and -)."""
        return tuple(
            text.strip().lstrip("@-+").strip()
            for text in join_lines(self.recipe)
            if text.strip() and not text.strip().startswith("#")
        )

    def with_recipe(self, target: str, recipe: Sequence[str]) -> "Block":
        """Return a rule with another name and recipe."""
        return Block(lines=(f"{target}:", *recipe), targets=(target,))

    def _head(self) -> int:
        count = 1
        while count < len(self.lines) and self.lines[count - 1].endswith("\\"):
            count += 1
        return count


@dataclass(slots=True)
class Makefile:
    """A makefile."""

    blocks: list[Block]

    @classmethod
    def parse(cls, text: str) -> "Makefile":
        """Take it apart; together, the blocks' lines are the text."""
        blocks: list[Block] = []
        lines = text.splitlines()
        at = 0
        while at < len(lines):
            start, at = at, at + 1
            while at < len(lines) and lines[at - 1].endswith("\\"):
                at += 1
            head = " ".join(line.rstrip("\\").strip() for line in lines[start:at])
            variable = VARIABLE.fullmatch(head)
            rule = None if lines[start].startswith(("\t", "#")) else RULE.fullmatch(head)
            if variable and not lines[start].startswith("\t"):
                blocks.append(
                    Block(
                        lines=tuple(lines[start:at]),
                        name=variable["name"],
                        value=variable["value"].strip(),
                        exported=bool(variable["export"]),
                    )
                )
                continue
            if rule:
                at = _end_of_recipe(lines, at)
            targets = tuple(rule["targets"].split()) if rule else ()
            blocks.append(Block(lines=tuple(lines[start:at]), targets=targets))
        return cls(blocks)

    def text(self) -> str:
        """Return the makefile, with no more than one empty line where blocks are gone."""
        lines = [line for block in self.blocks for line in block.lines]
        return "\n".join(lines).strip("\n") + "\n"

    def rule(self, target: str) -> Block | None:
        """Return the rule of a target that has one of its own."""
        return next((block for block in self.blocks if block.targets == (target,)), None)

    def replace(self, block: Block, *others: Block) -> None:
        """Put other blocks in the place of one.

        With none, comments right above it and the empty line after it go as well.
        """
        at = self.blocks.index(block)
        self.blocks[at : at + 1] = others
        if not others:
            while at and is_comment(self.blocks[at - 1]):
                at -= 1
                del self.blocks[at]
            around = self.blocks[at - 1 : at + 1] if at else self.blocks[:1]
            if around and all(is_blank(b) for b in around):
                del self.blocks[at : at + 1]

    def variables(self) -> dict[str, str]:
        """Return the variables that are set once, to something that holds no function of make's."""
        values: dict[str, str] = {}
        several: set[str] = set()
        for block in self.blocks:
            if block.name:
                several |= {block.name} if block.name in values else set()
                values[block.name] = block.value
        plain = {name: value for name, value in values.items() if name not in several}
        for _ in plain:
            plain = {name: expand(value, plain) for name, value in plain.items()}
        return {name: value for name, value in plain.items() if "$" not in value}

    def mentions(self, name: str) -> bool:
        """Tell whether a variable is used anywhere, by make or by a shell."""
        pattern = re.compile(rf"\$[({{]*{re.escape(name)}\b")
        return any(pattern.search(line) for block in self.blocks for line in block.lines)


def _end_of_recipe(lines: Sequence[str], at: int) -> int:
    """Return where a recipe ends: empty lines and comments belong to it where more of it follows."""
    end = at
    while at < len(lines):
        line = lines[at]
        if line.startswith("\t") or (end == at and at and lines[at - 1].endswith("\\")):
            end = at + 1
        elif line.strip() and not line.startswith("#"):
            break
        at += 1
    return end


def is_blank(block: Block) -> bool:
    """Tell whether a block is an empty line."""
    return not "".join(block.lines).strip()


def is_comment(block: Block) -> bool:
    """Tell whether a block is a comment, and not the file's first line."""
    return block.lines[0].startswith("#") and not block.lines[0].startswith("#!")


def join_lines(lines: Iterable[str]) -> list[str]:
    """Return lines with those that a backslash continues joined."""
    joined: list[str] = []
    goes_on = False
    for line in lines:
        text = line[:-1].rstrip() if line.endswith("\\") else line
        if goes_on:
            joined[-1] = f"{joined[-1]} {text.strip()}"
        else:
            joined.append(text)
        goes_on = line.endswith("\\")
    return joined


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with the variables that are known put in; a folder of make's own is the current one."""
    text = re.sub(r"\$(\(CURDIR\)|\{CURDIR\}|\(PWD\)|\{PWD\})/", "", text)

    def value_of(match: re.Match[str]) -> str:
        return variables.get(match["round"] or match["curly"], match[0])

    return REFERENCE.sub(value_of, text)


# What makes more of a line than one command with its arguments.
SHELL = re.compile(r"[;&|<>`$*?\[\]{}()!]")

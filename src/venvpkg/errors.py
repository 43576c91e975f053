"""What a user can fix."""

from collections.abc import Sequence
from dataclasses import dataclass, field


def printable(text: str) -> str:
    """Return text in which everything that a terminal would not show as a character is an escape.

    A name may hold control characters, and bytes that are not UTF-8 (surrogates, in Python).
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(slots=True, kw_only=True)
class VenvpkgError(Exception):
    """A known error: it ends the command with exit code 3 and without a traceback."""

    code: str
    """Stable name, lower case with dashes: ``python-not-found``."""
    message: str
    """One sentence that says what went wrong."""
    causes: Sequence[str] = field(default_factory=list)
    """What was seen or tried, one sentence or one quoted line each."""
    hint: str = ""
    """What to do; works when pasted where it is a command."""

    def __str__(self) -> str:
        """Return the four parts as the terminal shows them."""
        lines = [f"error[{self.code}]: {self.message}"]
        lines += [f"  {line}" for cause in self.causes for line in cause.splitlines()]
        if self.hint:
            lines += [f"hint: {line}" for line in self.hint.splitlines()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return the four parts for ``--json``."""
        return {
            "code": self.code,
            "message": self.message,
            "causes": [line for cause in self.causes for line in cause.splitlines()],
            "hint": self.hint,
        }

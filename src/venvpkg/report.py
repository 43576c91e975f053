"""Findings, and how they are shown."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from venvpkg.errors import printable

SHOWN_PER_CODE = 10


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One thing that a check found."""

    code: str
    """Number of the check, ``V001``."""
    path: str
    """Path inside the package without a leading slash, or empty for the package as a whole."""
    message: str
    """What is wrong there, one line."""
    hint: str = ""
    """What to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A finding that the configuration accepts, from the key ``accept``."""

    code: str
    path: str
    """Path inside the package or the environment; ``*`` matches any run of characters."""
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Tell whether this entry accepts ``finding``."""
        path, pattern = f"/{finding.path.lstrip('/')}", self.path.lstrip("/")
        # A path inside the environment is the end of one inside the package.
        return finding.code == self.code and (not pattern or fnmatchcase(path, f"*/{pattern}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a verification."""

    findings: tuple[Finding, ...]
    checked: int
    """Number of files looked at."""

    def without(self, accepted: Iterable[Accepted]) -> "Report":
        """Return the report without the findings that ``accepted`` covers."""
        known = tuple(accepted)
        left = tuple(f for f in self.findings if not any(a.covers(f) for a in known))
        return Report(findings=left, checked=self.checked)

    def to_json(self) -> str:
        """Return ``{"findings": [...], "checked": N}``."""
        return json.dumps({"findings": [asdict(f) for f in self.findings], "checked": self.checked}, indent=2)

    def to_text(self) -> str:
        """Return the findings grouped by code, the first ten of each."""
        lines: list[str] = []
        for code, group in groupby(sorted(self.findings), key=lambda f: f.code):
            found = list(group)
            shown = [f"{f.code} {f.path or '(package)'}: {f.message}" for f in found[:SHOWN_PER_CODE]]
            lines += map(printable, shown)
            if len(found) > SHOWN_PER_CODE:
                lines.append(f"{code} … and {len(found) - SHOWN_PER_CODE} more")
            lines += [f"  hint: {hint}" for hint in dict.fromkeys(f.hint for f in found) if hint]
        return "\n".join(lines)

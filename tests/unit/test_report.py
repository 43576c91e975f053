"""Findings: how they are grouped, shown and accepted."""

from __future__ import annotations

import json

import pytest

from venvpkg.errors import VenvpkgError
from venvpkg.report import SHOWN_PER_CODE, Accepted, Finding, Report


def finding(
    code: str = "V001", path: str = "opt/venvs/app/x", message: str = "is wrong", hint: str = ""
) -> Finding:
    """A finding."""
    return Finding(code=code, path=path, message=message, hint=hint)


def report(*findings: Finding) -> Report:
    """A report."""
    return Report(findings=findings, checked=7)


def test_findings_are_grouped_by_code() -> None:
    """Whatever their order; each hint once, after its group."""
    text = report(
        finding("V002", "b", hint="two"), finding("V001", "a", hint="one"), finding("V002", "a", hint="two")
    )
    assert text.to_text().splitlines() == [
        "V001 a: is wrong",
        "  hint: one",
        "V002 a: is wrong",
        "V002 b: is wrong",
        "  hint: two",
    ]


def test_many_findings_of_one_code_are_counted() -> None:
    """Ten are shown, and how many more there are; all the codes still are."""
    many = [finding("V002", f"{n:03}") for n in range(SHOWN_PER_CODE + 5)]
    lines = report(*many, finding("V009", "")).to_text().splitlines()
    assert len(lines) == SHOWN_PER_CODE + 2
    assert "5 more" in lines[SHOWN_PER_CODE]
    assert lines[-1] == "V009 (package): is wrong"


def test_no_finding_says_nothing() -> None:
    """An empty text."""
    assert report().to_text() == ""


def test_json_has_findings_and_what_was_checked() -> None:
    """The public shape."""
    assert json.loads(report(finding(hint="do")).to_json()) == {
        "findings": [{"code": "V001", "path": "opt/venvs/app/x", "message": "is wrong", "hint": "do"}],
        "checked": 7,
    }


LIBRARY = "opt/venvs/app/lib/python3.11/site-packages/x/_m.so"


@pytest.mark.parametrize(
    "path",
    [LIBRARY, "/" + LIBRARY, "lib/python3.11/site-packages/x/_m.so", "x/_m.so", "_m.so", "*.so", "x/*",
     "*/x/*.so", "opt/venvs/app/*", "lib/*", "*", ""],
)  # fmt: skip
def test_an_accepted_path_covers_the_finding(path: str) -> None:
    """Inside the package or the environment; a star is any run of characters."""
    assert Accepted(code="V007", path=path, reason="r").covers(finding("V007", LIBRARY))


@pytest.mark.parametrize("path", ["_n.so", "m.so", "y/*", "opt/venvs/other/*", "_M.so", "site-packages"])
def test_another_path_does_not(path: str) -> None:
    """Nor does a part of a name."""
    assert not Accepted(code="V007", path=path, reason="r").covers(finding("V007", LIBRARY))


def test_another_code_does_not() -> None:
    """Each is accepted by itself."""
    assert not Accepted(code="V008", path="*", reason="r").covers(finding("V007", LIBRARY))


def test_accepted_findings_leave_the_report() -> None:
    """The number of files stays."""
    left = report(finding("V001", "a"), finding("V002", "a")).without(
        [Accepted(code="V001", path="a", reason="r")]
    )
    assert ([f.code for f in left.findings], left.checked) == (["V002"], 7)


def test_an_error_shows_its_four_parts() -> None:
    """Code, message, causes and hint; causes and hints of several lines are indented."""
    error = VenvpkgError(code="x-y", message="It is so.", causes=["one", "two\nthree"], hint="do\nthis")
    assert str(error).splitlines() == [
        "error[x-y]: It is so.",
        "  one",
        "  two",
        "  three",
        "hint: do",
        "hint: this",
    ]


def test_an_error_without_causes_is_one_line() -> None:
    """Nothing is made up."""
    assert str(VenvpkgError(code="x", message="y")) == "error[x]: y"

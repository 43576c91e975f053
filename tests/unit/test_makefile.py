"""debian/rules as blocks: taken apart, changed, and put together as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from former import PROJECTS
from venvpkg.makefile import Block, Makefile, expand, join_lines

TEXT = """\
#!/usr/bin/make -f
# a comment

export ROOT := /opt
DIR=debian/$(NAME)$(ROOT)
NAME ?= app
ARGS = --one \\
	--two
SHELLED = $(shell date)

%:
	dh $@ --with python-virtualenv

override_dh_strip:

# of the next one
override_dh_virtualenv:
	dh_virtualenv $(ARGS)
	# inside

	@echo two \\
		words

include x.mk
"""


def test_parts_are_told_apart() -> None:
    """Rules, variables, and what is neither."""
    makefile = Makefile.parse(TEXT)
    assert [b.targets for b in makefile.blocks if b.targets] == [
        ("%",),
        ("override_dh_strip",),
        ("override_dh_virtualenv",),
    ]
    assert [(b.name, b.exported) for b in makefile.blocks if b.name] == [
        ("ROOT", True),
        ("DIR", False),
        ("NAME", False),
        ("ARGS", False),
        ("SHELLED", False),
    ]
    rule = makefile.rule("override_dh_virtualenv")
    assert rule
    assert rule.commands == ("dh_virtualenv $(ARGS)", "echo two words")
    assert makefile.rule("override_dh_strip") and not makefile.rule("override_dh_dwz")


def test_text_stays_as_it_is() -> None:
    """Whatever is in it."""
    for text in (TEXT, *(str(project.files["debian/rules"]) for project in PROJECTS.values())):
        assert Makefile.parse(text).text() == text.rstrip("\n") + "\n"


@given(st.text(st.sampled_from("ab:=\t\n\\#$() -?+,%@"), max_size=60))
def test_any_text_is_taken_apart(text: str) -> None:
    """Nothing is lost but empty lines at both ends."""
    assert Makefile.parse(text).text() == "\n".join(text.splitlines()).strip("\n") + "\n"


def test_variables_are_expanded_where_that_is_sure() -> None:
    """What a shell says is not known before it runs, nor what is set twice."""
    makefile = Makefile.parse(TEXT + "ROOT += x\n")
    assert makefile.variables() == {"NAME": "app", "ARGS": "--one --two"}
    values = Makefile.parse(TEXT).variables()
    assert values["DIR"] == "debian/app/opt"
    assert expand("$(CURDIR)/${NAME} $(OTHER) $$x", values) == "app $(OTHER) $$x"
    assert Makefile.parse("A = $(B)\nB = $(A)\n").variables() == {}


def test_rule_that_goes_takes_its_empty_line_along() -> None:
    """And another one may come in its place."""
    makefile = Makefile.parse("#!make\na:\n\tx\n\n# of b\n# too\nb:\n\ty\n\nc:\n\tz\n")
    gone, changed = makefile.rule("b"), makefile.rule("c")
    assert gone and changed
    makefile.replace(gone)
    makefile.replace(changed, Block(lines=("# why",)), changed.with_recipe("d", ["\tq"]))
    assert makefile.text() == "#!make\na:\n\tx\n\n# why\nd:\n\tq\n"


def test_continued_lines_are_one() -> None:
    """As make and the shell read them."""
    assert join_lines(["a \\", "  b \\", "c", "d"]) == ["a b c", "d"]

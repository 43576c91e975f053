"""Keys of the configuration, as debhelper's own option parser sees them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import venvpkg
from venvpkg.keys import BY_NAME, KEYS
from venvpkg.process import Shell
from venvpkg.spec import Spec

CHECKOUT = Path(__file__).resolve().parents[2]
# Dh_Getopt hands the options that it knows to Getopt::Long; this writes them down instead.
LIST_OPTIONS = """
use Debian::Debhelper::Dh_Lib;
use Debian::Debhelper::Dh_Getopt;
no warnings;
*Getopt::Long::GetOptionsFromArray = sub {
    my ($words, %options) = @_;
    print join("\\n", keys %options), "\\n";
    return 1;
};
Debian::Debhelper::Dh_Getopt::getoptions([]);
"""
PARSE = """
use Debian::Debhelper::Dh_Lib;
use Debian::Debhelper::Dh_Getopt;
my %given;
my @names = split(/,/, shift(@ARGV));
my %options = map { my $n = $_; ($n => sub { $given{$_[0]} = $_[1] }) } @names;
Debian::Debhelper::Dh_Getopt::getoptions(\\@ARGV, options => \\%options) or exit(1);
print join("\\n", map { "$_=$given{$_}" } sort(keys(%given))), "\\n";
"""


@pytest.fixture(scope="module")
def common() -> list[str]:
    """The names of debhelper's common options, read from the installed debhelper."""
    if not Path("/usr/share/perl5/Debian/Debhelper/Dh_Getopt.pm").exists() or not shutil.which("perl"):
        pytest.skip("there is no debhelper")
    declared = Shell()(["perl", "-e", LIST_OPTIONS], cwd=Path("/")).stdout.split()
    return [name for d in declared if d != "<>" for name in re.split(r"[=:!+]", d)[0].split("|")]


def names_of_options() -> list[str]:
    """What is written after the dashes, negations included."""
    names = [key.name for key in KEYS if key.has_option]
    return [*names, *(f"no-{key.name}" for key in KEYS if key.option.endswith("!"))]


def test_the_list_of_common_options_is_debhelpers(common: list[str]) -> None:
    """A few that have been there for twenty years."""
    assert {"verbose", "no-act", "exclude", "tmpdir", "name", "arch", "indep", "O"} <= set(common)


def test_no_option_is_one_of_debhelpers(common: list[str]) -> None:
    """Either would hide the other."""
    assert set(names_of_options()) & set(common) == set()


def test_no_option_abbreviates_one_of_debhelpers(common: list[str]) -> None:
    """Getopt::Long takes a beginning for the whole where there is one such."""
    assert [
        (ours, theirs) for ours in names_of_options() for theirs in common if theirs.startswith(ours)
    ] == []


def test_no_common_option_begins_one_of_ours(common: list[str]) -> None:
    """An abbreviation of theirs must not become ours: --no-act stays --no-act."""
    long = [name for name in common if len(name) > 1]
    assert [(t, ours) for t in long for ours in names_of_options() if ours.startswith(t)] == []


def test_every_option_is_parsed_by_debhelpers_parser(common: list[str]) -> None:
    """Each as it is declared, with a value of its kind."""
    keys = [key for key in KEYS if key.has_option]
    declared = ",".join(key.option for key in keys)
    words = [f"--{key.name}" if key.option.endswith("!") else f"--{key.name}=v" for key in keys]
    said = Shell()(["perl", "-e", PARSE, declared, *words], cwd=Path("/")).stdout.split()
    assert sorted(said) == sorted(
        f"{k.name}={'1' if k.option.endswith('!') else 'v'}" for k in KEYS if k.has_option
    )


def test_switches_can_be_negated(common: list[str]) -> None:
    """What the file turned on, an option turns off."""
    switches = [key for key in KEYS if key.option.endswith("!")]
    words = [f"--no-{key.name}" for key in switches]
    said = Shell()(["perl", "-e", PARSE, ",".join(k.option for k in switches), *words], cwd=Path("/")).stdout
    assert sorted(said.split()) == sorted(f"{key.name}=0" for key in switches)


def test_names_are_unique() -> None:
    """One key, one option, one variable."""
    assert len(BY_NAME) == len({key.variable for key in KEYS}) == len(KEYS)


def test_names_are_lower_case_with_dashes() -> None:
    """As TOML files and options have them."""
    assert [key.name for key in KEYS if not re.fullmatch(r"[a-z]+(-[a-z]+)*", key.name)] == []


def test_every_key_is_a_field_of_the_specification() -> None:
    """None is asked for and then forgotten."""
    fields = Spec.__dataclass_fields__
    assert [key.name for key in KEYS if key.name.replace("-", "_") not in fields] == []


def test_a_choice_has_choices_and_nothing_else_has() -> None:
    """The two belong together."""
    assert [key.name for key in KEYS if bool(key.choices) != (key.kind == "choice")] == []


def test_perl_and_python_have_one_version() -> None:
    """Debhelper writes Perl's into maintainer scripts."""
    text = (CHECKOUT / "src" / "perl" / "Debian" / "Debhelper" / "Venvpkg.pm").read_text(encoding="utf-8")
    assert re.findall(r"VERSION = '([^']+)'", text) == [venvpkg.__version__]


def test_changelog_and_python_have_one_version() -> None:
    """The Debian package of the tool carries it too."""
    text = (CHECKOUT / "debian" / "changelog").read_text(encoding="utf-8")
    found = re.match(r"\S+ \(([^)~+-]+)", text)
    assert found
    assert found[1] == venvpkg.__version__


def test_the_reference_has_every_key() -> None:
    """docs/configuration.md is where the error messages send people."""
    text = (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [key.name for key in KEYS if f"`{key.name}`" not in text] == []

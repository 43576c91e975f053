"""What a shell completes: the scripts that the package ships, in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from builds import clean_environment

MEASURED = {k: v for k, v in os.environ.items() if k == "PYTHONPATH" or k.startswith("COVERAGE")}


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A machine with the command, some environments, and the scripts."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """The command first on PATH, and a package database of its own."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        places = {"DPKG_ADMINDIR": str(self.folder / "dpkg"), "HOME": str(self.folder)}
        return clean_environment(**MEASURED, **places, PATH=path)

    def script(self, shell: str) -> Path:
        """The script of a shell, made as debian/rules makes it."""
        environ = {**self.environ, "_VENVPKG_COMPLETE": f"{shell}_source"}
        made = subprocess.run(
            [sys.executable, "-m", "venvpkg"], env=environ, check=True, capture_output=True, text=True
        )
        assert made.stderr == ""
        path = self.folder / f"venvpkg.{shell}"
        path.write_text(made.stdout)
        return path

    def bash(self, *words: str) -> list[str]:
        """What bash offers for the last of the words."""
        program = """
            source "$1" && shift
            [[ $(complete -p venvpkg) =~ -F\\ ([^ ]+)\\ venvpkg ]] || exit 9
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            "${BASH_REMATCH[1]}" venvpkg "${!#}" "${@: -2:1}"
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        return self._lines(["bash", "--norc", "-c", program, "bash", self.script("bash"), *words])

    def fish(self, line: str) -> list[str]:
        """What fish offers at the end of a line."""
        program = f"source {self.script('fish')}; complete -C '{line}'"
        return [row.split("\t")[0] for row in self._lines(["fish", "--no-config", "-c", program])]

    def _lines(self, command: list[str | Path]) -> list[str]:
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, cwd=self.folder)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\n")[:-1]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """With environments of the packages demo and other, whose folders are called demo and special."""
    command = tmp_path / "bin" / "venvpkg"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m venvpkg "$@"\n')
    command.chmod(0o755)
    info = tmp_path / "dpkg" / "info"
    info.mkdir(parents=True)
    for package, folder in (("demo", "demo"), ("other", "special")):
        prefix = f"/opt/venvs/{folder}"
        (info / f"{package}.list").write_text(f"{prefix}\n{prefix}/pyvenv.cfg\n{prefix}/bin/python\n")
    return Terminal(folder=tmp_path)


def test_bash_completes_commands_and_options(terminal: Terminal) -> None:
    """By their beginnings."""
    assert terminal.bash("venvpkg", "ver") == ["verify"]
    assert terminal.bash("venvpkg", "inspect", "--s") == ["--sbom"]


def test_bash_completes_names_of_environments(terminal: Terminal) -> None:
    """Of a package or of a folder, as `venvpkg run` and `venvpkg shell` take them."""
    assert terminal.bash("venvpkg", "shell", "") == ["demo", "other", "special"]
    assert terminal.bash("venvpkg", "run", "sp") == ["special"]


def test_unreadable_database_offers_nothing_and_says_nothing(terminal: Terminal) -> None:
    """A message would stand in the middle of a line that is being typed."""
    listed = terminal.folder / "dpkg" / "info" / "demo.list"
    listed.unlink()
    listed.mkdir()
    assert terminal.bash("venvpkg", "run", "") == [""]
    shutil.rmtree(terminal.folder / "dpkg")
    assert terminal.bash("venvpkg", "run", "") == [""]


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_commands_and_names(terminal: Terminal) -> None:
    """With the same script that the package ships."""
    assert terminal.fish("venvpkg ver") == ["verify"]
    assert terminal.fish("venvpkg shell o") == ["other"]


def test_script_of_zsh_is_for_this_command(terminal: Terminal) -> None:
    """Its first line tells compinit so."""
    text = terminal.script("zsh").read_text()
    assert text.startswith("#compdef venvpkg\n") and "_VENVPKG_COMPLETE=zsh_complete venvpkg" in text

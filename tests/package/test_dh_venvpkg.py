"""The tool's own Debian package: one .deb that installs and works on every suite."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from checkout import build_depends, copy_checkout
from projects import Project
from roots import DATABASES, SUITES, Root, RootFactory, difference

pytestmark = pytest.mark.root

FRONTS = ("dh_venvpkg", "dh_venvpkg_hide", "dh_venvpkg_hide_built", "dh_venvpkg_settle", "dh_venvpkg_verify")

CleanRoot = Callable[[str], Root]


def field(deb: Path, name: str) -> str:
    """One field of a .deb's control file."""
    return subprocess.run(
        ["dpkg-deb", "--field", str(deb), name], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_deb_binds_itself_to_no_python_version(dh_venvpkg_deb: Path) -> None:
    """An upper bound on python3 would keep the .deb off the next suite."""
    assert field(dh_venvpkg_deb, "Architecture") == "all"
    assert "dh-sequence-venvpkg" in field(dh_venvpkg_deb, "Provides")
    depends = field(dh_venvpkg_deb, "Depends")
    assert "python3:any" in depends
    assert not re.search(r"python3[^,]*\(<|python3\.\d", depends)


@pytest.mark.network
@pytest.mark.parametrize("suite", SUITES)
def test_deb_installs_and_starts(suite: str, clean_root: CleanRoot, dh_venvpkg_deb: Path) -> None:
    """A clean root needs nothing but what Depends says: commands, Perl modules and manuals are there."""
    root = clean_root(suite)
    root.install([dh_venvpkg_deb])
    version = field(dh_venvpkg_deb, "Version")
    assert version in root.run(["venvpkg", "--version"]).stdout
    root.run("/usr/bin/python3 -m venvpkg --help")
    for front in FRONTS:
        assert root.inside(f"/usr/bin/{front}").read_bytes().startswith(b"#!/usr/bin/perl")
        assert root.run(["perl", "-wc", f"/usr/bin/{front}"]).stdout.strip().endswith("syntax OK")
    for page in (*FRONTS, "venvpkg"):
        # minbase leaves nothing out, so the manuals are unpacked too.
        assert root.inside(f"/usr/share/man/man1/{page}.1.gz").is_file()
    assert root.inside("/usr/share/man/man5/venvpkg.toml.5.gz").is_file()
    root.run(["perl", "-I/usr/share/perl5", "-MDebian::Debhelper::Venvpkg", "-e1"])
    completes = (
        'source "$1"; COMP_WORDS=(venvpkg ver) COMP_CWORD=1; _venvpkg_completion venvpkg; echo "$COMPREPLY"'
    )
    words = ["bash", "--norc", "-c", completes, "bash", "/usr/share/bash-completion/completions/venvpkg"]
    assert root.run(words).stdout == "verify\n"
    for script in ("zsh/vendor-completions/_venvpkg", "fish/vendor_completions.d/venvpkg.fish"):
        assert "_VENVPKG_COMPLETE=" in root.inside(f"/usr/share/{script}").read_text()


@pytest.mark.parametrize("suite", SUITES)
def test_deb_leaves_nothing_when_purged(suite: str, builder: CleanRoot, dh_venvpkg_deb: Path) -> None:
    """What python wrote beside the modules goes with them."""
    root = builder(suite)
    root.purge("dh-venvpkg")
    before = root.snapshot(DATABASES)
    root.install([dh_venvpkg_deb])
    root.run(["venvpkg", "--version"])
    root.purge("dh-venvpkg")
    assert difference(before, root.snapshot(DATABASES)) == {}


@pytest.mark.network
@pytest.mark.parametrize("suite", SUITES)
def test_deb_passes_lintian(suite: str, make_root: Callable[..., Root], dh_venvpkg_deb: Path) -> None:
    """No error and no warning, by the lintian of the suite."""
    root = make_root(suite, ["lintian"])
    root.copy_in(dh_venvpkg_deb, f"/srv/{dh_venvpkg_deb.name}")
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", f"/srv/{dh_venvpkg_deb.name}"]
    assert root.run(command, check=False).stdout == ""


@pytest.mark.parametrize("suite", SUITES)
def test_project_builds_installs_and_runs(
    suite: str, builder: CleanRoot, clean_root: CleanRoot, tmp_path: Path
) -> None:
    """The whole way, without a package index: an empty project becomes a .deb that runs elsewhere."""
    with builder(suite) as root:
        built = root.build(Project(), network=False)
        deb = Path(root.copy_out(f"/build/{built.deb('demo').name}", tmp_path / "demo.deb"))
    server = clean_root(suite)
    server.install([deb])
    assert server.run(["/opt/venvs/demo/bin/demo"]).stdout == "demo 1.0 /opt/venvs/demo\n"


def test_source_package_is_ready_for_debian(root_factory: RootFactory, tmp_path: Path) -> None:
    """As it would be uploaded, without the stand-in: the lintian of trixie has nothing to say of it."""
    with root_factory.base("trixie", ["build-essential", "lintian", *build_depends()]).open() as root:
        copy_checkout(root.inside("/srv/venvpkg"))
        root.run(
            "DEB_BUILD_PROFILES=pkg.venvpkg.debian dpkg-buildpackage -us -uc",
            cwd="/srv/venvpkg",
            network=False,
        )
        assert [p.name.partition("_")[0] for p in root.inside("/srv").glob("*.deb")] == ["dh-venvpkg"]
        command = "lintian --allow-root --fail-on error,warning,info --display-info --pedantic /srv/*.changes"
        done = root.run(command, check=False)
        print(done.stdout)
        assert done.returncode == 0, done.stdout

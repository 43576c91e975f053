"""Eight distributions that need system libraries, built from source by following nothing but the hints."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from projects import Project
from roots import Root

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.full]

ROUNDS = 5
# The root's own, so that a wheel of an earlier round, or of another run, is never taken.
NO_SHARED_CACHE = {"PIP_CACHE_DIR": None, "UV_CACHE_DIR": None}
SETTINGS = '["-Dsystem-freetype=true", "-Dsystem-qhull=true"]'
MATPLOTLIB = f"config-settings = {{ matplotlib = {{ setup-args = {SETTINGS} }} }}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A distribution to build."""

    pin: str
    hinted: set[str]
    """What the first error's hint names."""
    libraries: set[str]
    """What the package depends on in the end, beside Python and libc."""
    installer: str = "pip"
    keys: str = ""
    """Further lines of [tool.venvpkg]."""

    @property
    def name(self) -> str:
        """The distribution's name."""
        return self.pin.partition("==")[0]


SOURCES = (
    Source(pin="psycopg2==2.9.13", hinted={"libpq-dev"}, libraries={"libpq5"}),
    Source(
        pin="mysqlclient==2.3.2",
        hinted={"default-libmysqlclient-dev", "pkgconf"},
        libraries={"libmariadb3"},
    ),
    Source(pin="lxml==6.1.3", hinted={"libxml2-dev", "libxslt1-dev"}, libraries={"libxml2", "libxslt1.1"}),
    Source(
        pin="pillow==13.0.0",
        hinted={"libjpeg-dev", "zlib1g-dev"},
        libraries={"libjpeg62-turbo", "zlib1g"},
    ),
    Source(pin="pycairo==1.29.2", hinted={"libcairo2-dev", "pkgconf"}, libraries={"libcairo2"}),
    Source(
        pin="dbus-python==1.5.1",
        hinted={"libdbus-1-dev", "pkgconf"},
        libraries={"libdbus-1-3", "libglib2.0-0"},
    ),
    # It brings a test server with its keys, which the gate does not let pass.
    Source(
        pin="python-ldap==3.4.8",
        hinted={"libldap-dev"},
        libraries={"libldap-2.5-0"},
        keys='prune = ["*/slapdtest/certs/*.key"]',
    ),
    # Without the settings its build downloads both libraries; Debian 12's pip hands on one value of them.
    # matplotlib 3.11 wants a libraqm that is newer than Debian 13's, or a network.
    Source(
        pin="matplotlib==3.10.8",
        hinted={"libfreetype-dev", "pkgconf"},
        libraries={"libfreetype6", "libqhull-r8.0"},
        installer="uv",
        keys=MATPLOTLIB,
    ),
)


@dataclass(kw_only=True)
class Attempt:
    """A source package whose build-depends grows with every hint."""

    source: Source
    packages: list[str] = field(default_factory=list)

    def project(self) -> Project:
        """The source package."""
        config = [
            "project = false",
            f'installer = "{self.source.installer}"',
            f'no-binary = ["{self.source.name}"]',
            f"build-depends = {self.packages}",
            self.source.keys,
        ]
        return Project(
            name=f"built-{self.source.name}",
            config="\n".join(config),
            build_depends=self.packages,
            files={"requirements.txt": f"{self.source.pin}\n"},
        )

    def follow(self, root: Root, log: str) -> None:
        """Do what the hint of an error says, word for word."""
        hints = re.findall(r"^\s*hint: (.*)$", log, re.MULTILINE)
        for line in hints:
            if line.startswith("build-depends = "):
                self.packages = tomllib.loads(line)["build-depends"]
            if line.startswith("apt-get install "):
                root.apt(*line.split()[1:])


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_hints_alone_lead_to_a_build(
    builder: Callable[[str], Root], uv_binary: Path, tmp_path: Path, source: Source
) -> None:
    """Each error names what to add; with that in place the package is built, and has its Depends."""
    root = builder("bookworm")
    if source.installer == "uv":
        shutil.copy(uv_binary, root.inside("/usr/local/bin/uv"))
    attempt = Attempt(source=source)
    for number in range(ROUNDS + 1):
        built = root.build(attempt.project(), env=NO_SHARED_CACHE, check=False)
        (tmp_path / f"round-{number}.log").write_text(built.log)
        if built.process.returncode == 0:
            break
        assert "error[build-failed]" in built.log, built.log
        before = set(attempt.packages)
        attempt.follow(root, built.log)
        assert set(attempt.packages) > before, built.log
        if number == 0:
            assert set(attempt.packages) == source.hinted
    assert built.process.returncode == 0, built.log
    deb = built.deb(f"built-{source.name}")
    said = subprocess.run(
        ["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "outcome").write_text(f"{source.pin} rounds={number} {attempt.packages} Depends: {said}")
    assert source.libraries <= {clause.split()[0] for clause in said.strip().split(", ")}, said

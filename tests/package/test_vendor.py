"""A source package that holds all that its build takes, from a packager to a builder without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from projects import Project
from roots import Root

pytestmark = [pytest.mark.root, pytest.mark.network]

PYPROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "demo"
version = "1.0"
dependencies = ["markupsafe", "docopt"]

[project.scripts]
demo = "demo.__main__:main"

[tool.setuptools]
packages = ["demo"]

[tool.venvpkg]
no-binary = ["markupsafe"]
smoke = ["demo"]
"""


@pytest.mark.parametrize("kind", ["3.0 (quilt)", pytest.param("3.0 (native)", marks=pytest.mark.full)])
def test_source_package_builds_without_a_network(
    builder: Callable[[str], Root], clean_root: Callable[[str], Root], kind: str, tmp_path: Path
) -> None:
    """Wheels, an sdist in C and one without pyproject.toml; their build requirements come along."""
    root = builder("bookworm")
    quilt = "quilt" in kind
    files = {"pyproject.toml": PYPROJECT, "debian/source/format": f"{kind}\n"}
    changelog = Project()._generated()["debian/changelog"]
    assert isinstance(changelog, str)
    files["debian/changelog"] = changelog.replace("(1.0)", "(1.0-1)" if quilt else "(1.0)")
    Project(files=files).write(root.inside("/src/demo-1.0"))
    root.run(["chown", "-R", "root:", "/src"])
    if quilt:
        root.run("tar -czf demo_1.0.orig.tar.gz --exclude=debian demo-1.0", cwd="/src")
    said = root.run(["venvpkg", "vendor"], cwd="/src/demo-1.0").stdout
    assert "archives" in said
    assert (
        "up to date" in root.run(["venvpkg", "vendor", "--check"], cwd="/src/demo-1.0", network=False).stdout
    )
    root.run(
        "mkdir /build && dpkg-source -b demo-1.0 && dpkg-source -x demo_*.dsc /build/demo",
        cwd="/src",
        network=False,
    )

    fresh = builder("bookworm")
    fresh.copy_in(root.inside("/build/demo"), "/build/demo")
    fresh.run("dpkg-buildpackage -us -uc -b", cwd="/build/demo", network=False)
    (deb,) = fresh.inside("/build").glob("demo_*.deb")
    told = json.loads(fresh.run(["venvpkg", "inspect", "--json", f"/build/{deb.name}"]).stdout)
    assert {d["name"] for d in told[0]["distributions"]} == {"demo", "docopt", "markupsafe"}
    assert list(fresh.inside("/build").glob("demo-dbgsym_*"))

    server = clean_root("bookworm")
    server.install([deb])
    assert server.run(["/opt/venvs/demo/bin/demo"]).stdout.startswith("demo 1.0 /opt/venvs/demo")

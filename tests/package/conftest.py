"""Fixtures that hand out clean Debian roots, builders and the package under test."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import roots
from checkout import build_deb
from roots import Base, Root, RootFactory
from workbench import Bench

# What a packager's machine has beside Build-Depends. The tool's own dependencies are there already, so that
# installing it downloads nothing.
BUILDER = (
    "build-essential", "debhelper", "dh-python", "dpkg-dev", "fakeroot", "python3-click", "python3-debian",
    "python3-dev", "python3-jinja2", "python3-packaging", "python3-pip", "python3-pyelftools",
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _can_make_roots() -> None:
    reason = roots.why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def root_factory() -> RootFactory:
    """Makes bases; use it for a base that is to live longer than one test."""
    return RootFactory()


@pytest.fixture
def make_root(root_factory: RootFactory) -> Iterator[Callable[..., Root]]:
    """`make_root(suite, include=[...])` or `make_root(base)`: an open root, closed when the test ends."""
    opened: list[Root] = []

    def make(what: str | Base, include: list[str] | tuple[str, ...] = ()) -> Root:
        base = what if isinstance(what, Base) else root_factory.base(what, include)
        opened.append(base.open())
        return opened[-1]

    yield make
    for root in reversed(opened):
        root.close()


@pytest.fixture
def clean_root(make_root: Callable[..., Root]) -> Callable[[str], Root]:
    """`clean_root(suite)`: a minimal root, with neither python3 nor debhelper."""
    return lambda suite: make_root(suite)


@pytest.fixture(scope="session")
def dh_venvpkg_deb(root_factory: RootFactory) -> Path:
    """The path of dh-venvpkg's .deb, built from the checkout."""
    return build_deb(root_factory)


@pytest.fixture(scope="session")
def builder_base(root_factory: RootFactory, dh_venvpkg_deb: Path) -> Iterator[Callable[[str], Base]]:
    """`builder_base(suite)`: the frozen base behind `builder`."""
    made: dict[str, tuple[Root, Base]] = {}

    def base(suite: str) -> Base:
        if suite not in made:
            root = root_factory.base(suite, BUILDER).open()
            try:
                root.install([dh_venvpkg_deb])
            except BaseException:
                root.close()
                raise
            made[suite] = (root, root.freeze())
        return made[suite][1]

    yield base
    for root, _ in made.values():
        root.discard()


@pytest.fixture
def builder(make_root: Callable[..., Root], builder_base: Callable[[str], Base]) -> Callable[[str], Root]:
    """`builder(suite)`: a fresh root with debhelper, a compiler, python3-dev and dh-venvpkg installed."""
    return lambda suite: make_root(builder_base(suite))


@pytest.fixture(scope="session")
def bench(builder_base: Callable[[str], Base]) -> Iterator[Callable[[str], Bench]]:
    """`bench(suite)`: one builder that all tests share, for builds in folders of their own."""
    opened: dict[str, Bench] = {}

    def open_bench(suite: str) -> Bench:
        if suite not in opened:
            opened[suite] = Bench(builder_base(suite).open())
        return opened[suite]

    yield open_bench
    for each in opened.values():
        each.root.close()


@pytest.fixture
def server(make_root: Callable[..., Root]) -> Callable[[str], Root]:
    """`server(suite)`: a fresh root with python3 and nothing else that a minimal system has not."""
    return lambda suite: make_root(suite, ["python3"])


@pytest.fixture(scope="session")
def uv_binary() -> Path:
    """The uv of the test environment, to be copied into a root's /usr/local/bin."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        pytest.skip("uv is not installed beside the tests' python")
    return Path(found)

"""debian/tests of the tool's own package, as autopkgtest runs them: against what is installed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from debian.deb822 import Deb822

from checkout import CHECKOUT
from roots import SUITES, Root

pytestmark = pytest.mark.root

STANZAS = list(Deb822.iter_paragraphs((CHECKOUT / "debian/tests/control").read_text(), use_apt_pkg=False))


@pytest.mark.parametrize("suite", SUITES)
def test_every_test_passes(suite: str, builder: Callable[[str], Root]) -> None:
    """Without a network, as on Debian's own machines."""
    root = builder(suite)
    for path in (CHECKOUT / "debian/tests").iterdir():
        root.copy_in(path, f"/srv/source/debian/tests/{path.name}")
    for stanza in STANZAS:
        name = stanza["Tests"]
        script = f'export AUTOPKGTEST_TMP=/srv/tmp-{name} && mkdir "$AUTOPKGTEST_TMP" && debian/tests/{name}'
        done = root.run(script, cwd="/srv/source", network=False, check=False)
        assert done.returncode == 0, done.stdout

"""examples/hello-web with a Python inside, on a system that has none."""

from __future__ import annotations

import os
import re
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from debs import clauses, control_field
from examples import build_example
from roots import Base, Root
from venvpkg.elsewhere import Foreign, find_foreign

pytestmark = [pytest.mark.root, pytest.mark.network]

PREFIX = "/opt/venvs/hello-web"
# What a standard library does only with something of the system: each a program of its own.
PROGRAMS = {
    "home": """\
import os, sys, sysconfig
assert sys.prefix == "/opt/venvs/hello-web", sys.prefix
assert sys.base_prefix == "/opt/venvs/hello-web/python", sys.base_prefix
assert os.__file__.startswith(sys.base_prefix)
assert sysconfig.get_config_var("prefix") == sys.base_prefix, sysconfig.get_config_var("prefix")
for name, value in sysconfig.get_paths().items():
    assert value.startswith(sys.prefix), (name, value)
""",
    "every module": """\
import importlib, pkgutil, sys
# Left out unless asked for, on an optional library, or for iOS; two do something when they are imported.
unwanted = {"antigravity", "this", "idlelib", "turtledemo", "tkinter", "turtle", "_ios_support"}
failed = {}
for module in pkgutil.iter_modules([p for p in sys.path if p.startswith(sys.base_prefix)]):
    if module.name in unwanted or "test" in module.name:
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        failed[module.name] = str(error)
# Of libraries that a server has not, since the project does not import the modules.
assert set(failed) <= {"_tkinter", "_gdbm"}, failed
""",
    "locale": """\
import locale
assert locale.setlocale(locale.LC_ALL, "C.UTF-8") == "C.UTF-8"
assert locale.getpreferredencoding() == "UTF-8"
""",
    "zoneinfo": """\
import datetime, zoneinfo
day = datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
assert day.utcoffset() == datetime.timedelta(hours=2)
assert zoneinfo.TZPATH and "America/New_York" in zoneinfo.available_timezones()
""",
    "sqlite3": """\
import sqlite3
assert sqlite3.connect(":memory:").execute("select json_extract('[7]', '$[0]')").fetchone() == (7,)
""",
    "ctypes": """\
import ctypes, os
assert ctypes.CDLL(None).getpid() == os.getpid()
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
numbers = (ctypes.c_int * 3)(3, 1, 2)
ctypes.CDLL(None).qsort(numbers, 3, 4, compare(lambda a, b: a[0] - b[0]))
assert list(numbers) == [1, 2, 3]
""",
    "readline": """\
import readline
readline.add_history("a line")
assert readline.get_history_item(1) == "a line"
""",
    "multiprocessing": """\
import multiprocessing
if __name__ == "__main__":
    for method in ("spawn", "fork", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2], method
""",
    "venv": """\
import subprocess, sys
subprocess.run([sys.executable, "-m", "venv", "--without-pip", "/srv/other"], check=True)
program = "import sys; print(sys.prefix, sys.base_prefix)"
said = subprocess.check_output(["/srv/other/bin/python", "-c", program])
assert said.decode().split() == ["/srv/other", sys.base_prefix], said
""",
}
# A server whose certificate is from an authority that the system trusts, and then from one that it does not.
TRUST = """\
set -e
mkdir /srv/ca && cd /srv/ca
exec 2>&1
new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
$new -x509 -keyout ca.key -out ca.crt -subj /CN=authority -days 2 -addext keyUsage=critical,keyCertSign
$new -keyout key -out csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost\\nauthorityKeyIdentifier=keyid\\n' >ext
openssl x509 -req -in csr -CA ca.crt -CAkey ca.key -CAcreateserial -out crt -extfile ext -days 2
openssl s_server -accept 4433 -key key -cert crt -www -quiet &
trap "kill $!" EXIT
ask() {
    "$1" -I -c 'import sys, time, urllib.request, urllib.error
for attempt in range(100):
    try:
        print("answer", urllib.request.urlopen("https://localhost:4433/", timeout=10).status)
        break
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError):
            sys.exit(f"refused: {error.reason}")
        time.sleep(0.1)'
}
ask "$1" && exit 1
cp ca.crt /usr/local/share/ca-certificates/ours.crt
update-ca-certificates
ask "$1"
"""
PAGE = """\
set -e
hello-web --bind 127.0.0.1:8000 >/dev/null 2>&1 &
trap "kill $!; wait" EXIT
"$1" -I -c 'import time, urllib.request, urllib.error
for attempt in range(300):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/", timeout=10).read().decode())
        break
    except urllib.error.URLError:
        time.sleep(0.1)'
"""
START = "s=$(date +%s%N); hello-web --version >/dev/null; e=$(date +%s%N); echo $(((e - s) / 1000))"


def pick() -> list[object]:
    """A pytest parameter for each Python that is to be bundled; the newest in every run."""
    found = {f"{f.manager} {f.path.name}": f for f in find_foreign(os.environ) if f.version.minor in (12, 13)}
    marks = [pytest.mark.full] * (len(found) - 1)
    each = zip(found.items(), [*([m] for m in marks), []], strict=True)
    return [pytest.param(foreign, id=name, marks=m) for (name, foreign), m in each] or [
        pytest.param(None, marks=pytest.mark.skip(reason="neither pyenv nor uv has Python 3.12 or 3.13 here"))
    ]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same program twice, each installed on a system of its own."""

    python: Foreign
    system_deb: Path
    bundled_deb: Path
    system: Root
    bundled: Root


@pytest.fixture(scope="module")
def system_deb(builder_base: Callable[[str], Base], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that depends on Debian's Python."""
    with builder_base("bookworm").open() as root:
        return build_example(root, "hello-web", tmp_path_factory.mktemp("system"))


@pytest.fixture(scope="module", params=pick())
def pair(
    request: pytest.FixtureRequest,
    builder_base: Callable[[str], Base],
    root_factory: object,
    system_deb: Path,
    uv_binary: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """Both, on minimal systems, of which one has no Python."""
    python: Foreign = request.param
    folder = tmp_path_factory.mktemp("bundled")
    with builder_base("bookworm").open() as root:
        home = python.path.parents[1]
        ignored = shutil.ignore_patterns("test", "__pycache__", "site-packages")
        shutil.copytree(home, root.inside(str(home)), symlinks=True, ignore=ignored)
        root.copy_in(uv_binary, "/usr/local/bin/uv")
        env = {"DH_VENVPKG_INTERPRETER": "bundled", "DH_VENVPKG_PYTHON": str(python.path)}
        bundled_deb = build_example(root, "hello-web", folder, **env)
    base = root_factory.base("bookworm")  # type: ignore[attr-defined]
    with base.open() as system, base.open() as bundled:
        system.install([system_deb])
        bundled.install([bundled_deb])
        yield Pair(
            python=python, system_deb=system_deb, bundled_deb=bundled_deb, system=system, bundled=bundled
        )


def run_program(root: Root, text: str) -> None:
    """Run a program with the Python of the package, alone."""
    root.inside("/srv/program.py").write_text(text)
    root.run([f"{PREFIX}/bin/python", "-I", "/srv/program.py"], env={"SSL_CERT_FILE": None}, network=False)


def test_page_is_served_where_no_python_is(pair: Pair) -> None:
    """By the program on PATH, as the system build does."""
    listed = pair.bundled.run(["dpkg-query", "-W", "-f", "${Package}\n"]).stdout.split()
    assert [name for name in listed if re.match(r"(lib)?python", name)] == []
    assert not [path for path in pair.bundled.files() if re.match(r"/usr/bin/python", path)]
    python = f"{PREFIX}/bin/python"
    said = pair.bundled.run(["sh", "-c", PAGE, "sh", python], network=False).stdout
    assert f"Served by Python {pair.python.version} from <code>{PREFIX}</code>" in said
    assert (
        f"from <code>{PREFIX}</code>"
        in pair.system.run(["sh", "-c", PAGE, "sh", python], network=False).stdout
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_standard_library_works(name: str, pair: Pair) -> None:
    """With what the package depends on, and no more."""
    run_program(pair.bundled, PROGRAMS[name])


def test_systems_certificates_are_trusted(pair: Pair) -> None:
    """Those that the administrator added too, and no other."""
    assert "ca-certificates" in clauses(pair.bundled_deb)
    environ = dict.fromkeys(("SSL_CERT_FILE", "http_proxy", "https_proxy"))
    said = pair.bundled.run(["bash", "-c", TRUST, "bash", f"{PREFIX}/bin/python"], env=environ, network=False)
    assert "refused: [SSL: CERTIFICATE_VERIFY_FAILED]" in said.stdout
    assert said.stdout.endswith("answer 200\n")


def test_size_and_time_to_start(pair: Pair) -> None:
    """The package grows by a Python, and starts about as fast."""
    sizes = {
        name: (deb.stat().st_size // 1024, int(control_field(deb, "Installed-Size")))
        for name, deb in (("system", pair.system_deb), ("bundled", pair.bundled_deb))
    }
    times: dict[str, list[int]] = {"system": [], "bundled": []}
    for _ in range(10):
        times["system"].append(int(pair.system.run(START).stdout))
        times["bundled"].append(int(pair.bundled.run(START).stdout))
    medians = {name: statistics.median(each) / 1000 for name, each in times.items()}
    # For those who want to read it: pytest -rP.
    print(pair.python.version, sizes, medians)
    assert sizes["bundled"][1] - sizes["system"][1] < 120_000
    assert sizes["bundled"][0] - sizes["system"][0] < 40_000
    # The fastest, since the machine may have other things to do.
    assert min(times["bundled"]) < 2 * min(times["system"]), times


def test_purge_leaves_nothing(pair: Pair) -> None:
    """Nor what Python wrote beside its own modules."""
    with pair.bundled.base.open() as root:
        root.install([pair.bundled_deb])
        root.run(f"rm -r $(find {PREFIX} -name __pycache__) && hello-web --version")
        assert list(root.inside(PREFIX).rglob("*.pyc"))
        root.purge("hello-web")
        assert [path for path in root.files() if path.startswith("/opt/")] == []

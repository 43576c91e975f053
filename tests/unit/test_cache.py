"""What is kept between builds: whole or not there, bounded, and nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from venvpkg.cache import DIGEST, Cache, make_key

WRITER = """
import sys
from pathlib import Path
from venvpkg.cache import Cache, make_key
cache, number = Cache(Path(sys.argv[1])), 0
print("begins", flush=True)
while True:
    cache.put("bytecode", make_key(number % 50), str(number).encode() * 50000)
    number += 1
"""


def kept(cache: Cache) -> list[Path]:
    """The files of all entries, finished or not."""
    assert cache.folder
    return [path for path in cache.folder.rglob("*") if path.is_file()]


def test_what_is_put_is_got_by_kind_and_key(tmp_path: Path) -> None:
    """Nothing else is."""
    cache, key = Cache(tmp_path / "new"), make_key("a", [1, {"b": None}])
    assert cache.get("shlibs", key) is None
    cache.put("shlibs", key, b"answer")
    cache.put("shlibs", make_key("other"), b"")
    assert cache.get("shlibs", key) == b"answer"
    assert cache.get("shlibs", make_key("other")) == b""
    assert cache.get("bytecode", key) is None
    assert make_key("a", "b") != make_key("ab") != make_key(["a", "b"])
    none = dict.fromkeys(("bytecode", "contents", "imports"), (0, 0))
    assert cache.sizes() == {**none, "shlibs": (2, 2 * DIGEST + 6)}


def test_damaged_entry_is_not_there_and_goes(tmp_path: Path) -> None:
    """Cut off, emptied, or with one bit changed, as after a power cut."""
    cache, key = Cache(tmp_path), make_key("x")
    for damage in (lambda b: b[:-1], lambda _: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[:20]):
        cache.put("bytecode", key, b"some bytes")
        (path,) = kept(cache)
        path.write_bytes(damage(path.read_bytes()))
        assert cache.get("bytecode", key) is None
        assert kept(cache) == []


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    """Getting an entry is using it; what a build left half-written goes, that of a running one stays."""
    cache = Cache(tmp_path)
    keys = [make_key(number) for number in range(4)]
    now = time.time()
    for age, key in enumerate(keys):
        cache.put("bytecode", key, bytes(100))
        (path,) = tmp_path.rglob(key)
        os.utime(path, (now - 90000 + age, now - 90000 + age))
    old, new = path.with_name(".new-old"), path.with_name(".new-one")
    for half in (old, new):
        half.write_bytes(bytes(10))
    os.utime(old, (now - 90000, now - 90000))
    assert cache.get("bytecode", keys[0])
    assert cache.trim(3 * (100 + DIGEST) + 10) == 10 + 100 + DIGEST
    assert {p.name for p in kept(cache)} == {keys[0], keys[2], keys[3], ".new-one"}
    assert cache.trim() == 0
    cache.clear()
    assert kept(cache) == []


def test_killed_writer_leaves_no_half_entry(tmp_path: Path) -> None:
    """At whatever moment: what can be got is what was put."""
    cache = Cache(tmp_path)
    for moment in range(8):
        child = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE)
        assert child.stdout and child.stdout.readline() == b"begins\n"
        time.sleep(0.01 + 0.013 * moment)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        found = [cache.get("bytecode", make_key(number)) for number in range(50)]
        assert any(found)
        for number, data in enumerate(found):
            assert data is None or int(data[: len(data) // 50000]) % 50 == number


def test_many_builds_at_once_share_it(tmp_path: Path) -> None:
    """Some write, some read, some trim; whoever gets something gets the right thing."""
    cache = Cache(tmp_path)

    def work(number: int) -> bool:
        key = make_key(number % 10)
        cache.put("bytecode", key, bytes([number % 10]) * 5000)
        cache.trim(20000)
        return cache.get("bytecode", key) in (None, bytes([number % 10]) * 5000)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))


def test_no_folder_keeps_nothing() -> None:
    """And is no error."""
    cache = Cache()
    cache.put("bytecode", make_key(1), b"x")
    assert cache.get("bytecode", make_key(1)) is None
    assert (cache.trim(0), cache.sizes()["bytecode"]) == (0, (0, 0))
    cache.clear()


def test_place_is_the_users(tmp_path: Path) -> None:
    """By its own variable, else by the XDG specification; none where a home must not be made."""
    home = str(tmp_path)
    assert Cache.of({"HOME": home}).folder == tmp_path / ".cache/venvpkg"
    assert Cache.of({"HOME": home, "XDG_CACHE_HOME": f"{home}/x"}).folder == tmp_path / "x/venvpkg"
    assert Cache.of({"HOME": home, "VENVPKG_CACHE_DIR": f"{home}/mine"}).folder == tmp_path / "mine"
    for environ in ({}, {"HOME": "/nonexistent"}, {"HOME": "/sbuild-nonexistent"}, {"HOME": "/dev/null"}):
        assert Cache.of(environ).folder is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    """What is in there would go into packages."""
    place = tmp_path / ".cache/venvpkg"
    place.mkdir(parents=True)
    assert Cache.of({"HOME": str(tmp_path)}).folder == place
    os.chown(place, 1234, 1234)
    assert Cache.of({"HOME": str(tmp_path)}).folder is None


def test_full_disk_is_no_failure(tmp_path: Path) -> None:
    """Nothing is kept then."""
    (tmp_path / "bytecode").write_text("in the way")
    cache = Cache(tmp_path)
    cache.put("bytecode", make_key(1), b"x")
    assert cache.get("bytecode", make_key(1)) is None

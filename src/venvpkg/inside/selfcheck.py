"""Compare an installed environment with what its package shipped, and name what differs, file by file.

    /opt/venvs/myapp/bin/python -I -m venvpkg_selfcheck [--json]

Exit status 0: nothing differs; 1: something does; 3: there is nothing to compare with.
It needs Python 3.8 alone; where the environment's own is gone, any other one runs this file.
"""

from __future__ import annotations

import base64
import csv
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Any, Iterator, NamedTuple

Finding = NamedTuple("Finding", [("kind", str), ("path", str), ("message", str)])
# Absolute path to hash, "md5=" or "sha256=" and hex, or nothing for a link or a folder.
Shipped = NamedTuple("Shipped", [("files", "dict[str, str]"), ("conffiles", "dict[str, str]")])


def read_packages(prefix: str, admin: str) -> Shipped:
    """Return what the package database has below a folder, whichever package brought it."""
    start, files = os.fsencode(prefix) + b"/", {}
    for name in glob.glob(glob.escape(admin) + "/info/*.list"):
        listed = read_bytes(name)
        if start in listed:
            files.update({p: "" for p in listed.split(b"\n") if p.startswith(start)})
            for line in read_bytes(name[: -len("list")] + "md5sums").split(b"\n"):
                digest, _, path = line.partition(b"  ")
                if b"/" + path in files:
                    files[b"/" + path] = "md5=" + digest.decode()
    # A conffile is the administrator's; dpkg notes apart what was shipped.
    pattern = rb"^ (%s.*) ([0-9a-f]{32})( obsolete)?$" % re.escape(start)
    noted = re.findall(pattern, read_bytes(admin + "/status"), re.MULTILINE)
    conffiles = {os.fsdecode(path): "md5=" + digest.decode() for path, digest, _ in noted}
    known = {os.fsdecode(path): digest for path, digest in files.items()}
    return Shipped({path: digest for path, digest in known.items() if path not in conffiles}, conffiles)


def read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def read_record(folder: str) -> dict[str, str]:
    """Return the files of a .dist-info folder's RECORD, with their hashes."""
    files = {}
    text = read_bytes(folder + "/RECORD").decode("utf-8", "surrogateescape")
    for name, digest, *_ in (row for row in csv.reader(text.splitlines()) if len(row) > 1):
        algorithm, _, code = digest.partition("=")
        path = os.path.normpath(os.path.join(os.path.dirname(folder), name))
        files[path] = algorithm + "=" + base64.urlsafe_b64decode(code + "==").hex() if code else ""
    return files


def read_distributions(prefix: str) -> dict[str, tuple[str, str]]:
    """Return the .dist-info folders, with normalized name (PEP 503) and version."""
    found = {}
    for folder in sorted(glob.glob(glob.escape(prefix) + "/lib/python3*/site-packages/*.dist-info")):
        headers = read_bytes(folder + "/METADATA").decode("utf-8", "replace").split("\n\n")[0]
        about = dict(line.partition(": ")[::2] for line in reversed(headers.splitlines()))
        name = about.get("Name") or os.path.basename(folder).split("-")[0]
        found[folder] = (re.sub(r"[-_.]+", "-", name.strip()).lower(), about.get("Version", "").strip())
    return found


def check_distributions(
    prefix: str, shipped: dict[str, str], found: dict[str, tuple[str, str]]
) -> Iterator[Finding]:
    """Find distributions that came, went or have another version: pip or uv was here."""
    for folder, (name, version) in found.items():
        if shipped.get(name) != version:
            instead = f"; the package has {shipped[name]}" if name in shipped else ""
            yield Finding("distribution", folder, f"{name} {version} is not from the package{instead}")
    for name in sorted(shipped.keys() - {name for name, _ in found.values()}):
        yield Finding("distribution", prefix, f"{name} {shipped[name]} is gone")


def check_files(shipped: Shipped) -> Iterator[Finding]:
    """Find files that are gone, or have other bytes."""
    for path, digest in sorted({**shipped.files, **shipped.conffiles}.items()):
        try:
            how = "" if not digest or same_bytes(path, digest) else "changed"
        except OSError:
            how = "cannot be read"
        how = how if os.path.lexists(path) else "gone"
        if how and path in shipped.conffiles:
            yield Finding("conffile", path, f"conffile, {how}")
        elif how:
            yield Finding("file", path, how)


def same_bytes(path: str, digest: str) -> bool:
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    made = hashlib.new(digest.partition("=")[0])
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            made.update(block)
    return digest.partition("=")[2] == made.hexdigest()


def check_foreign(prefix: str, shipped: Shipped, brought: dict[str, str]) -> Iterator[Finding]:
    """Find files that no package has; bytecode that Python wrote for a module is none (PEP 3147)."""
    for folder, folders, names in os.walk(prefix):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted(names + links):
            path = os.path.join(folder, name)
            source = os.path.join(os.path.dirname(folder), name.split(".")[0] + ".py")
            cached = name.endswith(".pyc") and folder.endswith("/__pycache__") and os.path.exists(source)
            if not (cached or path in shipped.files or path in shipped.conffiles):
                of = f" ({brought[path]})" if path in brought else ""
                yield Finding("file", path, f"not from the package{of}")


def check_running(prefix: str, manifest: dict[str, Any]) -> Iterator[Finding]:
    """Start the environment's Python, and let it load the libraries and the modules that the build did."""
    python, about = prefix + "/bin/python", manifest["interpreter"]
    asked = json.dumps([manifest["libraries"], manifest["imported"]]).encode()
    words = [python, "-I", "-B", os.path.abspath(__file__), "--load"]
    try:
        with tempfile.TemporaryDirectory(prefix="venvpkg-") as home:
            env = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": home, "TMPDIR": home}
            child = subprocess.run(words, input=asked, capture_output=True, env=env, cwd=home, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        package = about["package"] and f"; {about['package']} has it"
        yield Finding("interpreter", python, f"does not run: {error}{package}")
        return
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    said = (child.stderr.decode("utf-8", "replace").splitlines() or [f"status {child.returncode}"])[-1]
    version = lines[0][1] if lines else ""
    # A point release of Debian's Python changes nothing for the environment.
    parts = 3 if about["mode"] == "bundled" else 2
    if not lines:
        yield Finding("interpreter", python, f"does not run: {said}")
    elif version.split(".")[:parts] != about["version"].split(".")[:parts]:
        yield Finding("interpreter", python, f"is Python {version}; the package has {about['version']}")
    for kind, name, text in lines[1:]:
        if text:
            yield Finding(kind, name, f"does not load: {text}")
    if child.returncode != 0 and lines[1:]:
        yield Finding(lines[-1][0], lines[-1][1], f"does not load: it ends the program ({said})")


def load() -> None:
    """Load what standard input names, in the environment's Python, and tell what became of each."""
    channel = os.fdopen(os.dup(1), "w")
    # What a module prints is no answer.
    os.dup2(2, 1)

    def tell(*what: str) -> None:
        print(json.dumps(what), file=channel, flush=True)

    libraries, modules = json.load(sys.stdin)
    tell("python", "%d.%d.%d" % sys.version_info[:3], "")
    for kind, name in [("library", name) for name in libraries] + [("module", name) for name in modules]:
        tell(kind, name, "")
        try:
            __import__(name) if kind == "module" else __import__("ctypes").CDLL(name)
        except BaseException as error:
            # Some libraries work only in the program that they were made for, which is no loss.
            if kind == "module" or "cannot open shared object file" in str(error):
                tell(kind, name, f"{type(error).__name__}: {error}")
    os._exit(0)


def check(prefix: str, manifest: dict[str, Any], admin: str) -> tuple[int, list[Finding]]:
    """Return how many files there have to be, and what was found."""
    found, versions = read_distributions(prefix), {d["name"]: d["version"] for d in manifest["distributions"]}
    listed = list(check_distributions(prefix, versions, found))
    own = [folder for folder, (name, version) in found.items() if versions.get(name) == version]
    brought = {p: " ".join(found[f]) for f in found if f not in own for p in read_record(f)}
    shipped = read_packages(prefix, admin)
    if prefix + "/venvpkg.json" in shipped.files:
        listed += [*check_files(shipped), *check_foreign(prefix, shipped, brought)]
    else:
        # Copied here without its package: RECORD has the hashes of what distributions brought.
        shipped = Shipped({path: digest for f in own for path, digest in read_record(f).items()}, {})
        listed += check_files(shipped)
        listed += [Finding("file", path, f"not from the package ({of})") for path, of in brought.items()]
    return sum(map(bool, shipped.files.values())), [*listed, *check_running(prefix, manifest)]


def main() -> None:
    sys.dont_write_bytecode = True
    if sys.argv[1:] == ["--load"]:
        load()
    # By its own place, for another Python may run it: PREFIX/lib/python3.N/site-packages.
    prefix = os.path.abspath(__file__).rsplit("/", 4)[0]
    try:
        manifest = json.loads(read_bytes(prefix + "/venvpkg.json"))
        # dpkg knows it by one name, whichever links lead there.
        if os.path.realpath(manifest["prefix"]) == os.path.realpath(prefix):
            prefix = manifest["prefix"]
        checked, listed = check(prefix, manifest, os.environ.get("DPKG_ADMINDIR") or "/var/lib/dpkg")
    except (ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"{prefix}/venvpkg.json does not tell what was shipped: {error!r}\n")
        sys.exit(3)
    count = sum(f.kind != "conffile" for f in listed)
    if sys.argv[1:] == ["--json"]:
        found = [f._asdict() for f in listed]
        print(json.dumps({"prefix": prefix, "checked": checked, "findings": found}, indent=1))
    else:
        for text in [f"{f.path}: {f.message}" for f in listed]:
            print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))
        print(f"{prefix}: {checked} files, {count or 'no'} findings")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()

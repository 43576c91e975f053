"""How time and memory of the three steps grow with an environment.

    PYTHONPATH=src:tests python tests/benchmarks/scale.py [--folder FOLDER] [--large BYTES] [FILES ...]

Writes wheels (120,000 installed files have 4.7 GB), builds an environment of them, and prints a line for each
step: seconds, CPU seconds with those of children, and the memory that our own process had at most, in MB. It
needs uv, gcc, and three times the bytes on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import backend
from builds import Case, clean_environment
from projects import Project

# What one distribution has when it is installed; bytecode doubles the modules.
MODULES, DATA, OBJECTS = 170, 54, 4
DATA_BYTES, OBJECT_BYTES = 60_000, 3_000_000
INSTALLED = 2 * MODULES + DATA + OBJECTS + 5
STEPS = ("build", "settle", "verify")


def write_wheels(folder: Path, count: int, large: int) -> list[str]:
    """Write wheels of ``count`` distributions, the first with a file of ``large`` bytes more."""
    folder.mkdir(parents=True)
    source = folder / "empty.c"
    source.write_text("int nothing(void) { return 0; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", folder / "empty.so"], check=True)
    shared, random_bytes = (folder / "empty.so").read_bytes(), random.Random(1).randbytes
    body = "".join(f"def f{n}(a, b={n}):\n    return [a, b, 'text {n}']\n\n\n" for n in range(40)).encode()
    for number in range(count):
        name = f"bulk{number}"
        files = {f"{name}/__init__.py": b""}
        files |= {
            f"{name}/part{n % 10}/module{n}.py": b"# %d %d\n" % (number, n) + body for n in range(MODULES - 1)
        }
        files |= {f"{name}/data/{n}.bin": random_bytes(DATA_BYTES) for n in range(DATA)}
        files |= {f"{name}/lib{n}.so": shared + random_bytes(OBJECT_BYTES) for n in range(OBJECTS)}
        if large and not number:
            files[f"{name}/large.so"] = shared + bytes(large)
        file, data = backend.pack(name, "1.0", files)
        (folder / file).write_bytes(data)
    return [f"bulk{number}" for number in range(count)]


def run_step(case: Case, step: str) -> dict[str, float]:
    """Run a step in a process of its own, and measure that."""
    words = [sys.executable, "-m", "venvpkg", "dh", "step", step]
    env = {**case.environ, "PYTHONPATH": os.environ["PYTHONPATH"]}
    start = time.monotonic()
    child = subprocess.Popen(words, cwd=case.source, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    peaks: list[int] = []
    # A process that has ended has none of it any more, and what wait4 tells counts its children.
    watcher = threading.Thread(target=watch, args=(child.pid, peaks))
    watcher.start()
    assert child.stdin and child.stdout
    child.stdin.write(case.call_json().encode())
    child.stdin.close()
    answer = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    watcher.join()
    if status:
        raise SystemExit(f"{step} ended with {status}")
    case.actions += json.loads(answer or b"{}").get("actions", [])
    seconds = time.monotonic() - start
    return {"wall_s": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": max(peaks) / 1024}


def watch(pid: int, peaks: list[int]) -> None:
    """Note what the kernel says of a process's largest size, in kB, until it ends."""
    while True:
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        if "VmHWM:" not in text:
            return
        peaks.append(int(text.split("VmHWM:")[1].split()[0]))
        time.sleep(0.02)


def main() -> None:
    """Build one environment after the other and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=int, default=[12_000, 120_000])
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--large", type=int, default=0, help="bytes of one more file")
    parser.add_argument("--config", default="", help="a line for [tool.venvpkg]")
    asked = parser.parse_args()
    for files in asked.files:
        folder = Path(tempfile.mkdtemp(prefix="scale-", dir=asked.folder)).resolve()
        try:
            names = write_wheels(folder / "wheels", round(files / INSTALLED), asked.large)
            config = f'find-links = ["{folder}/wheels"]\nno-index = true\n{asked.config}'
            source = Project(config=config, dependencies=names).write(folder / "src")
            (folder / "home").mkdir()
            case = Case(
                source=source, environ=clean_environment(HOME=str(folder / "home"), TMPDIR=str(folder))
            )
            for step in STEPS:
                if step == "verify":
                    case.write_control()
                told = run_step(case, step)
                found = sum(len(names) for _, _, names in os.walk(case.root))
                print(
                    json.dumps({"files": found, "step": step, **{k: round(v, 1) for k, v in told.items()}}),
                    flush=True,
                )
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""Build one project with venvpkg and with its peers in a clean Debian root, and compare what that takes."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import roots
from benchmarks.figures import (
    groups_table,
    name_rounds,
    read_steps,
    results_table,
    startup_table,
    steps_table,
    take_medians,
)
from checkout import build_deb
from roots import CACHES, CommandFailed, Root, RootFactory

HERE = Path(__file__).resolve().parent
SUITE = "bookworm"
PACKAGES = (
    "build-essential", "debhelper", "dh-python", "dh-virtualenv", "dpkg-dev", "fakeroot", "python3-click",
    "python3-debian", "python3-dev", "python3-jinja2", "python3-packaging", "python3-pip",
    "python3-pyelftools", "python3-venv",
)  # fmt: skip
TOOLS = "/opt/benchmark"
"""The environment that pex, shiv and uv come from; uv is on PATH, as on a developer's machine."""
PLAIN = "/opt/plain"
USER = "visitor"

HOME = "/build/home"
"""Beside the build, as on most machines: what a tool keeps there may be linked into the build."""

ENVIRONMENT = {
    "HOME": HOME,
    "TMPDIR": "/build/tmp",
    "PEX_ROOT": CACHES["pex"],
    # The list is pinned by versions, which a machine's own settings may spread over several indexes.
    "UV_INDEX_STRATEGY": "unsafe-best-match",
    "UV_LINK_MODE": "copy",
}
COLD = {
    name: f"/build/cold/{name}" for name in ("PEX_ROOT", "PIP_CACHE_DIR", "UV_CACHE_DIR", "VENVPKG_CACHE_DIR")
}
MEMORY = 8 << 30
"""Free bytes that allow building in memory, where figures tell of the tools and not of the disk."""

DPKG = "dpkg-buildpackage -us -uc -b"
PEX = (
    f"{TOOLS}/bin/pex --use-pip-config --python python3 -r requirements.txt . -c skybench -o ../skybench.pex"
)
SHIV = (
    f"{TOOLS}/bin/shiv --python '/usr/bin/env python3' -c skybench -o ../skybench.pyz -r requirements.txt ."
)
FLOOR = """
echo '== uv'
uv venv --quiet --python /usr/bin/python3 root/opt/venvs/skybench
uv pip install --quiet --python root/opt/venvs/skybench/bin/python -r requirements.txt .
echo '== compileall'
# Files for another Python do not compile, and are left as they are.
root/opt/venvs/skybench/bin/python -m compileall -q -j "$(nproc)" root/opt/venvs/skybench/lib || true
mkdir root/DEBIAN
printf '%s\\n' 'Package: floor' 'Version: 1.0' 'Architecture: all' 'Maintainer: A <a@example.org>' \\
    'Description: floor' >root/DEBIAN/control
echo '== dpkg-deb'
dpkg-deb --root-owner-group -Zzstd -z9 --build root ../floor.deb
"""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One way to build the project."""

    command: str
    """What /bin/sh runs in the project's folder."""
    made: str
    """What it makes, as a glob beside that folder."""
    debian: str = ""
    """The folder below tests/benchmarks/debian that the project gets."""
    first: str = "dpkg-buildpackage"
    """What runs before the log names the first command."""
    start: str = ""
    """How the application is started, once the package is installed or the archive is at {archive}."""
    after: str = ""
    """The tool whose folder it builds in once more, after a change of one line."""
    env: Mapping[str, str] = field(default_factory=dict)
    cache: str = "uv"
    """Whose cache it finds its downloads in."""
    cold: bool = True
    """Whether it is built with empty caches too."""
    first_ever: bool = False
    """What venvpkg itself keeps between builds is removed before."""


FIRST = "venvpkg-first"
TABLE = {
    FIRST: Tool(command=DPKG, debian="venvpkg", made="skybench_*.deb", first_ever=True, cold=False),
    "venvpkg": Tool(
        command=DPKG, debian="venvpkg", made="skybench_*.deb", start="/opt/venvs/skybench/bin/skybench"
    ),
    "venvpkg-rebuild": Tool(command=DPKG, made="skybench_*.deb", after="venvpkg", cold=False),
    "venvpkg-pip": Tool(
        command=DPKG,
        debian="venvpkg",
        made="skybench_*.deb",
        env={"DH_VENVPKG_INSTALLER": "pip"},
        cache="pip",
    ),
    "venvpkg-xz": Tool(
        command=DPKG,
        debian="venvpkg",
        made="skybench_*.deb",
        env={"DH_VENVPKG_COMPRESSION": "xz"},
        cold=False,
    ),
    "dh-virtualenv": Tool(
        command=DPKG,
        debian="dh-virtualenv",
        made="skybench-dhv_*.deb",
        start="/opt/venvs/skybench-dhv/bin/skybench",
        cache="pip",
    ),
    "pex": Tool(command=PEX, made="skybench.pex", first="pex", start="{archive}", cache="pex"),
    "shiv": Tool(command=SHIV, made="skybench.pyz", first="shiv", start="{archive}", cache="pip"),
    "floor": Tool(command=f"set -e{FLOOR}", made="floor.deb", first="uv"),
}


@dataclass
class Benchmark:
    """One root, in which everything is built, and what was measured so far."""

    root: Root
    warm: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    cold: dict[str, dict[str, float]] = field(default_factory=dict)
    steps: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    kept: dict[str, Path] = field(default_factory=dict)
    """The last package or archive of each tool, below /made in the root."""
    revision: int = 0

    def build(self, name: str, env: Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
        """Build with one tool, keep what it made, and return its figures and steps."""
        tool = TABLE[name]
        folder = f"/build/{tool.after or tool.debian or name}/skybench"
        if tool.after:
            self._change(folder)
        else:
            self._prepare(tool, folder)
        # What an earlier tool wrote must reach the disk on nobody else's account.
        os.sync()
        measured = self.measure(tool.command, cwd=folder, env={**ENVIRONMENT, **tool.env, **env})
        (artefact,) = self.root.inside(folder).parent.glob(tool.made)
        kept = self.root.inside(f"/made/{name}") / artefact.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(artefact, kept)
        self.kept[name] = kept
        if not any(other.after == name for other in TABLE.values()):
            shutil.rmtree(self.root.inside(folder).parent)
        figures = {key: measured[key] for key in ("wall_s", "cpu_s", "peak_kb")}
        figures["deb_bytes"] = kept.stat().st_size
        return figures, read_steps(measured["lines"], measured["wall_s"], tool.first)

    def _prepare(self, tool: Tool, folder: str) -> None:
        inside = self.root.inside(folder)
        shutil.rmtree(inside.parent, ignore_errors=True)
        self.root.copy_in(HERE / "skybench", folder)
        if tool.debian:
            self.root.copy_in(HERE / "debian" / tool.debian, f"{folder}/debian")
        if tool.first_ever:
            shutil.rmtree(self.root.inside(f"{HOME}/.cache/venvpkg"), ignore_errors=True)

    def _change(self, folder: str) -> None:
        self.revision += 1
        module = self.root.inside(folder) / "src/skybench/__init__.py"
        text = module.read_text()
        changed = text.replace("REVISION = ", f"REVISION = {self.revision}", 1)
        assert changed != text
        module.write_text(changed)

    def measure(self, command: str, **options: Any) -> dict[str, Any]:
        """Run a shell command in the root, and return what measure.py says of it."""
        answer = self.root.run(
            ["/usr/bin/python3", "/opt/benchmarks/measure.py", command],
            timeout=None,
            **options,
        )
        measured: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
        if measured["status"] != 0:
            log = "\n".join(text for _, text in measured["lines"])
            raise CommandFailed([command], subprocess.CompletedProcess([], measured["status"], log))
        return measured

    def take_cold_round(self, names: Iterable[str]) -> None:
        """Build once with each tool, with nothing downloaded and nothing in the file cache."""
        for name in names:
            if TABLE[name].cold:
                shutil.rmtree(self.root.inside("/build/cold"), ignore_errors=True)
                for folder in COLD.values():
                    self.root.inside(folder).mkdir(parents=True)
                drop_file_cache()
                self.cold[name], _ = self.build(name, COLD)
                tell(f"cold: {name}", self.cold[name])
        shutil.rmtree(self.root.inside("/build/cold"), ignore_errors=True)

    def take_warm_round(self, names: Iterable[str], title: str) -> None:
        """Build once with each tool, with all caches full."""
        for name in names:
            figures, steps = self.build(name, {})
            self.warm.setdefault(name, []).append(figures)
            self.steps.setdefault(name, []).append(steps)
            tell(f"{title}: {name}", figures)

    def fill_caches(self, names: Iterable[str]) -> None:
        """Download what the warm rounds are to find in the caches."""
        # pex unpacks into its own, which only a build fills: that is done once.
        filled = roots.cache_folder() / "pex" / f"filled-{fingerprint(HERE / 'skybench/requirements.txt')}"
        commands = {
            "uv": "uv venv --quiet ../env && uv pip install --quiet --python ../env -r requirements.txt .",
            "pip": "python3 -m pip download --quiet --dest ../wheels -r requirements.txt setuptools wheel",
            "pex": "" if filled.exists() else PEX,
        }
        self.root.copy_in(HERE / "skybench", "/build/fill/skybench")
        for cache in sorted({TABLE[name].cache for name in names}):
            self.root.run(commands[cache], cwd="/build/fill/skybench", env=ENVIRONMENT)
            if cache == "pex":
                filled.touch()
        shutil.rmtree(self.root.inside("/build/fill"))

    def measure_installed(self, name: str) -> int:
        """Return the bytes of the files that one tool's package or archive brings to a server."""
        kept = self.kept[name]
        if kept.suffix == ".deb":
            return size_of_deb(kept)
        # An archive unpacks itself when it first starts, and is needed afterwards too.
        home = self.root.inside("/build/unpacked")
        self.root.run(f"/made/{name}/{kept.name}", env={"HOME": "/build/unpacked"})
        size = kept.stat().st_size + size_of_folder(home)
        shutil.rmtree(home)
        return size

    def make_plain(self) -> None:
        """Install the project into an environment as a developer would, once."""
        if not self.root.inside(PLAIN).exists():
            self.root.copy_in(HERE / "skybench", "/build/plain")
            install = "uv pip install --quiet --compile-bytecode --python"
            command = f"python3 -m venv {PLAIN} && {install} {PLAIN} -r requirements.txt ."
            self.root.run(command, cwd="/build/plain", env=ENVIRONMENT)

    def measure_startup(self, times: int) -> dict[str, dict[str, float | None]]:
        """Install what was built, start it as a plain user, and return the seconds that takes."""
        self.make_plain()
        starts = {"plain venv": f"{PLAIN}/bin/skybench"}
        started = {name: path for name, path in self.kept.items() if TABLE[name].start}
        self.root.install(path for path in started.values() if path.suffix == ".deb")
        for name, path in started.items():
            starts[name] = TABLE[name].start.format(archive=f"/made/{name}/{path.name}")
        self.root.add_user(USER)

        def start(name: str) -> float:
            return self.measure(starts[name], user=USER, cwd="/tmp")["wall_s"]

        first = {name: start(name) for name in starts}
        warm: list[dict[str, float]] = [{name: start(name) for name in starts} for _ in range(times)]
        cold: list[dict[str, float]] = []
        for _ in range(times):
            cold.append({name: start(name) for name in starts if drop_file_cache()})
        middle, coldest = take_medians(warm), take_medians(cold)
        return {
            name: {"first_s": first[name], "cold_s": coldest.get(name), "warm_s": middle[name]}
            for name in starts
        }

    def draw(self, report: Path, picture: Path) -> None:
        """Draw the steps with the project's own matplotlib."""
        self.make_plain()
        self.root.copy_in(report, "/build/report.json")
        self.root.run(
            [f"{PLAIN}/bin/python", "-m", "benchmarks.plot", "/build/report.json", "/build/plot.png"],
            env={"PYTHONPATH": "/opt"},
        )
        self.root.copy_out("/build/plot.png", picture)


def open_root(names: Iterable[str]) -> Root:
    """Return a root with all tools in it, venvpkg as a package of the checkout."""
    factory = RootFactory()
    deb = build_deb(factory)
    root = factory.base(SUITE, PACKAGES).open()
    try:
        root.install([deb])
        wanted = ["uv", *(name for name in names if name in {"pex", "shiv"})]
        root.run(f"python3 -m venv {TOOLS} && {TOOLS}/bin/pip install --quiet {shlex.join(wanted)}")
        root.inside("/usr/local/bin/uv").symlink_to(f"{TOOLS}/bin/uv")
        root.copy_in(HERE, "/opt/benchmarks")
        if free_memory() > MEMORY:
            root.use_memory("/build")
        for folder in (HOME, ENVIRONMENT["TMPDIR"]):
            root.inside(folder).mkdir(parents=True)
    except BaseException:
        root.close()
        raise
    return root


def read_versions(root: Root) -> dict[str, str]:
    """Return the versions of what is compared."""
    debian = ["dh-venvpkg", "dh-virtualenv", "debhelper", "dpkg", "python3.11"]
    shown = root.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *debian]).stdout
    listed = json.loads(root.run([f"{TOOLS}/bin/pip", "list", "--format=json"]).stdout.splitlines()[0])
    versions = dict(line.split() for line in shown.splitlines())
    return versions | {d["name"]: d["version"] for d in listed if d["name"] in {"pex", "shiv", "uv"}}


def describe_machine() -> dict[str, float | bool]:
    """Return what figures depend on; a load well above zero says that they are too high."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "in_memory": free_memory() > MEMORY,
        "load": os.getloadavg()[0],
    }


def free_memory() -> int:
    """Return the bytes that programs can have without swapping (proc(5))."""
    (line,) = [x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024


def drop_file_cache() -> bool:
    """Make the kernel read files from the disk again, and say whether it may be asked to."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def size_of_deb(deb: Path) -> int:
    """Return the bytes of all files in a package."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        return sum(member.size for member in archive if member.isreg())


def size_of_folder(folder: Path) -> int:
    """Return the bytes of all files below a folder, each counted once however many links it has."""
    infos = [path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum({info.st_ino: info.st_size for info in infos}.values())


def fingerprint(path: Path) -> str:
    """Return a short name for a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def tell(title: str, figures: Mapping[str, float]) -> None:
    """Say how far it is."""
    print(f"{title}: {figures['wall_s']:.1f} s", file=sys.stderr, flush=True)


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, with warm caches only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the steps there")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is built, 3 unless told")
    parser.add_argument(
        "--only",
        action="append",
        choices=TABLE,
        metavar="NAME",
        help="this row alone, and no start-up (repeats)",
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = 1
    return options


def run(options: argparse.Namespace) -> None:
    """Measure all that was asked for, show it and write it."""
    wanted = {*(options.only or TABLE)}
    wanted |= {TABLE[name].after for name in wanted if TABLE[name].after}
    # It fills the cache for the others.
    wanted |= {FIRST} if any(TABLE[name].debian == "venvpkg" for name in wanted) else set()
    names = [name for name in TABLE if name in wanted]
    machine = describe_machine()
    with open_root(names) as root:
        benchmark = Benchmark(root)
        benchmark.fill_caches(names)
        for number in range(options.rounds):
            benchmark.take_warm_round(names, f"round {number + 1} of {options.rounds}")
        if not options.quick:
            benchmark.take_cold_round(names)
        installed = {name: benchmark.measure_installed(name) for name in names}
        warm = {name: take_medians(runs) for name, runs in benchmark.warm.items()}
        report: dict[str, Any] = {
            "results": {n: {**each, "installed_bytes": installed[n]} for n, each in warm.items()},
            "rounds": options.rounds,
            "runs": benchmark.warm,
            "cold": {n: {**each, "installed_bytes": installed[n]} for n, each in benchmark.cold.items()},
            "steps": {name: take_medians(each) for name, each in benchmark.steps.items()},
            "startup": {},
            "machine": machine,
            "versions": read_versions(root),
        }
        written = options.json or root.inside("/build/report.json.new")
        # Half an hour's figures are not to be lost to what comes after them.
        written.write_text(json.dumps(report, indent=2) + "\n")
        if not options.only:
            report["startup"] = benchmark.measure_startup(3 if options.quick else 5)
            written.write_text(json.dumps(report, indent=2) + "\n")
        show(report)
        if options.plot:
            benchmark.draw(written, options.plot)


def show(report: Mapping[str, Any]) -> None:
    """Print the tables."""
    machine, versions = report["machine"], report["versions"]
    print(f"{machine['cpus']} CPUs, load {machine['load']:.1f} before the start", end="; ")
    print("built", "in memory" if machine["in_memory"] else "on disk", end="; ")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    parts: tuple[tuple[str, str, Callable[..., str]], ...] = (
        ("results", f"Warm caches, {name_rounds(report['rounds'])}", results_table),
        ("cold", "Cold caches, one build each", results_table),
        ("steps", "Seconds by kind of work", groups_table),
        ("steps", "Seconds by step", steps_table),
        ("startup", "Start-up", startup_table),
    )
    for key, title, make in parts:
        if report[key]:
            print(f"\n{title}\n\n{make(report[key])}")
    sys.stdout.flush()


def main() -> None:
    """Run the benchmark, or say why that is not possible here."""
    options = read_options(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the root is closed, as on an interrupt
    reason = roots.why_not()
    if reason:
        sys.exit(f"run.sh: {reason}")
    run(options)


if __name__ == "__main__":
    main()

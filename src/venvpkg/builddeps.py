"""System build dependencies, from the declared list."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from debian._deb822_repro import LIST_COMMA_SEPARATED_INTERPRETATION, parse_deb822_file
from debian.deb822 import Deb822, PkgRelation, Sources

from venvpkg.control import format_relations, read_control, relation_names
from venvpkg.errors import VenvpkgError
from venvpkg.log import warn
from venvpkg.process import Runner
from venvpkg.scratch import scratch_folder
from venvpkg.spec import Spec

# How Debian packages a thing is not what building it takes; and in debian/control a dh-sequence would
# switch on an add-on, a second debhelper-compat would stop debhelper.
PACKAGING = re.compile(r"(debhelper|debhelper-compat|dh-[a-z0-9+.-]+)\b")
# What apt takes for no (apt-pkg/strutl.cc, StringToBool).
DISABLED = ("no", "false", "without", "off", "disable", "0")
APT_FOLDER = Path("/etc/apt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The declared system build dependencies of a source package."""

    relations: tuple[str, ...]
    """Clauses of ``build-depends``, in debian/control's syntax."""
    sources: tuple[str, ...]
    """Source packages of ``build-depends-of``."""

    @classmethod
    def of(cls, specs: Sequence[Spec]) -> "Wanted":
        """Collect what all environments of a source package declare."""
        return cls(
            relations=tuple(dict.fromkeys(" ".join(r.split()) for spec in specs for r in spec.build_depends)),
            sources=tuple(dict.fromkeys(name for spec in specs for name in spec.build_depends_of)),
        )


def find_missing(relations: Sequence[str], run: Runner) -> tuple[str, ...]:
    """Return the clauses that the installed packages do not satisfy, from dpkg-checkbuilddeps(1)."""
    if not relations or _is_satisfied(format_relations(relations), run):
        return ()
    return tuple(relation for relation in relations if not _is_satisfied(relation, run))


def _is_satisfied(relations: str, run: Runner) -> bool:
    with scratch_folder() as folder:
        # It wants a control file, though every field of interest is given on the command line.
        control = folder / "control"
        control.write_text("Source: x\nMaintainer: x <x@example.org>\n", encoding="utf-8")
        answer = run(["dpkg-checkbuilddeps", "-I", "-d", relations, "-c", "", control], check=False)
    if answer.returncode not in (0, 1):
        raise VenvpkgError(
            code="relation-invalid",
            message=f"dpkg-checkbuilddeps does not understand {relations!r}.",
            causes=answer.tail,
            hint="Write it as Build-Depends in debian/control has it (Policy §7.1).",
        )
    return answer.returncode == 0


def apt_line(missing: Sequence[str]) -> str:
    """Return the one command that installs what is missing."""
    if all(" " not in relation for relation in missing):
        return f"apt-get install --no-install-recommends {' '.join(missing)}"
    return f"apt-get satisfy --no-install-recommends '{format_relations(missing)}'"


def require_build_depends(spec: Spec, run: Runner, environ: Mapping[str, str]) -> None:
    """Make sure, before anything is downloaded, that the declared list is installed.

    Raises:
        VenvpkgError: ``build-depends-missing``; ``apt-failed``.
    """
    missing = find_missing(spec.build_depends, run)
    if missing and spec.install_build_depends and is_really_root(environ):
        install(Wanted(relations=missing, sources=()), run, environ, sudo=False)
        missing = find_missing(spec.build_depends, run)
    if missing:
        causes = [f"Missing: {', '.join(missing)}."]
        if spec.install_build_depends:
            causes.append("install-build-depends is on, but this is not really root (fakeroot is not).")
        raise VenvpkgError(
            code="build-depends-missing",
            message="System packages that build-depends lists are not installed.",
            causes=causes,
            hint=apt_line(missing),
        )
    absent = absent_from_control(spec.build_depends, spec.source / "debian" / "control")
    if absent:
        warn(
            f"debian/control's Build-Depends has not: {', '.join(absent)} (from build-depends); "
            "venvpkg build-depends --write-control adds them"
        )


def is_really_root(environ: Mapping[str, str]) -> bool:
    """Tell whether the process may install packages; under fakeroot the user id says so, and apt fails."""
    return os.geteuid() == 0 and "FAKEROOTKEY" not in environ


def absent_from_control(relations: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the clauses that Build-Depends has not, word for word but for blanks."""
    present = {_normal(r) for r in read_control(path).build_depends.split(",")}
    return tuple(r for r in relations if _normal(r) not in present)


def _normal(relation: str) -> str:
    return PkgRelation.str(PkgRelation.parse_relations(relation)) if relation.strip() else ""


def expand_sources(sources: Sequence[str], run: Runner) -> tuple[str, ...]:
    """Return the Build-Depends of Debian source packages, clause by clause, without debhelper's own.

    Raises:
        VenvpkgError: ``source-not-found``, ``apt-failed``.
    """
    clauses: list[str] = []
    with source_indexes(run) as options:
        for name in sources:
            answer = run(["apt-cache", *options, "showsrc", "--only-source", name], check=False)
            stanzas = list(
                Sources.iter_paragraphs(answer.stdout.splitlines(keepends=True), use_apt_pkg=False)
            )
            if not stanzas:
                raise VenvpkgError(
                    code="source-not-found",
                    message=f"apt knows no source package {name}.",
                    causes=answer.tail,
                    hint="Correct build-depends-of. The source of a binary package: apt-cache show NAME",
                )
            newest = stanzas[0]
            fields = ("Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep")
            for field in fields:
                clauses += [" ".join(c.split()) for c in newest.get(field, "").split(",") if c.strip()]
    return tuple(clause for clause in dict.fromkeys(clauses) if not PACKAGING.match(clause))


@contextmanager
def source_indexes(run: Runner) -> Iterator[list[str]]:
    """Give apt options under which source packages are known.

    Where the machine's own apt has source indexes, these are none. Elsewhere an apt configuration of our
    own takes the machine's sources with ``deb-src`` added; /etc/apt and /var/lib/apt stay as they are.
    """
    known = run(["apt-get", "indextargets", "--format", "$(CREATED_BY)", "Created-By: Sources"], check=False)
    if known.stdout.strip():
        yield []
        return
    with scratch_folder() as folder:
        parts, lists = folder / "sources.list.d", folder / "lists"
        parts.mkdir()
        (lists / "partial").mkdir(parents=True)
        # apt reads as _apt, which has no way into a folder that mkdtemp made.
        folder.chmod(0o755)
        main = folder / "sources.list"
        main.write_text(with_sources_line(_read(APT_FOLDER / "sources.list")), encoding="utf-8")
        for path in sorted((APT_FOLDER / "sources.list.d").glob("*")):
            convert = {".list": with_sources_line, ".sources": with_sources_stanza}.get(path.suffix)
            if convert:
                (parts / path.name).write_text(convert(_read(path)), encoding="utf-8")
        options = []
        for name, value in (("Etc::sourcelist", main), ("Etc::sourceparts", parts), ("State::lists", lists)):
            options += ["-o", f"Dir::{name}={value}"]
        options += ["-o", f"Dir::Cache::pkgcache={folder / 'pkgcache.bin'}"]
        options += ["-o", f"Dir::Cache::srcpkgcache={folder / 'srcpkgcache.bin'}"]
        _apt(run, ["apt-get", *options, "update", "-q"])
        yield options


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def with_sources_line(text: str) -> str:
    """Return a sources.list(5) file with a ``deb-src`` line for each ``deb`` line."""
    lines = [line.strip() for line in text.splitlines()]
    binary = [line for line in lines if re.match(r"deb\s", line)]
    return "\n".join([*binary, *(f"deb-src{line.removeprefix('deb')}" for line in binary)]) + "\n"


def with_sources_stanza(text: str) -> str:
    """Return a deb822 .sources file whose stanzas have both types."""
    stanzas = []
    for stanza in Deb822.iter_paragraphs(text.splitlines(keepends=True), use_apt_pkg=False):
        if stanza.get("Enabled", "yes").lower() not in DISABLED and "deb" in stanza.get("Types", "").split():
            stanza["Types"] = "deb deb-src"
            stanzas.append(stanza.dump() or "")
    return "\n".join(stanzas)


def install(wanted: Wanted, run: Runner, environ: Mapping[str, str], *, sudo: bool) -> None:
    """Install what is wanted with apt.

    Raises:
        VenvpkgError: ``apt-failed``, ``root-needed``.
    """
    prefix: list[str] = []
    if not is_really_root(environ):
        if not sudo or not shutil.which("sudo", path=environ.get("PATH")):
            raise VenvpkgError(
                code="root-needed",
                message="Installing packages needs root.",
                causes=["This is not really root (fakeroot is not), and there is no sudo."],
                hint=apt_line(wanted.relations) if wanted.relations else "Run it as root.",
            )
        prefix = ["sudo"]
    common = ["-y", "-q", "--no-install-recommends"]
    if wanted.relations:
        _apt(
            run,
            [*prefix, *_noninteractive(), "apt-get", "satisfy", *common, format_relations(wanted.relations)],
        )
    if wanted.sources:
        with source_indexes(run) as options:
            _apt(
                run, [*prefix, *_noninteractive(), "apt-get", *options, "build-dep", *common, *wanted.sources]
            )


def _noninteractive() -> list[str]:
    # sudo passes no environment on, so the setting goes onto the command line.
    return ["env", "DEBIAN_FRONTEND=noninteractive"]


def _apt(run: Runner, words: Sequence[str]) -> None:
    try:
        # apt tells on standard output why it can't.
        run(["sh", "-c", 'exec "$@" >&2', "sh", *words])
    except VenvpkgError as error:
        raise VenvpkgError(
            code="apt-failed",
            message="apt could not install, or update, what is wanted.",
            causes=error.causes,
            hint="Do package lists exist? apt-get update",
        ) from error


def write_control(relations: Sequence[str], path: Path) -> tuple[str, ...]:
    """Bring Build-Depends in debian/control in line, and return the clauses that were added or changed.

    A clause for a package that is there under another version is replaced; everything else stays as it
    is, comments and layout included.
    """
    absent = absent_from_control(relations, path)
    if not absent:
        return ()
    with path.open(encoding="utf-8") as stream:
        document = parse_deb822_file(stream)
    source = next(iter(document))
    if "Build-Depends" not in source:
        source["Build-Depends"] = format_relations(absent)
    else:
        written = str(source["Build-Depends"]).rstrip()
        ended = written.endswith(",")
        a_line_each = "\n" in written or ended
        with source.as_interpreted_dict_view(LIST_COMMA_SEPARATED_INTERPRETATION)["Build-Depends"] as clauses:
            present = list(clauses)
            for relation in absent:
                # Several clauses may speak of one package, as a range of versions does; those stay.
                same = [c for c in present if _head(c) == _head(relation)]
                if len(same) == 1 and sum(_head(r) == _head(relation) for r in relations) == 1:
                    clauses.replace(same[0], relation)
                    continue
                if a_line_each:
                    if not ended:
                        clauses.append_separator(space_after_separator=False)
                    clauses.append_newline()
                    ended = False
                clauses.append(relation)
    path.write_text(document.dump(), encoding="utf-8")
    return absent


def _head(relation: str) -> str:
    return next((names[0] for names in relation_names(relation) if names), "")

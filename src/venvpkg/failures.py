"""What a failed installation means, read out of what the installer and the compilers wrote."""

import platform
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

from packaging.utils import canonicalize_name

from venvpkg.errors import VenvpkgError
from venvpkg.missing import DOWNLOADS, SETTINGS, find_missing_things
from venvpkg.plan import Install
from venvpkg.process import CommandFailedError
from venvpkg.spec import Spec

# What uv and pip say of an archive that would write outside of its place, or over the environment itself.
UNSAFE = re.compile(
    r"install outside (the )?target|outside the destination|unsafe (member path|(symbolic|hard)-link target)"
    r"|unacceptable filename|rejected by name policy|unsupported member type|Script path must resolve"
    r"|must not use the reserved name|Unknown scheme key|Unexpected file in .* \.data directory"
    r"|(does not use|is not valid) UTF-8"
)
BROKEN = re.compile(
    r"Failed to extract archive|Failed to read from zip|structure of .* was invalid|RECORD. file is invalid"
    r"|Wheel .* is invalid|invalid wheel|Error decoding metadata|tarfile\.ReadError|zipfile\.BadZipFile"
    r"|EOFError: Compressed file|failed to read tar data"
)
BUILDING = re.compile(
    r"error: command .* failed|Failed to build|subprocess-exited|metadata-generation|build backend"
    r"|BackendUnavailable"
)
# Where uv and pip quote what a build wrote, and where they end.
QUOTED = re.compile(r"^\s*\[(stdout|stderr)\]$|\[\d+ lines? of output\]$")
CALLED = re.compile(r"Call to `|\[\d+ lines? of output\]$")
AFTER = re.compile(r"^\s*(\[end of output\]$|hint: )")
# A compiler, linker, Meson or CMake; "conftest.c" is where configure asks a question.
COMPILER = re.compile(
    r"^(?!conftest\.).*(:\d+: (fatal |internal compiler )?(error|ERROR): "
    r"|undefined reference to|cannot find -l)"
    r"|^CMake Error|^error\[E\d+\]: |^gcc: fatal error: |^(Fatal )?Error: "
)
BELOW = re.compile(r"^(\s*\d* \||\s*-->|  \S)")
EXCEPTION = re.compile(r"^[\w.]*(Error|Exception|Exit|Failure|Unavailable)\w*(:|$)")
PLAIN = re.compile(r"^(\S+: )?(fatal )?(error|ERROR): (?!command )")
SHOWN_ERRORS = 3
SHOWN_BELOW = 4
SHOWN_END = 6
SHOWN_ALONE = 25

NAMES = (
    r"Failed to build `([^`]+)`",
    r"Could not build wheels for ([\w.-]+)",
    r"Failed building wheel for ([\w.-]+)",
)
# Of uv, of pip where nothing fits at all.
UNFIT = re.compile(
    r"([\w.-]+)(?:[=<>~!][^ ]*)? has no (?:usable wheels|wheels with a matching)"
    r"|No matching distribution found for ([\w.-]+)"
)
# A path in tool.uv.sources that leads nowhere from the copy of the project.
LOST = re.compile(r"Distribution not found at: file://(\S+)")
REFUSED = re.compile(r"401 Unauthorized|403 Forbidden|40[13] Client Error|HTTP error 40[13]")
EARLIER = re.compile(r"was found on \S+, but not at the requested version")
# setuptools-scm, which others build on, and versioningit.
UNVERSIONED = re.compile(r"(?i)unable to (detect|determine) (the )?version|not a (git|supported) repository")
LONGEST = 1000
EXPECTED = re.compile(r"Expected +(?:or|(\w+)) ([0-9a-f]{32,})$")
DIGEST = re.compile(r"(\w+):[0-9a-f]{32,}$")


def explain_outside(text: str) -> str:
    """Return the hint where a path of ``tool.uv.sources`` led out of the source package, or nothing.

    Args:
        text: what uv wrote.
    """
    found = LOST.search(text)
    if not found:
        return ""
    return (
        f"{Path(found[1]).name} lies outside of the source package, which holds all that it is built of.\n"
        "Build in a folder above both, that has debian/venvpkg.toml with the project's own, as in:\n"
        'project = "services/api"'
    )


def explain_failure(
    error: VenvpkgError, title: str, install: Install, spec: Spec | None = None, python: str = ""
) -> VenvpkgError:
    """Return the error that an installer's failure is, from the last lines that it wrote.

    Args:
        error: what running it raised.
        title: name and version of the installer.
        install: what it was asked for.
        spec: the specification of the environment, where there is one.
        python: version of the packaged Python, ``3.11``.
    """
    said = error.lines if isinstance(error, CommandFailedError) else error.causes
    # A name without an end would take the square of its length to search.
    lines = [line[:LONGEST] for line in said]
    text = "\n".join(lines)
    message = f"{title.split()[0]} could not install {install.title}."
    causes: Sequence[str] = [line[:LONGEST] for line in error.causes if line.strip()]
    # pip says five times of each name that it tries again; the error behind them has the reason.
    causes = [line for line in causes if not line.startswith("WARNING: Retrying")] or causes
    code, hint = "install-failed", "The lines above are the installer's own; DH_VERBOSE=1 shows all of them."
    if re.search(r"do not match the hashes|hash mismatch", text, re.IGNORECASE):
        code, hint = (
            "hash-mismatch",
            "The file is not the one that was pinned: find out why before pinning it anew.",
        )
        causes = both_hashes(lines) or causes
    elif UNSAFE.search(text) and not BUILDING.search(text):
        code, hint = "archive-unsafe", "Do not use it: it writes where no distribution may, or was made to."
        if "reserved name" in text:
            hint = "Give the script another name: this one is the interpreter's own."
    elif BROKEN.search(text) and not BUILDING.search(text):
        code, hint = "archive-broken", "Fetch or build it anew; a cache or a mirror may have half of it."
    elif outside := explain_outside(text):
        code, hint = "requirement-not-found", outside
    elif REFUSED.search(text):
        code = "index-refused"
        hint = "Check user and password of the index: netrc, keyring, PIP_INDEX_URL, or ${NAME} in index-url."
    elif re.search(r"No matching distribution|No solution found|no versions of|ResolutionImpossible", text):
        code, hint = "requirement-not-found", "Check name, version and index; is it made for this Python?"
        if title.startswith("pip"):
            hint += (
                "\npip tells neither a wrong password nor an unreachable index from a name that is not there."
            )
        if EARLIER.search(text):
            # uv's own advice, to ask all indexes for the newest, is what dependency confusion lives on.
            causes = [line for line in causes if "--index-strategy" not in line]
            hint = (
                "An earlier index has this name in other versions, and uv takes a name from the first one.\n"
                "Put the version there, or pin everything with hashes, with which later ones are asked too:\n"
                "uv pip compile --generate-hashes pyproject.toml -o requirements.txt"
            )
        if unfit := explain_unfit(text, spec, python):
            causes, hint = [unfit[0], *causes], unfit[1]
    elif re.search(r"No space left on device|os error 28", text):
        code, hint = (
            "no-space",
            "Free some space; TMPDIR and UV_CACHE_DIR or PIP_CACHE_DIR say where it is needed.",
        )
    elif BUILDING.search(text):
        code, hint = "build-failed", advise(text, spec, python)
        causes = build_reasons(lines) or causes
        named = next((found[1] for name in NAMES if (found := re.search(name, text))), "")
        # The project itself is named by the folder of its copy.
        if named and "/" not in named and "file:" not in named:
            message = f"{message[:-1]}: {named} did not build."
    elif re.search(
        r"Connection|[Nn]ame resolution|dns error|timed out|Failed to fetch|error sending request", text
    ):
        code, hint = (
            "index-unreachable",
            "Is there a network? Without one: venvpkg vendor, where there is one.",
        )
        if re.search(r"404 (Not Found|Client Error)", text):
            hint = "The index lists a file that it has not; a mirror may be half done."
    return VenvpkgError(code=code, message=message, causes=causes, hint=hint)


def both_hashes(lines: Sequence[str]) -> list[str]:
    """Return what was pinned and what was found, for every file that is another, from uv or pip."""
    found, kind, word = [], "", ""
    for line in map(str.strip, lines):
        if named := re.search(r"Hash mismatch for `([^`]+)`", line) or re.match(r"(\S+ from \w+:\S+)", line):
            found.append(f"{named[1]}:")
        elif line in ("Expected:", "Computed:"):
            word = "expected" if line == "Expected:" else "got     "
        elif word and DIGEST.match(line):
            found.append(f"  {word} {line}")
        elif expected := EXPECTED.match(line):
            kind = expected[1] or kind
            found.append(f"  expected {kind}:{expected[2]}")
        elif got := re.match(r"Got +([0-9a-f]{32,})$", line):
            found.append(f"  got      {kind}:{got[1]}")
    return found if any("  got " in line for line in found) else []


def explain_unfit(text: str, spec: Spec | None, python: str) -> tuple[str, str] | None:
    """Return cause and hint where there is a distribution, but no wheel of it for this machine."""
    names = dict.fromkeys(canonicalize_name(a or b) for a, b in UNFIT.findall(text))
    place = f"Python {python} on {platform.machine()}"
    only = {
        name if name == ":all:" else canonicalize_name(name) for name in (spec.only_binary if spec else ())
    }
    for name in names:
        if name in only or ":all:" in only:
            return (
                f"No wheel of {name} fits {place}, and only-binary forbids its sdist.",
                f"Take {name} out of only-binary to build it from source, or pin a version with a wheel.",
            )
    if names and re.search(r"has no wheels with a matching", text):
        return (
            f"No wheel of {next(iter(names))} fits {place}, and there is no sdist.",
            "Pin a version that has one, or name another Python with the key python.",
        )
    return None


def build_reasons(lines: Sequence[str]) -> list[str]:
    """Return the first errors of compilers, else what the build back end raised; then other lines."""
    said, label = build_output(lines), "The last lines of the build:"
    if shown := compiler_errors(said):
        end = said[-SHOWN_END:]
    elif shown := raised_error(said):
        traceback = next((n for n, line in enumerate(said) if line.startswith("Traceback (most")), len(said))
        end, label = said[:traceback][-SHOWN_END:], "Before that:"
    else:
        end = said[-SHOWN_ALONE:]
    end = [line for line in end if line not in shown]
    return [*shown, *([label] if shown and end else []), *end]


def build_output(lines: Sequence[str]) -> list[str]:
    """Return what a build wrote, out of what an installer made of it, without empty lines."""
    said = []
    # The beginning of long output is not kept.
    inside = not any(CALLED.search(line) for line in lines)
    for line in lines:
        if QUOTED.search(line):
            inside = True
        elif AFTER.match(line):
            inside = False
        elif inside:
            said.append(line.rstrip())
    return [line for line in dedent("\n".join(said)).splitlines() if line.strip()]


def compiler_errors(said: Sequence[str]) -> list[str]:
    """Return the first lines that compilers call errors, each with what stands below it."""
    shown = []
    for number in [n for n, line in enumerate(said) if COMPILER.match(line)][:SHOWN_ERRORS]:
        shown.append(said[number])
        for line in said[number + 1 : number + 1 + SHOWN_BELOW]:
            if not BELOW.match(line):
                break
            shown.append(line)
    return list(dict.fromkeys(shown))


def raised_error(said: Sequence[str]) -> list[str]:
    """Return the last exception, its text and the frame that raised it, or what else is called an error."""
    raised = [n for n, line in enumerate(said) if EXCEPTION.match(line)][-1:]
    plain = [n for n, line in enumerate(said) if PLAIN.match(line)][-1:]
    shown: list[str] = []
    for number in raised or plain:
        shown += said[number : number + 1 + SHOWN_BELOW]
        frame = max(
            (n for n, line in enumerate(said[:number]) if line.startswith('  File "')), default=number
        )
        shown += said[frame : min(frame + 2, number)]
    return shown


def advise(text: str, spec: Spec | None, python: str) -> str:
    """Return what to do about a build that failed: packages to add, in lines to paste."""
    headers = f"python{python}-dev" if spec and spec.python not in ("", "python3") else "python3-dev"
    things = find_missing_things(text, headers)
    declared = spec.build_depends if spec else ()
    known = [thing for thing in things if thing.package]
    listed = {re.split(r"[\s(|:]", relation)[0] for relation in declared}
    new = [thing for thing in known if thing.package not in listed]
    hints = []
    if known:
        hints.append(", ".join(f"{t.name} is in {t.package}" for t in known) + ".")
    if new:
        packages = [thing.package for thing in new]
        quoted = ", ".join(f'"{package}"' for package in (*declared, *packages))
        hints += [
            "Add to [tool.venvpkg], and to debian/control (venvpkg build-depends --write-control does):",
            f"build-depends = [{quoted}]",
            f"Build-Depends: …, {', '.join(packages)}",
            f"apt-get install --no-install-recommends {' '.join(packages)}",
        ]
    elif known:
        hints.append(
            "build-depends has that already: is it new enough, or does the build look in another folder?"
        )
    hints += [
        f"{t.name}: apt-file search --regexp '{t.pattern}' names the package to add to build-depends."
        for t in things
        if not t.package
    ]
    hints += download_hints(text, spec)
    if UNVERSIONED.search(text):
        hints += [
            "Its version comes from a repository, and there is none. Is it a folder of a larger project?",
            'Put debian/ at the top of that, with project = "FOLDER" in debian/venvpkg.toml.',
            "Or say the version: SETUPTOOLS_SCM_PRETEND_VERSION=1.0",
        ]
    module = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", text)
    if module and not things:
        hints += [
            f"The build imports {module[1]}, which it does not ask for: build-isolation = false, and "
            "in preinstall the distribution that has it, with all that the build needs."
            if spec is None or spec.build_isolation
            else f"Without build isolation, preinstall has to bring what has the module {module[1]}."
        ]
    return "\n".join(hints) or "The lines above are the build's own; DH_VERBOSE=1 shows all of them."


def download_hints(text: str, spec: Spec | None) -> list[str]:
    """Return what to do where a build fetches a library's source by itself, and cannot."""
    files = [url.rpartition("/")[2] for url in DOWNLOADS.findall(text)]
    if not files:
        return []
    if any(file.startswith(tuple(SETTINGS)) for file in files):
        # A system's library that is not there is downloaded for all that.
        if spec and "system-freetype" in str(spec.config_settings):
            return []
        options = ", ".join(f'"-D{option}=true"' for option in SETTINGS.values())
        return [
            "So that the build takes the system's libraries and downloads none:",
            f"config-settings = {{ matplotlib = {{ setup-args = [{options}] }} }}",
        ]
    return [
        f"The build itself fetches {files[0]}: it needs a network, or a setting (config-settings) that makes "
        "it take the system's library."
    ]

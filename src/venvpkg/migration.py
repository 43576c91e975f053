"""Turns a debian/ folder that was written for dh-virtualenv into one of venvpkg's own form."""

import difflib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from debian._deb822_repro import parse_deb822_file
from debian._deb822_repro.parsing import LIST_COMMA_SEPARATED_INTERPRETATION

from venvpkg.configuration import OWN_FILE, read_options, read_toml
from venvpkg.control import read_control, relation_names
from venvpkg.errors import VenvpkgError
from venvpkg.keys import BY_NAME
from venvpkg.locks import find_requirements
from venvpkg.makefile import SHELL, Block, Makefile, expand, join_lines
from venvpkg.virtualenv import OPTIONS, ROOT, translate

MARK = "# venvpkg migrate:"
FORMER_ADDON = "python-virtualenv"
BUILD_SYSTEM = re.compile(r"\s--buildsystem[= ]dh_virtualenv\b")
OWN_VARIABLES = (
    ROOT, "DH_VIRTUALENV_INSTALL_SUFFIX", "DH_VIRTUALENV_ARGUMENTS", "DH_REQUIREMENTS_FILE",
    "DH_PIP_EXTRA_ARGS", "DH_UPGRADE_PIP", "DH_UPGRADE_SETUPTOOLS", "DH_UPGRADE_WHEEL",
)  # fmt: skip
# dh-virtualenv's add-on takes these out of the sequence, so that what is written for them never ran.
NEVER_RAN = ("dh_auto_test", "dh_auto_build", "dh_auto_install", "dh_auto_clean")
# These do not see an environment of venvpkg's, and are overridden because they broke dh-virtualenv's.
NEEDLESS = ("dh_strip", "dh_dwz", "dh_shlibdeps", "dh_strip_nondeterminism", "dh_makeshlibs")
# What an override says of wheels' libraries, and nothing else.
EXCLUDING = re.compile(
    r"(-X|--exclude[= ]?|-l|--dpkg-shlibdeps-params=|--ignore-missing-info|--no-automatic-dbgsym)"
)
BUILDS = ("Makefile", "makefile", "GNUmakefile", "CMakeLists.txt", "configure", "meson.build", "Makefile.PL")
TRIGGER = re.compile(
    r"\s*interest(-noawait|-await)?\s+(\S*/python[\d.]*|dh-virtualenv-interpreter-update)\s*$"
)
# Relationships that say which Python a package is for.
INTERPRETER = re.compile(
    r"\$\{python3?:(Depends|Pre-Depends)\}|(lib)?python[23](\.\d+)?(-minimal|-venv|-distutils|-virtualenv)?"
)
MAKES_ENVIRONMENTS = frozenset({"virtualenv", "python3-virtualenv", "python-virtualenv"})
USES_PIP = re.compile(r"bin/pip\b|-m\s+pip\b")
DEMOTED = re.compile(r"site-packages/(?P<name>[\w.]+)/.*-d(?P<level>Recommends|Suggests)\b")
FLAGS = {
    "S": "use-system-packages",
    "s": "setuptools",
    "n": "noscripts",
    "v": "verbose",
    "a": "arch",
    "i": "indep",
}
LETTERS = {"p": "package", "N": "no-package", "D": "sourcedirectory", "O": "O"}


@dataclass(slots=True)
class Migration:
    """What becomes of a source package."""

    source: Path
    texts: dict[str, str] = field(default_factory=dict)
    """Files with their new text, by path relative to the source package; an empty one goes."""
    values: dict[str, Any] = field(default_factory=dict)
    """Keys for all packages."""
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Keys of one."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""
    marks: list[str] = field(default_factory=list)
    """What stays and is to be looked at."""

    def diff(self) -> str:
        """Return the changes in the form of a patch."""
        shown: list[str] = []
        for name, text in sorted(self.texts.items()):
            path = self.source / name
            before = path.read_text(encoding="utf-8") if path.is_file() else ""
            shown += difflib.unified_diff(
                before.splitlines(keepends=True),
                text.splitlines(keepends=True),
                f"a/{name}" if before else "/dev/null",
                f"b/{name}" if text else "/dev/null",
            )
        return "".join(shown)

    def write(self) -> None:
        """Write the files."""
        for name, text in self.texts.items():
            path = self.source / name
            if text:
                temporary = path.with_name(f".{path.name}.venvpkg-new")
                temporary.write_text(text, encoding="utf-8")
                if path.exists():
                    temporary.chmod(path.stat().st_mode & 0o7777)
                temporary.replace(path)
            else:
                path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of dh_virtualenv."""

    options: dict[str, list[str]]
    packages: tuple[str, ...]
    """Those that -p names; none for all."""


def plan_migration(source: Path) -> Migration:
    """Work out what a source package becomes; nothing is written.

    Raises:
        VenvpkgError: ``migrate-no-package``, ``migrate-configured``, and what reading the files raises.
    """
    control, rules = source / "debian" / "control", source / "debian" / "rules"
    if not (control.is_file() and rules.is_file()):
        raise VenvpkgError(
            code="migrate-no-package",
            message=f"{source} is no Debian source package.",
            causes=[
                f"There is no {path.relative_to(source)}." for path in (control, rules) if not path.is_file()
            ],
            hint="Name the folder that holds debian/.",
        )
    migration = Migration(source=source)
    written = rules.read_text(encoding="utf-8")
    makefile = Makefile.parse(written)
    if not is_former(control.read_text(encoding="utf-8"), written):
        return migration
    names = [package.name for package in read_control(control).packages]
    _change_rules(migration, makefile, names)
    _choose_requirements(migration)
    _change_scripts(migration)
    migration.texts["debian/rules"] = makefile.text()
    migration.texts["debian/control"] = _change_control(control, migration)
    for path in sorted((source / "debian").glob("*triggers")):
        kept = [line for line in path.read_text(encoding="utf-8").splitlines() if not TRIGGER.match(line)]
        alone = all(line.startswith("#") or not line.strip() for line in kept)
        migration.texts[f"debian/{path.name}"] = "" if alone else "\n".join(kept) + "\n"
    _write_configuration(migration, names)
    same = [n for n, text in migration.texts.items() if _read(source / n) == text]
    for name in same:
        del migration.texts[name]
    return migration


def is_former(control: str, rules: str) -> bool:
    """Tell whether a source package uses dh-virtualenv."""
    lines = [
        line for line in (*control.splitlines(), *rules.splitlines()) if not line.lstrip().startswith("#")
    ]
    text = "\n".join(lines)
    return bool(
        re.search(rf"\bdh[-_]virtualenv\b|--with[= ]\S*\b{FORMER_ADDON}\b|sequence-{FORMER_ADDON}", text)
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _change_rules(migration: Migration, makefile: Makefile, names: Sequence[str]) -> None:
    uses_system = any(BUILD_SYSTEM.search(line) for block in makefile.blocks for line in block.lines)
    _take_exports(migration, makefile, uses_system=uses_system)
    for rule in [b for b in makefile.blocks if any(re.search(r"\bdh\s+\$@", c) for c in b.commands)]:
        lines = tuple(_change_dh_line(line, migration) for line in rule.lines)
        makefile.replace(rule, Block(lines=lines, targets=rule.targets))
    _change_override(migration, makefile, names)
    for word in ("before", "after"):
        block = makefile.rule(f"execute_{word}_dh_virtualenv")
        if block:
            makefile.replace(block, block.with_recipe(f"execute_{word}_dh_venvpkg", block.recipe))
            _look_for_pip(migration, block.commands)
    for name in NEVER_RAN:
        block = makefile.rule(f"override_{name}")
        if block:
            makefile.replace(block)
            migration.notes.append(f"override_{name} is gone: with dh-virtualenv it never ran")
    for name in NEEDLESS:
        _drop_needless(migration, makefile, name)


def _take_exports(migration: Migration, makefile: Makefile, *, uses_system: bool) -> None:
    known = makefile.variables()
    environ: dict[str, str] = {}
    for block in [b for b in makefile.blocks if b.name in OWN_VARIABLES]:
        value = known.get(block.name)
        if value is None:
            _mark(
                migration, makefile, block, f"{block.name} is not a plain value; dh_venvpkg reads it as it is"
            )
            continue
        environ[block.name] = value
        if makefile.mentions(block.name):
            # Others in the file need it; what was exported is a key now.
            kept = tuple(line.replace("export ", "", 1) for line in block.lines)
            makefile.replace(block, Block(lines=kept, name=block.name, value=block.value))
        else:
            makefile.replace(block)
    if uses_system:
        environ.setdefault(ROOT, "/usr/share/python")
        environ.setdefault("DH_VIRTUALENV_INSTALL_SUFFIX", _source_name(migration.source))
    told = translate({}, environ, migration.source, former=False)
    migration.values |= read_options(told.values)
    migration.notes += told.notes


def _source_name(source: Path) -> str:
    found = re.search(r"^Source:\s*(\S+)", _read(source / "debian" / "control"), re.MULTILINE)
    return found[1] if found else source.name


def _change_dh_line(line: str, migration: Migration) -> str:
    if not re.search(r"\bdh\s+\$@", line):
        return line
    line, taken = BUILD_SYSTEM.subn("", line)

    def change(match: re.Match[str]) -> str:
        addons = ["venvpkg" if name == FORMER_ADDON else name for name in match[2].split(",")]
        # An older debhelper wanted these named; the ones of Python 2 are no more.
        kept = [name for name in addons if name not in ("python2", "pysupport")]
        return f"{match[1]}{','.join(dict.fromkeys(kept))}"

    line = re.sub(r"(--with[= ])([\w,-]+)", change, line)
    if taken and "venvpkg" not in line:
        line = f"{line} --with venvpkg"
    if "--buildsystem" not in line and any((migration.source / name).exists() for name in BUILDS):
        # dh-virtualenv's add-on took the build out of the sequence.
        line = f"{line} --buildsystem=none"
    return line


def _change_override(migration: Migration, makefile: Makefile, names: Sequence[str]) -> None:
    block = makefile.rule("override_dh_virtualenv")
    if block is None:
        if len(names) > 1:
            migration.packages |= {name: {} for name in names}
        return
    commands = join_lines(block.recipe)
    variables = makefile.variables()
    calls: list[Call | None] = []
    before: list[str] = []
    after: list[str] = []
    for line, command in zip(_group(block.recipe), commands, strict=True):
        text = command.strip().lstrip("@-+").strip()
        if re.search(r"\bdh_virtualenv\b", text) and not text.startswith("#"):
            calls.append(parse_call(expand(text, variables)))
        elif calls:
            after += line
        else:
            before += line
    if None in calls or not calls:
        recipe = [re.sub(r"\bdh_virtualenv\b", "dh_venvpkg", line) for line in block.recipe]
        reason = "the options are not plain words; dh_venvpkg takes them as they are"
        reason = reason if calls else "what this runs calls dh_venvpkg, which takes the same options"
        changed = block.with_recipe("override_dh_venvpkg", recipe)
        makefile.replace(block, changed)
        _mark(migration, makefile, changed, reason)
        _look_for_pip(migration, block.commands)
        return
    for call in calls:
        assert call
        told = translate(call.options, {}, migration.source, former=False)
        values = read_options(told.values)
        migration.notes += [note for note in told.notes if note not in migration.notes]
        if len(names) == 1:
            migration.values |= values
        else:
            for name in call.packages or names:
                migration.packages[name] = {**migration.packages.get(name, {}), **values}
    fresh = [
        block.with_recipe(f"execute_{word}_dh_venvpkg", _strip_empty(lines))
        for word, lines in (("before", before), ("after", after))
        if any(line.strip() and not line.strip().startswith("#") for line in lines)
    ]
    if len(fresh) == 2:
        fresh.insert(1, Block(lines=("",)))
    if "noscripts" in {name for call in calls if call for name in call.options}:
        quiet = ["\tdh_venvpkg --noscripts"]
        fresh.insert(0, block.with_recipe("override_dh_venvpkg", quiet))
    makefile.replace(block, *fresh)
    _look_for_pip(migration, (*before, *after))


def _change_scripts(migration: Migration) -> None:
    """Let what debian/rules runs call the new command."""
    for path in sorted((migration.source / "debian").iterdir()):
        if not path.is_file() or path.name in ("rules", "control", "changelog") or path.is_symlink():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if text.startswith("#!") and re.search(r"\bdh_virtualenv\b", text):
            name = f"debian/{path.name}"
            migration.texts[name] = re.sub(r"\bdh_virtualenv\b", "dh_venvpkg", text)
            migration.marks.append(f"{name}: it calls dh_venvpkg, which takes dh-virtualenv's options")
            _look_for_pip(migration, text.splitlines())


def _choose_requirements(migration: Migration) -> None:
    """Name requirements.txt where venvpkg would take a lock, which dh-virtualenv does not know."""
    for values in (migration.values, *migration.packages.values()):
        folder = str({**migration.values, **values}.get("project") or ".")
        found = tuple(find_requirements(migration.source / folder))
        wanted = migration.source / folder / "requirements.txt"
        if "requirements" in values or not found or found == (wanted,):
            continue
        if wanted.is_file():
            values |= {"requirements": [str(wanted.relative_to(migration.source))]}
        else:
            name = found[0].relative_to(migration.source)
            migration.notes.append(f"{name} is installed from, which dh-virtualenv passed over")


def _group(lines: Sequence[str]) -> list[list[str]]:
    """Return lines with those that continue them."""
    groups: list[list[str]] = []
    goes_on = False
    for line in lines:
        if goes_on:
            groups[-1].append(line)
        else:
            groups.append([line])
        goes_on = line.endswith("\\")
    return groups


def _strip_empty(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    return lines


def parse_call(command: str) -> Call | None:
    """Return the options of a call of dh_virtualenv, or nothing where a shell or make has a say in it."""
    quoted = re.sub(r"'[^'$]*'|\"[^\"$`\\]*\"", lambda m: re.sub(r"[^\s\w'\"]", "_", m[0]), command)
    if SHELL.search(quoted):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words or words.pop(0) != "dh_virtualenv":
        return None
    takes_value = {re.split(r"[|=]", o)[0] for o in OPTIONS if "=s" in o}
    takes_value |= {key.name for key in BY_NAME.values() if key.option.endswith(("=s", "=s@"))}
    takes_value |= {"package", "no-package"}
    known = takes_value | {re.split(r"[|=]", o)[0] for o in OPTIONS} | {*FLAGS.values()}
    options: dict[str, list[str]] = {}
    while words:
        word = words.pop(0)
        if word.startswith("-O"):
            word = word[2:]
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
        elif word[:1] == "-" and word[1:2] in LETTERS:
            name, has_value, value = LETTERS[word[1]], word[2:], word[2:].removeprefix("=")
        elif word[:1] == "-" and word[1:] in FLAGS:
            name, has_value, value = FLAGS[word[1:]], "", ""
        else:
            return None
        if name not in known:
            return None
        if name in takes_value and not has_value:
            if not words:
                return None
            value = words.pop(0)
        options.setdefault(name, []).append(value)
    packages = tuple(options.pop("package", ()))
    if "no-package" in options:
        return None
    for name in ("verbose", "arch", "indep"):
        options.pop(name, None)
    return Call(options=options, packages=packages)


def _look_for_pip(migration: Migration, commands: Iterable[str]) -> None:
    if any(USES_PIP.search(command) for command in commands):
        migration.values["seed"] = ["pip"]
        migration.notes.append("debian/rules uses the environment's pip, which the key seed puts there")


def _drop_needless(migration: Migration, makefile: Makefile, name: str) -> None:
    block = makefile.rule(f"override_{name}")
    if block is None:
        return
    commands = block.commands
    demoted = {m["name"]: m["level"] for c in commands if (m := DEMOTED.search(c))}
    if commands and all(re.search(r"\bfind\b.*\bdpkg-shlibdeps\b", c) for c in commands):
        makefile.replace(block)
        if demoted:
            migration.values["demote"] = demoted
        migration.notes.append(
            f"override_{name} is gone: every library is asked for by venvpkg itself"
            + (f", and {', '.join(demoted)} became the key demote" if demoted else "")
        )
    elif all(_only_excludes(command, name) for command in commands):
        makefile.replace(block)
        migration.notes.append(f"override_{name} is gone: {name} does not see the environment")
    elif "venv" in " ".join(block.recipe) or "site-packages" in " ".join(block.recipe):
        _mark(
            migration,
            makefile,
            block,
            f"the environment is set aside while {name} runs, so that nothing of it is found there; "
            "what this is for may belong into execute_after_dh_venvpkg, or may not be needed",
        )


def _only_excludes(command: str, name: str) -> bool:
    words = command.split()
    return bool(words) and words[0] in (name, ":", "true") and all(EXCLUDING.match(w) for w in words[1:])


def _mark(migration: Migration, makefile: Makefile, block: Block, reason: str) -> None:
    makefile.replace(block, Block(lines=(f"{MARK} {reason}",)), block)
    migration.marks.append(f"{' '.join(block.targets) or block.name}: {reason}")


def _change_control(path: Path, migration: Migration) -> str:
    with path.open(encoding="utf-8") as stream:
        document = parse_deb822_file(stream)
    stanzas = list(document)
    for name in ("Build-Depends", "Build-Depends-Indep", "Build-Depends-Arch"):
        if name in stanzas[0]:
            _change_clauses(stanzas[0], name, _change_build_clause)
    with_environment = migration.packages or None
    for stanza in stanzas[1:]:
        if with_environment is not None and str(stanza["Package"]) not in with_environment:
            continue
        for name in ("Pre-Depends", "Depends"):
            if name in stanza:
                _change_clauses(stanza, name, _change_clause)
        missing = [
            variable
            for variable in ("${misc:Depends}", "${shlibs:Depends}")
            if variable not in str(stanza.get("Depends", ""))
        ]
        if "Depends" not in stanza or not str(stanza["Depends"]).strip():
            stanza["Depends"] = ", ".join(missing or ["${misc:Depends}"])
        elif missing:
            with stanza.as_interpreted_dict_view(LIST_COMMA_SEPARATED_INTERPRETATION)["Depends"] as clauses:
                for variable in missing:
                    clauses.append(variable)
    text = str(document.dump())
    # A list of its own, for what dpkg-shlibdeps was asked for apart.
    return re.sub(r"\$\{shlibs\d+:(Recommends|Suggests)\}", r"${shlibs:\1}", text)


def _change_build_clause(clause: str) -> str | None:
    names = [name for names in relation_names(clause) for name in names]
    if names[:1] == ["dh-virtualenv"]:
        return "dh-venvpkg"
    if names[:1] == [f"dh-sequence-{FORMER_ADDON}"]:
        return "dh-sequence-venvpkg"
    return None if names and set(names) <= MAKES_ENVIRONMENTS else clause


def _change_clause(clause: str) -> str | None:
    parts = [re.sub(r"\s*[(\[<].*", "", part.strip()) for part in clause.split("|")]
    return None if all(INTERPRETER.fullmatch(part) for part in parts) else clause


def _change_clauses(stanza: Any, name: str, change: Callable[[str], str | None]) -> None:
    with stanza.as_interpreted_dict_view(LIST_COMMA_SEPARATED_INTERPRETATION)[name] as clauses:
        written = list(clauses)
        if all(change(clause) is None for clause in written):
            del stanza[name]
            return
        seen: set[str] = set()
        for clause in written:
            new = change(clause)
            if new is None or (new != clause and new in seen):
                clauses.remove(clause)
            elif new != clause:
                clauses.replace(clause, new)
            seen.add(new or "")


def _write_configuration(migration: Migration, names: Sequence[str]) -> None:
    values, packages = migration.values, migration.packages
    if len(names) > 1 and not packages:
        packages = {name: {} for name in names}
    pyproject = migration.source / "pyproject.toml"
    own = migration.source / OWN_FILE
    text = _format(values, packages, "tool.venvpkg" if pyproject.is_file() and not own.is_file() else "")
    if not (values or packages):
        return
    if own.is_file() or "venvpkg" in read_toml(pyproject).get("tool", {}):
        raise VenvpkgError(
            code="migrate-configured",
            message="There is a configuration of venvpkg's already, and debian/ is dh-virtualenv's.",
            causes=[f"{OWN_FILE if own.is_file() else 'pyproject.toml'} has keys."],
            hint=f"Take it out, run this again, and merge. It would write:\n{text}",
        )
    if pyproject.is_file():
        before = pyproject.read_text(encoding="utf-8")
        migration.texts["pyproject.toml"] = f"{before.rstrip(chr(10))}\n\n{text}"
    else:
        migration.texts[OWN_FILE] = text


def _format(values: Mapping[str, Any], packages: Mapping[str, Mapping[str, Any]], table: str) -> str:
    """Return TOML."""
    blocks = []
    head = [f"[{table}]"] if table else []
    if values or not packages:
        blocks.append([*head, *_format_keys(values)])
    for name, own in packages.items():
        inner = f"{table}.packages.{name}" if table else f"packages.{name}"
        blocks.append([f"[{inner}]", *_format_keys(own)])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _format_keys(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_format_value(value)}" for name, value in values.items()]


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_format_value(k)} = {_format_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_format_value, value))}]"
    # Booleans and texts are written as in JSON, but for a character that TOML does not take so.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

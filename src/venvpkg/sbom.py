"""Says in CycloneDX what a package holds: distributions, the libraries in their wheels, who needs whom."""

import base64
import binascii
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import venvpkg
from venvpkg.distributions import (
    Distribution,
    locate,
    read_headers,
    read_record,
    server_markers,
    text_of,
)
from venvpkg.evidence import Evidence
from venvpkg.licences import identify
from venvpkg.shlibs import Bundled, Link
from venvpkg.tree import Entry, Tree

NAME = "sbom.cdx.json"
Json = dict[str, Any]

ALGORITHMS = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
# SPDX 2.3, annex D: identifiers, joined by operators.
EXPRESSION = re.compile(r"\(* *[\w.:-]+\+? *\)*( +(AND|OR|WITH) +\(* *[\w.:-]+\+? *\)*)*", re.ASCII | re.I)
# What CycloneDX 1.6 calls a component; a document of another version may have more.
TYPES = """
application container cryptographic-asset data device device-driver file firmware framework library
machine-learning-model operating-system platform
"""
PURL = re.compile(r"pkg:[a-z][a-z0-9.+-]*/[!-~]+", re.I)
LIBRARY = re.compile(r"\.so(\.|$)|\.dylib$")
# The labels of the PyPA ("Well-known Project URLs"), which are compared without capitals and punctuation.
LABELS = {"homepage": "website", "source": "vcs", "sourcecode": "vcs", "repository": "vcs", "github": "vcs"}
SCHEMES = frozenset({"http", "https", "ssh", "git", "svn", "svn+ssh", "ftp", "ftps", "sftp", "bzr", "hg"})
# A password that has a slash in it makes nonsense of the port.
HOST = re.compile(r"(?P<user>.*@)?(?P<host>[\w.-]+(:[0-9]*)?)", re.ASCII)
# What RFC 3986 lets a path, a query and a fragment hold; brackets are for hosts.
SAFE = "%/:=&?~#+!$,;'@()*"
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The Debian package that the environments are in."""

    name: str
    version: str
    """With epoch and revision."""
    architecture: str
    """As dpkg names it, ``amd64``; ``all`` where it is for every one."""

    @classmethod
    def from_control(cls, control: Mapping[str, str]) -> "Subject | None":
        """Take it from the fields of DEBIAN/control; none where they name no package."""
        if not control.get("Package"):
            return None
        version, architecture = control.get("Version", ""), control.get("Architecture", "")
        return cls(name=control["Package"], version=version, architecture=architecture)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment; of its files' contents only what names and describes distributions."""

    prefix: PurePosixPath
    """Absolute, as on the server."""
    tree: Tree
    """With paths relative to the prefix."""
    distributions: Sequence[Distribution]
    """With paths relative to the prefix."""
    links: Sequence[Link]
    """With paths relative to the prefix."""
    project: str
    """Normalized name of the distribution that it was made for, or empty."""
    python: str
    """The minor version, ``3.11``; empty where it is not known."""
    interpreter: PurePosixPath
    """Where bin/python leads, absolute."""

    @classmethod
    def from_evidence(cls, evidence: Evidence) -> "Environment":
        """Take what is needed from the evidence about a package."""
        return cls(
            prefix=PurePosixPath("/", evidence.inside),
            tree=evidence.tree.below(evidence.inside),
            distributions=evidence.distributions,
            links=evidence.links,
            project=evidence.project,
            python=evidence.minor,
            interpreter=PurePosixPath("/", evidence.tree.resolve(evidence.inside / "bin" / "python")),
        )


def make_sbom(subject: Subject | None, environments: Iterable[Environment]) -> Json:
    """Return a bill of materials: a CycloneDX 1.6 document, https://cyclonedx.org/docs/1.6/json/.

    The same arguments give the same document: it holds neither time nor place, and its serial number is
    made of its content.

    Args:
        subject: the package; none where only environments are at hand.
        environments: what is in it.
    """
    ordered = sorted(environments, key=lambda e: e.prefix)
    main = describe_subject(subject, ordered)
    components, dependencies = [], []
    for environment in ordered:
        names: dict[str, list[str]] = {}
        for distribution in environment.distributions:
            names.setdefault(distribution.name, []).append(reference(environment, distribution.folder))
        markers = server_markers(environment.python, subject.architecture if subject else "")
        components.append(describe_interpreter(environment))
        dependencies.append({"ref": components[-1]["bom-ref"], "dependsOn": []})
        for distribution in environment.distributions:
            component = describe_distribution(environment, distribution)
            needed = distribution.requirements(markers) - {distribution.name}
            components.append(component)
            dependencies.append(
                {
                    "ref": component["bom-ref"],
                    "dependsOn": sorted(r for name in needed for r in names.get(name, ())),
                }
            )
    first = {"ref": main["bom-ref"], "dependsOn": sorted(d["ref"] for d in dependencies)}
    tool = {"type": "application", "name": "venvpkg", "version": venvpkg.__version__}
    document = _without_surrogates(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": main, "tools": {"components": [tool]}},
            "components": sorted(components, key=lambda c: c["bom-ref"]),
            "dependencies": sorted([first, *dependencies], key=lambda d: d["ref"]),
        }
    )
    serial = uuid.uuid5(uuid.NAMESPACE_URL, to_json(document))
    return document | {"serialNumber": serial.urn}


def to_json(document: Json) -> str:
    """Return the text of a document: its keys in order, one line each."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_sbom(document: Json, package_root: Path, package: str) -> Path | None:
    """Write a document among the package's own, and return the path.

    Nothing is written where another package holds that folder, which is a symbolic link then
    (``dh_installdocs --link-doc``).
    """
    folder = package_root / "usr" / "share" / "doc" / package
    if folder.is_symlink():
        return None
    # dh_fixperms has been there before, and the build's umask may be any.
    for parent in reversed([folder, *folder.parents]):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    path = folder / NAME
    path.unlink(missing_ok=True)
    path.write_text(to_json(document), encoding="utf-8")
    path.chmod(0o644)
    return path


def describe_subject(subject: Subject | None, environments: Sequence[Environment]) -> Json:
    """Return the component that all others belong to: the package, or else the environments by name."""
    prefixes = [_property("prefix", environment.prefix) for environment in environments]
    if subject is None:
        name = ", ".join(environment.prefix.name for environment in environments)
        return {"type": "application", "name": name, "bom-ref": "environments", "properties": prefixes}
    purl = make_purl("deb/debian", subject.name, subject.version, subject.architecture)
    known = {"version": subject.version} if subject.version else {}
    return known | {
        "type": "application",
        "name": subject.name,
        "bom-ref": "package",
        "purl": purl,
        "properties": prefixes,
    }


def describe_interpreter(environment: Environment) -> Json:
    """Return the component of the Python that runs an environment; of which version apt decides."""
    name = environment.interpreter.name
    component: Json = {
        "type": "platform",
        "name": name,
        "bom-ref": f"{_quoted(environment.prefix)}#interpreter",
        "properties": [_property("path", environment.interpreter)],
    }
    if environment.interpreter == PurePosixPath("/usr/bin", f"python{environment.python}"):
        component["purl"] = make_purl("deb/debian", name)
    return component


def describe_distribution(environment: Environment, distribution: Distribution) -> Json:
    """Return the component of a distribution, with those that its wheel brought inside."""
    folder = distribution.folder
    headers = read_headers(environment.tree, folder / "METADATA")
    component: Json = {
        "type": "application" if distribution.name == environment.project else "library",
        "name": distribution.name,
        "bom-ref": reference(environment, folder),
        "properties": [_property("path", environment.prefix / folder)],
    }
    version, summary = str(distribution.version).strip(), " ".join(str(headers.get("Summary") or "").split())
    if version:
        component["version"] = version
    if distribution.name:
        component["purl"] = make_purl("pypi", distribution.name, version)
    if summary and summary != "UNKNOWN":
        component["description"] = summary
    licences = read_licences(headers, distribution)
    if licences:
        component["licenses"] = licences
    record = _content(environment.tree.get(folder / "RECORD"))
    if record:
        # RECORD has the hash of every file, so its own stands for all of them.
        component["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(record).hexdigest()}]
        component["properties"].append(_property("hashed", environment.prefix / folder / "RECORD"))
    hashes = read_hashes(environment.tree, folder)
    embedded = find_embedded(environment, distribution)
    origin = text_of(environment.tree, folder / "direct_url.json")
    references = [*describe_origin(origin), *describe_urls(headers)]
    references += [
        {"type": "bom", "url": _quoted(environment.prefix / entry.path)} | hashes.get(entry.path, {})
        for entry in embedded
    ]
    if references:
        # direct_url.json and Project-URL may name the same place, of which the first knows more.
        single = {(r["type"], r["url"]): r for r in reversed(references)}
        component["externalReferences"] = [single[key] for key in sorted(single)]
    inner = describe_libraries(environment, distribution, hashes)
    for entry in embedded:
        inner += describe_embedded(environment, distribution, entry)
    if inner:
        component["components"] = inner
    return component


def describe_libraries(
    environment: Environment, distribution: Distribution, hashes: Mapping[PurePosixPath, Json]
) -> list[Json]:
    """Return the components of the shared libraries in a wheel: what is linked to, or lies where they do.

    auditwheel puts them into a folder ``NAME.libs``, delocate into ``.dylibs``.
    """
    sonames = {link.path: link.soname for link in environment.links if isinstance(link, Bundled)}
    return [
        {
            "type": "library",
            "name": sonames.get(path, path.name),
            "bom-ref": f"{reference(environment, distribution.folder)}#{_quoted(path)}",
            "properties": [_property("path", environment.prefix / path)],
        }
        | hashes.get(path, {})
        for path in sorted(set(distribution.files))
        if path in environment.tree
        and (
            path in sonames or (path.parent.name.endswith((".libs", ".dylibs")) and LIBRARY.search(path.name))
        )
    ]


def find_embedded(environment: Environment, distribution: Distribution) -> list[Entry]:
    """Return the bills of materials that a wheel brought, which lie in .dist-info/sboms (PEP 770)."""
    folder = distribution.folder / "sboms"
    paths = (p for p in sorted(set(distribution.files)) if p.is_relative_to(folder) and p.suffix == ".json")
    return [entry for entry in map(environment.tree.get, paths) if entry]


def describe_embedded(environment: Environment, distribution: Distribution, entry: Entry) -> list[Json]:
    """Return the components that a wheel's own bill of materials names, but for the wheel itself."""
    ref = reference(environment, entry.path)
    own = make_purl("pypi", distribution.name)
    return [
        {"bom-ref": f"{ref}#{number}", "properties": [_property("told-by", environment.prefix / entry.path)]}
        | component
        for number, component in enumerate(read_components(entry.load()))
        if re.split("[@?#]", component.get("purl", ""))[0].lower() != own
    ]


def read_components(data: bytes) -> list[Json]:
    """Return the components of a document in CycloneDX or SPDX 2; none where it is neither."""
    try:
        document = _object(json.loads(data))
    except (ValueError, RecursionError):
        return []
    if document.get("bomFormat") == "CycloneDX":
        return [c for c in map(_from_cyclonedx, _all_components(document)) if c]
    if str(document.get("spdxVersion", "")).startswith("SPDX-2"):
        return [c for c in map(_from_spdx, _objects(document.get("packages"))) if c]
    return []


def _all_components(document: Json) -> list[Json]:
    found = _objects(document.get("components"))
    # The list grows while it is gone over, so that no depth costs stack.
    for component in found:
        found += _objects(component.get("components"))
    return found


def _from_cyclonedx(told: Json) -> Json:
    licences = []
    for choice in _objects(told.get("licenses")):
        one = _object(choice.get("license")) or choice
        expression = _text(one.get("id")) or _text(one.get("expression"))
        licences.append((expression or _text(one.get("name")), bool(expression)))
    component = _component(told.get("name"), told.get("version"), told.get("purl"), licences)
    kind = _text(told.get("type"))
    return component and component | {"type": kind if kind in TYPES.split() else "library"}


def _from_spdx(told: Json) -> Json:
    references = _objects(told.get("externalRefs"))
    purls = [r.get("referenceLocator") for r in references if r.get("referenceType") == "purl"]
    licences = [_text(told.get(key)) for key in ("licenseConcluded", "licenseDeclared")]
    known = [(text, True) for text in licences if text not in ("NOASSERTION", "NONE", "")]
    return _component(told.get("name"), told.get("versionInfo"), next(iter(purls), None), known[:1])


def _component(name: object, version: object, purl: object, licences: Iterable[tuple[str, bool]]) -> Json:
    if not _text(name):
        return {}
    component: Json = {"type": "library", "name": _text(name)}
    if _text(version):
        component["version"] = _text(version)
    if PURL.fullmatch(_text(purl)):
        component["purl"] = purl
    told = [(text, is_expression) for text, is_expression in licences if text]
    if len(told) == 1:
        component["licenses"] = [choose_licence(told[0][0], is_expression=told[0][1])]
    elif told:
        # CycloneDX has one expression, or any number of the others.
        component["licenses"] = [{"license": _name_licence(text)} for text, _ in told]
    return component


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Json]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def read_hashes(tree: Tree, folder: PurePosixPath) -> dict[PurePosixPath, Json]:
    """Return the hashes in a RECORD as CycloneDX has them, by path; what is not whole is left out."""
    found: dict[PurePosixPath, Json] = {}
    for name, digest, _ in read_record(text_of(tree, folder / "RECORD")):
        algorithm, _, encoded = digest.partition("=")
        try:
            raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        except (binascii.Error, ValueError):
            continue
        if algorithm in ALGORITHMS and len(raw) == hashlib.new(algorithm).digest_size:
            hashes = [{"alg": ALGORITHMS[algorithm], "content": raw.hex()}]
            found[locate(folder, name)] = {"hashes": hashes}
    return found


def read_licences(headers: Message, distribution: Distribution) -> list[Json]:
    """Return a distribution's licence as CycloneDX has it; none where it tells none."""
    expression = str(headers.get("License-Expression") or "").strip()
    text = expression or str(distribution.licence).strip()
    return [choose_licence(text, is_expression=bool(expression))] if text not in ("", "UNKNOWN") else []


def choose_licence(text: str, *, is_expression: bool) -> Json:
    """Return a licence as an SPDX expression where it is one, else as an identifier, else by its name.

    Args:
        text: what stands there.
        is_expression: it stands where the rules ask for an expression. Elsewhere only well-known
            identifiers make one: any word could be one.
    """
    parts = [p for p in re.findall(r"[^() ]+", text) if p not in ("AND", "OR", "WITH")]
    whole = EXPRESSION.fullmatch(text) and text.count("(") == text.count(")")
    if whole and (is_expression or (len(parts) > 1 and all(identify(p) == p for p in parts))):
        return {"expression": text}
    return {"license": _name_licence(text)}


def _name_licence(text: str) -> Json:
    name = identify(text)
    return {"id": name} if name else {"name": text}


def describe_origin(text: str) -> list[Json]:
    """Return where a distribution came from, as its direct_url.json tells (PEP 610), with archive hashes.

    Credentials are left out, and with them the query, which may hold some; of a file on the build machine
    the name alone is told.
    """
    try:
        told = _object(json.loads(text) if text else {})
        parts = urlsplit(_text(told.get("url")))
    except (ValueError, RecursionError):
        return []
    archive, vcs = _object(told.get("archive_info")), _object(told.get("vcs_info"))
    url = public_url(parts._replace(query="", fragment="").geturl())
    if parts.scheme == "file" and "archive_info" in told:
        url = quote(unquote(PurePosixPath(parts.path).name), safe="+", errors="replace")
    if not url:
        return []
    origin: Json = {"type": "vcs" if vcs else "distribution", "url": url}
    hashes = list(_archive_hashes(archive))
    if hashes:
        origin["hashes"] = hashes
    if _text(vcs.get("commit_id")):
        origin["comment"] = f"commit {vcs['commit_id']}"
    return [origin]


def _archive_hashes(archive: Json) -> Iterator[Json]:
    # The one hash of the first PEP 610 is written name=value.
    name, _, value = _text(archive.get("hash")).partition("=")
    for algorithm, told in sorted(({name: value} | _object(archive.get("hashes"))).items()):
        digits = _text(told).lower()
        size = hashlib.new(algorithm).digest_size if algorithm in ALGORITHMS else 0
        if size and re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", digits):
            yield {"alg": ALGORITHMS[algorithm], "content": digits}


def describe_urls(headers: Message) -> list[Json]:
    """Return home page and repository, from Home-page and Project-URL."""
    told = [("homepage", str(headers.get("Home-page") or ""))]
    for text in headers.get_all("Project-URL") or ():
        label, _, url = str(text).partition(",")
        told.append((re.sub(r"[\W_]", "", label).lower(), url))
    found = {(LABELS[label], public_url(url)): None for label, url in told if label in LABELS}
    return [{"type": kind, "url": url} for kind, url in found if url]


def public_url(url: str) -> str:
    """Return a URL without user and password, or nothing where it is none that a server could be asked for.

    The user ``git`` stays, as PEP 610 has it: it is nobody's.
    """
    try:
        parts = urlsplit(SURROGATE.sub("\ufffd", url.strip()))
    except ValueError:
        return ""
    place = HOST.fullmatch(parts.netloc)
    if not place or parts.scheme.removeprefix("git+").removeprefix("hg+") not in SCHEMES:
        return ""
    query, fragment = parts.query and f"?{parts.query}", parts.fragment and f"#{parts.fragment}"
    # Some put one URL into the path of another, of a proxy say.
    rest = re.sub(r"//[^/?#]*@", "//", f"{parts.path}{query}{fragment}")
    rest = quote(re.sub(r"%(?![0-9a-fA-F]{2})", "%25", rest), safe=SAFE)
    user = "git@" if place["user"] == "git@" else ""
    return f"{parts.scheme}://{user}{place['host']}{rest}"


def make_purl(kind: str, name: str, version: str = "", architecture: str = "") -> str:
    """Return a package URL, encoded as https://github.com/package-url/purl-spec asks for."""
    purl = f"pkg:{kind}/{_part(name)}"
    purl += f"@{_part(version)}" if version else ""
    return purl + (f"?arch={_part(architecture)}" if architecture else "")


def _part(text: str) -> str:
    return quote(SURROGATE.sub("\ufffd", text), safe=":")


def reference(environment: Environment, path: PurePosixPath) -> str:
    """Return the bom-ref of what lies at a path, which no other path gives."""
    return _quoted(environment.prefix / path)


def _quoted(path: PurePosixPath) -> str:
    return quote(str(path), safe="/+~@:", errors="surrogateescape")


def _content(entry: Entry | None) -> bytes:
    data = entry.load() if entry and entry.kind == "file" else b""
    # Of a package that is read as a stream, a large file's bytes are not at hand.
    return data if entry and len(data) == entry.size else b""


def _property(name: str, value: object) -> Json:
    return {"name": f"venvpkg:{name}", "value": str(value)}


def _without_surrogates(document: Json) -> Json:
    text = json.dumps(document, ensure_ascii=False)
    found: Json = json.loads(SURROGATE.sub("\ufffd", text))
    return found

"""The bill of materials: every document here is checked against CycloneDX's own schema."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

# cyclonedx-python-lib brings it: the reference implementation of package URLs.
from packageurl import PackageURL

import venvpkg
from venvpkg.contents import Search
from venvpkg.deb import read_deb
from venvpkg.distributions import read_distributions
from venvpkg.evidence import gather
from venvpkg.sbom import Environment, Subject, make_purl, make_sbom, public_url, to_json, write_sbom
from venvpkg.shlibs import Bundled, External, Link, Missing
from venvpkg.system import System
from venvpkg.tree import Tree

Json = dict[str, Any]

SITE = "lib/python3.11/site-packages"
PREFIX = "/opt/venvs/app"
SUBJECT = Subject(name="app", version="1:2.0+dfsg~rc1-1", architecture="amd64")
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)
SECRET = "hunter2"


def info(name: str, version: str = "1.0") -> str:
    """The .dist-info folder, relative to the prefix."""
    return f"{SITE}/{name}-{version}.dist-info"


def wheel(
    name: str,
    version: str = "1.0",
    *,
    headers: bytes = b"",
    files: dict[str, bytes] | None = None,
    noted: dict[str, bytes] | None = None,
) -> dict[str, bytes]:
    """An installed wheel: ``files`` lie in site-packages, ``noted`` in .dist-info and in RECORD as well."""
    folder = info(name, version)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode() + headers + b"\n"
    content = {f"{SITE}/{n}": data for n, data in (files or {f"{name}.py": b"NAME = 1\n"}).items()}
    content |= {f"{folder}/{n}": data for n, data in {"METADATA": metadata, **(noted or {})}.items()}
    rows = []
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        rows.append(f"{path.removeprefix(SITE + '/')},sha256={digest},{len(data)}\n")
    rows.append(f"{name}-{version}.dist-info/RECORD,,\n")
    return content | {f"{folder}/RECORD": "".join(rows).encode()}


def environment(
    *wheels: dict[str, bytes], links: tuple[Link, ...] = (), prefix: str = PREFIX, project: str = "app"
) -> Environment:
    """An environment for Debian's Python 3.11."""
    tree = Tree.from_files({path: data for files in wheels for path, data in files.items()})
    return Environment(
        prefix=PurePosixPath(prefix),
        tree=tree,
        distributions=read_distributions(tree),
        links=links,
        project=project,
        python="3.11",
        interpreter=PurePosixPath("/usr/bin/python3.11"),
    )


def every_component(document: Json) -> list[Json]:
    """All components, nested ones included, with that of the package."""
    found, waiting = [], [document["metadata"]["component"], *document["components"]]
    while waiting:
        component = waiting.pop()
        found.append(component)
        waiting += component.get("components", [])
    return found


def checked(document: Json) -> Json:
    """The document, after what holds for every one of them."""
    text = to_json(document)
    errors = VALIDATOR.validate_str(text, all_errors=True)
    assert not errors, [str(error.data.message) for error in errors]
    assert json.loads(text.encode("utf-8")) == document
    components = every_component(document)
    refs = [component["bom-ref"] for component in components]
    assert len(refs) == len(set(refs))
    for component in components:
        if "purl" in component:
            assert (PackageURL.from_string(component["purl"]).version or "") == component.get("version", "")
        assert component.get("licenses") != []
    named = {ref for entry in document["dependencies"] for ref in (entry["ref"], *entry["dependsOn"])}
    assert named <= set(refs)
    assert len(document["dependencies"]) == len({entry["ref"] for entry in document["dependencies"]})
    assert SECRET not in text
    return document


def sbom(*wheels: dict[str, bytes], links: tuple[Link, ...] = ()) -> Json:
    """The checked document about one environment."""
    return checked(make_sbom(SUBJECT, [environment(*wheels, links=links)]))


def component(document: Json, name: str) -> Json:
    """The one top-level component of this name."""
    (found,) = [c for c in document["components"] if c["name"] == name]
    return found


def properties(component: Json) -> dict[str, str]:
    """The properties by name, without our prefix."""
    return {p["name"].removeprefix("venvpkg:"): p["value"] for p in component["properties"]}


def needs(document: Json, ref: str) -> list[str]:
    """What a component depends on."""
    (found,) = [entry["dependsOn"] for entry in document["dependencies"] if entry["ref"] == ref]
    return found


def test_package_is_the_main_component() -> None:
    """Name, version, purl and prefix, and the tool that says so."""
    document = sbom(wheel("app"))
    assert document["metadata"] == {
        "component": {
            "type": "application",
            "name": "app",
            "version": "1:2.0+dfsg~rc1-1",
            "bom-ref": "package",
            "purl": "pkg:deb/debian/app@1:2.0%2Bdfsg~rc1-1?arch=amd64",
            "properties": [{"name": "venvpkg:prefix", "value": PREFIX}],
        },
        "tools": {"components": [{"type": "application", "name": "venvpkg", "version": venvpkg.__version__}]},
    }
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)


def test_distribution_has_the_hash_of_its_record() -> None:
    """RECORD has the hashes of all files, and a property says that it is what was hashed."""
    files = wheel("app", headers=b"Summary: Does things\n")
    record = f"{info('app')}/RECORD"
    assert component(sbom(files), "app") == {
        "type": "application",
        "name": "app",
        "version": "1.0",
        "bom-ref": f"{PREFIX}/{info('app')}",
        "purl": "pkg:pypi/app@1.0",
        "description": "Does things",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(files[record]).hexdigest()}],
        "properties": [
            {"name": "venvpkg:path", "value": f"{PREFIX}/{info('app')}"},
            {"name": "venvpkg:hashed", "value": f"{PREFIX}/{record}"},
        ],
    }


def test_distribution_without_record_has_no_hash() -> None:
    """Nor has one whose RECORD is there without its content."""
    files = wheel("app")
    del files[f"{info('app')}/RECORD"]
    about = component(sbom(files), "app")
    assert ("hashes" in about, "hashed" in properties(about)) == (False, False)


def test_project_is_an_application_and_others_are_libraries() -> None:
    """The project is the one that the environment was made for."""
    document = sbom(wheel("app"), wheel("click"))
    assert component(document, "app")["type"] == "application"
    assert component(document, "click")["type"] == "library"


def test_interpreter_is_a_platform_of_debian() -> None:
    """With a purl where it is Debian's, without one where it lies elsewhere."""
    document = sbom(wheel("app"))
    python = component(document, "python3.11")
    assert (python["type"], python["purl"]) == ("platform", "pkg:deb/debian/python3.11")
    own = environment(wheel("app"))
    own = Environment(
        prefix=own.prefix,
        tree=own.tree,
        distributions=own.distributions,
        links=(),
        project="app",
        python="3.11",
        interpreter=PurePosixPath(PREFIX, "runtime/bin/python3.11"),
    )
    assert "purl" not in component(checked(make_sbom(SUBJECT, [own])), "python3.11")


def test_graph_follows_requirements() -> None:
    """The package needs everything, a distribution what it requires and is there."""
    requires = b"Requires-Dist: B_c>=1\nRequires-Dist: gone\nRequires-Dist: d; python_version < '3.0'\n"
    requires += b"Requires-Dist: d; extra == 'all'\nRequires-Dist: app[all]\nRequires-Dist: not a ( name\n"
    requires += (
        b"Requires-Dist: e; platform_machine == 'x86_64' and platform_python_implementation == 'CPython'\n"
    )
    requires += b"Requires-Dist: d; os_name ~= 'x'\nRequires-Dist: d; platform_release >= '20.1'\n"
    document = sbom(wheel("app", headers=requires), wheel("b.c"), wheel("d"), wheel("e"))
    ref = {name: component(document, name)["bom-ref"] for name in ("app", "b-c", "d", "e", "python3.11")}
    assert needs(document, "package") == sorted(ref.values())
    assert needs(document, ref["app"]) == sorted([ref["b-c"], ref["e"]])
    assert needs(document, ref["d"]) == []


@pytest.mark.parametrize(
    ("headers", "licences"),
    [
        (b"License-Expression: MIT\n", [{"expression": "MIT"}]),
        (
            b"License-Expression: (MIT OR Apache-2.0) AND X-1.0+\n",
            [{"expression": "(MIT OR Apache-2.0) AND X-1.0+"}],
        ),
        (b"License-Expression: see the file LICENSE\n", [{"license": {"name": "see the file LICENSE"}}]),
        (b"License-Expression: (MIT\n", [{"license": {"name": "(MIT"}}]),
        (b"License: MIT\n", [{"license": {"id": "MIT"}}]),
        (b"License: MIT OR Apache-2.0\n", [{"expression": "MIT OR Apache-2.0"}]),
        (b"License: MIT OR mine\n", [{"license": {"name": "MIT OR mine"}}]),
        (b"License: BSD\n", [{"license": {"name": "BSD"}}]),
        (b'License: Mine, (c) {2020} \\ "me" AND\n', [{"license": {"name": 'Mine, (c) {2020} \\ "me" AND'}}]),
        (b"Classifier: License :: OSI Approved :: MIT License\n", [{"license": {"id": "MIT"}}]),
        (
            b"Classifier: License :: OSI Approved :: Apache Software License\n",
            [{"license": {"name": "Apache Software License"}}],
        ),
        (b"License: UNKNOWN\n", None),
        (b"", None),
    ],
)
def test_licence_is_an_identifier_only_where_that_is_certain(
    headers: bytes, licences: list[Json] | None
) -> None:
    """An expression stays one, a word that may mean several licences is a name, nothing is nothing."""
    assert component(sbom(wheel("app", headers=headers)), "app").get("licenses") == licences


def test_origin_has_hashes_and_no_password() -> None:
    """An archive of direct_url.json; its query goes too, which may hold a token."""
    digest = hashlib.sha256(b"x").hexdigest()
    told = {
        "url": f"https://me:{SECRET}@example.org/a b/app-1.0.zip?token={SECRET}#sha256={SECRET}",
        "archive_info": {
            "hash": f"sha256={digest}",
            "hashes": {"sha256": digest, "md5": "0", "sha512": "zz"},
        },
    }
    document = sbom(wheel("app", noted={"direct_url.json": json.dumps(told).encode()}))
    assert component(document, "app")["externalReferences"] == [
        {
            "type": "distribution",
            "url": "https://example.org/a%20b/app-1.0.zip",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
    ]


@pytest.mark.parametrize(
    ("told", "reference"),
    [
        (
            {"url": "ssh://git@example.org/app.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            {"type": "vcs", "url": "ssh://git@example.org/app.git", "comment": "commit abc"},
        ),
        (
            {"url": "file:///build/me/app-1.0%2Bx.zip", "archive_info": {"hash": f"sha256={'0' * 64}"}},
            {
                "type": "distribution",
                "url": "app-1.0+x.zip",
                "hashes": [{"alg": "SHA-256", "content": "0" * 64}],
            },
        ),
        ({"url": "file:///build/me", "dir_info": {}}, None),
        ({"url": f"me:{SECRET}@example.org:app.git", "vcs_info": {}}, None),
        ({"url": ["https://example.org"]}, None),
        ({"url": "https://[example.org/", "archive_info": 3}, None),
        ([], None),
    ],
)
def test_origin_tells_no_place_of_the_build_machine(told: object, reference: Json | None) -> None:
    """A repository keeps its commit, a local archive its name, a local folder nothing."""
    document = sbom(wheel("app", noted={"direct_url.json": json.dumps(told).encode()}))
    assert component(document, "app").get("externalReferences", [None])[0] == reference


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://example.org", "https://example.org"),
        ("https://example.org:8443/x?y=1#z", "https://example.org:8443/x?y=1#z"),
        (f"https://{SECRET}@example.org/x", "https://example.org/x"),
        (f"https://me:{SECRET}@x@example.org/x", "https://example.org/x"),
        (f"git+https://me:{SECRET}@example.org/x.git", "git+https://example.org/x.git"),
        (f"ssh://git:{SECRET}@example.org/x.git", "ssh://example.org/x.git"),
        ("ssh://git@example.org/x.git", "ssh://git@example.org/x.git"),
        (
            f"https://example.org/proxy/https://me:{SECRET}@inner/x",
            "https://example.org/proxy/https://inner/x",
        ),
        (f"https://me:{SECRET}/@example.org/x", ""),
        (f"https:///me:{SECRET}@example.org/x", ""),
        (f"me:{SECRET}@example.org", ""),
        (f"mailto:{SECRET}@example.org", ""),
        ("https://example.org/100%/[x]", "https://example.org/100%25/%5Bx%5D"),
        ("UNKNOWN", ""),
    ],
)
def test_url_is_told_without_credentials(url: str, public: str) -> None:
    """And not at all where it is none."""
    assert public_url(url) == public


def test_home_page_and_repository_are_references() -> None:
    """From Home-page and Project-URL; a place that is named twice stands once."""
    headers = b"Home-page: https://example.org/\nProject-URL: Homepage, https://example.org/\n"
    headers += (
        b"Project-URL: Source Code, https://git.example.org/app\nProject-URL: Funding, https://x.example\n"
    )
    told = {"url": "https://git.example.org/app", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    files = wheel("app", headers=headers, noted={"direct_url.json": json.dumps(told).encode()})
    assert component(sbom(files), "app")["externalReferences"] == [
        {"type": "vcs", "url": "https://git.example.org/app", "comment": "commit abc"},
        {"type": "website", "url": "https://example.org/"},
    ]


def test_bundled_libraries_are_inside_their_distribution() -> None:
    """What is linked to, and what lies in a folder for libraries; with the hash that RECORD has."""
    files = {
        "lab/_core.so": b"extension",
        "lab/libinner.so.3": b"inner",
        "lab.libs/libpng-0a1b.so.16": b"png",
        "lab.libs/libloaded.so": b"loaded",
        "lab.libs/README": b"text",
        "lab/.dylibs/libmac.1.dylib": b"mac",
    }
    site = PurePosixPath(SITE)
    links = (
        Bundled(
            object=site / "lab/_core.so",
            soname="libinner.so",
            path=site / "lab/libinner.so.3",
            reachable=True,
        ),
        Bundled(
            object=site / "lab/_core.so",
            soname="libpng-0a1b.so.16",
            path=site / "lab.libs/libpng-0a1b.so.16",
            reachable=True,
        ),
        External(object=site / "lab/_core.so", soname="libc.so.6"),
        Missing(object=site / "lab/_core.so", soname="libgone.so.1"),
    )
    document = sbom(wheel("app"), wheel("lab", files=files), links=links)
    inner = component(document, "lab")["components"]
    assert [(c["name"], c["type"], c["hashes"][0]["content"], properties(c)["path"]) for c in inner] == [
        (name, "library", hashlib.sha256(files[path]).hexdigest(), f"{PREFIX}/{SITE}/{path}")
        for name, path in (
            ("libmac.1.dylib", "lab/.dylibs/libmac.1.dylib"),
            ("libinner.so", "lab/libinner.so.3"),
            ("libloaded.so", "lab.libs/libloaded.so"),
            ("libpng-0a1b.so.16", "lab.libs/libpng-0a1b.so.16"),
        )
    ]
    assert "components" not in component(document, "app")


def test_library_that_two_distributions_record_is_in_both() -> None:
    """Its two components have two references."""
    files = {"shared.libs/libx.so.1": b"x"}
    document = sbom(wheel("a", files=files), wheel("b", files=files))
    assert [component(document, n)["components"][0]["name"] for n in "ab"] == ["libx.so.1"] * 2


def test_damaged_hash_in_record_is_left_out() -> None:
    """Of another length, in another alphabet, of a kind that nobody knows."""
    for digest in ("sha256=AAAA", "sha256=ä", "sha256=A", "md5=AAAAAAAAAAAAAAAAAAAAAA", "", "x" * 64):
        files = wheel("a", files={"a.libs/liba.so": b"x"})
        files[f"{info('a')}/RECORD"] = f"a.libs/liba.so,{digest},1\n".encode()
        assert "hashes" not in component(sbom(files), "a")["components"][0]


CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.4",
    "metadata": {"component": {"type": "library", "name": "lab"}},
    "components": [
        {
            "type": "library",
            "name": "lab",
            "purl": "pkg:pypi/Lab@1.0?file_name=lab-1.0.whl",
            "bom-ref": "twice",
        },
        {
            "type": "library",
            "name": "libpng",
            "version": "1.6.37",
            "purl": "pkg:rpm/almalinux/libpng@1.6.37",
            "bom-ref": "twice",
            "licenses": [{"license": {"id": "libpng-2.0"}}],
            "components": [{"type": "machine", "name": "zlib", "licenses": [{"license": {"name": "BSD"}}]}],
        },
        {
            "type": "firmware",
            "name": "two",
            "licenses": [{"license": {"id": "MIT"}}, {"license": {"id": "Odd-1.0"}}, {"license": {}}],
        },
        {
            "type": ["x"],
            "name": "odd",
            "version": 3,
            "purl": "no purl",
            "licenses": [{"expression": "MIT AND ISC"}],
        },
        {"type": "library"},
        "nothing",
    ],
}
SPDX = {
    "spdxVersion": "SPDX-2.3",
    "packages": [
        {
            "name": "openssl",
            "versionInfo": "3.0",
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "Apache-2.0",
            "externalRefs": [
                {"referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a"},
                {"referenceType": "purl", "referenceLocator": "pkg:generic/openssl@3.0"},
            ],
        },
        {"name": "bare", "licenseDeclared": "NONE", "externalRefs": 5},
    ],
}


def embedded(content: object, name: str = "sboms/lab.json") -> Json:
    """The component of a distribution whose wheel has this bill of materials."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return component(sbom(wheel("lab", noted={name: data})), "lab")


def test_embedded_cyclonedx_is_taken_over() -> None:
    """Components at every depth but the wheel itself, each with the file that tells of it (PEP 770)."""
    about = embedded(CYCLONEDX)
    path = f"{PREFIX}/{info('lab')}/sboms/lab.json"
    assert about["externalReferences"] == [
        {
            "type": "bom",
            "url": path,
            "hashes": [
                {"alg": "SHA-256", "content": hashlib.sha256(json.dumps(CYCLONEDX).encode()).hexdigest()}
            ],
        }
    ]
    assert {properties(c)["told-by"] for c in about["components"]} == {path}
    strip = ("bom-ref", "properties")
    assert [{k: v for k, v in c.items() if k not in strip} for c in about["components"]] == [
        {
            "type": "library",
            "name": "libpng",
            "version": "1.6.37",
            "purl": "pkg:rpm/almalinux/libpng@1.6.37",
            "licenses": [{"expression": "libpng-2.0"}],
        },
        {
            "type": "firmware",
            "name": "two",
            "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "Odd-1.0"}}],
        },
        {"type": "library", "name": "odd", "licenses": [{"expression": "MIT AND ISC"}]},
        {"type": "library", "name": "zlib", "licenses": [{"license": {"name": "BSD"}}]},
    ]


def test_embedded_spdx_is_taken_over() -> None:
    """Name, version, purl and licence of its packages."""
    strip = ("bom-ref", "properties")
    assert [{k: v for k, v in c.items() if k not in strip} for c in embedded(SPDX)["components"]] == [
        {
            "type": "library",
            "name": "openssl",
            "version": "3.0",
            "purl": "pkg:generic/openssl@3.0",
            "licenses": [{"expression": "Apache-2.0"}],
        },
        {"type": "library", "name": "bare"},
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'"text"',
        {"bomFormat": "CycloneDX", "components": {"name": "x"}},
        {"bomFormat": "other", "components": [{"name": "x"}]},
        {"spdxVersion": 2, "packages": [{"name": "x"}]},
        {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []},
    ],
)
def test_embedded_file_that_nothing_reads_is_only_referenced(content: object) -> None:
    """Broken, of another form, or of a version to come."""
    about = embedded(content)
    assert "components" not in about
    assert [r["type"] for r in about["externalReferences"]] == ["bom"]


def test_deep_embedded_components_are_read() -> None:
    """Depth costs no stack."""
    deep: Json = {"type": "library", "name": "x"}
    for _ in range(200):
        deep = {"type": "library", "name": "x", "components": [deep]}
    assert len(embedded({"bomFormat": "CycloneDX", "components": [deep]})["components"]) == 201


def test_environments_of_one_package_are_kept_apart() -> None:
    """The same distribution twice is two components, and each needs what lies beside it."""
    wheels = (wheel("app", headers=b"Requires-Dist: click\n"), wheel("click"))
    one, two = environment(*wheels), environment(*wheels, prefix="/opt/venvs/tool")
    document = checked(make_sbom(SUBJECT, [two, one]))
    prefixes = [p["value"] for p in document["metadata"]["component"]["properties"]]
    assert prefixes == [PREFIX, "/opt/venvs/tool"]
    for prefix in prefixes:
        assert needs(document, f"{prefix}/{info('app')}") == [f"{prefix}/{info('click')}"]
    assert len(needs(document, "package")) == 6
    assert document == make_sbom(SUBJECT, [one, two])


def test_environment_that_no_package_owns_is_named_by_its_folder() -> None:
    """It has neither version nor purl then."""
    document = checked(make_sbom(None, [environment(wheel("app"))]))
    main = document["metadata"]["component"]
    assert (main["name"], "version" in main, "purl" in main) == ("app", False, False)
    assert needs(document, main["bom-ref"]) == [f"{PREFIX}#interpreter", f"{PREFIX}/{info('app')}"]


def test_subject_comes_from_control() -> None:
    """From the fields of DEBIAN/control; relations alone name no package."""
    control = {"Package": "app", "Version": "1-1", "Architecture": "all", "Depends": "x"}
    assert Subject.from_control(control) == Subject(name="app", version="1-1", architecture="all")
    assert Subject.from_control({"Depends": "x"}) is None


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        (make_purl("pypi", "a-b", "2.0!1+x"), "pkg:pypi/a-b@2.0%211%2Bx"),
        (make_purl("deb/debian", "libstdc++6", "", "arm64"), "pkg:deb/debian/libstdc%2B%2B6?arch=arm64"),
        (make_purl("deb/debian", "ä?#@", "1 0"), "pkg:deb/debian/%C3%A4%3F%23%40@1%200"),
    ],
)
def test_purl_is_encoded_as_its_specification_asks_for(purl: str, expected: str) -> None:
    """Everything but letters, digits, ``.-_~`` and the colon."""
    assert purl == expected
    assert PackageURL.from_string(purl).to_string() == purl


def test_odd_metadata_gives_a_valid_document() -> None:
    """Other alphabets stay as they are; what is no UTF-8 is replaced; no version is no version."""
    files = wheel("app", headers="Summary: Ünï 包\n cödé\n".encode() + b"Project-URL: Source, \xff://\n")
    odd = info("odd", "0")
    files |= {
        f"{odd}/METADATA": b"Summary: \xff\xfe \x00 end\nLicense: \xe9\nRequires-Dist: \xff\nHome-page: https://example.org/\xff\n",
        f"{odd}/RECORD": b"odd.libs/lib\xff.so,,\nodd.libs/lib\xfe.so,,\n../../../../../../x,,\n",
    }
    files |= {f"{SITE}/odd.libs/{os.fsdecode(name)}": b"" for name in (b"lib\xff.so", b"lib\xfe.so")}
    told = {"url": "https://example.org/\udc80", "vcs_info": {"commit_id": "\ud800"}}
    files[f"{odd}/direct_url.json"] = json.dumps(told).encode()
    document = sbom(files)
    assert component(document, "app")["description"] == "Ünï 包 cödé"
    assert "包" in to_json(document)
    about = component(document, "odd")
    assert ("version" in about, about["purl"]) == (False, "pkg:pypi/odd")
    assert about["description"] == "\ufffd\ufffd \x00 end"
    assert [c["name"] for c in about["components"]] == ["lib\ufffd.so"] * 2


def test_same_input_gives_the_same_bytes() -> None:
    """And another input another serial number."""
    files = wheel("app", headers=b"License: MIT\n", noted={"sboms/x.json": json.dumps(SPDX).encode()})
    one, two = sbom(files, wheel("click")), sbom(wheel("click"), files)
    assert to_json(one) == to_json(two)
    other = sbom(files, wheel("click", files={"click.py": b"other"}))
    assert one["serialNumber"] != other["serialNumber"]
    assert "timestamp" not in to_json(one)
    assert to_json(one).endswith("}\n")
    assert to_json(dict(reversed(one.items()))) == to_json(one)


def test_document_of_an_environment_without_distributions() -> None:
    """Only the interpreter is there."""
    document = sbom()
    assert [c["name"] for c in document["components"]] == ["python3.11"]


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["Summary", "License", "License-Expression", "Home-page", "Project-URL", "Version"]),
        st.binary(max_size=40).map(lambda data: data.replace(b"\n", b" ").replace(b"\r", b" ")),
    ),
    st.text(max_size=40),
)
def test_no_metadata_breaks_the_document(headers: dict[str, bytes], url: str) -> None:
    """Whatever bytes stand there."""
    lines = b"".join(name.encode() + b": " + value + b"\n" for name, value in headers.items())
    lines += f"Project-URL: Source, https://example.org/{url.translate({10: None, 13: None})}\n".encode(
        "utf-8", "surrogatepass"
    )
    files = {
        f"{info('x')}/METADATA": lines,
        f"{info('x')}/direct_url.json": json.dumps({"url": f"https://example.org{url}"}).encode(),
    }
    sbom(files)


def test_deb_keeps_what_the_document_is_made_of(tmp_path: Path) -> None:
    """Bills of materials that wheels bring are among it: the stream and the folder give the same document."""
    root = tmp_path / "root"
    files = wheel("lab", noted={"sboms/lab.json": json.dumps(SPDX).encode(), "sboms/sub/b.json": b"{"})
    for name, data in {**files, "pyvenv.cfg": b"home = /usr/bin\n"}.items():
        path = root / PREFIX[1:] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / PREFIX[1:] / "bin").mkdir()
    (root / PREFIX[1:] / "bin/python").symlink_to("/usr/bin/python3.11")
    (root / "DEBIAN").mkdir()
    fields = (
        "Package: app\nVersion: 1:1-1\nArchitecture: amd64\nMaintainer: a <a@example.org>\nDescription: x\n"
    )
    (root / "DEBIAN/control").write_text(fields)
    deb = tmp_path / "app.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", root, deb], check=True, capture_output=True)
    documents = []
    for tree in (read_deb(deb), Tree.from_dir(root)):
        evidence = gather(tree, PurePosixPath(PREFIX[1:]), Search(), lambda paths: System())
        subject = Subject.from_control(evidence.control)
        documents.append(checked(make_sbom(subject, [Environment.from_evidence(evidence)])))
    assert documents[0] == documents[1]
    assert documents[0]["metadata"]["component"]["purl"] == "pkg:deb/debian/app@1:1-1?arch=amd64"
    assert component(documents[0], "python3.11")["purl"] == "pkg:deb/debian/python3.11"
    about = component(documents[0], "lab")
    assert [c["name"] for c in about["components"]] == ["openssl", "bare"]
    assert len(about["externalReferences"]) == 2


def test_document_is_written_among_the_package_s_own(tmp_path: Path) -> None:
    """With the modes of a package's files, whatever the umask, and a second time over the first."""
    document = sbom(wheel("app"))
    for _ in range(2):
        path = write_sbom(document, tmp_path, "app")
        assert path == tmp_path / "usr/share/doc/app/sbom.cdx.json"
    assert path.read_text(encoding="utf-8") == to_json(document)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (path, path.parent, tmp_path / "usr")]
    assert modes == [0o644, 0o755, 0o755]


def test_document_is_not_written_through_a_link(tmp_path: Path) -> None:
    """Where the documents are another package's, nothing is written."""
    (tmp_path / "usr/share/doc/other").mkdir(parents=True)
    (tmp_path / "usr/share/doc/app").symlink_to("other")
    assert write_sbom(sbom(wheel("app")), tmp_path, "app") is None
    assert list((tmp_path / "usr/share/doc/other").iterdir()) == []
    (tmp_path / "usr/share/doc/app").unlink()
    (tmp_path / "usr/share/doc/app").mkdir()
    (tmp_path / "usr/share/doc/app/sbom.cdx.json").symlink_to(tmp_path / "elsewhere")
    write_sbom(sbom(wheel("app")), tmp_path, "app")
    assert not (tmp_path / "elsewhere").exists()

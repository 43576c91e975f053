"""What is done with the URLs of indexes before an installer gets them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from venvpkg.credentials import UNQUOTED, expand_variables, has_credentials
from venvpkg.errors import VenvpkgError
from venvpkg.locks import OPTION, logical_lines
from venvpkg.process import redact
from venvpkg.spec import Spec

PYPI = "https://pypi.org/simple"
PUBLIC = re.compile(r"https?://([^/@]*@)?((test|upload)\.)?pypi\.(org|python\.org)(/|$)")
INCLUDES = frozenset({"-r", "--requirement", "-c", "--constraint"})


def expand_indexes(spec: Spec, environ: Mapping[str, str]) -> Spec:
    """Return the specification with every ``${NAME}`` in an index key from the environment.

    What comes back holds secrets: it is for an installer's environment, and is written down nowhere.

    Raises:
        VenvpkgError: ``variable-unset``, ``index-invalid``.
    """
    missing: dict[str, None] = {}
    causes: list[str] = []

    def expand(key: str, text: str) -> str:
        expanded, names = expand_variables(text, environ)
        if names:
            missing.update(dict.fromkeys(names))
            causes.append(f"{key} has {redact(text)}")
        if key != "find-links" and re.search(r"\s", expanded):
            raise invalid_index(f"The URL of {key} has a blank in it.")
        return expanded

    made = replace(
        spec,
        index_url=expand("index-url", spec.index_url),
        extra_index_url=tuple(expand("extra-index-url", url) for url in spec.extra_index_url),
        find_links=tuple(expand("find-links", link) for link in spec.find_links),
    )
    if missing:
        raise VenvpkgError(
            code="variable-unset",
            message=f"The configuration names variables that are not set: {', '.join(missing)}.",
            causes=causes,
            hint=f"Set it before the build: export {' '.join(f'{name}=…' for name in missing)}\n"
            "sbuild and pbuilder hand on none of the caller's variables unless they are told to.",
        )
    return made


def require_urls(settings: Mapping[str, str]) -> None:
    """Make sure that no installer has to quote a part of a password, because it is no part of a URL.

    Raises:
        VenvpkgError: ``index-invalid``.
    """
    for name, value in settings.items():
        if UNQUOTED.search(value):
            raise invalid_index(f"The password of a URL in {name} has a sign that no URL can hold.")


def invalid_index(message: str) -> VenvpkgError:
    """Return the error of a URL that was not percent-encoded."""
    return VenvpkgError(
        code="index-invalid",
        message=message,
        causes=["In user and password, / ? # % @ and blanks have to be percent-encoded (RFC 3986)."],
        hint="To encode one: python3 -c "
        "'import getpass, urllib.parse as u; print(u.quote(getpass.getpass(), safe=str()))'",
    )


def require_no_credentials(words: Iterable[str]) -> None:
    """Make sure that no argument has a password, which ps would show to every user of the machine.

    Raises:
        VenvpkgError: ``credentials-exposed``.
    """
    exposed = [redact(word) for word in words if has_credentials(word)]
    if exposed:
        raise VenvpkgError(
            code="credentials-exposed",
            message="A password or a token would stand on a command line.",
            causes=exposed,
            hint="Every user of the machine can read one there. Name the URL in the configuration or in a\n"
            'variable, with the secret from the environment: index-url = "https://${USER}:${TOKEN}@host/simple"',
        )


def put_public_last(before: Iterable[str], default: str) -> tuple[tuple[str, ...], str]:
    """Return uv's indexes in an order that lets nobody but their owner fill them.

    uv asks its further indexes before the default one, whichever of them is the company's own.

    Args:
        before: the further indexes, in their order.
        default: the default one.
    """
    urls = tuple(dict.fromkeys((*before, default)))
    public = [url for url in urls if PUBLIC.match(url)]
    own = [url for url in urls if url not in public]
    return (tuple(own), public[0]) if public else (tuple(own[:-1]), own[-1])


def extra_indexes(files: Iterable[Path]) -> Iterator[str]:
    """Yield what requirements files, and those that they include, name with ``--extra-index-url``."""
    pending, seen = list(files), set[Path]()
    while pending:
        file = pending.pop(0)
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for _, line in logical_lines(file.read_text(encoding="utf-8-sig", errors="replace")):
            found = OPTION.match(line)
            option, value = found.groups() if found else ("", "")
            if option in INCLUDES:
                pending.append(file.parent / value.strip("\"'"))
            elif option == "--extra-index-url":
                yield value.strip("\"'")

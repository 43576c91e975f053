"""An index on this machine that wants a password, and what looks for that password wherever it may not be."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from typing import Self

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(kw_only=True)
class Index:
    """A simple index (PEP 503, PEP 691) and who may read it."""

    files: Mapping[str, Path]
    """Distributions by file name."""
    user: str = ""
    password: str = ""
    """Whoever comes without them is refused; with neither, nobody is."""
    refusal: int = 401
    as_json: bool = False
    """PEP 691 for who accepts it."""
    beside: str = ""
    """URL of another server that has the files; else this one has them, under relative links."""
    scheme: str = "http"
    host: str = ""
    """``127.0.0.1:8080``."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """The path and the Authorization header of every request."""
    wrong_hash: bool = False
    """Give every file a hash that it has not."""

    @property
    def url(self) -> str:
        """The index's URL without credentials."""
        return f"{self.scheme}://{self.host}/simple/"

    @property
    def url_with_password(self) -> str:
        """The same with them, percent-encoded."""
        pair = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{self.scheme}://{pair}@{self.host}/simple/"

    @property
    def wanted(self) -> str:
        """The Authorization header that is let in, or nothing."""
        if not (self.user or self.password):
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def refused(self) -> int:
        """How many requests came without the password."""
        return sum(header != self.wanted for _, header in self.seen) if self.wanted else 0

    @property
    def served(self) -> int:
        """How many came with it."""
        return len(self.seen) - self.refused

    def page(self, name: str, *, as_json: bool) -> bytes | None:
        """The page of a project, or None where it has no file."""
        found = [p for f, p in self.files.items() if f.split("-")[0].replace("_", "-").lower() == name]
        base = self.beside or "../../files/"
        links = []
        for path in found:
            digest = hashlib.sha256(b"" if self.wrong_hash else path.read_bytes()).hexdigest()
            links.append((path.name, f"{base}{path.name}", digest))
        if not links:
            return None
        if as_json:
            files = [{"filename": n, "url": u, "hashes": {"sha256": h}} for n, u, h in links]
            return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": files}).encode()
        return "".join(f'<a href="{u}#sha256={h}">{n}</a>\n' for n, u, h in links).encode()


def handler_of(index: Index) -> type[http.server.BaseHTTPRequestHandler]:
    """A class that answers for an index."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            header = self.headers.get("Authorization", "")
            index.seen.append((self.path, header))
            if index.wanted and header != index.wanted:
                self.answer(index.refusal, b"no", "text/plain")
                return
            name = self.path.rstrip("/").rsplit("/", 1)[-1]
            as_json = index.as_json and JSON in self.headers.get("Accept", "")
            page = index.page(name, as_json=as_json)
            if self.path.startswith("/files/") and name in index.files:
                self.answer(200, index.files[name].read_bytes(), "application/octet-stream")
            elif self.path.startswith("/simple/") and page is not None:
                self.answer(200, page, JSON if as_json else "text/html")
            else:
                self.answer(404, b"not here", "text/plain")

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serve(
    files: Iterable[Path],
    *,
    user: str = "",
    password: str = "",
    refusal: int = 401,
    as_json: bool = False,
    beside: str = "",
    certificate: Path | None = None,
    wrong_hash: bool = False,
) -> Iterator[Index]:
    """Serve files on a free port of the loopback interface, with a certificate (and its key) by https."""
    index = Index(
        files={file.name: file for file in files},
        user=user,
        password=password,
        refusal=refusal,
        as_json=as_json,
        beside=beside,
        scheme="https" if certificate else "http",
        wrong_hash=wrong_hash,
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(index)) as server:
        server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        index.host = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield index
        finally:
            server.shutdown()


def forms(user: str, password: str) -> tuple[bytes, ...]:
    """How a password may be written: plain, percent-encoded, and in base64 as HTTP sends it."""
    sent = base64.b64encode(f"{user}:{password}".encode()).decode()
    encoded = quote(password, safe="")
    return tuple(dict.fromkeys(form.encode() for form in (password, encoded, encoded.lower(), sent)))


def holders(needles: Sequence[bytes], *places: Path) -> list[str]:
    """The files at or below some places that hold one of the needles, their names included."""
    found = []
    for place in places:
        for path in [place, *place.rglob("*")] if place.is_dir() else [place]:
            data = os.fsencode(path)
            if path.is_symlink():
                data += os.fsencode(path.readlink())
            elif path.is_file():
                data += path.read_bytes()
            found += [str(path)] if any(needle in data for needle in needles) else []
    return found


def unpack(deb: Path, target: Path) -> Path:
    """Unpack a package with its control files, and return the folder."""
    subprocess.run(["dpkg-deb", "--raw-extract", deb, target], check=True, capture_output=True)
    return target


class Watch:
    """Reads the command lines of all processes again and again, and what ps shows, while its block runs.

    /proc/PID/environ is left out: the kernel lets nobody but the same user and root read it.
    """

    def __init__(self, needles: Sequence[bytes], pause: float = 0.01) -> None:
        self.needles, self.pause = needles, pause
        self.exposed: list[str] = []
        self.programs: set[str] = set()
        self.samples = 0
        self._done = threading.Event()
        self._threads = [threading.Thread(target=loop) for loop in (self._read_proc, self._ask_ps)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _look(self, text: bytes) -> None:
        if any(needle in text for needle in self.needles):
            self.exposed.append(text.decode(errors="replace"))

    def _read_proc(self) -> None:
        while not self._done.wait(self.pause):
            self.samples += 1
            for name in os.listdir("/proc"):  # noqa: PTH208 - Path.iterdir is twice as slow
                if name.isdigit():
                    with contextlib.suppress(OSError):
                        words = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ")
                        self.programs.add(words.decode(errors="replace"))
                        self._look(words)

    def _ask_ps(self) -> None:
        while not self._done.wait(10 * self.pause):
            shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, check=False)
            self._look(shown.stdout)

"""Secrets are found where they are, told without being repeated, and looked for nowhere else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path, PurePosixPath

import pytest

from venvpkg.credentials import (
    expand_variables,
    find_secrets,
    has_credentials,
    known_secrets,
    pip_files,
)

WORD = "s3cr3t-W0rd/of+mine"
QUOTED = "s3cr3t-W0rd%2Fof%2Bmine"
TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ"
BODY = base64.encodebytes(b"".join(hashlib.sha256(bytes([n])).digest() for n in range(20)))
KINDS = (
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "SSH2 ENCRYPTED PRIVATE KEY",
    "PGP PRIVATE KEY BLOCK",
)


def pem(kind: str = "PRIVATE KEY", head: bytes = b"") -> bytes:
    """A key file (RFC 7468, RFC 4880)."""
    name = kind.encode()
    return b"-----BEGIN %s-----\n%s%s-----END %s-----\n" % (name, head, BODY, name)


def found(data: bytes, path: str = "srv/app/x.py", *, own: bool = True) -> list[str]:
    """What is told of a file."""
    return list(find_secrets(PurePosixPath(path), data, own=own))


# ---------------------------------------------------------------------------------------------
# Private keys


@pytest.mark.parametrize("kind", KINDS)
def test_private_key_of_every_kind_is_found(kind: str) -> None:
    """In a file of its own, whoever's it is, and in the middle of one's own files."""
    assert found(pem(kind), "srv/id") == ["holds a private key"]
    assert found(pem(kind), "srv/id", own=False) == ["holds a private key"]
    assert found(b"# ours\n" + pem(kind)) == ["holds a private key"]


@pytest.mark.parametrize(
    "kind",
    [
        "CERTIFICATE",
        "PUBLIC KEY",
        "RSA PUBLIC KEY",
        "PGP PUBLIC KEY BLOCK",
        "CERTIFICATE REQUEST",
        "X509 CRL",
    ],
)
def test_what_is_published_is_no_secret(kind: str) -> None:
    """Certificates and public keys have the same form."""
    assert found(pem(kind), "srv/x.pem") == []


def test_key_with_headers_of_its_own_is_found() -> None:
    """An encrypted one of OpenSSL's old form."""
    head = b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF0123456789ABCDEF\n\n"
    assert found(pem("RSA PRIVATE KEY", head)) == ["holds a private key"]


def test_key_with_the_line_ends_of_windows_is_found() -> None:
    """A checkout there makes them."""
    assert found(pem().replace(b"\n", b"\r\n")) == ["holds a private key"]


@pytest.mark.parametrize(
    "form",
    [
        "KEY = {!r}\n",
        '{{"private_key": {!r}}}\n',
        "KEY = b{!r}\n",
    ],
)
def test_key_on_one_line_of_source_is_found(form: str) -> None:
    r"""Line ends are written ``\n`` there, as in a service account's JSON."""
    source = form.format(pem().decode()).replace('"private_key": \'', '"private_key": "')
    assert source.count("\n") == 1
    assert found(source.encode()) == ["holds a private key"]


def test_key_of_quoted_lines_is_found() -> None:
    """As a program writes a long literal."""
    source = b"KEY = (\n" + b"".join(b'    "%s\\n"\n' % line for line in pem().splitlines()) + b")\n"
    assert found(source) == ["holds a private key"]


@pytest.mark.parametrize(
    "data",
    [
        b'if line == "-----BEGIN PRIVATE KEY-----":\n    read(line)\n',
        b"-----BEGIN RSA PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        b"MARKERS = {b'-----BEGIN PRIVATE KEY-----': load, b'-----BEGIN EC PRIVATE KEY-----': load_ec}\n",
        b"-----BEGIN PRIVATE KEY-----\n<" + BODY + b">",
        b"PRIVATE KEY" + BODY,
    ],
)
def test_marker_without_a_body_is_no_key(data: bytes) -> None:
    """A program that reads keys has it."""
    assert found(data) == []
    assert found(data, "srv/x.pem", own=False) == []


def test_key_of_putty_is_found() -> None:
    """Its format has a first line of its own."""
    data = b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPublic-Lines: 2\n" + BODY
    assert found(data, "srv/id.ppk", own=False) == ["holds a private key"]


@pytest.mark.parametrize("folder", ["tests", "test", "testing", "testdata", "test_data", "examples", "docs"])
def test_key_in_tests_of_others_is_public(folder: str) -> None:
    """With the tests that it was published with; one's own is told wherever it is."""
    path = f"opt/site-packages/lib/{folder}/server.pem"
    assert found(pem(), path, own=False) == []
    assert found(pem(), path) == ["holds a private key"]
    assert found(pem(), f"opt/site-packages/lib/{folder}ing_not/server.pem", own=False) != []


@pytest.mark.parametrize(
    ("path", "said"),
    [("x/server.key", True), ("x/server.pem", True), ("x/server.ppk", True), ("x/ssl.py", False)],
)
def test_key_inside_a_file_of_others_is_told_in_key_files_alone(path: str, said: bool) -> None:
    """A library has keys in its programs, for its tests and for its documentation."""
    assert found(b"Bag Attributes: none\n" + pem(), path, own=False) == ["holds a private key"] * said


# ---------------------------------------------------------------------------------------------
# Files for credentials


@pytest.mark.parametrize(
    "name",
    [".netrc", "_netrc", "netrc", "pip.conf", "pip.ini", ".pypirc", ".git-credentials", ".pgpass"],
)
def test_file_for_credentials_is_told_by_its_name(name: str) -> None:
    """Whatever is in it, and whoever has it."""
    assert found(b"", f"srv/{name}") == ["is a file for credentials"]
    assert found(b"\0", f"srv/{name}", own=False) == ["is a file for credentials"]


@pytest.mark.parametrize("name", ["netrc.py", "pip.conf.example", "my.netrc", "pgpass", "netrc/x"])
def test_file_of_a_like_name_is_none(name: str) -> None:
    """Python itself has a module netrc."""
    assert found(b"", f"srv/{name}") == []


# ---------------------------------------------------------------------------------------------
# URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://user:{QUOTED}@index.example.org/simple", "https://***@index.example.org"),
        (f"https://:{QUOTED}@index.example.org/", "https://***@index.example.org"),
        (f"postgresql+psycopg2://app:{QUOTED}@db:5432/app", "postgresql+psycopg2://***@db:5432"),
        (f"redis://:{QUOTED}@127.0.0.1:6379/0", "redis://***@127.0.0.1:6379"),
        (f"amqp://me:{QUOTED}@[::1]:5672/", "amqp://***@[::1]:5672"),
        (f"git+https://user:{TOKEN}@example.org/x.git", "git+https://***@example.org"),
        (f"https://{TOKEN}@example.org/x.git", "https://***@example.org"),
        (f"https://{TOKEN}:@example.org/x.git", "https://***@example.org"),
        (f"https://user:p:{QUOTED}@example.org", "https://***@example.org"),
    ],
)
def test_credentials_in_a_url_are_found(url: str, shown: str) -> None:
    """With a user or without one, encoded, or a token alone; the place is told, for that is no secret."""
    user = url.split("//")[1].split(":")[0].split("@")[0]
    for data in (url, f'INDEX = "{url}"\n', f"INDEX={url}\n", f"<a href='{url}'>", f"({url})"):
        (told,) = found(data.encode())
        assert told == f"holds credentials in a URL: {shown}"
        assert WORD not in told and QUOTED not in told and (not user or user not in told)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:${PASSWORD}@example.org",
        "https://user:$PASSWORD@example.org",
        "https://user:{password}@example.org",
        "https://user:{{ password }}@example.org",
        "https://user:%(pw)s@example.org",
        "https://user:%s@example.org",
        "https://user:<password>@example.org",
        "https://user:***@example.org",
        "https://user:...@example.org",
        "https://user:xxxx@example.org",
        "https://${USER}:${PASSWORD}@example.org",
        "https://{user}:secret@example.org",
        "https://user:`cat /run/word`@example.org",
    ],
)
def test_template_is_no_secret(text: str) -> None:
    """What stands in for a password, in documentation and in programs."""
    assert found(f"URL = '{text}'\n".encode()) == []


@pytest.mark.parametrize(
    "text",
    [
        "ssh://git@example.org/x.git",
        "https://user@example.org/",
        "git@example.org:some/project.git",
        "https://example.org:8080/a@b",
        "https://example.org/?mail=me:you@example.org",
        "see https://example.org, or write to: me@example.org",
        "mailto:someone:else@example.org",
        "me:you@example.org",
        "http://localhost:8080 me@example.org",
        "https://example.org/index.html\n:word@example.org",
        "ssh://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.org/",
        "https://0123456789abcdef012@example.org/",
    ],
)
def test_address_without_a_password_is_no_secret(text: str) -> None:
    """A user's name alone, a port, an e-mail address, a token of 19 characters."""
    assert found(text.encode()) == []


def test_secret_behind_a_template_is_found() -> None:
    """The first URL of a file is not the only one."""
    text = f"https://user:***@example.org https://user:{QUOTED}@second.example.org"
    assert found(text.encode()) == ["holds credentials in a URL: https://***@second.example.org"]


def test_password_with_a_star_in_it_is_no_template() -> None:
    """A template stands for all of the word."""
    assert found(b"https://user:half*word@example.org") != []
    assert found(b"https://user:xxl%s@example.org") != []


def test_urls_of_others_are_told_only_where_an_installer_noted_them() -> None:
    """direct_url.json has the URL of the build, and a README has been published."""
    data = f'{{"url": "https://user:{QUOTED}@example.org/x.whl"}}'.encode()
    told = ["holds credentials in a URL: https://***@example.org"]
    assert found(data, "site-packages/x-1.dist-info/direct_url.json", own=False) == told
    assert found(data, "site-packages/x-1.dist-info/METADATA", own=False) == []
    assert found(data, "site-packages/x/README.md", own=False) == []
    assert found(data, "site-packages/x-1.dist-info/METADATA") == told


def test_data_that_is_no_text_is_not_searched_for_forms() -> None:
    """Machine code has every pattern sooner or later."""
    url = f"https://user:{QUOTED}@example.org".encode()
    assert found(b"\0" + url + pem()) == []
    # What has no zero byte in its first KiB is taken for text.
    assert len(found(b"x" * 1024 + b"\0" + url + b"\n" + pem())) == 2


def test_several_secrets_of_one_file_are_all_told() -> None:
    """A kind is told once."""
    url = f"https://user:{QUOTED}@example.org\n".encode()
    told = found(url + url + pem() + pem(), "srv/pip.conf")
    assert [t.split(":")[0] for t in told] == [
        "is a file for credentials", "holds a private key", "holds credentials in a URL",
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------
# Secrets of this build


@pytest.mark.parametrize("data", [b"\0\1%s\0", b"x = '%s'", b"\xff%s", b"\0" * 5000 + b"%s"])
@pytest.mark.parametrize("own", [True, False])
def test_known_secret_is_found_in_any_file(data: bytes, own: bool) -> None:
    """In machine code and in other people's files too, and it is not repeated."""
    known = known_secrets({"PIP_INDEX_URL": f"https://user:{QUOTED}@example.org"}, ())
    for form in (WORD, QUOTED):
        whole = data.replace(b"%s", form.encode())
        told = list(find_secrets(PurePosixPath("x/tests/y.so"), whole, own=own, known=known))
        assert told == ["holds a password or token of this build's environment"]
    assert list(find_secrets(PurePosixPath("x"), data, own=own, known=known)) == []


def test_known_secrets_come_from_urls_of_indexes_and_installers_variables() -> None:
    """Decoded and as written; one URL of several in a variable is not left out."""
    environ = {
        "PIP_EXTRA_INDEX_URL": "https://a:first-word@one.example.org https://b:second-word@two.example.org",
        "UV_INDEX": f"mine=https://{TOKEN}@example.org/simple",
        "DH_VENVPKG_INDEX_URL": "https://c:third-word@example.org",
        "OTHER_URL": "https://d:fourth-word@example.org",
    }
    found = known_secrets(environ, [f"https://user:{QUOTED}@example.org", "https://example.org"])
    words = ["first-word", "second-word", TOKEN, "third-word", WORD, QUOTED]
    sent = ["a:first-word", "b:second-word", f"{TOKEN}:", "c:third-word", f"user:{WORD}"]
    expected = [word.encode() for word in words] + [base64.b64encode(pair.encode()) for pair in sent]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("name", "length", "wanted"),
    [
        ("GITHUB_TOKEN", 16, True),
        ("GITHUB_TOKEN", 15, False),
        ("TOKEN", 16, True),
        ("DB_PASSWORD", 16, True),
        ("DB_PASSWD", 16, True),
        ("CLIENT_SECRET", 16, True),
        ("SOME_API_KEY", 16, True),
        ("UV_PUBLISH_TOKEN", 8, True),
        ("UV_PUBLISH_TOKEN", 7, False),
        ("TWINE_PASSWORD", 8, True),
        ("TOKENS", 40, False),
        ("MYTOKEN", 40, False),
        ("TOKEN_FILE", 40, False),
        ("API_KEY_ID", 40, False),
    ],
)
def test_variable_whose_name_says_so_is_a_secret(name: str, length: int, wanted: bool) -> None:
    """One of an installer's from 8 characters on, one of another tool's from 16."""
    value = "a1" * (length // 2) + "b" * (length % 2)
    assert known_secrets({name: value}, ()) == ((value.encode(),) if wanted else ())


def test_short_password_of_a_url_is_left_out() -> None:
    """It would be found in any text; its length is counted in the form that is looked for."""
    assert known_secrets({}, ["https://:1234567@example.org"]) == ()
    assert known_secrets({}, ["https://:12345678@example.org"]) == (b"12345678",)
    assert known_secrets({}, ["https://:123%2F567@example.org"]) == (b"123%2F567",)


def test_secret_is_listed_once() -> None:
    """Wherever it comes from."""
    url = f"https://:{TOKEN}@example.org"
    assert known_secrets({"PIP_INDEX_URL": url, "MY_TOKEN": TOKEN}, [url]) == (TOKEN.encode(),)


def test_password_that_is_not_ascii_is_looked_for_as_bytes() -> None:
    """UTF-8, encoded in the URL or not; a byte of a variable that is not UTF-8 stays as it is."""
    for url in ("https://user:pässwörd@example.org", "https://user:p%C3%A4ssw%C3%B6rd@example.org"):
        assert "pässwörd".encode() in known_secrets({}, [url])
    assert known_secrets({"MY_TOKEN": "\udcff" * 16}, ()) == (b"\xff" * 16, b"%FF" * 16)


def test_netrc_in_the_home_folder_is_read(tmp_path: Path) -> None:
    """All its passwords, and no user's name."""
    text = (
        "machine example.org login me-myself-and-i password first-word\ndefault login you password 2nd-word\n"
    )
    (tmp_path / ".netrc").write_text(text)
    found = known_secrets({"HOME": str(tmp_path)}, ())
    assert {b"first-word", b"2nd-word", base64.b64encode(b"you:2nd-word")} <= set(found)
    assert b"me-myself-and-i" not in found


def test_variable_netrc_names_another_file(tmp_path: Path) -> None:
    """It comes before the home folder, as it does for pip and uv."""
    (tmp_path / ".netrc").write_text("machine a login b password of-the-home\n")
    (tmp_path / "other").write_text("machine a login b password of-the-other\n")
    environ = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "other")}
    found = known_secrets(environ, ())
    assert b"of-the-other" in found and b"of-the-home" not in found


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense in here\n",
        b"machine\n",
        b"machine a password\n",
        b"\xff\xfe\0\1",
        b"",
        b"machine a login b\n",
        b"machine a login b password short\n",
    ],
)
def test_netrc_that_is_broken_has_no_secret(data: bytes, tmp_path: Path) -> None:
    """The build goes on, for the installers tell it themselves."""
    (tmp_path / ".netrc").write_bytes(data)
    assert known_secrets({"HOME": str(tmp_path), "MY_TOKEN": TOKEN}, ()) == (TOKEN.encode(),)


def test_netrc_that_cannot_be_read_has_no_secret(tmp_path: Path) -> None:
    """A folder of that name, none at all, and no home."""
    (tmp_path / ".netrc").mkdir()
    for environ in ({}, {"NETRC": str(tmp_path / "none")}):
        assert known_secrets({"HOME": str(tmp_path), **environ}, ()) == ()
    known_secrets({"HOME": "/nonexistent"}, ())
    known_secrets({}, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".config/pip/pip.conf", "[global]\nindex-url = https://me:{}@example.org/simple\n"),
        (".pip/pip.conf", "[install]\nextra-index-url =\n  https://a\n  https://me:{}@example.org/simple\n"),
        (".config/uv/uv.toml", '[[index]]\nurl = "https://me:{}@example.org/simple"\n'),
        (
            ".local/share/uv/credentials/credentials.toml",
            '[[credential]]\nusername = "me"\npassword = "{}"\n',
        ),
        ("_netrc", "machine example.org login me password {}\n"),
    ],
)
def test_files_of_the_installers_are_read(name: str, text: str, tmp_path: Path) -> None:
    """Wherever they are kept, pip and uv have them for the build."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text.format("of-the-file"))
    found = known_secrets({"HOME": str(tmp_path)})
    assert {b"of-the-file", base64.b64encode(b"me:of-the-file")} <= set(found)


def test_pip_that_reads_no_file_has_none_of_its_secrets(tmp_path: Path) -> None:
    """PIP_CONFIG_FILE=/dev/null says so; another file comes last."""
    (tmp_path / "own").write_text("[global]\nindex-url = https://me:of-the-file@example.org/simple\n")
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "own")}
    assert pip_files(environ)[-1] == tmp_path / "own"
    assert b"of-the-file" in known_secrets(environ)
    assert pip_files({**environ, "PIP_CONFIG_FILE": "/dev/null"}) == ()


def test_secret_is_known_in_every_form() -> None:
    """As written, decoded, percent-encoded, and as HTTP sends it."""
    password = "p@ss:/w?r#d%!"
    written = "p%40ss%3a/w?r#d%25!".replace("/", "%2f").replace("?", "%3f").replace("#", "%23")
    found = known_secrets({"PIP_INDEX_URL": f"https://me:{written}@example.org/simple"})
    sent = base64.b64encode(f"me:{password}".encode()).decode()
    assert {written, password, "p%40ss%3A%2Fw%3Fr%23d%25%21", sent} == {form.decode() for form in found}


@pytest.mark.parametrize("sign", list("/?#"))
def test_password_that_was_not_encoded_is_known(sign: str) -> None:
    """No URL can hold it, which is what an installer then says."""
    found = known_secrets({"PIP_INDEX_URL": f"https://me:half{sign}word@example.org/simple"})
    assert f"half{sign}word".encode() in found
    assert known_secrets({"PIP_INDEX_URL": "https://example.org:8080/a-long-word@example"}) == ()


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        (f"https://{TOKEN}@example.org", TOKEN),
        (f"https://{TOKEN}:@example.org", TOKEN),
        (f"https://{TOKEN}:x-oauth-basic@example.org", TOKEN),
        (f"https://x-access-token-for-nr-1:{TOKEN}@example.org", TOKEN),
        ("https://continuous-integration@example.org", ""),
        ("https://first.last.1984%40example.org@example.org", ""),
        ("https://me@example.org", ""),
        ("https://me:${TOKEN}@example.org", ""),
        ("https://me:$SOME_PASSWORD@example.org", ""),
    ],
)
def test_token_stands_on_either_side(url: str, secret: str) -> None:
    """A user's name is none, and what stands for no password neither."""
    found = known_secrets({"UV_DEFAULT_INDEX": url})
    assert (secret.encode() in found) if secret else found == ()
    assert b"x-oauth-basic" not in found


def test_variables_of_an_index_are_secrets() -> None:
    """An index's password by its name, its user where that is a token; a proxy's password."""
    environ = {
        "UV_INDEX_OURS_USERNAME": "build-robot",
        "UV_INDEX_OURS_PASSWORD": "of-the-index",
        "UV_INDEX_THEIRS_USERNAME": TOKEN,
        "https_proxy": "http://me:of-the-proxy@proxy.example.org:3128",
    }
    found = known_secrets(environ)
    sent = base64.b64encode(b"build-robot:of-the-index")
    assert {b"of-the-index", TOKEN.encode(), b"of-the-proxy", sent} <= set(found)
    assert b"build-robot" not in found


def test_variable_in_a_url_is_known_by_its_value() -> None:
    """It is what must not be found, whatever the variable is called."""
    urls = ["https://${ME}:${WORD}@example.org", "--index-url https://me:${OTHER}@example.org\nthing==1\n"]
    found = known_secrets({"ME": "me", "WORD": "p@ss/word", "OTHER": "other-word"}, urls)
    assert {b"p@ss/word", b"p%40ss%2Fword", b"other-word"} <= set(found)


@pytest.mark.parametrize(
    ("url", "value", "expanded"),
    [
        ("https://me:${X}@e.org/a", "plain", "https://me:plain@e.org/a"),
        ("https://me:${X}@e.org/a", "p@ss/w", "https://me:p%40ss%2Fw@e.org/a"),
        ("https://me:${X}@e.org/a", "p%40ss", "https://me:p%40ss@e.org/a"),
        ("https://me:${X}@e.org/a", "50%off", "https://me:50%25off@e.org/a"),
        ("https://${X}@e.org/a", "me:word", "https://me:word@e.org/a"),
        ("https://e.org/${X}/simple", "a/b", "https://e.org/a/b/simple"),
        ("https://${X}/simple", "e.org:80", "https://e.org:80/simple"),
        ("$X and $(X) and ${X", "plain", "$X and $(X) and ${X"),
    ],
)
def test_variable_is_expanded(url: str, value: str, expanded: str) -> None:
    """Percent-encoded where it could not stand in a URL as it is."""
    assert expand_variables(url, {"X": value}) == (expanded, ())


def test_variable_that_is_not_set_is_told() -> None:
    """An empty one is none; both are told, and both stay."""
    url = "https://${A}:${B}@e.org"
    assert expand_variables(url, {"A": ""}) == (url, ("A", "B"))


@pytest.mark.parametrize(
    ("text", "has"),
    [
        (f"--index-url=https://me:{QUOTED}@e.org", True),
        (f"https://{TOKEN}:@e.org", True),
        ("git+ssh://git@e.org/x", False),
        ("https://me:${WORD}@e.org", False),
        ("https://e.org:8080/a@b", False),
    ],
)
def test_credentials_in_a_word_are_seen(text: str, has: bool) -> None:
    """A template of them is none."""
    assert has_credentials(text) is has

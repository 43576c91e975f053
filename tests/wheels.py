"""Wheels, sdists and indexes, written byte by byte for a test to install."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

from projects import BACKEND

RECORDER = '''\
"""A backend that puts its settings into the wheel."""

import json
from pathlib import Path

import backend


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    Path("{module}/settings.json").write_text(json.dumps(config_settings or {{}}))
    return backend.build_wheel(wheel_directory)
'''


def module_of(name: str) -> str:
    """The import package of a distribution."""
    return name.replace("-", "_")


def hash_row(path: str, data: bytes) -> str:
    """A row of RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}"


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str | bytes] | None = None,
    requires: Sequence[str] = (),
    extras: Mapping[str, Sequence[str]] | None = None,
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel; its only module is ``files`` or an ``__init__.py`` that knows its version."""
    module = module_of(name)
    stem = f"{module}-{version}"
    members = {f"{module}/__init__.py": f'__version__ = "{version}"\n', **(files or {})}
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {r}" for r in requires]
    for extra, wanted in (extras or {}).items():
        metadata += [f"Provides-Extra: {extra}", *(f"Requires-Dist: {r}; extra == '{extra}'" for r in wanted)]
    info = f"{stem}.dist-info"
    members[f"{info}/METADATA"] = "\n".join([*metadata, ""])
    members[f"{info}/WHEEL"] = "\n".join(
        ["Wheel-Version: 1.0", "Generator: tests", "Root-Is-Purelib: true", f"Tag: {tag}", ""]
    )
    if scripts:
        lines = [f"{key} = {value}" for key, value in scripts.items()]
        members[f"{info}/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""])
    return zip_wheel(folder / f"{stem}-{tag}.whl", info, members)


def zip_wheel(path: Path, info: str, members: Mapping[str, str | bytes]) -> Path:
    """Write the members and a RECORD of them; what is in ``.data/scripts`` is executable."""
    data = {key: value.encode() if isinstance(value, str) else value for key, value in members.items()}
    rows = [hash_row(key, value) for key, value in data.items()]
    data[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in data.items():
            member = zipfile.ZipInfo(key)
            member.external_attr = (0o100755 if ".data/scripts/" in key else 0o100644) << 16
            archive.writestr(member, value)
    return path


def write_sdist(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str | bytes] | None = None,
    requires: Sequence[str] = (),
    build_requires: Sequence[str] = (),
    backend: str = "recorder",
) -> Path:
    """Write an sdist with a backend inside it, one that records its settings by default."""
    module = module_of(name)
    quoted = ", ".join(f'"{r}"' for r in build_requires)
    pyproject = [
        "[build-system]",
        f"requires = [{quoted}]",
        f'build-backend = "{backend}"',
        'backend-path = ["backend"]',
        "[project]",
        f'name = "{name}"',
        f'version = "{version}"',
        f"dependencies = {list(requires)!r}",
    ]
    members: dict[str, str | bytes] = {
        "pyproject.toml": "\n".join([*pyproject, ""]),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "backend/backend.py": BACKEND,
        "backend/recorder.py": RECORDER.format(module=module),
        f"{module}/__init__.py": f'__version__ = "{version}"\nFROM_SDIST = True\n',
        **(files or {}),
    }
    path = folder / f"{module}-{version}.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for key, value in members.items():
            data = value.encode() if isinstance(value, str) else value
            member = tarfile.TarInfo(f"{module}-{version}/{key}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_extension(
    folder: Path, name: str, python: Path, *, header: str = "", value: str = "0", flags: Sequence[str] = ()
) -> Path:
    """Compile a module for ``python``; its wheel has a plain platform tag, as a local build gives it.

    Args:
        folder: where the wheel goes.
        name: the distribution; its module ``native`` has a function ``value``.
        python: the interpreter whose headers are taken.
        header: what the C source includes beside Python.h.
        value: C expression of an integer that the function returns.
        flags: for gcc.
    """
    module = module_of(name)
    probe = (
        "import sys, sysconfig; print(sys.version_info[1], sysconfig.get_path('include'), "
        "sysconfig.get_config_var('EXT_SUFFIX'), sep='\\n')"
    )
    asked = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True)
    minor, include, suffix = asked.stdout.split()
    work = folder.parent / f"compile-{module}"
    work.mkdir(parents=True, exist_ok=True)
    (work / "native.c").write_text(
        "#include <Python.h>\n"
        f"{f'#include <{header}>' if header else ''}\n"
        f"static PyObject *value(PyObject *self, PyObject *args) {{ return PyLong_FromLong({value}); }}\n"
        'static PyMethodDef methods[] = {{"value", value, METH_NOARGS, ""}, {0}};\n'
        'static struct PyModuleDef about = {PyModuleDef_HEAD_INIT, "native", "", -1, methods};\n'
        "PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&about); }\n"
    )
    target = work / f"native{suffix}"
    command = ["gcc", "-shared", "-fPIC", "-g", f"-I{include}", "native.c", "-o", target.name, *flags]
    subprocess.run(command, cwd=work, capture_output=True, check=True)
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return write_wheel(
        folder,
        name,
        files={
            f"{module}/__init__.py": "from . import native\n",
            f"{module}/native{suffix}": target.read_bytes(),
        },
        tag=f"cp3{minor}-cp3{minor}-{platform}",
    )


def wheel_of_installed(folder: Path, name: str) -> Path:
    """Write a wheel of a pure distribution that the tests' own Python has."""
    found = distribution(name)
    members: dict[str, bytes] = {}
    info = ""
    for file in found.files or ():
        if file.parts[0] in ("..", "/") or "__pycache__" in file.parts:
            continue
        if file.parts[0].endswith(".dist-info"):
            info = file.parts[0]
            if file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                continue
        members[str(file)] = Path(str(file.locate())).read_bytes()
    return zip_wheel(folder / f"{module_of(name)}-{found.version}-py3-none-any.whl", info, members)


def write_index(folder: Path, files: Sequence[Path]) -> str:
    """Write a simple index (PEP 503) of some files and return its URL."""
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(file.name.split("-")[0].replace("_", "-").lower(), []).append(file)
    for name, found in by_name.items():
        page = folder / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        links = [f'<a href="{f.resolve().as_uri()}">{f.name}</a>' for f in found]
        page.write_text("<!DOCTYPE html><html><body>\n" + "\n".join(links) + "\n</body></html>\n")
    names = [f'<a href="{name}/">{name}</a>' for name in by_name]
    (folder / "index.html").write_text("<!DOCTYPE html><html><body>" + "".join(names) + "</body></html>")
    return folder.resolve().as_uri()


def hash_of(path: Path) -> str:
    """A file's hash as a requirements file has it."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"

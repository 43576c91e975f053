"""A PEP 517 backend that needs nothing but the standard library and gcc, so that no index is asked."""

import base64
import hashlib
import io
import os
import shlex
import subprocess
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel of the project in the current folder.

    Its .c files become extension modules, what lies in scripts/ goes into bin/ as it is.
    """
    pyproject = tomllib.loads(Path("pyproject.toml").read_text())
    project = pyproject["project"]
    name = project["name"].replace("-", "_")
    link = pyproject.get("tool", {}).get("backend", {}).get("link", [])
    files = [path for path in sorted(Path(name).rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    members = {str(path): path.read_bytes() for path in files if path.suffix != ".c"}
    for source in [path for path in files if path.suffix == ".c"]:
        target = source.with_name(source.stem + sysconfig.get_config_var("EXT_SUFFIX"))
        compile_extension(source, target, link)
        members[str(target)] = target.read_bytes()
    for path in sorted(Path("scripts").glob("*")):
        members[f"{name}-{project['version']}.data/{path}"] = path.read_bytes()
    tag = "py3-none-any"
    if any(path.suffix == ".c" for path in files):
        python = "cp" + sysconfig.get_config_var("py_version_nodot")
        tag = f"{python}-{python}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
    file, data = pack(
        project["name"],
        project["version"],
        members,
        tag=tag,
        requires=[
            *project.get("dependencies", []),
            *(
                f"{requirement}; extra == '{extra}'"
                for extra, requirements in project.get("optional-dependencies", {}).items()
                for requirement in requirements
            ),
        ],
        extras=project.get("optional-dependencies", {}),
        scripts=project.get("scripts", {}),
    )
    (Path(wheel_directory) / file).write_bytes(data)
    return file


def build_sdist(sdist_directory, config_settings=None):
    """Write an sdist of everything in the current folder."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    with tarfile.open(Path(sdist_directory, f"{stem}.tar.gz"), "w:gz") as archive:
        archive.add(".", stem, filter=lambda member: None if "/.git" in member.name else member)
    return f"{stem}.tar.gz"


def compile_extension(source, target, link=()):
    """Compile one extension module as a build back end would, with the flags of the environment."""
    command = ["gcc", *shlex.split(os.environ.get("CFLAGS", "-O2")), "-fPIC", "-shared"]
    command += [f"-I{sysconfig.get_path('include')}", str(source), "-o", str(target)]
    subprocess.run([*command, *shlex.split(os.environ.get("LDFLAGS", "")), *link], check=True)


def pack(name, version, members, *, tag="py3-none-any", requires=(), extras=(), scripts=()):
    """Return name and bytes of a wheel; `members` are its files but for .dist-info."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Provides-Extra: {extra}" for extra in extras]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    pure = "true" if tag.endswith("-any") else "false"
    wheel = ["Wheel-Version: 1.0", "Generator: backend", f"Root-Is-Purelib: {pure}", f"Tag: {tag}", ""]
    points = ["[console_scripts]", *(f"{key} = {value}" for key, value in dict(scripts).items()), ""]
    members = {
        **members,
        f"{info}/METADATA": "\n".join([*metadata, ""]).encode(),
        f"{info}/WHEEL": "\n".join(wheel).encode(),
        f"{info}/entry_points.txt": "\n".join(points).encode(),
    }
    record = []
    for path, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(data)}")
    members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in members.items():
            # A fixed date: the same project gives the same wheel.
            archive.writestr(zipfile.ZipInfo(path), data)
    return f"{stem}-{tag}.whl", buffer.getvalue()

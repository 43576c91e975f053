"""Small Python projects with a debian/ folder, written out for a test to build."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import backend

# The backend is a file of its own, which a project takes along and tests import to make wheels.
BACKEND = Path(backend.__file__).read_text()


@dataclass(kw_only=True)
class Project:
    """A project that builds without an index; every part can be replaced.

    `files` is laid over the generated files: a value of None leaves a file out, a string or bytes
    replaces or adds one. A path that starts with `debian/rules`, `debian/build` or `bin/` becomes executable.
    """

    name: str = "demo"
    """The source package, the binary package, the distribution and the command."""
    version: str = "1.0"
    dependencies: list[str] = field(default_factory=list)
    """`[project] dependencies`."""
    config: str = ""
    """The lines of `[tool.venvpkg]`."""
    wheels: Sequence[tuple[str, bytes]] = ()
    """Wheels, as `backend.pack` returns them; the project is installed with them and no index."""
    link: list[str] = field(default_factory=list)
    """What gcc is given to link extension modules: every .c file of the import package becomes one."""
    architecture: str = "any"
    compat: int = 13
    build_depends: list[str] = field(default_factory=list)
    """What to add to Build-Depends."""
    depends: str = "${misc:Depends}, ${shlibs:Depends}"
    fields: str = ""
    """Further lines of the binary package's paragraph."""
    rules: str = ""
    """Lines after the `%:` rule of debian/rules, written with leading tabs where make wants them."""
    packages: str = ""
    """Further paragraphs of debian/control."""
    addon: str = "venvpkg"
    """The add-on, as `dh-sequence-ADDON` in Build-Depends; empty for debhelper alone."""
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The import package."""
        return self.name.replace("-", "_")

    def write(self, folder: Path) -> Path:
        """Write it into a folder, which is made, and return that."""
        for path, content in {**self._generated(), **self.files}.items():
            if content is None:
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
            executable = path.startswith(("debian/rules", "debian/build", "bin/"))
            target.chmod(0o755 if executable else 0o644)
        return folder

    def _generated(self) -> dict[str, str | bytes | None]:
        return {
            "pyproject.toml": self._pyproject(),
            "backend/backend.py": BACKEND,
            f"{self.module}/__init__.py": f'__version__ = "{self.version}"\n',
            f"{self.module}/__main__.py": self._main(),
            "debian/control": self._control(),
            "debian/rules": f"#!/usr/bin/make -f\n%:\n\tdh $@\n\n{self.rules}",
            "debian/changelog": self._changelog(),
            "debian/source/format": "3.0 (native)\n",
            **{f"wheels/{name}": data for name, data in self.wheels},
        }

    def _pyproject(self) -> str:
        head = textwrap.dedent(f"""\
            [build-system]
            requires = []
            build-backend = "backend"
            backend-path = ["backend"]

            [project]
            name = "{self.name}"
            version = "{self.version}"
            dependencies = {self.dependencies!r}

            [project.scripts]
            {self.name} = "{self.module}.__main__:main"
            """)
        config = self.config
        if self.wheels:
            config = f'find-links = ["wheels"]\nno-index = true\n{config}'
        head += f"\n[tool.backend]\nlink = {self.link!r}\n" if self.link else ""
        return head + (f"\n[tool.venvpkg]\n{config}\n" if config else "")

    def _main(self) -> str:
        return textwrap.dedent(f"""\
            import sys


            def main():
                print("{self.name} {self.version}", sys.prefix)


            if __name__ == "__main__":
                main()
            """)

    def _control(self) -> str:
        addon = [f"dh-sequence-{self.addon}"] if self.addon else []
        depends = [f"debhelper-compat (= {self.compat})", *addon, *self.build_depends]
        head = textwrap.dedent(f"""\
            Source: {self.name}
            Section: misc
            Priority: optional
            Maintainer: A Developer <developer@example.org>
            Rules-Requires-Root: no
            Standards-Version: 4.6.2
            Build-Depends: {", ".join(depends)}

            Package: {self.name}
            Architecture: {self.architecture}
            Depends: {self.depends}
            Description: test project
             It says its name and where it lives.
            """)
        head += self.fields
        return head + (f"\n{self.packages}\n" if self.packages else "")

    def _changelog(self) -> str:
        return textwrap.dedent(f"""\
            {self.name} ({self.version}) unstable; urgency=medium

              * A version.

             -- A Developer <developer@example.org>  Thu, 02 Jan 2025 03:04:05 +0000
            """)

"""The extension and the man page; everything else about the project is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "skyplot._native",
            sources=["src/skyplot/_native.c"],
            libraries=["lapack", "png"],
            extra_compile_args=["-std=c11", "-Wall", "-Wextra"],
        )
    ],
    data_files=[("share/man/man1", ["skyplot.1"])],
)

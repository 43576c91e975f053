"""Build a Python project's whole environment into a Debian package."""

__version__ = "0.1.0"

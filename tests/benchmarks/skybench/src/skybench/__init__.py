"""An application that starts, imports what it requires, and ends."""

from importlib import import_module

REVISION = 0
MODULES = (
    "cryptography.hazmat.primitives.ciphers",
    "flask",
    "lxml.etree",
    "matplotlib.figure",
    "numpy",
    "pandas",
    "scipy.optimize",
    "sqlalchemy.orm",
)


def main() -> None:
    """Import what takes time."""
    for name in MODULES:
        import_module(name)
    print("skybench", REVISION)

"""Run the command line as ``python -m venvpkg``."""

from venvpkg.cli import venvpkg

if __name__ == "__main__":
    venvpkg()

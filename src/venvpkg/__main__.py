"""Run the command line as ``python -m venvpkg``."""

from venvpkg.cli import venvpkg

if __name__ == "__main__":
    # By its own name, as the completion scripts call it too.
    venvpkg(prog_name="venvpkg")

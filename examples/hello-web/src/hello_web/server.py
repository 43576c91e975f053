"""Start gunicorn with what the configuration file says."""

import argparse
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from hello_web import create_app

CONFIG_FILE = Path("/etc/hello-web/hello-web.toml")
DEFAULTS = {"bind": "127.0.0.1:8000", "workers": 2, "greeting": "Hello, web!"}


class Server(BaseApplication):
    """gunicorn without its own command line."""

    def __init__(self, settings: dict[str, Any], access_log: str) -> None:
        self.settings = settings
        self.access_log = access_log
        super().__init__()

    def load_config(self) -> None:
        self.cfg.set("bind", self.settings["bind"])
        self.cfg.set("workers", self.settings["workers"])
        self.cfg.set("accesslog", self.access_log)
        # The service has a read-only view of the file system: no socket of gunicorn's own in a home folder.
        if "control_socket_disable" in self.cfg.settings:
            self.cfg.set("control_socket_disable", True)

    def load(self) -> Any:
        return create_app(self.settings["greeting"])


def read_settings(path: Path) -> dict[str, Any]:
    """Return DEFAULTS, overridden by the TOML file at `path` where there is one.

    Raises ValueError for a key that is not in DEFAULTS, so that a misspelt one does not pass in silence.
    """
    found = tomllib.loads(path.read_text()) if path.exists() else {}
    if unknown := sorted(found.keys() - DEFAULTS.keys()):
        raise ValueError(f"{path}: unknown key {', '.join(unknown)}")
    return DEFAULTS | found


def main() -> None:
    parser = argparse.ArgumentParser(prog="hello-web", description="Serve a page that says hello.")
    parser.add_argument("--config", type=Path, default=CONFIG_FILE, help=f"default: {CONFIG_FILE}")
    parser.add_argument("--bind", help="ADDRESS:PORT, instead of the one in the configuration file")
    parser.add_argument("--access-log", default="-", metavar="FILE", help="default: standard output")
    parser.add_argument("--version", action="version", version=f"hello-web {version('hello-web')}")
    options = parser.parse_args()
    try:
        settings = read_settings(options.config)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.bind:
        settings["bind"] = options.bind
    Server(settings, options.access_log).run()

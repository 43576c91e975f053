"""A page that says hello."""

import platform
import sys

from flask import Flask, render_template_string

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ greeting }}</title>
<h1>{{ greeting }}</h1>
<p>Served by Python {{ python }} from <code>{{ prefix }}</code>.</p>
</html>
"""


def create_app(greeting: str = "Hello, web!") -> Flask:
    """Return the WSGI application; `greeting` is escaped before it is shown."""
    app = Flask(__name__)

    @app.get("/")
    def show_greeting() -> str:
        return render_template_string(
            PAGE, greeting=greeting, python=platform.python_version(), prefix=sys.prefix
        )

    @app.get("/health")
    def report_health() -> dict[str, str]:
        return {"status": "ok"}

    return app

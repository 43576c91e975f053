"""Programs that the packaged interpreter runs: they import nothing of venvpkg, and run on Python 3.8."""

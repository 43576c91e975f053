"""Read the command line, draw, and say what was written."""

import argparse
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path


@contextmanager
def scratch_matplotlib() -> Iterator[None]:
    """Give matplotlib a folder for its font cache that goes away, unless the user chose one.

    It reads MPLCONFIGDIR when it is first imported, so the import comes inside.
    """
    if "MPLCONFIGDIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="skyplot-") as folder:
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]


def describe_version() -> str:
    """Return the version of the program and of the system's libraries under it."""
    from PIL import features

    from skyplot import _native

    libraries = _native.library_versions() | {"FreeType": features.version("freetype2")}
    shown = ", ".join(f"{name} {number}" for name, number in libraries.items())
    return f"skyplot {version('skyplot')} ({shown})"


def report(path: Path, width: int, height: int, size: int) -> None:
    print(f"{path}: {width} x {height} pixels, {size} bytes")


def run(options: argparse.Namespace) -> None:
    """Draw what the options ask for and write it."""
    from skyplot import _native, chart
    from skyplot.horizon import Observer

    sky = chart.Sky(Observer(latitude=options.latitude, sidereal_time=options.sidereal_time))
    picture = chart.draw(sky, options.size)
    # By way of memory, so that the size is right for /dev/null and for a pipe too.
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    options.output.write_bytes(data.getbuffer())
    report(options.output, *picture.size, len(data.getbuffer()))
    if options.raw:
        side = options.size // 4
        written = _native.write_gray_png(options.raw, sky.density_map(side), side, side)
        report(options.raw, side, side, written)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="skyplot",
        description="Draw the night sky over a place on Earth.",
        epilog="Without more: 1600 pixels, 50 degrees north, sidereal time 6 hours.",
    )
    parser.add_argument("--output", type=Path, help="the picture, a PNG file")
    parser.add_argument("--raw", type=Path, help="also write the density of faint stars, a gray PNG file")
    parser.add_argument("--size", type=int, default=1600, metavar="PIXELS", help="width of the picture")
    parser.add_argument("--latitude", type=float, default=50.0, metavar="DEGREES", help="north positive")
    parser.add_argument("--sidereal-time", type=float, default=6.0, metavar="HOURS", help="local")
    parser.add_argument("--version", action="store_true", help="show versions, of the libraries too")
    options = parser.parse_args(arguments)
    if not options.version and not options.output:
        parser.error("--output is required")
    if not 200 <= options.size <= 8000:
        parser.error("--size goes from 200 to 8000")
    if not -90 <= options.latitude <= 90:
        parser.error("--latitude goes from -90 to 90")
    if not 0 <= options.sidereal_time < 24:
        parser.error("--sidereal-time goes from 0 to just under 24")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.version:
        print(describe_version())
        return
    with scratch_matplotlib():
        try:
            run(options)
        except OSError as error:
            raise SystemExit(f"skyplot: {error}") from error

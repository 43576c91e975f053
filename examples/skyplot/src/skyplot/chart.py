"""The picture: matplotlib draws the sky, Pillow sets the caption under it."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from skyplot import catalogue, gradient
from skyplot.horizon import Observer

PAPER, INK, FAINT = "#070a14", "#e8ecf6", "#8fa3c8"
CONSTELLATIONS = {
    "And": "Andromeda", "Aql": "Aquila", "Aur": "Auriga", "Boo": "Boötes", "CMa": "Canis Major",
    "Cas": "Cassiopeia", "Cep": "Cepheus", "Cyg": "Cygnus", "Gem": "Gemini", "Leo": "Leo", "Lyr": "Lyra",
    "Ori": "Orion", "Peg": "Pegasus", "Per": "Perseus", "Tau": "Taurus", "UMa": "Ursa Major",
    "UMi": "Ursa Minor",
}  # fmt: skip

# Colour of a star for its colour index B-V: blue-white, white, yellow, orange.
STAR_COLOUR = PchipInterpolator(
    [-0.4, 0.0, 0.4, 0.8, 1.4, 2.0],
    [
        [0.62, 0.73, 1.00],
        [0.80, 0.86, 1.00],
        [0.98, 0.97, 1.00],
        [1.00, 0.92, 0.78],
        [1.00, 0.78, 0.55],
        [1.00, 0.62, 0.38],
    ],
)


class Sky:
    """Everything that is to be seen, for one observer."""

    def __init__(self, observer: Observer) -> None:
        rng = np.random.default_rng(catalogue.SEED)
        self.observer = observer
        self.milky_way = catalogue.MilkyWay(rng)
        self.bright = self.place(catalogue.read_bright_stars())
        field = catalogue.draw_field_stars(rng, self.milky_way, self.bright)
        self.field = self.place(field)
        self.lines = catalogue.read_lines()
        self.coefficients = gradient.fit(*gradient.take_readings(rng))

    def place(self, stars: pd.DataFrame) -> pd.DataFrame:
        """Return the stars with their place in the picture: px, py, and whether they are up."""
        points = self.observer.project(stars[["x", "y", "z"]].to_numpy())
        return stars.assign(px=points[:, 0], py=points[:, 1], up=np.hypot(points[:, 0], points[:, 1]) < 1)

    def density_map(self, size: int) -> np.ndarray:
        """Return size * size bytes: how many field stars are near each point; the fullest has 255."""
        x, y = grid(size)
        directions = self.observer.unproject(np.stack([x, y], axis=-1))
        count = catalogue.count_neighbours(self.field, directions, radius_degrees=2.0).astype(float)
        count[np.hypot(x, y) > 1] = 0
        return np.round(255 * count / max(count.max(), 1)).astype(np.uint8)

    def background(self, size: int) -> np.ndarray:
        """Return the sky without stars, size * size * 3 floats: gradient and light of the Milky Way."""
        x, y = grid(size)
        glow = self.milky_way.density(self.observer.unproject(np.stack([x, y], axis=-1)))
        extinction = np.clip(1 - np.hypot(x, y) ** 4, 0, 1)
        light = (gaussian_filter(glow, size / 400) * extinction)[..., None]
        colour = gradient.evaluate(self.coefficients, x, y) + light * np.array([0.40, 0.41, 0.50])
        return np.clip(colour, 0, 1)


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the middle of each pixel, the first row on top."""
    middle = (np.arange(size) + 0.5) / size * 2 - 1
    return np.meshgrid(middle, -middle)


def draw(sky: Sky, size: int) -> Image.Image:
    """Return the whole picture: size pixels wide, and higher by the caption."""
    figure = Figure(figsize=(size / 100, size / 100), dpi=100, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12))
    axes.set_axis_off()
    scale = size / 1600
    horizon = Circle((0, 0), 1, transform=axes.transData)
    draw_sky(axes, sky, horizon, scale)
    draw_constellations(axes, sky, horizon, scale)
    draw_stars(axes, sky, horizon, scale)
    draw_labels(axes, sky, scale)
    draw_rim(axes, scale)
    canvas.draw()
    return set_caption(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), sky)


def draw_sky(axes: Axes, sky: Sky, horizon: Circle, scale: float) -> None:
    image = axes.imshow(
        sky.background(round(1200 * scale)), extent=(-1, 1, -1, 1), interpolation="bilinear", zorder=0
    )
    image.set_clip_path(horizon)
    for altitude in (30, 60):
        radius = np.tan(np.radians(90 - altitude) / 2)
        axes.add_patch(
            Circle((0, 0), radius, fill=False, color=FAINT, alpha=0.22, lw=0.9 * scale, ls=(0, (2, 6)))
        )


def draw_constellations(axes: Axes, sky: Sky, horizon: Circle, scale: float) -> None:
    ends = [sky.bright.loc[sky.lines[end], ["px", "py"]].to_numpy() for end in ("start", "end")]
    start, stop = (np.asarray(end, dtype=float) for end in ends)
    along = stop - start
    length = np.linalg.norm(along, axis=1, keepdims=True)
    # A line that stops short of its stars leaves them room to shine.
    gap = np.minimum(0.012, 0.25 * length) * along / length
    near = (np.linalg.norm(start, axis=1) < 1.3) & (np.linalg.norm(stop, axis=1) < 1.3)
    segments = np.stack([start + gap, stop - gap], axis=1)[near]
    lines = LineCollection(
        segments, colors="#9db8ea", alpha=0.5, linewidths=1.2 * scale, capstyle="round", zorder=2
    )
    axes.add_collection(lines)
    lines.set_clip_path(horizon)


def draw_stars(axes: Axes, sky: Sky, horizon: Circle, scale: float) -> None:
    for stars in (sky.field, sky.bright):
        seen = stars[stars.up]
        colour = np.clip(STAR_COLOUR(seen.colour_index.to_numpy()), 0, 1)
        magnitude = seen.magnitude.to_numpy()
        area = (5.0 * 10 ** (-0.14 * (magnitude - 1)) * scale) ** 2
        # Many weak discs, one in the other, are what the eye takes for glare.
        for width in np.geomspace(1.8, 9, 9):
            glare = np.where(magnitude < 3, 0.13 / width, 0)
            scatter(axes, seen, area * width**2, colour, glare, horizon, zorder=3)
        alpha = np.clip(1.45 - 0.13 * magnitude, 0.2, 1)
        scatter(axes, seen, area, 0.4 + 0.6 * colour, alpha, horizon, zorder=4)


def scatter(
    axes: Axes,
    stars: pd.DataFrame,
    area: np.ndarray,
    colour: np.ndarray,
    alpha: np.ndarray,
    horizon: Circle,
    zorder: int,
) -> None:
    """Draw the stars as discs; area in square points, colour and alpha from 0 to 1, one for each star."""
    colours = np.column_stack([np.clip(colour, 0, 1), np.broadcast_to(alpha, len(stars))])
    points = axes.scatter(stars.px, stars.py, s=area, c=colours, linewidths=0, zorder=zorder)
    points.set_clip_path(horizon)


def draw_labels(axes: Axes, sky: Sky, scale: float) -> None:
    outline = [withStroke(linewidth=3 * scale, foreground=PAPER, alpha=0.55)]
    inside = sky.bright[np.hypot(sky.bright.px, sky.bright.py) < 0.97]
    for name, star in inside[(inside.magnitude < 1.4) | (inside.index == "Polaris")].iterrows():
        axes.annotate(
            name, (star.px, star.py), xytext=(10 * scale, -12 * scale), textcoords="offset points", color=INK,
            fontsize=10.5 * scale, path_effects=outline, zorder=6,
        )  # fmt: skip
    all_stars = sky.bright.constellation.value_counts()
    for constellation, stars in inside.groupby("constellation"):
        # The middle of what is left of a constellation that sets is no good place for its name.
        if constellation in CONSTELLATIONS and len(stars) > 0.6 * all_stars[constellation]:
            name = " ".join(CONSTELLATIONS[constellation].upper())
            axes.text(
                stars.px.mean(), stars.py.mean(), name, color="#a9bfec",
                alpha=0.75, fontsize=9 * scale, ha="center", va="center", path_effects=outline, zorder=5,
            )  # fmt: skip


def draw_rim(axes: Axes, scale: float) -> None:
    axes.add_patch(Circle((0, 0), 1, fill=False, color="#5f77a8", lw=2.2 * scale, zorder=7))
    axes.add_patch(Circle((0, 0), 1.018, fill=False, color="#5f77a8", lw=0.7 * scale, alpha=0.7, zorder=7))
    for degrees in range(0, 360, 5):
        outward = np.array([-np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
        inner, outer = outward, outward * (1.018 if degrees % 15 else 1.03)
        axes.plot(*zip(inner, outer, strict=True), color="#5f77a8", lw=0.8 * scale, zorder=7)
        if degrees % 45 == 0:
            name = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")[degrees // 45]
            axes.text(
                *(1.066 * outward), name, color=INK if degrees % 90 == 0 else FAINT, ha="center", va="center",
                fontsize=(17 if degrees % 90 == 0 else 11) * scale, family="DejaVu Serif",
            )  # fmt: skip


def set_caption(picture: Image.Image, sky: Sky) -> Image.Image:
    """Return the picture with two lines of text under it."""
    width, height = picture.size
    strip = round(0.115 * width)
    page = Image.new("RGB", (width, height + strip), PAPER)
    page.paste(picture)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    observer = sky.observer
    side = "N" if observer.latitude >= 0 else "S"
    hours, minutes = divmod(round(60 * observer.sidereal_time), 60)
    lines = [
        (f"The sky over {abs(observer.latitude):g}° {side}", "DejaVuSerif.ttf", 0.034, 0.020, INK),
        (
            f"local sidereal time {hours} h {minutes:02} min   ·   {sky.bright.up.sum()} stars of the table, "
            f"{sky.field.up.sum():,} drawn at random   ·   east is left, as seen looking up",
            "DejaVuSans.ttf", 0.0122, 0.072, FAINT,
        ),
    ]  # fmt: skip
    pen = ImageDraw.Draw(page)
    for text, font, size, top, colour in lines:
        face = ImageFont.truetype(fonts / font, max(6, round(size * width)))
        pen.text((width / 2, height + top * width), text, font=face, fill=colour, anchor="ma")
    return page

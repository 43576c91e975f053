"""The stars: the bright ones are real and read from a table, the faint ones are drawn at random."""

from importlib.resources import files
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

SEED = 1610  # the year of the Sidereus Nuncius; any number will do, as long as it stays

# Rows are the axes of the galaxy in equatorial coordinates (J2000): Hipparcos Catalogue, volume 1, 1.5.3.
EQUATORIAL_TO_GALACTIC = np.array(
    [
        [-0.0548755604, -0.8734370902, -0.4838350155],
        [+0.4941094279, -0.4448296300, +0.7469822445],
        [-0.8676661490, -0.1980763734, +0.4559837762],
    ]
)


def read_bright_stars() -> pd.DataFrame:
    """Return the table of bright stars, indexed by name, with unit vectors in columns x, y and z."""
    with (files("skyplot") / "data" / "stars.csv").open() as table:
        stars = pd.read_csv(table, index_col="name")
    right_ascension, declination = np.radians(15 * stars.ra_hours), np.radians(stars.dec_degrees)
    return stars.assign(
        x=np.cos(declination) * np.cos(right_ascension),
        y=np.cos(declination) * np.sin(right_ascension),
        z=np.sin(declination),
    )


def read_lines() -> pd.DataFrame:
    """Return one row for each line of a constellation: constellation, start and end, both names of stars."""
    with (files("skyplot") / "data" / "lines.csv").open() as table:
        paths = pd.read_csv(table)
    pairs = paths.path.str.split(">").map(lambda names: list(pairwise(names)))
    lines = paths.assign(pair=pairs).explode("pair", ignore_index=True)
    return lines.assign(start=lines.pair.str[0], end=lines.pair.str[1])[["constellation", "start", "end"]]


class MilkyWay:
    """How many faint stars there are in a direction, between 0 and about 1; a sketch, not a survey."""

    def __init__(self, rng: np.random.Generator) -> None:
        longitude, latitude = np.linspace(-180, 180, 721), np.linspace(-90, 90, 361)
        clouds = sum(
            weight * smooth_noise(rng, width) for width, weight in ((3, 0.25), (8, 0.35), (20, 0.40))
        )
        along, across = np.meshgrid(longitude, latitude, indexing="ij")
        towards_centre = 0.5 + 0.5 * np.cos(np.radians(along))
        # A band that waves a little looks less like a ruler.
        height = across - 1.5 * np.sin(np.radians(2 * along))
        band = np.exp(-(np.abs(height / (8 + 5 * towards_centre)) ** 1.4))
        dust = np.exp(-((height / 3.0) ** 2)) * np.clip(0.5 + 0.9 * clouds, 0, 1)
        density = band * (0.5 + 0.5 * towards_centre) * np.clip(0.8 + 0.55 * clouds, 0.1, None)
        density *= 1 - 0.6 * dust
        self._density = RegularGridInterpolator((longitude, latitude), np.clip(density, 0, None))

    def density(self, directions: np.ndarray) -> np.ndarray:
        """Return the density for each equatorial unit vector (the last axis has length 3)."""
        galactic = directions @ EQUATORIAL_TO_GALACTIC.T
        longitude = np.degrees(np.arctan2(galactic[..., 1], galactic[..., 0]))
        latitude = np.degrees(np.arcsin(np.clip(galactic[..., 2], -1, 1)))
        return self._density(np.stack([longitude, latitude], axis=-1))


def smooth_noise(rng: np.random.Generator, width: float) -> np.ndarray:
    """Return noise of mean 0 and deviation 1 over the sphere, smooth over `width` half degrees."""
    field = gaussian_filter(rng.standard_normal((721, 361)), width, mode=("wrap", "nearest"))
    return (field - field.mean()) / field.std()


def draw_field_stars(rng: np.random.Generator, milky_way: MilkyWay, bright: pd.DataFrame) -> pd.DataFrame:
    """Return faint stars at random (x, y, z, magnitude, colour_index), denser where the Milky Way is."""
    candidates = rng.standard_normal((90_000, 3))
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    kept = candidates[rng.random(len(candidates)) < 0.10 + 0.75 * milky_way.density(candidates)]
    # A random star beside a real one would look like a double star that is not there.
    distance, _ = cKDTree(bright[["x", "y", "z"]]).query(kept)
    kept = kept[distance > np.radians(0.5)]
    # Each magnitude has about three times the stars of the one before it.
    magnitude = 8.5 + np.log10(rng.uniform(10 ** (-0.5 * 4.7), 1, len(kept))) / 0.5
    return pd.DataFrame(kept, columns=["x", "y", "z"]).assign(
        magnitude=magnitude, colour_index=rng.normal(0.5, 0.45, len(kept)).clip(-0.3, 1.8)
    )


def count_neighbours(stars: pd.DataFrame, directions: np.ndarray, radius_degrees: float) -> np.ndarray:
    """Return for each direction how many of the stars are within the radius."""
    chord = 2 * np.sin(np.radians(radius_degrees) / 2)
    return cKDTree(stars[["x", "y", "z"]]).query_ball_point(directions, chord, return_length=True, workers=1)

"""The colour of an empty sky: a polynomial through readings of a camera, least squares by LAPACK."""

import numpy as np

from skyplot import _native

DEGREE = 5
EXPONENTS = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]


def terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the value of each term of the polynomial at each point; the last axis counts the terms."""
    return np.stack([x**i * y**j for i, j in EXPONENTS], axis=-1)


def take_readings(rng: np.random.Generator, count: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and the noisy colour (red, green, blue from 0 to 1) at so many points above the horizon."""
    radius, azimuth = np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    x, y = radius * np.cos(azimuth), radius * np.sin(azimuth)
    zenith, horizon, dusk = np.array([[0.022, 0.036, 0.100], [0.060, 0.150, 0.270], [0.420, 0.130, 0.030]])
    haze = radius[:, None] ** 3
    afterglow = (haze * np.clip(0.75 * x - 0.45 * y, 0, None)[:, None]) ** 1.5
    colour = zenith + (horizon - zenith) * haze + dusk * afterglow
    return x, y, colour + rng.normal(0, 0.006, colour.shape)


def fit(x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return the coefficients, one column for each colour, from the normal equations."""
    design = terms(x, y)
    matrix = np.ascontiguousarray(design.T @ design)
    columns = [
        np.frombuffer(_native.solve(matrix, np.ascontiguousarray(design.T @ channel)), dtype=float)
        for channel in colour.T
    ]
    return np.stack(columns, axis=-1)


def evaluate(coefficients: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the colour at each point, between 0 and 1."""
    return np.clip(terms(x, y) @ coefficients, 0, 1)

"""From the celestial sphere to the picture: stereographic, the zenith in the middle, north up."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Where and when somebody looks up."""

    latitude: float
    """Degrees, north positive."""
    sidereal_time: float
    """Local sidereal time in hours: the right ascension that is due south."""

    def axes(self) -> np.ndarray:
        """Return the unit vectors west, north and zenith, each in equatorial coordinates."""
        phi, theta = np.radians(self.latitude), np.radians(15 * self.sidereal_time)
        return np.array(
            [
                [np.sin(theta), -np.cos(theta), 0],
                [-np.sin(phi) * np.cos(theta), -np.sin(phi) * np.sin(theta), np.cos(phi)],
                [np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)],
            ]
        )

    def project(self, directions: np.ndarray) -> np.ndarray:
        """Return (x, y) for unit vectors: the horizon is the unit circle, east is on the left."""
        west, north, up = np.moveaxis(directions @ self.axes().T, -1, 0)
        return np.stack([west, north], axis=-1) / np.clip(1 + up, 1e-3, None)[..., None]

    def unproject(self, points: np.ndarray) -> np.ndarray:
        """Return the unit vectors for (x, y) in the picture."""
        radius_squared = np.sum(points**2, axis=-1, keepdims=True)
        local = np.concatenate([2 * points, 1 - radius_squared], axis=-1) / (1 + radius_squared)
        return local @ self.axes()

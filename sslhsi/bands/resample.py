"""The spectral axis: positions of a camera's bands, and the matrix that interpolates them onto a grid."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sslhsi.errors import InputError


def band_positions(wavelengths: np.ndarray | None, bands: int, align: str, where: str) -> np.ndarray:
    """Position of every band on the axis that cameras are aligned on.

    Args:
        wavelengths: (B,) band centres in nm, in any order, or None.
        bands: B.
        align: ``wavelength`` (nm) or ``index`` (0 for the first band, 1 for the last).
        where: Name of the scene, for messages.

    Returns:
        (B,) float64.
    """
    if align == "index":
        return np.linspace(0.0, 1.0, bands)
    if wavelengths is None:
        raise InputError(
            f"{where} has no wavelengths, which aligning by wavelength needs; give wavelengths=, or align by index"
        )
    wavelengths = np.asarray(wavelengths, dtype=np.float64).ravel()
    if wavelengths.size != bands:
        raise InputError(f"{where}: {wavelengths.size} wavelengths for {bands} bands")
    if not np.isfinite(wavelengths).all():
        raise InputError(f"{where}: wavelengths must be finite numbers in nanometres")
    return wavelengths


def common_grid(positions: Iterable[np.ndarray], points: int, align: str = "wavelength") -> np.ndarray:
    """(points,) equidistant positions over the range that every camera covers.

    Raises:
        InputError: The cameras share no range, so that a grid would have to extrapolate.
    """
    ranges = [(float(p.min()), float(p.max())) for p in positions]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    if low >= high:
        if align == "index":
            # By index every camera runs from 0 to 1, unless it has nothing between.
            raise InputError("a scene of a single band can't be aligned by index; leave such scenes out")
        listed = ", ".join(f"{a:g}-{b:g}" for a, b in sorted(set(ranges)))
        raise InputError(
            f"the wavelength ranges {listed} nm don't overlap; leave the odd camera out or align by index"
        )
    return np.linspace(low, high, points)


def resampling_matrix(positions: np.ndarray, grid: np.ndarray, where: str = "the cube") -> np.ndarray:
    """Linear interpolation from a camera's bands to the grid, as a matrix.

    Args:
        positions: (B,) band positions, in any order.
        grid: (G,) target positions.
        where: Name of the scene, for messages.

    Returns:
        (G, B) float64 with at most two non-zero weights a row: ``spectrum_on_grid = W @ spectrum``.

    Raises:
        InputError: The grid reaches beyond the bands; nothing is ever extrapolated.
    """
    order = np.argsort(positions, kind="stable")
    ordered = positions[order]
    # A hair of tolerance, so that rounding in a stored grid is no extrapolation.
    slack = 1e-9 * max(1.0, abs(float(grid[-1])))
    if grid[0] < ordered[0] - slack or grid[-1] > ordered[-1] + slack:
        raise InputError(_out_of_range(ordered, grid, slack, where))
    matrix = np.zeros((grid.size, ordered.size))
    if ordered.size == 1:
        matrix[:, 0] = 1.0
        return matrix
    right = np.clip(np.searchsorted(ordered, grid, side="left"), 1, ordered.size - 1)
    step = ordered[right] - ordered[right - 1]
    weight = np.divide(grid - ordered[right - 1], step, out=np.ones_like(grid), where=step > 0).clip(0.0, 1.0)
    rows = np.arange(grid.size)
    np.add.at(matrix, (rows, order[right - 1]), 1.0 - weight)
    np.add.at(matrix, (rows, order[right]), weight)
    return matrix


def _out_of_range(ordered: np.ndarray, grid: np.ndarray, slack: float, where: str) -> str:
    """Which part of the grid a camera doesn't see, and what can be done."""
    low, high = float(ordered[0]), float(ordered[-1])
    if ordered.size == 1:
        return f"{where} has a single band, and a grid of {grid[0]:g} to {grid[-1]:g} needs two or more; leave it out"
    gaps = []
    if grid[0] < low - slack:
        gaps.append((float(grid[0]), min(low, float(grid[-1]))))
    if grid[-1] > high + slack:
        gaps.append((max(high, float(grid[0])), float(grid[-1])))
    missing = " and ".join(f"{a:g}-{b:g}" for a, b in gaps)
    share = sum(b - a for a, b in gaps) / max(float(grid[-1] - grid[0]), np.finfo(float).tiny)
    return (
        f"{where} covers {low:g}-{high:g} nm, but the grid needs {grid[0]:g}-{grid[-1]:g} nm: {missing} nm is "
        f"missing ({100 * share:.0f} %), and values outside a camera's range are never extrapolated; pretrain with "
        "this camera among the scenes (the grid is the range that all share), take a backbone with a narrower range, "
        "or one that aligns by index"
    )

"""Numbers that sum up one preprocessed item, whatever it shows. Pure.

They are of the tensor that the model takes, after scaling and normalizing, so that they need no
picture and mean the same for every caller. All are computed in doubles; the order of summation is
free, which is why bins have their edges between values that were seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import StatisticName


def statistic(
    name: StatisticName, items: NDArray[np.generic], index: int | None = None, *, channels_last: bool = False
) -> NDArray[np.float64]:
    """Return a statistic of each item.

    With `x` the values of an item, `M` of them, and `g` its grey plane, the mean over its channels:

    * `mean`: `sum(x) / M`; of a picture, its brightness
    * `deviation`: `sqrt(sum((x - mean)^2) / M)`
    * `minimum`, `maximum`: the least and the largest
    * `element`: the value at `index`, in row-major order
    * `channel_mean`: the mean of channel `index`
    * `contrast`: the deviation of `g` (root mean square contrast, Peli 1990, J. Opt. Soc. Am. A 7:2032)
    * `sharpness`: the variance of the Laplacian `g[i-1,j] + g[i+1,j] + g[i,j-1] + g[i,j+1] - 4 g[i,j]` over
      the pixels that have all four neighbours (LAPV in Pech-Pacheco et al. 2000, ICPR)

    Args:
        name: Which.
        items: `(N, ...)`; the last three need pictures, `(N, C, H, W)` or `(N, H, W, C)`.
        index: For `element` and `channel_mean`.
        channels_last: Whether the channels are the last axis of a picture.

    Returns:
        `(N,) float64`; NaN where an item holds NaN.

    Raises:
        ValueError: There is no such statistic.
    """
    values = np.asarray(items, np.float64)
    flat = values.reshape(len(values), -1)
    if name in ("channel_mean", "contrast", "sharpness"):
        planes = values.transpose(0, 3, 1, 2) if channels_last else values
        return _of_planes(name, planes, index)
    if name == "mean":
        return _vector(flat.mean(1))
    if name == "deviation":
        return _vector(flat.std(1))
    if name == "minimum":
        return _vector(flat.min(1))
    if name == "maximum":
        return _vector(flat.max(1))
    if name == "element":
        return _vector(flat[:, index])
    raise ValueError(f"no statistic {name!r}")


def _of_planes(name: str, planes: NDArray[np.float64], index: int | None) -> NDArray[np.float64]:
    if name == "channel_mean":
        return _vector(planes[:, index].mean((1, 2)))
    grey = planes.mean(1)
    if name == "contrast":
        return _vector(grey.std((1, 2)))
    laplacian = (
        grey[:, :-2, 1:-1]
        + grey[:, 2:, 1:-1]
        + grey[:, 1:-1, :-2]
        + grey[:, 1:-1, 2:]
        - 4 * grey[:, 1:-1, 1:-1]
    )
    return _vector(laplacian.var((1, 2)))


def _vector(values: object) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.asarray(values, np.float64)
    return result

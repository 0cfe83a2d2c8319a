"""Tensors as a manifest names them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgeinfer.bundle import BlobSet, DType, TensorBlob


def stored(values: NDArray[Any], blobs: BlobSet) -> TensorBlob:
    """Put a tensor among the blobs: little-endian, row-major (docs/bundle-format.md, section 3).

    Args:
        values: Of a type that manifests hold.
        blobs: Receives the content.
    """
    data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return TensorBlob(blobs.add(data), cast("DType", values.dtype.name), values.shape)

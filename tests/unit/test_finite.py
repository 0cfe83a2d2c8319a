"""What is finite, found quickly and without a warning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgeinfer.inference.arrays import all_finite


@given(arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32)))
def test_it_is_what_numpy_says(values):
    assert all_finite(values) == np.isfinite(values).all()


@pytest.mark.parametrize("size", [4, 8192, 8193, 100_000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_values_whose_squares_overflow_are_finite_and_infinities_are_not(size, dtype):
    values = np.full(size, np.finfo(dtype).max, dtype)
    assert all_finite(values)
    values[0], values[-1] = np.inf, -np.inf
    assert not all_finite(values)
    assert not all_finite(np.full((2, size), np.nan, dtype)[:, ::2])

import struct

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.bundle import canonical_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_it_is_the_reference_implementation_s_spelling(value):
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    ("bits", "spelled"),
    # From RFC 8785, appendix B.
    [
        (0x0000000000000000, "0"),
        (0x8000000000000000, "0"),
        (0x0000000000000001, "5e-324"),
        (0x7FEFFFFFFFFFFFFF, "1.7976931348623157e+308"),
        (0x4340000000000000, "9007199254740992"),
        (0x4430000000000000, "295147905179352830000"),
        (0x44B52D02C7E14AF5, "9.999999999999997e+22"),
        (0x3EB0C6F7A0B5ED8D, "0.000001"),
        (0x3E7AD7F29ABCAF48, "1e-7"),
        (0x41B3DE4355555553, "333333333.3333332"),
        (0xBECBF647612F3696, "-0.0000033333333333333333"),
    ],
)
def test_the_rfc_s_numbers(bits, spelled):
    value = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    assert canonical_json(value) == spelled.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(ValueError, match=r"JSON"):
        canonical_json(value)

import pickle

import pytest

import edgeinfer as ei
from edgeinfer import errors


def test_a_message_says_what_was_expected_found_and_what_to_do_in_one_line():
    error = ei.InputError("the\nshape", found=(1, 2), expected="(batch, 3)", next_step="reshape it")
    assert str(error) == "the shape: expected (batch, 3), found (1, 2); reshape it"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "what"),
        ({"found": 0}, "what: found 0"),
        ({"expected": 1, "next_step": "go"}, "what: expected 1; go"),
    ],
)
def test_parts_that_are_missing_are_left_out(fields, text):
    assert str(ei.EdgeInferError("what", **fields)) == text


def test_an_error_keeps_its_fields_across_processes():
    error = pickle.loads(pickle.dumps(ei.GateError("gate", found=1, expected=2, next_step="turn")))
    assert (type(error), str(error)) == (ei.GateError, "gate: expected 2, found 1; turn")


def test_the_tree_drawn_on_top_is_the_tree():
    drawn = [line.split("── ")[1].split()[0] for line in errors.__doc__.splitlines() if "── " in line]
    real = [
        name for name, kind in vars(errors).items() if isinstance(kind, type) and name != "EdgeInferError"
    ]
    assert sorted(drawn) == sorted(real)
    assert all(issubclass(getattr(errors, name), errors.EdgeInferError) for name in real)

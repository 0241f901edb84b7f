"""The text that is generated for an operation, as the file that generates it shows it."""

import pytest

from tinygrad_norm.autograd import plan
from tinygrad_norm.ops.activation import silu
from tinygrad_norm.ops.elementwise import mul
from tinygrad_norm.ops.shape import concatenate


def generated(op, mask, count):
    names = plan.Names(op.name, op.inputs, op.outputs, op.variadic, count)
    return plan.written(op.rules, names, mask)


@pytest.mark.parametrize(("op", "mask", "count"), [(silu, 1, 1), (mul, 1, 2)])
def test_the_examples_of_the_docstring(op, mask, count):
    text = generated(op, mask, count)
    for name in ("keep", "pull", "constants"):
        own = getattr(text, name)
        assert own is None or f"    {name} = {own}\n" in plan.__doc__


def test_what_is_kept_of_two_tracked_inputs():
    text = generated(mul, 3, 2)
    assert text.pull.endswith(": (rule0(dys[0], saved[0]), rule1(dys[0], saved[1]))")
    assert text.constants is None
    assert text.sources == (plan.Source(False, 1, ""), plan.Source(False, 0, ""))


def test_properties_of_a_variadic_input():
    """A property is kept in the place of the value, and has no list that tells of writes."""
    text = generated(concatenate, 2, 3)
    assert text.keep.endswith(", ())")
    assert {source.property for source in text.sources} == {"shape"}
    assert text.constants == "lambda inputs: (constant(inputs[0]), constant(inputs[2]))"

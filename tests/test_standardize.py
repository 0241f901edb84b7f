"""Standardize: mean 0, variance 1, and back."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_norm as tn
from tinygrad_norm import checkpoint
from tinygrad_norm.data import Standardize


def normal(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize(("axis", "shape"), [(-1, (50, 4)), (-1, (10, 6, 4)), (1, (50, 4)),
                                             (1, (10, 4, 3, 5)), (2, (10, 3, 4, 5))])
def test_mean_0_and_variance_1_and_back(axis, shape, kind):
    data = 3 * normal(*shape) + 7
    x = data if kind == "array" else tn.tensor(data)
    scale = Standardize(axis)
    y = scale.fit_transform(x)
    assert type(y) is type(x)
    assert y.dtype == np.float64
    others = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    np.testing.assert_allclose(np.asarray(y).mean(others), 0, atol=1e-13)
    np.testing.assert_allclose(np.asarray(y).var(others), 1, atol=1e-13)
    np.testing.assert_allclose(scale.inverse(y), data, rtol=1e-13)
    np.testing.assert_array_equal(scale(x), scale.transform(x))
    np.testing.assert_array_equal(scale.inverse_transform(y), scale.inverse(y))
    assert scale.count == math.prod(shape) // 4
    assert scale.mean.shape == scale.std.shape == (4,)
    np.testing.assert_allclose(scale.mean.numpy(), data.mean(others), rtol=1e-13)
    np.testing.assert_allclose(scale.std.numpy(), data.std(others), rtol=1e-13)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 1000),
       st.sampled_from([0.0, 1.0, 1e6]), st.sampled_from([-1, 1]))
def test_pieces_are_as_the_whole(sizes, seed, offset, axis):
    data = normal(sum(sizes), 3, 2, seed=seed) + offset
    whole = Standardize(axis).fit(data)
    pieces = Standardize(axis)
    for piece in np.split(data, np.cumsum(sizes)[:-1]):
        pieces.partial_fit(piece)
    assert pieces.count == whole.count
    np.testing.assert_allclose(pieces.mean.numpy(), whole.mean.numpy(), rtol=1e-12, atol=1e-12)
    near = 1e-12 * max(1, offset)  # a mean of 1e6 is itself known to 1e-10 only
    np.testing.assert_allclose(pieces.std.numpy(), whole.std.numpy(), rtol=near, atol=near)


def test_pieces_of_float64_to_1e_12():
    data = normal(5000, 8) * np.arange(1, 9) + np.arange(8)
    whole, pieces = Standardize().fit(data), Standardize()
    for piece in np.array_split(data, 37):
        pieces.partial_fit(piece)
    np.testing.assert_allclose(pieces(data), whole(data), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pieces", [1, 16])
def test_a_large_offset_in_float32(pieces):
    data = (normal(65536, 2) + 1e4).astype("float32")
    scale = Standardize()
    for piece in np.split(data, pieces):
        scale.partial_fit(piece)
    y = scale(tn.from_numpy(data))
    assert y.dtype == tn.float32
    wide = y.numpy().astype("float64")
    np.testing.assert_allclose(wide.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(wide.std(0), 1, atol=1e-6)
    exact = (data - data.astype("float64").mean(0)) / data.astype("float64").std(0)
    np.testing.assert_allclose(wide, exact, atol=1e-6)  # far within 1e-3


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_feature_stays_finite(value, dtype):
    data = normal(1001, 2, dtype=dtype)
    data[:, 1] = value
    scale = Standardize()
    for piece in np.array_split(data, 7):
        scale.partial_fit(piece)
    assert scale.std[1].item() == 1
    y = scale(data)
    np.testing.assert_array_equal(y[:, 1], 0)
    np.testing.assert_array_equal(scale.inverse(y)[:, 1], data[:, 1])
    assert np.isfinite(scale(data + np.array(1.5, dtype))).all()


def test_one_sample_makes_every_feature_constant():
    scale = Standardize().fit(np.array([[2.0, 3.0]]))
    np.testing.assert_array_equal(scale(np.array([[2.0, 4.0]])), [[0.0, 1.0]])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", ">i2"])
def test_whole_numbers_give_float32(dtype):
    data = (np.arange(12).reshape(6, 2) % 5 > 1).astype(dtype)
    y = Standardize().fit_transform(data)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.std(0), 1, atol=1e-6)
    assert Standardize().fit_transform(tn.tensor(data)).dtype == tn.float32


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_floats_keep_their_dtype(dtype):
    data = (30 * normal(100, 3)).astype(dtype)
    scale = Standardize().fit(data)
    assert scale(data).dtype == scale.inverse(data).dtype == np.dtype(dtype)
    assert np.isfinite(scale(data)).all()


def test_standardizing_leaves_the_data_alone():
    data = normal(20, 3)
    kept = data.copy()
    x = tn.from_numpy(data)
    scale = Standardize()
    for given_ in (data, x):
        scale.fit(given_)
        scale(given_)
        scale.inverse(given_)
    np.testing.assert_array_equal(data, kept)
    assert x.grad_fn is None
    assert not x.written[1]


def test_a_gradient_passes_through_the_transform():
    data = normal(20, 3)
    scale = Standardize().fit(data)
    x = tn.tensor(data, requires_grad=True)
    scale(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(1 / data.std(0), data.shape))
    assert not scale.mean.requires_grad


def test_a_view_of_the_data_is_read_right():
    data = normal(6, 40)
    np.testing.assert_allclose(Standardize().fit_transform(data.T[::-2]),
                               Standardize().fit_transform(data.T[::-2].copy()), rtol=1e-14)


def test_fit_forgets_and_an_empty_batch_is_transformed():
    scale = Standardize().fit(normal(9, 3) + 5)
    assert scale.fit(normal(4, 2)).count == 4
    assert scale(np.zeros((0, 2))).shape == (0, 2)
    assert np.isnan(scale(np.array([[np.nan, 0.0]]))[0, 0])


def test_statistics_are_saved_with_the_checkpoint(tmp_path):
    data = normal(60, 4) + 3
    scale = Standardize(1).partial_fit(data[:31])
    checkpoint.save({"scale": scale.state_dict()}, tmp_path / "a")
    again = Standardize()
    again.load_state_dict(checkpoint.load(tmp_path / "a")["scale"])
    assert again.axis == 1
    for one in (scale, again):
        one.partial_fit(data[31:])
    np.testing.assert_array_equal(again(data), scale(data))
    assert repr(again) == "Standardize(axis=1, features=4, count=60)"


def test_a_state_is_a_copy_and_may_be_empty():
    scale = Standardize().fit(normal(5, 2))
    state, before = scale.state_dict(), scale.mean.numpy()
    state["mean"].zero_()
    np.testing.assert_array_equal(scale.mean.numpy(), before)
    empty = Standardize(1)
    scale.load_state_dict(empty.state_dict())
    assert (scale.axis, scale.count, repr(scale)) == (1, 0, "Standardize(axis=1, not fitted)")


@pytest.mark.parametrize(("change", "message"), [
    (lambda s: s.pop("mean"), "expected the keys"),
    (lambda s: s.update(more=1), "expected the keys"),
    (lambda s: s.update(mean=tn.zeros(3)), r"one shape \(C,\), got \(3,\) and \(2,\)"),
    (lambda s: s.update(axis=0), "axis 0 counts the samples"),
])
def test_a_wrong_state_changes_nothing(change, message):
    scale = Standardize().fit(normal(5, 2))
    before = scale.state_dict()
    state = scale.state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        scale.load_state_dict(state)
    assert {k: str(v) for k, v in scale.state_dict().items()} == {
        k: str(v) for k, v in before.items()}


@pytest.mark.parametrize("axis", [0, True, 1.0, None])
def test_an_axis_that_is_none_is_refused(axis):
    with pytest.raises(ValueError, match=r"expected axis -1 \(last\) or 1"):
        Standardize(axis)


BAD = [
    ((), np.zeros(5), ValueError, r"expected input \(N, C\).*got \(5,\).*x\[:, None\]"),
    ((2,), np.zeros((5, 3)), ValueError, "with C features on axis 2"),
    ((-2,), np.zeros((5, 3)), ValueError, "with C features on axis -2"),
    ((), np.zeros((0, 3)), ValueError, r"empty input \(0, 3\)"),
    ((), np.zeros((3, 0)), ValueError, r"empty input \(3, 0\)"),
    ((), np.array([[0.0, 1.0], [2.0, np.nan]]), ValueError, r"NaN or Inf in feature 1 \(1 of 2"),
    ((1,), np.full((2, 3, 4), np.inf), ValueError, r"NaN or Inf in feature 0 \(3 of 3"),
    ((), np.array([[1e200], [-1e200]]), ValueError, "overflow float64"),
    ((), np.zeros((2, 2), complex), TypeError, "real numbers, got dtype complex128"),
    ((), [[1.0, 2.0]], TypeError, "a Tensor or a NumPy array, got list"),
]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("axis", "x", "error", "message"), BAD)
def test_bad_input_is_refused_and_changes_nothing(axis, x, error, message, method):
    scale = Standardize(*axis)
    with pytest.raises(error, match=f"Standardize.{method}: .*{message}"):
        getattr(scale, method)(x)
    assert scale.count == 0


@pytest.mark.parametrize("method", ["transform", "inverse", "partial_fit"])
@pytest.mark.parametrize(("axis", "message"), [(-1, r"\(N, 4\) or \(N, \*, 4\)"),
                                               (1, r"\(N, 4, \*spatial\)")])
def test_the_wrong_number_of_features(axis, message, method):
    scale = Standardize(axis).fit(normal(5, 4))
    for kind in (tn.from_numpy, np.asarray):
        with pytest.raises(ValueError, match=rf"{method}: expected input {message}.* got \(3, 5\)"):
            getattr(scale, method)(kind(np.zeros((3, 5))))


@pytest.mark.parametrize("read", [lambda s: s.transform(np.zeros((1, 1))), lambda s: s.mean,
                                  lambda s: s.inverse(np.zeros((1, 1))), lambda s: s.std])
def test_not_fitted(read):
    with pytest.raises(RuntimeError, match=r"no statistics yet; call fit\(x\)"):
        read(Standardize())


def test_on_any_device(device):
    data = normal(50, 4, 3) + 2
    here, x = Standardize(1), tn.tensor(data, requires_grad=True).to(device)
    here.fit(data)
    there = Standardize(1).partial_fit(x[:20]).partial_fit(data[20:])
    y = there(x)
    assert y.device == x.device
    np.testing.assert_allclose(y.detach().cpu().numpy(), here(data), atol=1e-13)
    back = there.inverse(y)
    assert back.device == x.device
    np.testing.assert_allclose(back.detach().cpu().numpy(), data, rtol=1e-13)
    assert there.mean.device.type == "cpu"
    state = {k: v.to(device) if isinstance(v, tn.Tensor) else v
             for k, v in there.state_dict().items()}
    here.load_state_dict(state)
    np.testing.assert_array_equal(here(data), there(data))

"""Center, PCAWhiten and ZCAWhiten: uncorrelated features, and back."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_norm as tn
from tinygrad_norm import checkpoint
from tinygrad_norm.data import Center, PCAWhiten, Standardize, ZCAWhiten
from tinygrad_norm.data.feature_map import FeatureMap
from tinygrad_norm.data.whitening import Whiten

BOTH = [PCAWhiten, ZCAWhiten]


def correlated(n: int, c: int, *, rank: int | None = None, seed: int = 0) -> np.ndarray:
    """(n, c) that varies in ``rank`` directions, by amounts that differ, around an offset."""
    random = np.random.default_rng(seed)
    rank = c if rank is None else rank
    mix = random.standard_normal((rank, c)) * np.linspace(1, 3, rank)[:, None]
    return random.standard_normal((n, rank)) @ mix + random.standard_normal(c) * 5


def covariance(y: np.ndarray) -> np.ndarray:
    y = y.astype("float64") - y.mean(0, dtype="float64")
    return y.T @ y / len(y)


# -- what they make ------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 7), st.integers(1, 60), st.integers(0, 10**6),
       st.sampled_from([1e-140, 1e-5, 1.0, 1e5, 1e140]), st.booleans())
def test_the_covariance_is_1_where_the_data_varies(
    c: int, rank: int, n: int, seed: int, unit: float, twice: bool
) -> None:
    """For any rank, number of samples and unit of the features, also with features twice."""
    x = correlated(n, c, rank=min(rank, c), seed=seed) * unit
    x = np.concatenate([x, x[:, :1]], axis=1) if twice else x
    pca, zca = PCAWhiten(), ZCAWhiten()
    y, z = pca.fit_transform(x), zca.fit_transform(x)
    k = min(rank, c, n - 1)
    assert y.shape == (n, k)
    assert int((pca.variances > 0).sum()) == k
    np.testing.assert_allclose(covariance(y), np.eye(k), atol=1e-6)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-6)
    u = pca.components.numpy()  # z varies as much in these directions, and in no others
    np.testing.assert_allclose(covariance(z), u.T @ u, atol=1e-6)
    matrix = zca.matrix.numpy()
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12 * abs(matrix).max())
    for one, made in ((pca, y), (zca, z)):
        np.testing.assert_allclose(one.inverse(made), x, rtol=0, atol=1e-10 * abs(x).max())


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_zca_is_nearest_of_all_that_whiten(c: int, seed: int) -> None:
    """Turned by any rotation or reflection the output is still white, and further from x."""
    x = correlated(50, c, seed=seed)
    centred, y = Center().fit_transform(x), ZCAWhiten().fit_transform(x)
    nearest = ((y - centred) ** 2).sum()
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((c, c)))[0]
    rounding = 1e-12 + 1e-15 * np.linalg.cond(covariance(x))  # seed 40000 with c = 4 has 2e8
    np.testing.assert_allclose(covariance(y @ turn), np.eye(c), rtol=0, atol=rounding)
    assert ((y @ turn - centred) ** 2).sum() >= nearest
    assert ((PCAWhiten().fit_transform(x) - centred) ** 2).sum() >= nearest * (1 - 1e-12)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("least", [1e-9, 1e-3, 1.0])
def test_features_of_unlike_units(kind: Any, least: float) -> None:
    """None is taken for the rounding of another, and one that follows from others is found."""
    random = np.random.default_rng(0)
    x = random.standard_normal((300, 4)) * [1, 1e3, least, 1e6 * least]
    y = kind().fit_transform(x)
    np.testing.assert_allclose(covariance(y), np.eye(4), rtol=0, atol=1e-6)
    with_sum = np.concatenate([x, (x[:, :1] + x[:, 1:2] / 1e3) * least], axis=1)
    whitened = kind().fit(with_sum)
    assert int((whitened.variances > 0).sum()) == 4
    np.testing.assert_allclose(
        whitened.inverse(whitened(with_sum)) / with_sum.std(0), with_sum / with_sum.std(0),
        rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [None, 1, 3, 6, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("seed", range(3))
def test_as_scikit_learns_pca(k: int | float | None, seed: int) -> None:
    """But for its N - 1, where ours is N."""
    decomposition = pytest.importorskip("sklearn.decomposition", reason="the oracle")
    x = correlated(80, 6, seed=seed)
    theirs, ours = decomposition.PCA(k, whiten=True).fit(x), PCAWhiten(k).fit(x)
    np.testing.assert_allclose(ours(x), theirs.transform(x) * math.sqrt(80 / 79), atol=1e-10)
    np.testing.assert_allclose(ours.components.numpy(), theirs.components_, atol=1e-10)
    np.testing.assert_allclose(ours.variances.numpy()[: len(theirs.components_)],
                               theirs.explained_variance_ * 79 / 80, rtol=1e-10)
    y = theirs.transform(x)
    np.testing.assert_allclose(ours.inverse(y * math.sqrt(80 / 79)), theirs.inverse_transform(y),
                               atol=1e-9)


def test_digits_have_pixels_that_never_change() -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    x = tn.data.datasets.digits().data
    constant = x.numpy().std(0) == 0
    assert constant.sum() == 3
    pca, zca = PCAWhiten().fit(x), ZCAWhiten().fit(x)
    y, z = pca(x), zca(x)
    assert (y.shape, y.dtype, z.shape, z.dtype) == (
        (1797, 61), tn.float32, (1797, 64), tn.float32)
    np.testing.assert_allclose(covariance(y.numpy()), np.eye(61), atol=1e-5)
    np.testing.assert_allclose(covariance(z.numpy()), np.diag(np.where(constant, 0, 1)), atol=1e-5)
    np.testing.assert_array_equal(z.numpy()[:, constant], 0)
    for one, made in ((pca, y), (zca, z)):
        np.testing.assert_allclose(one.inverse(made).numpy(), x.numpy(), atol=1e-4)
    other = zca.inverse(z) + tn.tensor(constant).float()  # these pixels are not blown up
    np.testing.assert_allclose(zca(other).numpy()[:, constant], 1, atol=1e-5)
    np.testing.assert_allclose(zca.inverse(zca(other)).numpy(), other.numpy(), atol=1e-4)


@pytest.mark.parametrize("pieces", [1, 16])
@pytest.mark.parametrize("kind", BOTH)
def test_a_large_offset_in_float32(kind: type[Any], pieces: int) -> None:
    x = (correlated(32768, 3) + 1e4).astype("float32")
    white = kind()
    for piece in np.split(x, pieces):
        white.partial_fit(piece)
    y = white(tn.from_numpy(x))
    assert y.dtype == tn.float32
    np.testing.assert_allclose(covariance(y.numpy()), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(y.numpy().astype("float64").mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(y.numpy(), kind().fit_transform(x.astype("float64")), atol=1e-5)


@pytest.mark.parametrize("kind", BOTH)
def test_eps_is_a_variance_in_the_unit_of_the_features(kind: type[Any]) -> None:
    x = correlated(200, 4, rank=3)
    plain = kind().fit(x)
    variances = plain.variances.numpy()[:3]
    eps = variances[1]
    damped = kind(eps=eps).fit(x)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance(damped(x)))[-3:],
                               np.sort(variances / (variances + eps)), rtol=1e-9)
    np.testing.assert_allclose(damped.inverse(damped(x)), x, atol=1e-12)
    np.testing.assert_allclose(kind(eps=eps * 1e6).fit_transform(x * 1e3), damped(x), atol=1e-9)


@pytest.mark.parametrize("k", [1, 2])
def test_fewer_components_give_the_nearest_points_that_they_can_describe(k: int) -> None:
    x = correlated(100, 4)
    some, all_ = PCAWhiten(k), PCAWhiten()
    y = some.fit_transform(x)
    np.testing.assert_allclose(y, all_.fit_transform(x)[:, :k], atol=1e-12)
    lost = ((some.inverse(y) - x) ** 2).sum() / 100
    np.testing.assert_allclose(lost, all_.variances.numpy()[k:].sum(), rtol=1e-10)


def test_a_part_of_the_variance() -> None:
    x = np.diag([4.0, 2.0, 1.0, 0.0])
    x = np.concatenate([x, -x])  # variances 4, 1, 1/4, 0: parts 0.762, 0.952, 1
    for part, k in ((0.1, 1), (0.75, 1), (0.77, 2), (0.95, 2), (0.96, 3), (0.9999, 3)):
        assert PCAWhiten(part).fit_transform(x).shape == (8, k)


def test_signs_do_not_depend_on_the_order_of_the_samples() -> None:
    """Nor on rounding, where two entries of a direction are as large."""
    x = correlated(60, 5)
    for part in (x, np.stack([x[:, 0], -x[:, 0] + 1e-3 * x[:, 1]], axis=1)):
        first = PCAWhiten().fit(part)
        directions = first.components.numpy()
        assert (np.take_along_axis(
            directions, abs(directions).argmax(1)[:, None], 1) > 0).all() or part.shape[1] == 2
        for seed in range(5):
            mixed = part[np.random.default_rng(seed).permutation(60)]
            np.testing.assert_allclose(PCAWhiten().fit(mixed).components.numpy(), directions,
                                       atol=1e-9)
    turned = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert (PCAWhiten().fit(turned).components.numpy() * [1, -1] > 0).all()


def test_center() -> None:
    x = correlated(30, 3)
    center = Center().fit(x)
    np.testing.assert_allclose(center(x), x - x.mean(0), atol=1e-14)
    np.testing.assert_allclose(center.inverse(center(x)), x, atol=1e-14)
    scale = Standardize()
    scale.load_state_dict(center.state_dict())
    np.testing.assert_array_equal(scale(x), Standardize().fit_transform(x))
    assert repr(center) == "Center(axis=-1, features=3, count=30)"


# -- in pieces, on other axes and devices --------------------------------------------------------

ALL: list[Any] = [Center, *BOTH, lambda axis=-1: PCAWhiten(2, 0.5, axis)]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("shape", [(20, 4), (5, 3, 4), (5, 2, 3, 4)])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_channels_and_last_features_are_treated_alike(make: Any, shape: Any, kind: str) -> None:
    rows = correlated(math.prod(shape) // 4, 4)
    last = make().fit(rows)
    expected = last(rows).reshape(*shape[:-1], -1)
    x = rows.reshape(shape)
    for axis in (-1, 1):
        given_ = x if axis == -1 else np.moveaxis(x, -1, 1)
        y = make(axis=axis).fit_transform(given_ if kind == "array" else tn.tensor(given_))
        assert type(y) is (np.ndarray if kind == "array" else tn.Tensor)
        assert (y.flags.c_contiguous if kind == "array" else y.is_contiguous()) or make is Center
        found = np.asarray(y) if axis == -1 else np.moveaxis(np.asarray(y), 1, -1)
        np.testing.assert_allclose(found, expected, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 1000),
       st.sampled_from([0.0, 1e4]), st.sampled_from(BOTH))
def test_pieces_are_as_the_whole(
    sizes: list[int], seed: int, offset: float, kind: type[Any]
) -> None:
    x = correlated(sum(sizes), 3, seed=seed) + offset
    whole, pieces = kind().fit(x), kind()
    for piece in np.split(x, np.cumsum(sizes)[:-1]):
        pieces.partial_fit(piece)
    assert pieces.count == whole.count == len(x)
    state, expected = pieces.state_dict(), whole.state_dict()
    np.testing.assert_allclose(state["mean"].numpy(), expected["mean"].numpy(), rtol=1e-12)
    scatter = expected["scatter"].numpy()
    np.testing.assert_allclose(state["scatter"].numpy(), scatter, rtol=0,
                               atol=1e-10 * max(abs(scatter).max(), 1))


@pytest.mark.parametrize("make", ALL)
def test_on_any_device(make: Any, device: str) -> None:
    data = np.moveaxis(correlated(60, 4).reshape(20, 3, 4), -1, 1).copy()
    here, x = make(axis=1).fit(data), tn.tensor(data).to(device)
    there = make(axis=1).partial_fit(x[:8]).partial_fit(data[8:])
    y = there(x)
    assert y.device == x.device
    np.testing.assert_allclose(y.cpu().numpy(), here(data), atol=1e-10)
    back = there.inverse(y)
    assert back.device == x.device
    np.testing.assert_allclose(back.cpu().numpy(), here.inverse(here(data)), atol=1e-10)
    state = {k: v.to(device) if isinstance(v, tn.Tensor) else v
             for k, v in there.state_dict().items()}
    here.load_state_dict(state)
    np.testing.assert_array_equal(here(data), there(data))


@pytest.mark.parametrize("kind", BOTH)
def test_a_gradient_passes_through_the_transform(kind: type[Any]) -> None:
    data = correlated(20, 3)
    white = kind().fit(data)
    x = tn.tensor(data, requires_grad=True)
    white(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(
        white.matrix.numpy().sum(0), data.shape), rtol=1e-12)
    assert not white.mean.requires_grad


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "uint8", "bool"])
def test_dtypes_and_that_the_data_is_left_alone(make: Any, dtype: str) -> None:
    data = (correlated(50, 3) > 0).astype(dtype) if dtype == "bool" else (
        abs(correlated(50, 3))).astype(dtype)
    kept = data.copy()
    one = make().fit(data)
    wanted = np.dtype(dtype) if data.dtype.kind == "f" else np.dtype("float32")
    assert one(data).dtype == one.inverse(one(data)).dtype == wanted
    assert one(data[:0]).shape[0] == 0
    np.testing.assert_array_equal(data, kept)


@pytest.mark.parametrize("n", [1, 5])
def test_data_that_does_not_vary(n: int) -> None:
    x = np.full((n, 3), 0.1)
    pca, zca = PCAWhiten(), ZCAWhiten(eps=1e-3)
    assert pca.fit_transform(x).shape == (n, 0)
    np.testing.assert_allclose(pca.inverse(np.zeros((2, 0))), 0.1)
    assert PCAWhiten(0.5).fit_transform(x).shape == (n, 0)
    np.testing.assert_array_equal(zca.fit_transform(x), 0)
    np.testing.assert_allclose(zca(x + 1), 1)


# -- their state ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: PCAWhiten(2, 0.25, 1), lambda: PCAWhiten(0.5),
                                  lambda: ZCAWhiten(0.25, 1), Center])
def test_statistics_are_saved_with_the_checkpoint(make: Any, tmp_path: Any) -> None:
    x = correlated(60, 4)
    one = make().partial_fit(x[:31])
    checkpoint.save({"white": one.state_dict()}, tmp_path / "a")
    again = type(one)()
    again.load_state_dict(checkpoint.load(tmp_path / "a")["white"])
    for each in (one, again):
        each.partial_fit(x[31:])
    np.testing.assert_array_equal(again(x), one(x))
    assert repr(again) == repr(one)
    np.testing.assert_array_equal(copy.deepcopy(one)(x), one(x))
    one.load_state_dict(make().state_dict())
    assert one.count == 0


def test_what_is_shown() -> None:
    assert repr(PCAWhiten(2, 0.25).fit(correlated(9, 3))) == (
        "PCAWhiten(n_components=2, eps=0.25, axis=-1, features=3, count=9)")
    assert repr(ZCAWhiten(axis=1)) == "ZCAWhiten(eps=0.0, axis=1, not fitted)"


def test_a_new_fit_forgets_the_spectrum() -> None:
    white = ZCAWhiten().fit(correlated(30, 3))
    assert white(correlated(30, 3)).shape == (30, 3)
    white.fit(correlated(30, 2, seed=1))
    np.testing.assert_allclose(covariance(white(correlated(30, 2, seed=1))), np.eye(2), atol=1e-9)


@pytest.mark.parametrize(("change", "message"), [
    (lambda s: s.pop("mean"), "expected the keys"),
    (lambda s: s.update(more=1), "expected the keys"),
    (lambda s: s.update(scatter=tn.zeros(2)),
     r"expected mean \(C,\) and scatter \(C, C\), got \(2,\) and \(2,\)"),
    (lambda s: s.update(eps=-1), "expected eps >= 0"),
    (lambda s: s.update(count=-1), "expected count >= 0, got -1"),
    (lambda s: s.update(mean=tn.full((2,), math.nan)), "expected a finite mean and scatter"),
    (lambda s: s.update(axis=0), "axis 0 counts the samples"),
])
@pytest.mark.parametrize("kind", BOTH)
def test_a_wrong_state_changes_nothing(kind: type[Any], change: Any, message: str) -> None:
    white = kind(eps=0.5).fit(correlated(9, 2))
    before, state = str(white.state_dict()), white.state_dict()
    change(state)
    with pytest.raises(ValueError, match=f"{kind.__name__}.*{message}"):
        white.load_state_dict(state)
    assert str(white.state_dict()) == before


# -- what they refuse ----------------------------------------------------------------------------

REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: PCAWhiten(0), ValueError, "PCAWhiten: expected n_components to be a whole number >= 1,"
                                       " .* or None, got 0"),
    (lambda: PCAWhiten(1.0), ValueError, "between 0 and 1, or None, got 1.0"),
    (lambda: PCAWhiten(-0.5), ValueError, "got -0.5"),
    (lambda: PCAWhiten(True), ValueError, "got True"),
    (lambda: PCAWhiten("mle"), ValueError, "got 'mle'"),  # type: ignore[arg-type]
    (lambda: PCAWhiten(axis=0), ValueError, "PCAWhiten: expected axis -1"),
    (lambda: ZCAWhiten(-1), ValueError,
     "ZCAWhiten: expected eps >= 0, a variance in the square of the features' unit, got -1"),
    (lambda: ZCAWhiten(math.nan), ValueError, "expected eps >= 0.* got nan"),
    (lambda: PCAWhiten(eps=math.inf), ValueError, "expected eps >= 0.* got inf"),
    (lambda: ZCAWhiten("1"), TypeError,  # type: ignore[arg-type]
     "ZCAWhiten: expected a number for eps, got '1'"),
    (lambda: PCAWhiten(3).fit(correlated(9, 4, rank=2)), ValueError,
     r"PCAWhiten.fit: expected at most 2 components, as the data varies in 2 of 4 directions, got "
     "n_components=3; None keeps all of them"),
    (lambda: PCAWhiten(3).partial_fit(correlated(3, 4)).transform(correlated(2, 4)), ValueError,
     "PCAWhiten.transform: expected at most 2 components"),
    (lambda: ZCAWhiten().matrix, RuntimeError, r"ZCAWhiten.matrix: no statistics yet; call fit"),
    (lambda: PCAWhiten().components, RuntimeError, "PCAWhiten.components: no statistics yet"),
    (lambda: PCAWhiten().variances, RuntimeError, "PCAWhiten.variances: no statistics yet"),
    (lambda: PCAWhiten().directions, RuntimeError, "PCAWhiten.directions: no statistics yet"),
    (lambda: ZCAWhiten()(np.zeros((2, 2))), RuntimeError, "ZCAWhiten.transform: no statistics"),
    (lambda: Center().inverse(np.zeros((2, 2))), RuntimeError, "Center.inverse: no statistics"),
    (lambda: PCAWhiten(1).fit(correlated(9, 3)).inverse(np.zeros((2, 3))), ValueError,
     r"PCAWhiten.inverse: expected input \(N, 1\) or \(N, \*, 1\), got \(2, 3\)"),
    (lambda: ZCAWhiten().fit(correlated(9, 3)).partial_fit(np.zeros((2, 2))), ValueError,
     r"ZCAWhiten.partial_fit: expected input \(N, 3\)"),
    (lambda: ZCAWhiten().fit(np.array([[0.0, 1.0], [2.0, np.nan]])), ValueError,
     r"ZCAWhiten.fit: expected finite values, got NaN or Inf in feature 1 \(1 of 2"),
    (lambda: ZCAWhiten().fit(np.array([[1e200], [-1e200]])), ValueError,
     "ZCAWhiten.fit: the squares of these values overflow float64"),
    (lambda: PCAWhiten().partial_fit(np.zeros((0, 3))), ValueError, r"empty input \(0, 3\)"),
    (lambda: FeatureMap().transform(np.zeros((2, 2))), NotImplementedError,
     r"FeatureMap: define transform\(self, x\)"),
    (lambda: FeatureMap().inverse(np.zeros((2, 2))), NotImplementedError,
     r"FeatureMap: define inverse\(self, x\)"),
    (lambda: Whiten().fit(correlated(9, 3)).matrix, NotImplementedError,
     r"Whiten: define _matrices\(self, who\)"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_fit_that_fails_changes_nothing() -> None:
    white = PCAWhiten(3).fit(correlated(30, 4))
    before = str(white.state_dict())
    for x in (correlated(9, 4, rank=2), np.full((3, 4), np.nan)):
        with pytest.raises(ValueError):
            white.fit(x)
    assert str(white.state_dict()) == before
    assert np.isnan(white(np.full((1, 4), np.nan))).all()

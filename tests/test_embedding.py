"""Embeddings: rows looked up, and gradients added up row by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import array

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.backend.choose import kernel
from tinygrad_norm.backend.rows import add_rows, frequency
from tinygrad_norm.nn import functional as F

random = np.random.default_rng(4)


# -- values and gradients ----------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0, 2)])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_rows_and_their_gradients(shape: tuple[int, ...], dtype: str, device: str) -> None:
    """As a product with rows of an identity matrix."""
    table = random.standard_normal((5, 4))
    index = random.integers(0, 5, shape).astype(dtype)
    weight = tn.tensor(table, device=device, requires_grad=True)
    y = F.embedding(tn.tensor(index, device=device), weight)
    np.testing.assert_array_equal(array(y), table[index])
    out = random.standard_normal(y.shape)
    (y * y * tn.tensor(out, device=device)).sum().backward()
    one_hot = np.eye(5)[index.reshape(-1)]
    expected = one_hot.T @ (2 * table[index] * out).reshape(-1, 4)
    np.testing.assert_allclose(array(weight.grad), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("padding_idx", [None, 0, 4])
def test_derivatives_of_any_order(padding_idx: int | None) -> None:
    """Against Taylor series of the forward; the padding row is a constant there too."""

    class Model(nn.Module):
        def __init__(self) -> None:
            self.words = nn.Embedding(5, 3, padding_idx)

        def forward(self, x: Any, index: Any) -> Any:
            return (self.words(index) * x).sum(-1).exp()

    index = tn.tensor([[0, 1, 1, 4], [3, 0, 1, 4]])
    found = tn.certify(Model(), tn.randn(2, 4, 3), index, pytorch=False)
    assert found.passed, found
    assert found.rows[0].stops == (padding_idx is not None)


def test_second_order_on_each_device(device: str) -> None:
    weight = tn.tensor(random.standard_normal((4, 2)), device=device, requires_grad=True)
    index = tn.tensor([3, 1, 1, 0, 3, 3], device=device)
    y = F.embedding(index, weight, padding_idx=0)
    first, = tn.autograd.grad((y**3).sum(), weight, create_graph=True)
    second, = tn.autograd.grad(first.sum(), weight)
    counts = np.array([0, 2, 0, 3])[:, None]
    np.testing.assert_allclose(array(first), 3 * counts * array(weight) ** 2)
    np.testing.assert_allclose(array(second), 6 * counts * array(weight))


def test_scaled_by_frequency(device: str) -> None:
    layer = nn.Embedding(4, 2, scale_grad_by_freq=True, padding_idx=2, device=device)
    layer(tn.tensor([[3, 1, 1], [0, 1, 2]], device=device)).sum().backward()
    assert array(layer.weight.grad).tolist() == [[1, 1], [1, 1], [0, 0], [1, 1]]


def test_a_nan_stays_in_its_row() -> None:
    weight = tn.zeros(3, 2, requires_grad=True)
    y = F.embedding(tn.tensor([0, 1, 1, 2]), weight)
    y.backward(tn.tensor([[1.0, 1], [math.nan, 1], [1, 1], [1, math.inf]]))
    np.testing.assert_array_equal(weight.grad.numpy(), [[1, 1], [math.nan, 2], [1, math.inf]])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("rows", "n"), [
    (3, 1000), (1000, 600), (40, 320), (40, 200), (1, 511), (1, 512), (1, 513), (5, 3), (6, 0)])
def test_sums_of_rows(dtype: str, rows: int, n: int) -> None:
    """Few and many, evenly and not, with numbers that are missing."""
    values = random.integers(-9, 9, (n, 3)).astype(dtype)  # so that sums are exact
    index = random.permutation(np.arange(n) * 7 % rows)
    if n > 100:
        index[index == 2] = 0
    expected = np.zeros((rows, 3))
    np.add.at(expected, index, values.astype(float))
    for kind in (object, np.ndarray):  # the plain way and NumPy's
        got = kernel(add_rows, kind)(values, index, rows)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)
        counts = kernel(frequency, kind)(index, rows)
        assert counts.tolist() == [int((index == k).sum()) for k in index]


def test_many_small_values_are_not_lost() -> None:
    """A million times 0.1 in float32: added one by one it would be wrong by a percent."""
    add = kernel(add_rows, np.ndarray)
    got = add(np.full((10**6, 1), 0.1, "float32"), np.zeros(10**6, np.int64), 2)
    np.testing.assert_allclose(got[:, 0], [1e5, 0], rtol=1e-6)


# -- the layer ---------------------------------------------------------------------------------

def test_start() -> None:
    layer = nn.Embedding(300, 50, padding_idx=-2)
    rows = layer.weight.detach().numpy()
    assert layer.padding_idx == 298
    assert not rows[298].any()
    others = np.delete(rows, 298, 0)
    assert others.mean() == pytest.approx(0, abs=0.05)
    assert others.std() == pytest.approx(1, rel=0.03)
    before = rows.copy()
    layer.reset_parameters()
    assert not layer.weight.detach().numpy()[298].any()
    assert (layer.weight.detach().numpy()[0] != before[0]).all()
    assert layer.weight.requires_grad
    assert not nn.Embedding(3, 2, _freeze=True).weight.requires_grad
    assert nn.Embedding(0, 3)(tn.zeros(2, 0, dtype=tn.int64)).shape == (2, 0, 3)


def test_padding_stays_as_it_is_while_training() -> None:
    layer = nn.Embedding(4, 2, padding_idx=1)
    sgd = tn.optim.SGD(layer.parameters(), lr=0.5)
    before = layer.weight.detach().clone()
    (layer(tn.tensor([0, 1, 1, 2])) ** 2).sum().backward()
    sgd.step()
    moved = (layer.weight.detach() != before).any(1)
    assert moved.tolist() == [True, False, True, False]


def test_from_pretrained_shares_memory(device: str) -> None:
    rows = tn.tensor(random.standard_normal((4, 3)), device=device)
    layer = nn.Embedding.from_pretrained(rows, padding_idx=1)
    assert not layer.weight.requires_grad
    assert (layer.num_embeddings, layer.embedding_dim) == (4, 3)
    np.testing.assert_array_equal(array(layer(tn.tensor([1, 3], device=device))),
                                  array(rows)[[1, 3]])
    rows[0] = 7.0
    assert array(layer.weight)[0].tolist() == [7, 7, 7]
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad


@pytest.mark.parametrize(("p", "dtype"), [(2.0, "float64"), (math.inf, "float32"),
                                          (1.0, "float16")])
def test_max_norm(p: float, dtype: str, device: str) -> None:
    """Only rows that are looked up and too long; a gradient that needs the old rows is refused."""
    layer = nn.Embedding(5, 3, max_norm=1.0, norm_type=p, dtype=dtype, device=device)
    tn.nn.init.constant_(layer.weight, 300.0)
    with tn.no_grad():
        layer.weight[1] = 0.25
    squares = (layer.weight * layer.weight).sum() if dtype != "float16" else None
    y = layer(tn.tensor([0, 1, 3, 3], device=device))
    norms = np.linalg.norm(array(layer.weight).astype(float), p, axis=1)
    assert norms[[0, 3]] == pytest.approx([1, 1], rel=1e-3)
    assert (array(layer.weight)[1] == 0.25).all()
    assert (array(layer.weight)[[2, 4]] == 300).all()
    np.testing.assert_array_equal(array(y), array(layer.weight)[[0, 1, 3, 3]])
    if squares is not None:
        with pytest.raises(RuntimeError, match="modified"):
            squares.backward()
    assert layer(tn.zeros(0, dtype=tn.int64, device=device)).shape == (0, 3)


def test_a_number_out_of_range_where_looking_would_wait() -> None:
    """Its row is NaN, and no other row gets its gradient."""
    weight = tn.ones(3, 2, device="strict", requires_grad=True)
    y = F.embedding(tn.tensor([0, 3, -1], device="strict"), weight)
    np.testing.assert_array_equal(array(y), [[1, 1], [math.nan] * 2, [math.nan] * 2])
    y.sum().backward()
    assert array(weight.grad).tolist() == [[1, 1], [0, 0], [0, 0]]


def test_nothing_crosses_in_training() -> None:
    import strict

    layer = nn.Embedding(4, 2, padding_idx=1, scale_grad_by_freq=True, max_norm=1.0,
                         device="strict")
    index = tn.tensor([0, 2, 2], device="strict")
    before = dict(strict.traffic)
    layer(index).sum().backward()
    assert dict(strict.traffic) == before


# -- errors ------------------------------------------------------------------------------------

W = tn.zeros(4, 3)
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "list": (lambda: F.embedding([1], W), TypeError, "expected input to be a Tensor, got list"),
    "weight list": (lambda: F.embedding(tn.tensor([1]), [1.0]), TypeError,
                    "expected weight to be a Tensor, got list"),
    "weight": (lambda: F.embedding(tn.tensor([1]), tn.zeros(4)), ValueError,
               r"expected a weight \(V, d\), got \(4,\)"),
    "float": (lambda: F.embedding(tn.tensor([1.0]), W), TypeError,
              r"expected input of int64 or int32, got float32; call .long\(\)"),
    "device": (lambda: F.embedding(tn.tensor([1]), W.to("strict"), max_norm=1.0), ValueError,
               "embedding: the weight is on strict:0, the input on cpu; move one with .to"),
    "range": (lambda: F.embedding(tn.tensor([[1, 4]]), W), IndexError,
              r"embedding: index out of range: expected numbers 0 to 3 for a weight \(4, 3\), "
              "got 4"),
    "negative": (lambda: nn.Embedding(4, 3)(tn.tensor([-1])), IndexError,
                 "Embedding: index out of range: .* got -1"),
    "padding": (lambda: F.embedding(tn.tensor([1]), W, 4), ValueError,
                "embedding: expected padding_idx within -4 to 3 for 4 rows, got 4"),
    "padding of the layer": (lambda: nn.Embedding(4, 3, padding_idx=-5), AssertionError,
                             "Embedding: expected padding_idx within -4 to 3 for 4 rows, got -5"),
    "padding of a kind": (lambda: nn.Embedding(4, 3, padding_idx=1.5), TypeError,
                          "Embedding: expected padding_idx to be an int, got 1.5"),
    "rows": (lambda: nn.Embedding(-1, 3), RuntimeError,
             "Embedding: expected num_embeddings >= 0, got -1"),
    "columns": (lambda: nn.Embedding(4, 3.0), TypeError,
                "Embedding: expected embedding_dim to be an int, got 3.0"),
    "sparse": (lambda: nn.Embedding(4, 3, sparse=True), NotImplementedError,
               "sparse gradients are not there; leave sparse=False"),
    "max_norm": (lambda: nn.Embedding(4, 3, max_norm=-1.0), ValueError,
                 "expected max_norm >= 0 and norm_type > 0, got -1.0 and 2.0"),
    "norm_type": (lambda: F.embedding(tn.tensor([1]), W, max_norm=1.0, norm_type=0), ValueError,
                  "expected max_norm >= 0 and norm_type > 0, got 1.0 and 0"),
    "shape": (lambda: nn.Embedding(4, 3, _weight=tn.zeros(3, 3)), ValueError,
              r"expected a weight \(4, 3\), as num_embeddings and embedding_dim say, got \(3, 3\)"),
    "pretrained": (lambda: nn.Embedding.from_pretrained(tn.zeros(3)), ValueError,
                   r"from_pretrained: expected embeddings \(V, d\), got \(3,\)"),
    "pretrained list": (lambda: nn.Embedding.from_pretrained([[1.0]]), TypeError,
                        "expected embeddings to be a Tensor, got list"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, kind, text = ERRORS[name]
    with pytest.raises(kind, match=text):
        function()


def test_bad_numbers_change_nothing() -> None:
    layer = nn.Embedding(3, 2, max_norm=0.1)
    before = layer.weight.tolist()
    with pytest.raises(IndexError):
        layer(tn.tensor([0, 3]))
    assert layer.weight.tolist() == before


def test_text() -> None:
    assert repr(nn.Embedding(5, 3)) == "Embedding(5, 3)"
    assert repr(nn.Embedding(5, 3, -1, 2.0, 1.0, True)) == (
        "Embedding(5, 3, padding_idx=4, max_norm=2.0, norm_type=1.0, scale_grad_by_freq=True)")


def test_drawn_and_summed_up() -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 2))
    table = tn.viz.summary(model, (5, 3), dtypes=tn.int64)
    assert [row.output_shapes for row in table.rows] == [
        ((5, 2),), ((5, 3, 4),), ((5, 12),), ((5, 2),)]
    loss = model(tn.tensor([[0, 1, 6]])).sum()
    assert "embedding" in tn.viz.graph(loss, params=model).dot
    assert "embedding" in tn.viz.graph(loss, params=model, view="both").dot

"""Attention: its formula, its masks, numbers at the edge, and every order of derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import array

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.autograd import gradcheck, gradgradcheck
from tinygrad_norm.nn import functional as F

random = np.random.default_rng(8)
N, H, L, S, E = 2, 3, 4, 5, 6


def inputs(device: str = "cpu", *, batch: tuple[int, ...] = (N, H), dtype: str = "float64",
           size: float = 1.0) -> list[tn.Tensor]:
    random = np.random.default_rng(8)
    shapes = ((L, E), (S, E), (S, 2))
    return [tn.tensor((random.standard_normal((*batch, *s)) * size).astype(dtype), device=device,
                      requires_grad=True) for s in shapes]


def formula(q: Any, k: Any, v: Any, keep: Any = True, bias: Any = 0.0, scale: float = E**-0.5
            ) -> np.ndarray:
    """One query after another, in plain NumPy."""
    q, k, v = (np.asarray(array(x), float) for x in (q, k, v))
    scores = np.einsum("...le,...se->...ls", q, k) * scale + bias
    keep = np.broadcast_to(keep, scores.shape) & (scores > -math.inf)
    y = np.zeros((*scores.shape[:-1], v.shape[-1]))
    for place in np.ndindex(*scores.shape[:-1]):
        row, seen = scores[place], keep[place]
        if seen.any():
            weights = np.exp(np.where(seen, row - row[seen].max(), -math.inf))
            y[place] = weights / weights.sum() @ v[place[:-1]]
    return y


# -- scaled_dot_product_attention --------------------------------------------------------------

KEEP = random.random((L, S)) < 0.5
KEEP[0] = True
KEEP[1] = False


@pytest.mark.parametrize("batch", [(), (N,), (N, H)])
@pytest.mark.parametrize("mask", ["none", "bools", "floats", "causal"])
def test_formula(batch: tuple[int, ...], mask: str, device: str) -> None:
    q, k, v = inputs(device, batch=batch)
    added = random.standard_normal((L, S))
    settings: dict[str, Any] = {
        "none": {}, "bools": {"attn_mask": tn.tensor(KEEP, device=device)},
        "floats": {"attn_mask": tn.tensor(added, device=device)}, "causal": {"is_causal": True},
    }[mask]
    keep = {"bools": KEEP, "causal": np.tril(np.ones((L, S), bool))}.get(mask, True)
    y = F.scaled_dot_product_attention(q, k, v, **settings)
    np.testing.assert_allclose(array(y), formula(q, k, v, keep, added if mask == "floats" else 0),
                               rtol=1e-12, atol=1e-14)
    assert y.shape == (*batch, L, 2)
    y.square().sum().backward()
    assert all(np.isfinite(array(x.grad)).all() for x in (q, k, v))


def test_scale_and_broadcast(device: str) -> None:
    q, _, _ = inputs(device)
    _, k, v = inputs(device, batch=(H,))
    y = F.scaled_dot_product_attention(q, k, v, scale=2.0)
    whole = [np.broadcast_to(array(x), (N, *x.shape)) for x in (k, v)]
    np.testing.assert_allclose(array(y), formula(q, *map(tn.tensor, whole), scale=2.0), rtol=1e-11)


@pytest.mark.parametrize("kind", ["bools", "floats"])
def test_a_query_without_keys_gives_zero_and_no_gradient(kind: str, device: str) -> None:
    q, k, v = inputs(device)
    mask = KEEP if kind == "bools" else np.where(KEEP, 0.0, -math.inf)
    y = F.scaled_dot_product_attention(q, k, v, tn.tensor(mask, device=device))
    assert not array(y)[:, :, 1].any()
    assert array(y)[:, :, 0].all()
    first = tn.autograd.grad(y.square().sum(), (q, k, v), create_graph=True)
    second = tn.autograd.grad(sum(g.square().sum() for g in first), (q, k, v))
    for g in (*first, *second):
        assert np.isfinite(array(g)).all()
    assert not array(first[0])[:, :, 1].any()
    nobody = F.scaled_dot_product_attention(q, k[..., :0, :], v[..., :0, :])
    assert not array(nobody).any()
    assert nobody.shape == (N, H, L, 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [
    ("float16", 1e-3), ("float32", 1e-5), ("float64", 1e-12)])
def test_large_scores(dtype: str, tolerance: float, device: str) -> None:
    """Scores of some 1e4, which no exponential takes; in float16 beyond its largest number."""
    q, k, v = inputs(device, dtype=dtype, size=150.0)
    scores = np.einsum("nhle,nhse->nhls", *(array(x).astype(float) for x in (q, k)))
    assert np.abs(scores).max() > 7e4
    y = F.scaled_dot_product_attention(q, k, v, tn.tensor(KEEP, device=device))
    assert y.dtype == dtype
    expected = formula(q, k, v, KEEP)
    np.testing.assert_allclose(array(y), expected, rtol=0, atol=tolerance * np.abs(expected).max())
    y.sum().backward()
    for x in (q, k, v):
        assert x.grad.dtype == dtype
        assert np.isfinite(array(x.grad)).all()


def test_width_zero_is_the_mean() -> None:
    q, k, v = tn.zeros(2, 0), tn.zeros(3, 0), tn.tensor([[1.0], [2.0], [6.0]])
    assert F.scaled_dot_product_attention(q, k, v).tolist() == [[3.0], [3.0]]


def test_derivatives_of_order_one_and_two() -> None:
    q, k, v = inputs(batch=(2,))
    bias = tn.tensor(random.standard_normal((L, S)), requires_grad=True)
    keep = tn.tensor(KEEP)
    assert gradcheck(F.scaled_dot_product_attention, (q, k, v, bias))
    assert gradgradcheck(F.scaled_dot_product_attention, (q, k, v, bias))
    assert gradgradcheck(lambda *x: F.scaled_dot_product_attention(*x, keep), (q, k, v))


FORMS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "plain": (F.scaled_dot_product_attention, ((2, 3, 4), (2, 5, 4), (2, 5, 2))),
    "learned mask": (F.scaled_dot_product_attention, ((3, 4), (5, 4), (5, 2), (3, 5))),
    "causal, grouped": (lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=True), ((4, 3, 2), (2, 3, 2), (2, 3, 2))),
    "bools": (lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, tn.tensor(KEEP).to(q.device)), ((L, 3), (S, 3), (S, 3))),
    "-inf": (lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, tn.tensor(np.where(KEEP, 0, -math.inf)).to(q.device)), ((L, 3), (S, 3), (S, 3))),
    "dropout": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.4),
                ((L, 3), (S, 3), (S, 3))),
}


@pytest.mark.parametrize("name", FORMS)
def test_derivatives_to_order_four(name: str) -> None:
    """Against Taylor series of the forward, which know no gradient rule."""
    function, shapes = FORMS[name]
    found = tn.certify(function, *(tn.randn(*s, dtype=tn.float64) for s in shapes))
    assert found.passed, found
    assert found.rows[0].worst < 1e-13


def test_dropout_of_weights(device: str) -> None:
    """Each weight is 0 or doubled, and the mean over many draws is the one without dropout."""
    q, k, _ = inputs(device, batch=())
    v = tn.tensor(np.eye(S), device=device)
    whole = array(F.scaled_dot_product_attention(q, k, v))
    total = np.zeros((L, S))
    for _ in range(400):
        weights = array(F.scaled_dot_product_attention(q, k, v, dropout_p=0.5))
        assert (np.isclose(weights, 0) | np.isclose(weights, 2 * whole)).all()
        total += weights / 400
    np.testing.assert_allclose(total, whole, atol=5 * whole.max() / 20)
    assert not array(F.scaled_dot_product_attention(q, k, v, dropout_p=1.0)).any()


def test_grouped_heads_are_neighbours(device: str) -> None:
    q, k, v = inputs(device, batch=(4,))
    few = [x[:2] for x in (k, v)]
    y = F.scaled_dot_product_attention(q, *few, enable_gqa=True)
    twice = [tn.stack([x[0], x[0], x[1], x[1]]) for x in few]
    np.testing.assert_allclose(array(y), array(F.scaled_dot_product_attention(q, *twice)))


# -- softmax -----------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_many(dtype: str, axis: int, device: str) -> None:
    """5000 equal values: float16 cannot count beyond 2048 one by one."""
    x = tn.zeros((5000, 2) if axis == 0 else (2, 5000), dtype=dtype, device=device)
    exact = np.array(1 / 5000, dtype)
    np.testing.assert_allclose(array(x.softmax(axis)), exact, rtol=2e-3)
    np.testing.assert_allclose(array(x.log_softmax(axis)), math.log(1 / 5000), rtol=1e-3)


def test_softmax_with_infinite_scores(device: str) -> None:
    x = tn.tensor([[0.0, -math.inf, 1.0], [-math.inf, 5e3, -5e3]], device=device,
                  requires_grad=True)
    y = x.softmax(1)
    part = 1 / (1 + math.e)
    np.testing.assert_allclose(array(y), [[part, 0, 1 - part], [0, 1, 0]], rtol=1e-6)
    y.square().sum().backward()
    assert np.isfinite(array(x.grad)).all()


# -- MultiheadAttention ------------------------------------------------------------------------

def by_hand(layer: nn.MultiheadAttention, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of one sequence (L, E): a loop over the heads."""
    state = {name: array(p).astype(float) for name, p in layer.named_parameters()}
    d = layer.head_dim
    q, k, v = np.split(x @ state["in_proj_weight"].T + state["in_proj_bias"], 3, axis=-1)
    parts, weights = [], []
    for h in range(layer.num_heads):
        own = slice(h * d, (h + 1) * d)
        e = np.exp(q[:, own] @ k[:, own].T / math.sqrt(d))
        weights.append(e / e.sum(-1, keepdims=True))
        parts.append(weights[-1] @ v[:, own])
    y = np.concatenate(parts, -1) @ state["out_proj.weight"].T + state["out_proj.bias"]
    return y, np.array(weights)


def seasoned(layer: Any) -> Any:
    """With biases that are not 0."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return layer


@pytest.mark.parametrize("layout", ["(L, E)", "(L, N, E)", "(N, L, E)"])
@pytest.mark.parametrize("average", [True, False])
def test_multihead_attention(layout: str, average: bool, device: str) -> None:
    layer = seasoned(nn.MultiheadAttention(E, H, batch_first=layout == "(N, L, E)",
                                           device=device, dtype=tn.float64))
    data = random.standard_normal((N, L, E))
    given = {"(L, E)": data[0], "(L, N, E)": data.swapaxes(0, 1), "(N, L, E)": data}[layout]
    x = tn.tensor(given.copy(), device=device)
    y, weights = layer(x, x, x, average_attn_weights=average)
    ys, ws = zip(*(by_hand(layer, one) for one in data), strict=True)
    expected = {"(L, E)": ys[0], "(L, N, E)": np.stack(ys, 1), "(N, L, E)": np.stack(ys)}[layout]
    np.testing.assert_allclose(array(y), expected, rtol=1e-11, atol=1e-13)
    shares = ws[0] if layout == "(L, E)" else np.stack(ws)
    np.testing.assert_allclose(array(weights), shares.mean(-3) if average else shares, rtol=1e-11)
    assert layer(x, x, x, need_weights=False)[1] is None


def test_masks_take_away_what_they_cover(device: str) -> None:
    """Padding and a mask leave what a shorter sequence gives."""
    layer = seasoned(nn.MultiheadAttention(E, H, batch_first=True, device=device))
    x = tn.randn(N, S, E).to(device)
    padding = tn.tensor([[False, False, False, True, True]] * N, device=device)
    short, _ = layer(x[:, :3], x[:, :3], x[:, :3])
    whole, weights = layer(x, x, x, key_padding_mask=padding)
    np.testing.assert_allclose(array(whole)[:, :3], array(short), rtol=1e-4, atol=1e-6)
    assert not array(weights)[..., 3:].any()
    late = tn.tensor(np.triu(np.ones((S, S), bool), 1), device=device)
    causal, weights = layer(x, x, x, attn_mask=late)
    assert not np.triu(array(weights), 1).any()
    np.testing.assert_allclose(array(causal)[:, 0], array(layer(x[:, :1], x[:, :1], x[:, :1])[0])[
        :, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_sample_of_padding_only(need_weights: bool, device: str) -> None:
    """0 weights and the bias of the output, as without weights in PyTorch; no NaN goes back."""
    layer = seasoned(nn.MultiheadAttention(4, 2, batch_first=True, device=device))
    x = tn.randn(2, 3, 4).to(device).requires_grad_()
    padding = tn.tensor([[True] * 3, [False] * 3], device=device)
    y, weights = layer(x, x, x, key_padding_mask=padding, need_weights=need_weights)
    np.testing.assert_array_equal(array(y)[0], [array(layer.out_proj.bias)] * 3)
    assert weights is None or not array(weights)[0].any()
    y.square().sum().backward()
    assert not array(x.grad)[0].any()
    assert array(x.grad)[1].all()
    assert all(np.isfinite(array(p.grad)).all() for p in layer.parameters())


def test_added_rows(device: str) -> None:
    """A row of zeros adds 1 to each sum of exponentials; a learned row is one more key."""
    settings = {"batch_first": True, "device": device, "dtype": tn.float64}
    x = tn.tensor(random.standard_normal((N, L, E)), device=device)
    mask = tn.zeros(L, L, dtype=bool, device=device)
    plain = seasoned(nn.MultiheadAttention(E, H, **settings))
    zero = nn.MultiheadAttention(E, H, add_zero_attn=True, **settings)
    zero.load_state_dict(plain.state_dict())
    _, before = plain(x, x, x, average_attn_weights=False)
    _, after = zero(x, x, x, average_attn_weights=False, attn_mask=mask)
    after = array(after)
    np.testing.assert_allclose(after.sum(-1), 1)
    np.testing.assert_allclose(after[..., :-1] / (1 - after[..., -1:]), array(before))
    longer = seasoned(nn.MultiheadAttention(E, H, add_bias_kv=True, add_zero_attn=True, **settings))
    _, weights = longer(x, x, x, key_padding_mask=tn.ones(N, L, dtype=bool, device=device))
    assert weights.shape == (N, L, L + 2)
    assert not array(weights)[..., :L].any()
    assert array(weights)[..., L:].all()


def test_dropout_only_in_training() -> None:
    layer = nn.MultiheadAttention(E, H, dropout=0.5)
    x = tn.randn(L, N, E)
    assert (layer(x, x, x, average_attn_weights=False)[1] == 0).any()
    layer.eval()
    assert not (layer(x, x, x, average_attn_weights=False)[1] == 0).any()
    assert layer(x, x, x)[0].tolist() == layer(x, x, x)[0].tolist()


def test_start() -> None:
    layer = nn.MultiheadAttention(64, 4, kdim=16, add_bias_kv=True)
    for name, width in (("q", 64), ("k", 16), ("v", 64)):
        weight = getattr(layer, f"{name}_proj_weight").detach().numpy()
        assert weight.shape == (64, width)
        assert np.abs(weight).max() == pytest.approx(math.sqrt(6 / (64 + width)), rel=0.02)
    assert layer.in_proj_weight is None
    assert not layer.in_proj_bias.any()
    assert not layer.out_proj.bias.any()
    assert layer.bias_k.std().item() == pytest.approx(math.sqrt(2 / 128), rel=0.4)
    assert list(layer.state_dict()) == [
        "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "bias_k", "bias_v",
        "out_proj.weight", "out_proj.bias"]
    before = layer.state_dict()["q_proj_weight"].clone()
    layer.reset_parameters()
    assert (layer.q_proj_weight != before).any()


@pytest.mark.parametrize("settings", [
    {}, {"kdim": 3, "vdim": 2}, {"add_bias_kv": True, "add_zero_attn": True, "bias": False}],
    ids=str)
def test_multihead_derivatives_to_order_four(settings: dict[str, Any]) -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True, **settings)
    shapes = ((2, 3, 4), (2, 2, settings.get("kdim", 4)), (2, 2, settings.get("vdim", 4)))
    found = tn.certify(layer, *(tn.randn(*s) for s in shapes), directions=1, pytorch=False)
    assert found.passed, found
    assert len(found.rows) == 2


# -- TransformerEncoderLayer -------------------------------------------------------------------

class Block(nn.Module):
    """Words, positions, and a block of a transformer, causal."""

    def __init__(self, **settings: Any) -> None:
        self.words = nn.Embedding(7, 4, padding_idx=0)
        self.block = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, **settings)

    def forward(self, positions: Any, words: Any) -> Any:
        late = tn.tensor(np.triu(np.ones((3, 3), bool), 1)).to(positions.device)
        return self.block(self.words(words) + positions, late, words == 0)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_transformer_block_certifies(norm_first: bool, dropout: float) -> None:
    block = Block(norm_first=norm_first, dropout=dropout, activation="gelu")
    found = tn.certify(block, tn.randn(2, 3, 4), tn.tensor([[1, 5, 1], [6, 2, 0]]),
                       directions=1, pytorch=False)
    assert found.passed, found


@pytest.mark.parametrize("norm_first", [True, False])
def test_encoder_layer_by_its_formula(norm_first: bool, device: str) -> None:
    layer = nn.TransformerEncoderLayer(E, H, 8, batch_first=True, norm_first=norm_first,
                                       activation=nn.SiLU(), device=device).eval()
    x = tn.randn(N, L, E).to(device)

    def attention(x: Any) -> Any:
        return layer.self_attn(x, x, x)[0]

    def rest(x: Any) -> Any:
        return layer.linear2(F.silu(layer.linear1(x)))

    if norm_first:
        y = x + attention(layer.norm1(x))
        y = y + rest(layer.norm2(y))
    else:
        y = layer.norm1(x + attention(x))
        y = layer.norm2(y + rest(y))
    np.testing.assert_allclose(array(layer(x)), array(y), rtol=1e-5, atol=1e-6)
    assert [name for name, _ in layer.named_children()] == [
        "self_attn", "linear1", "dropout", "linear2", "norm1", "norm2", "dropout1", "dropout2",
        "activation"]


def test_it_learns(device: str) -> None:
    """To tell the first word of a sequence: the rest of it is noise."""
    random = np.random.default_rng(0)
    words = random.integers(0, 4, (64, 5))
    words[:, 0] %= 2
    model = nn.ModuleList([nn.Embedding(4, 8), nn.Embedding(5, 8), nn.TransformerEncoderLayer(
        8, 2, 16, 0.0, batch_first=True), nn.Linear(8, 2)]).to(device)
    x, target = tn.tensor(words, device=device), tn.tensor(words[:, 0].copy(), device=device)
    sgd = tn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(60):
        sgd.zero_grad()
        hidden = model[0](x) + model[1](tn.arange(5, device=device))
        loss = F.cross_entropy(model[3](model[2](hidden)[:, -1]), target)
        loss.backward()
        sgd.step()
        losses.append(loss)
    assert losses[0].item() > 0.5
    assert losses[-1].item() < 0.05


def test_nothing_crosses_in_training() -> None:
    layer = nn.TransformerEncoderLayer(E, H, 8, 0.0, batch_first=True, device="strict")
    x = tn.randn(N, L, E).to("strict")
    padding = tn.zeros(N, L, dtype=bool, device="strict")
    before = dict(strict.traffic)
    layer(x, src_key_padding_mask=padding).sum().backward()
    assert dict(strict.traffic) == before


# -- pictures ----------------------------------------------------------------------------------

def test_drawn_and_summed_up() -> None:
    """A layer that gives a tuple has a box of its own, and its outputs' shapes are told."""
    layer = nn.TransformerEncoderLayer(E, H, 8, batch_first=True)
    x = tn.randn(N, L, E)
    rows = {row.name: row for row in tn.viz.summary(layer, (N, L, E)).rows}
    assert rows["self_attn"].output_shapes == ((N, L, E),)
    loss = layer(x).sum()
    for settings in ({}, {"view": "both"}, {"depth": 1}):
        assert "self_attn" in tn.viz.graph(loss, params=layer, **settings).dot
    clusters = {c.name: c for c in tn.viz.trace(loss, params=layer).clusters}
    assert clusters["self_attn"].type == "MultiheadAttention"
    alone = nn.MultiheadAttention(E, H, batch_first=True)
    for mask, name in ((None, "softmax"), (tn.zeros(L, L, dtype=tn.bool), "masked_softmax")):
        _, weights = alone(x, x, x, attn_mask=mask)
        graph = tn.viz.trace(weights.sum(), params=alone)
        assert [n.name for n in graph.of_kind("op") if "softmax" in n.name] == [name]
        assert len(graph.of_kind("input")) == 1  # the mask is part of it
    rows = {row.name: row for row in tn.viz.summary(alone, [(N, L, E)] * 3).rows}
    assert rows[""].output_shapes == ((N, L, E), (N, L, L))


# -- errors ------------------------------------------------------------------------------------

def sdpa(*shapes: tuple[int, ...], **settings: Any) -> Any:
    return F.scaled_dot_product_attention(*(tn.zeros(s) for s in shapes), **settings)


def mha(*shapes: tuple[int, ...], batch_first: bool = False, **settings: Any) -> Any:
    shapes = shapes or ((3, 2, 4),) * 3
    layer = nn.MultiheadAttention(4, 2, batch_first=batch_first)
    return layer(*(tn.zeros(s) for s in shapes), **settings)


OK = ((3, 4), (5, 4), (5, 6))
B = tn.ones(1, dtype=bool)
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "embed_dim": (lambda: nn.MultiheadAttention(4.0, 2), TypeError,
                  "MultiheadAttention: expected embed_dim to be an int, got 4.0"),
    "num_heads": (lambda: nn.MultiheadAttention(4, True), TypeError,
                  "MultiheadAttention: expected num_heads to be an int, got True"),
    "kdim": (lambda: nn.MultiheadAttention(4, 2, kdim=-1), ValueError,
             "MultiheadAttention: expected kdim >= 0, got -1"),
    "vdim": (lambda: nn.MultiheadAttention(4, 2, vdim="a"), TypeError,
             "MultiheadAttention: expected vdim to be an int, got 'a'"),
    "wide mask": (lambda: mha(attn_mask=tn.zeros(3, 3).double()), RuntimeError,
                  r"MultiheadAttention: expected masks of bools, float32 or the inputs' float32, "
                  r"got float64; call .to\(dtype\)"),
    "no tensor": (lambda: F.scaled_dot_product_attention(tn.zeros(3, 4), [1], tn.zeros(3, 4)),
                  TypeError, "expected key to be a Tensor, got list"),
    "dtypes": (lambda: F.scaled_dot_product_attention(
        tn.zeros(3, 4), tn.zeros(3, 4).double(), tn.zeros(3, 4)), TypeError,
        r"of one floating dtype, got float32, float64, float32; call .to\(dtype\)"),
    "ints": (lambda: F.scaled_dot_product_attention(*[tn.zeros(3, 4).long()] * 3), TypeError,
             "of one floating dtype, got int64, int64, int64"),
    "widths": (lambda: sdpa((3, 4), (5, 3), (5, 6)), ValueError,
               r"expected query \(\*, L, E\), key \(\*, S, E\) and value \(\*, S, Ev\), got "
               r"\(3, 4\), \(5, 3\) and \(5, 6\)"),
    "vectors": (lambda: sdpa((4,), (4,), (4,)), RuntimeError, r"got \(4,\), \(4,\) and \(4,\)"),
    "batches": (lambda: sdpa((6, 3, 4), (2, 5, 4), (2, 5, 4)), ValueError,
                "with fewer heads in key and value pass enable_gqa=True"),
    "dropout": (lambda: sdpa(*OK, dropout_p=1.5), RuntimeError,
                "expected dropout_p between 0 and 1, got 1.5"),
    "both": (lambda: sdpa(*OK, attn_mask=B, is_causal=True), RuntimeError,
             "expected attn_mask or is_causal, got both; put the causal mask into attn_mask"),
    "mask": (lambda: sdpa(*OK, attn_mask=tn.ones(3, 4, dtype=bool)), ValueError,
             r"expected an attn_mask that broadcasts to the scores \(\*, L, S\) = \(3, 5\), got "
             r"\(3, 4\)"),
    "larger mask": (lambda: sdpa(*OK, attn_mask=tn.ones(2, 3, 5)), ValueError,
                    r"= \(3, 5\), got \(2, 3, 5\)"),
    "mask of ints": (lambda: sdpa(*OK, attn_mask=tn.ones(3, 5).long()), TypeError,
                     "expected an attn_mask of bools, float32 or the inputs' float32, got int64"),
    "mask list": (lambda: sdpa(*OK, attn_mask=[True]), TypeError,
                  "expected attn_mask to be a Tensor, got list"),
    "heads": (lambda: sdpa((6, 3, 4), (4, 5, 4), (4, 5, 4), enable_gqa=True), ValueError,
              "expected the heads of key to divide those of query for enable_gqa, got 4 and 6"),
    "no heads": (lambda: sdpa(*OK, enable_gqa=True), ValueError,
                 r"expected a dimension of heads .* got query \(3, 4\) and key \(5, 4\)"),
    "sizes": (lambda: nn.MultiheadAttention(4, 0), ValueError,
              "expected embed_dim and num_heads of at least 1, got 4 and 0"),
    "divide": (lambda: nn.MultiheadAttention(6, 4), AssertionError,
               "expected num_heads to divide embed_dim 6, got 4; take one of 1, 2, 3, 6"),
    "rate": (lambda: nn.MultiheadAttention(4, 2, dropout=1.5), ValueError,
             "expected dropout between 0 and 1, got 1.5"),
    "query": (lambda: nn.MultiheadAttention(4, 2)(np.zeros((3, 4)), B, B), TypeError,
              "expected query to be a Tensor, got ndarray"),
    "shapes": (lambda: mha((3, 2, 4), (5, 3, 4), (5, 3, 4)), AssertionError,
               r"expected query \(L, N, 4\), key \(S, N, 4\) and value \(S, N, 4\), or all without "
               r"N, got \(3, 2, 4\), \(5, 3, 4\) and \(5, 3, 4\); batch_first is False"),
    "batch first": (lambda: mha((3, 2, 4), (5, 2, 4), (5, 2, 4), batch_first=True), ValueError,
                    r"expected query \(N, L, 4\).*batch_first is True"),
    "padding": (lambda: mha(key_padding_mask=tn.ones(3, 2, dtype=bool)), ValueError,
                r"expected key_padding_mask \(2, 3\), got \(3, 2\)"),
    "padding of ints": (lambda: mha(key_padding_mask=tn.ones(2, 3).long()), TypeError,
                        r"expected key_padding_mask of bools or floats, got int64; call .bool\(\)"),
    "attention mask": (lambda: mha(attn_mask=tn.ones(3, 2, dtype=bool)), AssertionError,
                       r"expected attn_mask \(3, 3\) or \(4, 3, 3\), got \(3, 2\)"),
    "attention mask list": (lambda: mha(attn_mask=[[True]]), TypeError,
                            "expected attn_mask to be a Tensor, got list"),
    "causal": (lambda: mha(is_causal=True), RuntimeError,
               "expected an attn_mask beside is_causal=True"),
    "activation": (lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh"), RuntimeError,
                   "expected activation relu, gelu or a function, got 'tanh'"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, kind, text = ERRORS[name]
    with pytest.raises(kind, match=text):
        function()

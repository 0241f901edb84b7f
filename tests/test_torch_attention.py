"""Attention, embeddings and the encoder layer against PyTorch: outputs, gradients, errors.

PyTorch's fused kernels have no second derivative: its plain implementation is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import tensor
from torch_compare import close, compare

import tinygrad_norm as tn
import tinygrad_norm.nn.functional

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")
random = np.random.default_rng(5)
N, H, L, S, E = 2, 2, 3, 4, 4


def plain(m: Any) -> Any:
    """PyTorch's implementation in plain operations, within ``with``."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH)


def keep_of(*shape: int) -> np.ndarray:
    """Bools: in each row the first holds, but in the last one none does."""
    keep = np.random.default_rng(3).random(shape) < 0.6
    keep[..., 0] = True
    keep[..., -1, :] = False
    return keep


# -- scaled_dot_product_attention --------------------------------------------------------------

SHAPES = {
    "(L, E)": ((L, E), (S, E), (S, 5)),
    "(N, L, E)": ((N, L, E), (N, S, E), (N, S, 5)),
    "(N, H, L, E)": ((N, H, L, E), (N, H, S, E), (N, H, S, E)),
    "broadcast": ((N, 1, L, E), (H, S, E), (N, H, S, 5)),
    "no keys": ((N, L, E), (N, 0, E), (N, 0, 5)),
}
MASKS: dict[str, Callable[[], np.ndarray] | None] = {
    "none": None,
    "bools (S,)": lambda: np.array([True, False, True, True]),
    "bools (L, S)": lambda: keep_of(L, S),
    "bools (1, S)": lambda: np.array([[True, False, True, True]]),
    "bools (L, 1)": lambda: np.array([[True], [False], [True]]),
    "floats": lambda: random.standard_normal((L, S)),
    "floats with -inf": lambda: np.where(keep_of(L, S), 0.5, -np.inf),
    "causal": None,
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_scaled_dot_product_attention(shape: str, mask: str, scale: float | None) -> None:
    if shape == "no keys" and mask not in ("none", "causal"):
        shape = "(L, E)"
    made = MASKS[mask]
    values = [random.standard_normal(s) for s in SHAPES[shape]]
    given = None if made is None else made()
    learned = given is not None and given.dtype.kind == "f" and np.isfinite(given).all()
    if learned:
        values.append(given)

    def run(m: Any, q: Any, k: Any, v: Any, *bias: Any) -> Any:
        attn_mask = bias[0] if bias else None if given is None else m.tensor(given)
        with plain(m):
            return m.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask, is_causal=mask == "causal", scale=scale)

    compare(run, values)


@pytest.mark.parametrize("heads", [(4, 2), (6, 2), (6, 1), (3, 3)])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_grouped_heads(heads: tuple[int, int], batch: tuple[int, ...]) -> None:
    many, few = heads
    values = [random.standard_normal((*batch, n, s, E)) for n, s in ((many, L), (few, S), (few, S))]
    mask = keep_of(many, L, S)

    def run(m: Any, *qkv: Any) -> Any:
        with plain(m):
            return m.nn.functional.scaled_dot_product_attention(
                *qkv, m.tensor(mask), enable_gqa=True)

    compare(run, values)


def test_float32_mask_beside_float64() -> None:
    values = [random.standard_normal(s) for s in ((L, E), (S, E), (S, E))]
    mask = random.standard_normal((L, S)).astype("float32")
    results = [m.nn.functional.scaled_dot_product_attention(
        *(make(v) for v in values), make(mask)) for m, make in (
            (tn, tensor), (torch, torch.from_numpy))]
    close(*results)


@pytest.mark.parametrize("size", [1.0, 30.0, 300.0])
def test_float16(size: float) -> None:
    """Near the float64 result, as PyTorch's, also where scores leave the range of float16."""
    values = [(random.standard_normal((2, 5, 8)) * size).astype("float16") for _ in range(3)]
    exact = torch.nn.functional.scaled_dot_product_attention(
        *(torch.from_numpy(v.astype(float)) for v in values)).numpy()
    for m, make in ((tn, tensor), (torch, torch.from_numpy)):
        y = m.nn.functional.scaled_dot_product_attention(*map(make, values))
        assert str(y.dtype).endswith("float16")
        np.testing.assert_allclose(y.numpy(), exact, rtol=0, atol=1e-3 * np.abs(exact).max())


# -- MultiheadAttention ------------------------------------------------------------------------

OPTIONS = [
    {}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True, "bias": False}, {"kdim": 3, "vdim": 5},
    {"kdim": 3, "add_bias_kv": True, "bias": False}, {"vdim": 3, "add_zero_attn": True},
]
ATTENTION_MASKS: dict[str, dict[str, np.ndarray]] = {
    "none": {},
    "bools": {"attn_mask": np.triu(np.ones((L, S), bool), 1)},
    "floats": {"attn_mask": random.standard_normal((L, S))},
    "bools per head": {"attn_mask": ~keep_of(N * H, L, S) & (np.arange(S) > 0)},
    "floats per head": {"attn_mask": random.standard_normal((N * H, L, S))},
    "padding": {"key_padding_mask": np.array([[False, False, True, True], [False] * 4])},
    "padding floats": {"key_padding_mask": random.standard_normal((N, S))},
    "both bools": {"attn_mask": np.triu(np.ones((L, S), bool), 1),
                   "key_padding_mask": np.array([[False, True, False, True], [False] * 4])},
    "bools and floats": {"attn_mask": np.triu(np.ones((L, S), bool), 1),
                         "key_padding_mask": random.standard_normal((N, S))},
}


def layers(name: str, *arguments: Any, **settings: Any) -> dict[Any, Any]:
    """PyTorch's layer, with biases that are not 0, and ours with its values."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*arguments, **settings, dtype=torch.float64)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, dtype=torch.float64)
    ours = getattr(tn.nn, name)(*arguments, **settings, dtype=tn.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    return {tn: ours, torch: theirs}


def attention_inputs(settings: dict[str, Any], batched: bool) -> list[np.ndarray]:
    values = []
    for length, width in ((L, E), (S, settings.get("kdim", E)), (S, settings.get("vdim", E))):
        shape = (N, length, width) if settings.get("batch_first") else (length, N, width)
        values.append(random.standard_normal(shape if batched else (length, width)))
    return values


@pytest.mark.parametrize("masks", ATTENTION_MASKS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_multihead_attention(options: dict[str, Any], masks: str) -> None:
    """Both outputs and their derivatives; the settings of ``forward`` take turns."""
    turn = OPTIONS.index(options) + list(ATTENTION_MASKS).index(masks)
    settings = {**options, "batch_first": turn % 2 == 0}
    both = layers("MultiheadAttention", E, H, **settings)
    given = ATTENTION_MASKS[masks]

    def run(m: Any, q: Any, k: Any, v: Any) -> Any:
        y, weights = both[m](q, k, v, average_attn_weights=turn % 3 > 0,
                             **{name: m.tensor(mask) for name, mask in given.items()})
        return m.cat([y.reshape(-1), weights.reshape(-1)])

    compare(run, attention_inputs(settings, True), lambda m: list(both[m].parameters()))


@pytest.mark.parametrize("masks", ["none", "bools", "padding", "padding floats", "both bools"])
@pytest.mark.parametrize("options", OPTIONS[:6], ids=str)
def test_without_weights(options: dict[str, Any], masks: str) -> None:
    """``need_weights=False`` is another path in PyTorch."""
    both = layers("MultiheadAttention", E, H, **options)
    given = ATTENTION_MASKS[masks]

    def run(m: Any, q: Any, k: Any, v: Any) -> Any:
        with plain(m):
            y, weights = both[m](q, k, v, need_weights=False,
                                 **{name: m.tensor(mask) for name, mask in given.items()})
        assert weights is None
        return y

    compare(run, attention_inputs(options, True), lambda m: list(both[m].parameters()))


UNBATCHED = {
    "none": {}, "attn_mask": {"attn_mask": np.triu(np.ones((L, S), bool), 1)},
    "per head": {"attn_mask": random.standard_normal((H, L, S))},
    "padding": {"key_padding_mask": np.array([False, True, False, True])},
}


@pytest.mark.parametrize("masks", UNBATCHED)
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_unbatched(masks: str, average: bool, batch_first: bool) -> None:
    settings = {"batch_first": batch_first, "add_bias_kv": True}
    both = layers("MultiheadAttention", E, H, **settings)

    def run(m: Any, q: Any, k: Any, v: Any) -> Any:
        y, weights = both[m](q, k, v, average_attn_weights=average,
                             **{name: m.tensor(mask) for name, mask in UNBATCHED[masks].items()})
        assert tuple(y.shape) == (L, E)
        assert tuple(weights.shape) == ((L, S + 1) if average else (H, L, S + 1))
        return m.cat([y.reshape(-1), weights.reshape(-1)])

    compare(run, attention_inputs(settings, False), lambda m: list(both[m].parameters()))


@pytest.mark.parametrize("need_weights", [True, False])
def test_causal_hint(need_weights: bool) -> None:
    both = layers("MultiheadAttention", E, H)
    mask = np.triu(np.ones((L, L), bool), 1)

    def run(m: Any, x: Any) -> Any:
        with plain(m):
            return both[m](x, x, x, attn_mask=m.tensor(mask), is_causal=True,
                           need_weights=need_weights)[0]

    compare(run, [random.standard_normal((L, N, E))])


def test_the_start_has_the_same_spread() -> None:
    """Within PyTorch's bounds, and as wide."""
    settings = {"add_bias_kv": True}
    ours = tn.nn.MultiheadAttention(64, 4, **settings).state_dict()
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(64, 4, **settings).state_dict()
    for name, value in theirs.items():
        got, expected = ours[name].numpy(), value.numpy()
        assert got.std() == pytest.approx(expected.std(), rel=0.35 if "bias_" in name else 0.03)
        if "weight" in name:
            assert np.abs(got).max() == pytest.approx(np.abs(expected).max(), rel=0.01)


def test_certify_knows_pytorchs_layer_by_both_outputs() -> None:
    found = tn.certify(tn.nn.MultiheadAttention(4, 2), *(tn.randn(3, 1, 4) for _ in range(3)),
                       order=2, directions=1)
    assert found.rows[0].pytorch is not None
    assert max(found.rows[0].pytorch) < 1e-9


# -- TransformerEncoderLayer -------------------------------------------------------------------

@pytest.mark.parametrize("settings", [
    {"batch_first": b, "norm_first": n, "activation": a, **more}
    for b, n, (a, more) in itertools.product(
        [True, False], [True, False],
        [("relu", {}), ("gelu", {"bias": False}), ("gelu", {"layer_norm_eps": 0.1})])], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_transformer_encoder_layer(settings: dict[str, Any], masked: bool) -> None:
    both = layers("TransformerEncoderLayer", E, H, 6, 0.0, **settings)
    mask = np.triu(np.ones((L, L), bool), 1)
    padding = np.array([[False, False, True], [False] * 3])

    def run(m: Any, x: Any) -> Any:
        masks = {"src_mask": m.tensor(mask), "src_key_padding_mask": m.tensor(padding)}
        with plain(m):
            return both[m](x, **masks if masked else {})

    shape = (N, L, E) if settings["batch_first"] else (L, N, E)
    compare(run, [random.standard_normal(shape)], lambda m: list(both[m].parameters()))


# -- Embedding ---------------------------------------------------------------------------------

@pytest.mark.parametrize("padding_idx", [None, 0, 3, -1])
@pytest.mark.parametrize("by_frequency", [False, True])
@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 2), (0, 2)])
def test_embedding(padding_idx: int | None, by_frequency: bool, shape: tuple[int, ...]) -> None:
    """PyTorch's second derivative fails for no numbers, and forgets the division by frequency."""
    index = random.integers(0, 5, shape)

    def run(m: Any, weight: Any) -> Any:
        return m.nn.functional.embedding(m.tensor(index), weight * 1, padding_idx,
                                         scale_grad_by_freq=by_frequency) ** 2

    compare(run, [random.standard_normal((5, 3))], orders=1 if by_frequency or 0 in shape else 2)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5, np.inf])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_embedding_with_max_norm(p: float, dtype: str) -> None:
    """The rows looked up are shortened in the weight itself, the others are left."""
    weight = random.standard_normal((6, 4)) * 2
    index = np.array([[0, 1, 1], [3, 0, 5]], dtype)
    results = []
    for m, make in ((tn, tensor), (torch, torch.from_numpy)):
        table = make(weight.copy()).requires_grad_()
        y = m.nn.functional.embedding(make(index), table, max_norm=1.5, norm_type=p)
        (y**3).sum().backward()
        results.append((y, table, table.grad))
    for got, expected in zip(*results, strict=True):
        close(got, expected)
    np.testing.assert_array_equal(results[0][1].detach().numpy()[[2, 4]], weight[[2, 4]])


def test_embedding_layers_are_the_same() -> None:
    for settings in ({}, {"padding_idx": -1}, {"max_norm": 1.0, "norm_type": 1.0},
                     {"padding_idx": 2, "scale_grad_by_freq": True}):
        ours, theirs = (m.nn.Embedding(4, 2, **settings) for m in (tn, torch))
        assert repr(ours) == repr(theirs)
        assert ours.padding_idx == theirs.padding_idx
        assert list(ours.state_dict()) == list(theirs.state_dict())
    data = random.standard_normal((4, 2))
    for freeze in (True, False):
        ours, theirs = (m.nn.Embedding.from_pretrained(make(data), freeze, 1) for m, make in (
            (tn, tensor), (torch, torch.from_numpy)))
        assert ours.weight.requires_grad == theirs.weight.requires_grad
        assert ours.weight.tolist() == theirs.weight.tolist() == data.tolist()
        assert repr(ours) == repr(theirs)


# -- errors ------------------------------------------------------------------------------------

def qkv(m: Any, *shapes: tuple[int, ...]) -> list[Any]:
    return [m.zeros(s) for s in shapes]


def sdpa(m: Any, *shapes: tuple[int, ...], **settings: Any) -> Any:
    return m.nn.functional.scaled_dot_product_attention(*qkv(m, *shapes), **settings)


def mha(m: Any, *shapes: tuple[int, ...], **settings: Any) -> Any:
    shapes = shapes or ((3, 2, 4),) * 3
    return m.nn.MultiheadAttention(4, 2)(*qkv(m, *shapes), **settings)


OK = ((3, 4), (5, 4), (5, 6))
ERRORS: dict[str, Callable[[Any], Any]] = {
    "embedding out of range": lambda m: m.nn.Embedding(4, 3)(m.tensor([4])),
    "embedding negative": lambda m: m.nn.Embedding(4, 3)(m.tensor([-1])),
    "embedding float": lambda m: m.nn.Embedding(4, 3)(m.tensor([1.0])),
    "embedding bool": lambda m: m.nn.Embedding(4, 3)(m.tensor([True])),
    "embedding list": lambda m: m.nn.Embedding(4, 3)([1]),
    "embedding weight": lambda m: m.nn.functional.embedding(m.tensor([1]), m.zeros(4)),
    "embedding padding": lambda m: m.nn.Embedding(4, 3, padding_idx=4),
    "embedding padding below": lambda m: m.nn.Embedding(4, 3, padding_idx=-5),
    "embedding padding of function": lambda m: m.nn.functional.embedding(
        m.tensor([1]), m.zeros(4, 3), 9),
    "embedding shape": lambda m: m.nn.Embedding(4, 3, _weight=m.zeros(3, 3)),
    "embedding negative size": lambda m: m.nn.Embedding(-1, 3),
    "pretrained": lambda m: m.nn.Embedding.from_pretrained(m.zeros(3)),
    "sdpa vectors": lambda m: sdpa(m, (4,), (4,), (4,)),
    "sdpa widths": lambda m: sdpa(m, (3, 4), (5, 3), (5, 6)),
    "sdpa keys": lambda m: sdpa(m, (3, 4), (5, 4), (4, 6)),
    "sdpa both": lambda m: sdpa(m, *OK, attn_mask=m.ones(3, 5).bool(), is_causal=True),
    "sdpa mask dtype": lambda m: sdpa(m, *OK, attn_mask=m.ones(3, 5).double()),
    "sdpa mask ints": lambda m: sdpa(m, *OK, attn_mask=m.ones(3, 5).long()),
    "sdpa mask shape": lambda m: sdpa(m, *OK, attn_mask=m.ones(3, 4).bool()),
    "sdpa mask too large": lambda m: sdpa(m, *OK, attn_mask=m.ones(2, 3, 5).bool()),
    "sdpa mask list": lambda m: sdpa(m, *OK, attn_mask=[True]),
    "sdpa dropout": lambda m: sdpa(m, *OK, dropout_p=1.5),
    "sdpa heads": lambda m: sdpa(m, (2, 6, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4)),
    "sdpa gqa": lambda m: sdpa(m, (6, 3, 4), (4, 5, 4), (4, 5, 4), enable_gqa=True),
    "sdpa gqa matrices": lambda m: sdpa(m, *OK, enable_gqa=True),
    "sdpa list": lambda m: m.nn.functional.scaled_dot_product_attention([1], *qkv(m, *OK[1:])),
    "sdpa dtypes": lambda m: m.nn.functional.scaled_dot_product_attention(
        m.zeros(3, 4).double(), *qkv(m, *OK[1:])),
    "mha nothing": lambda m: m.nn.MultiheadAttention(0, 1),
    "mha heads": lambda m: m.nn.MultiheadAttention(5, 2),
    "mha vector": lambda m: mha(m, (4,), (4,), (4,)),
    "mha mixed": lambda m: mha(m, (3, 2, 4), (3, 4), (3, 4)),
    "mha lengths": lambda m: mha(m, (3, 2, 4), (5, 2, 4), (4, 2, 4)),
    "mha width": lambda m: mha(m, (3, 2, 5), (5, 2, 4), (5, 2, 4)),
    "mha batch": lambda m: mha(m, (3, 2, 4), (5, 3, 4), (5, 3, 4)),
    "mha padding": lambda m: mha(m, key_padding_mask=m.zeros(3, 2).bool()),
    "mha padding rank": lambda m: mha(m, key_padding_mask=m.zeros(3).bool()),
    "mha padding ints": lambda m: mha(m, key_padding_mask=m.zeros(2, 3).long()),
    "mha mask": lambda m: mha(m, attn_mask=m.zeros(3, 2).bool()),
    "mha mask per head": lambda m: mha(m, attn_mask=m.zeros(2, 3, 3).bool()),
    "mha mask rank": lambda m: mha(m, attn_mask=m.zeros(2, 2, 3, 3).bool()),
    "mha mask ints": lambda m: mha(m, attn_mask=m.zeros(3, 3).long()),
    "mha causal": lambda m: mha(m, is_causal=True),
    "mha dtype": lambda m: m.nn.MultiheadAttention(4, 2)(*[m.zeros(3, 2, 4).double()] * 3),
    "encoder activation": lambda m: m.nn.TransformerEncoderLayer(4, 2, activation="tanh"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_class(name: str) -> None:
    """``except`` with PyTorch's class catches ours."""
    with pytest.raises(Exception) as theirs:
        ERRORS[name](torch)
    kinds = (AssertionError, RuntimeError, IndexError, TypeError, AttributeError, ValueError)
    expected = next(kind for kind in kinds if isinstance(theirs.value, kind))
    with pytest.raises(expected) as ours:
        ERRORS[name](tn)
    assert len(str(ours.value)) > 10

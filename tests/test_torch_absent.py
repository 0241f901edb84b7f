"""What is to be used instead of a name of PyTorch's gives what PyTorch gives."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from test_absent import known, run

import tinygrad_norm as tn
from tinygrad_norm.absent import TABLES

torch = pytest.importorskip("torch")


def numbers(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if hasattr(value, "detach") else value, dtype=np.float64)


TORCH = {
    "x": "absolute ceil cosh count_nonzero deg2rad erfc exp2 fix fliplr flipud floor frac isinf "
         "isneginf isposinf nan_to_num nanmean nansum negative norm positive rad2deg ravel round "
         "sgn sinh tan trunc std_mean relu_ hardsigmoid hardswish hardtanh logsigmoid mish relu6 "
         "selu softsign tanhshrink hardshrink softshrink celu",
    "x, y": "dist divide equal greater greater_equal hypot isclose less less_equal logaddexp "
            "multiply not_equal subtract true_divide cdist cosine_similarity pairwise_distance "
            "poisson_nll_loss soft_margin_loss",
    "m": "diag diagonal trace tril triu", "m, m": "kron", "v, v": "ger outer inner", "m, v": "mv",
    "v": "median trapezoid", "x, 0": "clamp_min", "x, 1": "softmin sort clamp_max", "x, 2": "topk",
    "x, 0.5": "quantile", "p": "logit", "p, 1": "cumprod", "x, p": "xlogy kl_div",
    "i": "bincount unique", "(x, y)": "concat concatenate hstack vstack dstack column_stack",
    "x, 0, 1": "swapaxes swapdims movedim moveaxis clip", "x, 1, 0": "select roll",
    "x, 1, 1, 2": "narrow", "x, 0, i": "index_select", "x, dim=0": "diff",
    "x > 0, y > 0": "bitwise_and bitwise_or bitwise_xor logical_xor",
    "x > 0": "bitwise_not nonzero argwhere", "x, x > 0": "masked_select",
    "x, x > 0, 0": "masked_fill", "x, y, 0.5": "lerp", "x, x, y, value=0.5": "addcmul",
    "x, 2, 0": "repeat_interleave", "m, m, m": "addmm", "m[None], m[None], m[None]": "baddbmm",
    "m, m, 1": "tensordot", "image, 2": "pixel_shuffle", "seq, 1": "adaptive_max_pool1d",
    "image, 1": "adaptive_max_pool2d", "x, 0.5, 0.0": "threshold", "x, parameter": "prelu",
    "x[:, :2], 1": "glu", "image, None, 2": "interpolate", "0, 2, 3": "logspace", "i, 5": "one_hot",
    "i[None], x": "embedding_bag", "x, y, p": "gaussian_nll_loss", "x, y, -y":
    "triplet_margin_loss", "x, i % 3": "multi_margin_loss", "x, y, i * 0 + 1":
    "cosine_embedding_loss", "x, y, x * 0 + 1": "margin_ranking_loss", "x, x * 0 - 1":
    "hinge_embedding_loss",
}
"""What PyTorch's functions are called with, where the advice says the same."""


def test_the_advice_gives_what_pytorch_gives() -> None:
    seen = 0
    for arguments, names in TORCH.items():
        for name in names.split():
            table, where = next((t, w) for t, w in (
                ("", torch), ("nn.functional", torch.nn.functional)) if name in TABLES[t])
            given = {key: torch.tensor(value.detach().numpy()) for key, value in known().items()
                     if isinstance(value, tn.Tensor)}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what it will change
                wanted = eval(f"function({arguments})",
                              {**given, "function": getattr(where, name)})
            got = run(TABLES[table][name])
            several = isinstance(wanted, tuple)
            for one, other in zip(got if several else [got], wanted if several else [wanted],
                                  strict=True):
                np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-4, atol=1e-5,
                                           err_msg=f"{name}: {TABLES[table][name]}")
            seen += 1
    assert seen > 100

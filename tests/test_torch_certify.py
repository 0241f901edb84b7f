"""PyTorch's column of certify: right where PyTorch is, wrong where it is known to be."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import __main__
from tinygrad_norm.proof.certificate import WIDTH
from tinygrad_norm.proof.certify_all import certified
from tinygrad_norm.proof.forms import every

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

RIGHT, WRONG = 1e-13, 1e-2

WRONG_FROM = {"BatchNorm": 3, "SyncBatchNorm": 3, "LayerNorm": 3, "InstanceNorm": 3,
              "weight_norm": 2}
"""The first order that is wrong in PyTorch 2.13 (pytorch#186256; weight_norm: its gradgradcheck
fails as well)."""
SAME = {"GroupNorm", "RMSNorm", "LocalResponseNorm", "normalize", "spectral_norm"}
"""The names of PyTorch's layers that are right to order 4."""


@pytest.mark.parametrize("entry", every(), ids=lambda e: e.name)
def test_its_layers(entry: Any) -> None:
    """With running statistics eval is an affine function, and right. What PyTorch has not is left
    out."""
    name = re.sub("^Lazy|[123]d$", "", entry.name)
    if name not in {*WRONG_FROM, *SAME}:
        assert all(row.pytorch is None for row in certified(entry, order=1, directions=1))
        return
    for row in certified(entry):
        assert row.passed
        # its power iteration goes on while it is looked at
        assert row.differs == ((name, row.mode) == ("spectral_norm", "train"))
        assert row.differs == (row.pytorch is None)
        first = WRONG_FROM.get(name, 5)
        if row.mode == "eval" and ("Batch" in name or "Lazy" in entry.name):
            first = 5
        for order, error in enumerate(row.pytorch or (), 1):
            assert error < RIGHT if order < first else error > WRONG, row


def test_its_weight_norm_fails_its_own_check_too() -> None:
    """The fused function does; the formula written out passes."""
    torch.manual_seed(0)
    v, g = (torch.randn(4, n, dtype=torch.float64, requires_grad=True) for n in (5, 1))
    check = torch.autograd.gradgradcheck
    assert check(lambda v, g: v * (g / v.square().sum(1, keepdim=True).sqrt()), (v, g))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        check(lambda v, g: torch._weight_norm(v, g, 0), (v, g))


@pytest.mark.parametrize("make", [
    lambda: tn.nn.Linear(5, 4), lambda: tn.nn.Linear(5, 4, bias=False), tn.nn.GELU,
    lambda: tn.nn.LayerNorm((4, 5), eps=0.1, bias=False), lambda: tn.nn.RMSNorm(5, eps=0.1),
    lambda: tn.nn.GroupNorm(2, 4, affine=False),
    lambda: tn.nn.BatchNorm1d(4, track_running_stats=False),
    lambda: tn.nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
])
def test_options_and_values_are_carried_over(make: Any) -> None:
    result = tn.certify(make(), tn.randn(3, 4, 5), order=2)
    assert result.passed
    for row in result.rows:
        assert row.pytorch is not None
        assert max(row.pytorch) < RIGHT


class LayerNorm(tn.nn.LayerNorm):
    """A user's own, of a name that PyTorch has."""


@pytest.mark.parametrize("layer", [
    tn.nn.BatchRenorm1d(4), LayerNorm(4), tn.nn.Dropout(0.5),
    tn.nn.Sequential(tn.nn.Linear(4, 4)), tn.nn.utils.parametrizations.weight_standardization(
        tn.nn.Linear(4, 2)),
], ids=lambda layer: type(layer).__name__)
def test_what_it_has_not(layer: Any) -> None:
    result = tn.certify(layer, tn.randn(6, 4))
    assert result.passed
    assert result.rows[0].pytorch is None
    without = tn.certify(tn.nn.LayerNorm(4), tn.randn(6, 4), pytorch=False)
    assert without.rows[0].pytorch is None


def test_what_it_cannot_differentiate(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **settings: Any) -> Any:
        raise RuntimeError("derivative for aten::something is not implemented")

    monkeypatch.setattr(torch.autograd, "grad", fails)
    result = tn.certify(tn.nn.LayerNorm(4), tn.randn(6, 4))
    assert result.passed
    assert result.rows[0].pytorch is None


def test_the_table_has_its_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["certify", "GroupNorm"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("relative error           PyTorch's")
    assert all(len(line) <= WIDTH for line in lines)
    for line in lines[2:-1]:
        errors = [float(word) for word in line.split()[3:-1]]
        assert len(errors) == 8
        assert np.max(errors) < RIGHT

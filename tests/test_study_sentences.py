"""What is said in words in a study is so: each number of a sentence against plain NumPy, and each
name of what is reduced is the norm's own."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from study_norms import KINDS, array, axes_of, expected_of, plain

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.study.walk import example, what_ifs

BATCH = ("batch_norm", "batch_renorm")
CASES = {"batch_norm": ("batch of 2", "constant feature"),
         "batch_renorm": ("batch of 2", "constant feature"),
         "layer_norm": ("2 features", "constant sample"),
         "instance_norm": ("2 positions", "constant channel"),
         "group_norm": ("groups of 2", "constant group"),
         "rms_norm": ("2 features", "zero sample")}
ALONG = {"batch_norm": "N", "batch_renorm": "N", "layer_norm": "C", "instance_norm": "L",
         "group_norm": "K", "rms_norm": "C"}
NUMBER = r"([-\d.e+]*\d)"


@cache
def cases_of(kind: str) -> list[Any]:
    return what_ifs(kind, seed=4)


class Numpys:
    """A case in plain NumPy; of GroupNorm x, and all in its shape, has its groups apart."""

    def __init__(self, case: Any, kind: str) -> None:
        layer, x, self.dy = case.layer, case.x.array, case.grad_output.array
        self.axes = axes_of(kind, x.ndim)
        grouped = (x.shape[0], 2, -1, *x.shape[2:]) if kind == "group_norm" else x.shape
        self.x = x.reshape(grouped)
        mean = self.x.mean(self.axes, keepdims=True) * (kind != "rms_norm")
        self.var = ((self.x - mean) ** 2).mean(self.axes, keepdims=True)
        self.sigma = np.sqrt(self.var + layer.eps)
        self.normalized = (self.x - mean) / self.sigma
        self.xhat = plain(layer, kind, x)(x, None, None).reshape(grouped)
        weight = layer.weight.array
        if kind not in ("layer_norm", "rms_norm"):
            weight = weight.reshape(-1, *[1] * (x.ndim - 2))
        self.gamma = np.broadcast_to(weight, x.shape).reshape(grouped)
        self.r = 1.0
        if kind == "batch_renorm":
            self.r = np.clip(self.sigma / layer.running_std.array, 1 / 3, 3)
        self.g = self.dy.reshape(grouped) * self.gamma
        found = expected_of(case, kind)
        self.dx, self.dgamma = found["dx"].reshape(grouped), found["dgamma"]


def numbers(pattern: str, text: str) -> list[float]:
    found = re.search(pattern.replace("#", NUMBER), text)
    assert found, text
    return [float(number) for number in found.groups()]


@pytest.mark.parametrize("kind", KINDS)
def test_two_values(kind: str) -> None:
    case = cases_of(kind)[0]
    own, name = Numpys(case, kind), "xnorm" if kind == "batch_renorm" else "xhat"
    assert case.name == CASES[kind][0]
    assert case.says.startswith(f"two values along {ALONG[kind]} are normalized together: only ")
    if kind == "rms_norm":
        off = np.abs(np.sqrt((own.xhat ** 2).mean(own.axes)) - 1).max()
        assert numbers("mean square is 1 but for #", case.says) == [pytest.approx(off, rel=0.05)]
    else:
        off = np.abs(np.abs(own.normalized) - 1).max()
        assert numbers(f"{name} = ±1 but for #", case.says) == [pytest.approx(off, rel=0.05)]
    constant = np.linalg.norm(own.g * own.r / own.sigma)
    assert numbers("the norm of dx is # % of", case.says) == [
        pytest.approx(100 * np.linalg.norm(own.dx) / constant, rel=0.05)]
    assert case.says.endswith("no gradient flows through r and d") == (kind == "batch_renorm")


def test_two_values_that_are_no_signs() -> None:
    """Equal ones, and an eps that outweighs them; and more than two to a set."""
    x = tn.tensor([[1.0, 2.0], [1.0, 4.0], [0.0, 0.0]], dtype=tn.float64)
    says = what_ifs(nn.BatchNorm1d(2, eps=3.0, dtype=tn.float64), x)[0].says
    assert "the root mean square of xhat is 0 to 0.5;" in says
    case = what_ifs(nn.BatchNorm2d(3), tn.randn(4, 3, 2, 5))[0]
    assert case.name == "batch of 2"
    assert case.says == "20 values along N, H, W are normalized together"
    assert what_ifs(nn.InstanceNorm2d(3), tn.randn(3, 4, 4))[0].name == "constant channel"


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_set(kind: str) -> None:
    case = cases_of(kind)[1]
    own = Numpys(case, kind)
    assert case.name == CASES[kind][1]
    first = tuple(slice(None) if axis in own.axes else 0 for axis in range(own.x.ndim))
    value, factor = numbers("values of the first set are #: .* = #$", case.says)
    assert set(own.x[first].ravel()) == {value}
    name = "xnorm" if kind == "batch_renorm" else "xhat"
    assert f"{name} = 0" in case.says
    assert not own.normalized[first].any()
    if kind == "batch_renorm":
        assert set(own.xhat[first]) == {*numbers("xhat = d = #,", case.says)}
    g = own.g[first]
    assert ("less the mean" in case.says) == (kind != "rms_norm")
    g = g - g.mean() * (kind != "rms_norm")
    np.testing.assert_allclose(own.dx[first], g * factor, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_gamma_of_zero(kind: str) -> None:
    case = cases_of(kind)[2]
    own = Numpys(case, kind)
    assert case.name == "gamma = 0"
    there = own.dx[own.gamma == 0]
    assert ("no gradient reaches x" in case.says) == bool(np.abs(there).max() < 1e-14)
    assert ("by way of the statistics alone" in case.says) == bool(np.abs(there).min() > 1e-3)
    assert numbers("dgamma = #", case.says) == [
        pytest.approx(own.dgamma.ravel()[0], rel=0.01)]


@pytest.mark.parametrize("kind", KINDS)
def test_other_eps(kind: str) -> None:
    for case in cases_of(kind)[3:]:
        own = Numpys(case, kind)
        (eps,) = numbers("eps = #", case.name)
        var = own.var.ravel()[0]
        assert numbers(r"\+ eps\) = # of it", case.says) == [
            pytest.approx(eps / (var + eps), rel=0.01)]
        # a gradient along what is normalized, sent back by Taylor's rule alone
        step = 1e-6
        moved = [((v := own.x + sign * step * own.normalized)
                  - v.mean(own.axes, keepdims=True) * (kind != "rms_norm")) for sign in (1, -1)]
        high, low = (v / np.sqrt((v ** 2).mean(own.axes, keepdims=True) + eps) for v in moved)
        left = (high - low).ravel()[0] / (2 * step) * own.sigma.ravel()[0]
        assert left / own.normalized.ravel()[0] == pytest.approx(eps / (var + eps), abs=1e-8)
        assert ("mean square" in case.says) == (kind == "rms_norm")
        assert ("along xnorm" in case.says) == (kind == "batch_renorm")


@pytest.mark.parametrize("kind", KINDS)
def test_the_closed_form_of_the_jacobian(kind: str) -> None:
    """Read as NumPy, with the numbers of its set."""
    case = example(kind, seed=4)
    own = Numpys(case, kind)
    rest = [axis for axis in range(own.x.ndim) if axis not in own.axes]

    def sets(value: Any) -> np.ndarray:
        spread = np.broadcast_to(value, own.x.shape).transpose(*rest, *own.axes)
        return spread.reshape(-1, case.x.array.size // len(study.jacobians))

    study = case.trace()
    for i, one in enumerate(study.jacobians):
        n = len(one.cells)
        gamma, r, ivar, normalized = (sets(v)[i] for v in (
            own.gamma, own.r, 1 / own.sigma, own.normalized))
        if "diag(γ)" not in one.text:
            assert len(set(gamma)) == 1
        assert (one.of == "xnorm") == (kind == "batch_renorm")
        names = {"I": np.eye(n), "n": n, "ones": np.ones((n, n)), "gamma": gamma[:, None], "r": r,
                 "ivar": ivar[0], "outer": np.outer(normalized, normalized)}
        text = re.sub(rf"{one.of}·{one.of}ᵀ", "outer", one.text)
        for symbol, name in (("diag(γ)", "gamma"), ("γ", "gamma"), ("11ᵀ", "ones"), ("·", "*"),
                             ("−", "-")):
            text = text.replace(symbol, name)
        np.testing.assert_allclose(one.matrix, eval(text, names), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bound", [1.0, 3.0])
def test_the_note_on_the_bounds_of_r_and_d(bound: float) -> None:
    x = np.random.default_rng(0).standard_normal((5, 3)) + np.array([0.1, 0.5, 9.0])
    layer = nn.BatchRenorm1d(3, rmax=bound, dmax=bound - 1, dtype=tn.float64)
    note = tn.study.trace(layer, x).notes[1]
    sigma, mean = np.sqrt(x.var(0) + 1e-5), x.mean(0)
    bounded = ((sigma > bound) | (sigma < 1 / bound)).sum() + (np.abs(mean) > bound - 1).sum()
    y = (x - mean) / sigma * np.clip(sigma, 1 / bound, bound) + np.clip(mean, 1 - bound, bound - 1)
    said, apart = numbers("are # of 6 values of r and d.* are # apart", note)
    assert said == bounded > 0
    assert apart == pytest.approx(np.abs(y - x).max(), rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_no_word_of_another_norm(kind: str) -> None:
    if kind not in BATCH:
        for one in (example(kind, training=False), *cases_of(kind)[:2]):
            study = one.trace()
            words = f"{one.name} {one.says} {study}".lower().replace(study.title.lower(), "")
            assert not re.search("batch|training|, train|eval\\b|running|remember", words)
            found = study.arrangement
            assert found
            under = set(re.findall(r"Σ_(\w+)", str(study)))
            assert under <= {found.names, "".join(found.axes[i] for i in found.shared)}
            assert ("σ²" in str(study)) == ("xmu" in str(study)) == found.centred


@pytest.mark.parametrize(("layer", "shape", "modes"), [
    (nn.BatchNorm1d(2), (4, 2), ["train", "eval"]),
    (nn.BatchNorm1d(2, track_running_stats=False), (4, 2), ["", ""]),
    (nn.InstanceNorm1d(2), (2, 2, 3), ["", ""]),
    (nn.InstanceNorm1d(2, track_running_stats=True), (2, 2, 3), ["train", "eval"]),
    (nn.LayerNorm(2), (4, 2), ["", ""])])
def test_only_who_remembers_has_a_mode(
    layer: Any, shape: tuple[int, ...], modes: list[str]
) -> None:
    x = tn.randn(*shape)
    studies = [tn.study.trace(layer.train(mode), x) for mode in (True, False)]
    assert [study.mode for study in studies] == modes
    for study in studies:
        title = str(study).split("\n\n")[0].replace("\n", " ")
        assert title == study.title + (f", {study.mode}" if study.mode else "")
        assert ("Nothing is reduced" in str(study)) == (study.mode == "eval")


def test_text_names_its_own_output() -> None:
    """Without gamma and beta that is xhat."""
    text = str(tn.study.trace(nn.LayerNorm(3, elementwise_affine=False), tn.randn(2, 3)))
    assert "dx by the ways from x to xhat" in text
    assert "∂xhat_i/∂x_j of the set N = 0" in text
    assert "closed form ivar·(I − 11ᵀ/n − xhat·xhatᵀ/n) by" in text
    assert array(tn.study.trace(nn.RMSNorm(2), tn.zeros(1, 2)).node("xhat").value).tolist() == [
        [0.0, 0.0]]
    assert "a scale of x: none: xhat = 0" in str(tn.study.trace(nn.RMSNorm(2), tn.zeros(1, 2)))

"""The table of layers and functions: each option, run in either library."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

random = np.random.default_rng(7)
N, C = 5, 4
X = random.standard_normal((N, C))
SPATIAL = random.standard_normal((3, C, 2, 2))
VECTOR = random.standard_normal(C)
WIDE = np.array([-30.0, -5.0, -2.0, -0.5, -1e-3, 1e-3, 0.5, 1.0, 3.0, 5.5, 25.0])
KINKS = np.array([-1.0, 0.0, 1.0, 2.0])


class Case(NamedTuple):
    """``function(nn, functional, *tensors)``; the first ``floats`` tensors are differentiated."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    floats: int = 1


def options(**grid: Any) -> list[dict[str, Any]]:
    """Every combination of the options."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def named(name: str, settings: dict[str, Any]) -> str:
    shown = {k: "w" if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    return name + "".join(f" {key}={value}" for key, value in shown.items())


# -- activations --------------------------------------------------------------------------------

LAYERS = [
    ("ReLU", options(inplace=[False])),
    ("LeakyReLU", options(negative_slope=[0.01, 0.3])),
    ("ELU", options(alpha=[1.0, 0.4])),
    ("GELU", options(approximate=["none", "tanh"])),
    ("SiLU", [{}]),
    ("Softplus", options(beta=[1.0, 2.0], threshold=[20.0, 0.9])),
    ("Tanh", [{}]),
    ("Sigmoid", [{}]),
    ("Softmax", options(dim=[0, -1])),
    ("LogSoftmax", options(dim=[0, -1])),
    ("Identity", [{}]),
]
FUNCTIONS = {
    "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "GELU": "gelu", "SiLU": "silu",
    "Softplus": "softplus", "Tanh": "tanh", "Sigmoid": "sigmoid", "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
}  # fmt: skip


def activation_cases() -> list[Case]:
    cases = []
    for layer, grid in LAYERS:
        for settings in grid:
            def run(nn: Any, F: Any, x: Any, layer: str = layer, settings: Any = settings) -> Any:
                return getattr(nn, layer)(**settings)(x)

            cases.append(Case(named(layer, settings), run, (WIDE,)))
            kinked = Case(named(layer, settings) + " at kinks", run, (KINKS,))
            cases.append(kinked)
            if layer not in FUNCTIONS:
                continue

            def call(nn: Any, F: Any, x: Any, layer: str = layer, settings: Any = settings) -> Any:
                return getattr(F, FUNCTIONS[layer])(x, **settings)

            cases.append(Case(named("F." + FUNCTIONS[layer], settings), call, (WIDE,)))
    cases.append(Case("Flatten", lambda nn, F, x: nn.Flatten()(x), (SPATIAL,)))
    cases.append(Case("Flatten 0 1", lambda nn, F, x: nn.Flatten(0, 1)(x), (SPATIAL,)))
    cases.append(Case("F.linear", lambda nn, F, x, w, b: F.linear(x, w, b),
                      (X, random.standard_normal((3, C)), random.standard_normal(3)), 3))
    cases.append(Case("F.linear deep", lambda nn, F, x, w: F.linear(x, w),
                      (SPATIAL.swapaxes(1, 3), random.standard_normal((3, C))), 2))
    cases.append(Case("F.linear vector", lambda nn, F, x, w: F.linear(x, w), (X, VECTOR), 2))
    return cases


# -- losses between two floats ------------------------------------------------------------------

TARGET = X + random.standard_normal((N, C)) * 2
TARGET[0, 0] = X[0, 0]  # no error at all
TARGET[0, 1], TARGET[0, 2] = X[0, 1] + 0.5, X[0, 2] - 1.0  # on a kink
POSITIVE = random.uniform(0.5, 2, (N, C))
P, Q = random.uniform(0.02, 0.98, (N, C)), random.uniform(0, 1, (N, C))
HARD = (Q > 0.5).astype(float)
REDUCTIONS = ["mean", "sum", "none"]


def error_cases() -> list[Case]:
    table = [
        ("MSELoss", "mse_loss", options(reduction=REDUCTIONS)),
        ("L1Loss", "l1_loss", options(reduction=REDUCTIONS)),
        ("SmoothL1Loss", "smooth_l1_loss", options(reduction=REDUCTIONS, beta=[0.0, 0.5, 1.0])),
        ("HuberLoss", "huber_loss", options(reduction=REDUCTIONS, delta=[0.5, 1.0, 3.0])),
    ]
    cases = []
    for layer, function, grid in table:
        for settings in grid:
            cases.append(Case(
                named(layer, settings),
                lambda nn, F, x, t, name=layer, s=settings: getattr(nn, name)(**s)(x, t),
                (X, TARGET), 2))
            cases.append(Case(
                named("F." + function, settings),
                lambda nn, F, x, t, f=function, s=settings: getattr(F, f)(x, t, **s),
                (X, TARGET), 2))
            if layer != "SmoothL1Loss":
                cases.append(Case(
                    named("F." + function, settings) + " weight",
                    lambda nn, F, x, t, w, f=function, s=settings: getattr(F, f)(
                        x, t, weight=w, **s),
                    (X, TARGET, POSITIVE), 2))
    return cases


def binary_cases() -> list[Case]:
    cases = []
    for reduction, weight, target in itertools.product(
            REDUCTIONS, [None, POSITIVE, POSITIVE[0]], [Q, HARD]):
        given = () if weight is None else (weight,)
        shape = "" if weight is None else f" weight {weight.shape}"
        hard = " hard" if target is HARD else ""
        for layer, function, x in [
            ("BCELoss", "binary_cross_entropy", P),
            ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", X * 5),
        ]:
            cases.append(Case(
                f"{layer} {reduction}{shape}{hard}",
                lambda nn, F, x, t, *w, name=layer, r=reduction: getattr(nn, name)(
                    *w, reduction=r)(x, t),
                (x, target, *given), 1))
            cases.append(Case(
                f"F.{function} {reduction}{shape}{hard}",
                lambda nn, F, x, t, *w, f=function, r=reduction: getattr(F, f)(
                    x, t, *w, reduction=r),
                (x, target, *given), 2 if target is Q else 1))
        for pos_weight in (POSITIVE[1], np.array([2.5])):
            cases.append(Case(
                f"BCEWithLogitsLoss {reduction}{shape}{hard} pos_weight {pos_weight.shape}",
                lambda nn, F, x, t, q, *w, r=reduction: nn.BCEWithLogitsLoss(
                    *w, reduction=r, pos_weight=q)(x, t),
                (X * 5, target, pos_weight, *given), 1))
    return cases


# -- losses over classes ------------------------------------------------------------------------

CLASS_WEIGHT = np.array([0.5, 2.0, 0.0, 1.5])


def class_cases() -> list[Case]:
    cases = []
    shapes = [("(N, C)", X, (N,)), ("(C,)", VECTOR, ()), ("(N, C, d1, d2)", SPATIAL, (3, 2, 2))]
    for (shape, x, ks), reduction, weight, ignored in itertools.product(
            shapes, REDUCTIONS, [None, CLASS_WEIGHT], [-100, 1, -1]):
        labels = random.integers(0, C, ks)
        labels = np.where(np.arange(labels.size).reshape(ks) % 3 == 1, ignored, labels) \
            if ignored < 0 and ks else labels
        given = () if weight is None else (weight,)
        tail = f" {shape} {reduction}{' weight' if given else ''} ignore_index={ignored}"
        cases.append(Case("NLLLoss" + tail, lambda nn, F, x, k, *w, r=reduction, i=ignored:
                          nn.NLLLoss(*w, reduction=r, ignore_index=i)(x, k),
                          (x, np.asarray(labels), *given)))
        for smoothing in (0.0, 0.1, 1.0):
            cases.append(Case(
                f"CrossEntropyLoss{tail} label_smoothing={smoothing}",
                lambda nn, F, x, k, *w, r=reduction, i=ignored, s=smoothing: nn.CrossEntropyLoss(
                    *w, reduction=r, ignore_index=i, label_smoothing=s)(x, k),
                (x, np.asarray(labels), *given)))
    for (shape, x, _), reduction, weight, smoothing in itertools.product(
            shapes, REDUCTIONS, [None, CLASS_WEIGHT], [0.0, 0.2]):
        q = random.uniform(0, 1, x.shape)
        q /= q.sum(1 if q.ndim > 1 else 0, keepdims=True)
        given = () if weight is None else (weight,)
        cases.append(Case(
            f"F.cross_entropy probabilities {shape} {reduction}{' weight' if given else ''} "
            f"label_smoothing={smoothing}",
            lambda nn, F, x, q, *w, r=reduction, s=smoothing: F.cross_entropy(
                x, q, *w, reduction=r, label_smoothing=s),
            (x, q, *given), 2))
    return cases


CASES = activation_cases() + error_cases() + binary_cases() + class_cases()

"""Convolutions and poolings over a grid of options: each run in either library."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Case(NamedTuple):
    """``function(F, *tensors)`` of tensors of those shapes."""

    name: str
    function: Callable[..., Any]
    shapes: tuple[Shape, ...]

    def inputs(self) -> list[np.ndarray]:
        """float64; no two values of one array are equal."""
        random = np.random.default_rng(len(self.name))
        return [random.standard_normal(shape) for shape in self.shapes]


def grid(**options: Any) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*options.values()):
        yield dict(zip(options, values, strict=True))


def case(name: str, settings: dict[str, Any], *shapes: Shape) -> Case:
    """``F.name(*tensors, **settings)``"""
    shown = " ".join("x".join(map(str, s)) for s in shapes)
    label = f"{name} {shown} " + " ".join(f"{k}={v}" for k, v in settings.items())
    return Case(label.strip(), lambda F, *xs: getattr(F, name)(*xs, **settings), shapes)


def convolutions() -> Iterator[Case]:
    for kernel, stride, padding, dilation in itertools.product(
            [(3, 3), (2, 3)], [1, 2, (1, 2)], [0, 1, (2, 1)], [1, 2]):
        for groups in (1, 2):
            settings = {"stride": stride, "padding": padding, "dilation": dilation,
                        "groups": groups}
            yield case(f"conv{2}d", settings, (3, 4, 7, 6), (6, 4 // groups, *kernel), (6,))
    for padding in ("same", "valid"):
        for kernel in ((3, 2), (4, 1)):
            for dilation in (1, (1, 2)):
                yield case("conv2d", {"padding": padding, "dilation": dilation},
                           (2, 3, 6, 7), (2, 3, *kernel), (2,))
    yield case("conv2d", {}, (2, 3, 5, 5), (4, 3, 3, 3))  # without bias
    yield case("conv2d", {"padding": 1}, (3, 5, 5), (4, 3, 3, 3), (4,))  # one image
    yield case("conv2d", {}, (2, 3, 4, 5), (4, 3, 1, 1), (4,))
    yield case("conv2d", {"stride": 2}, (2, 3, 4, 5), (4, 3, 1, 1), (4,))
    yield case("conv2d", {"groups": 3, "padding": 1}, (2, 3, 4, 5), (6, 1, 3, 3), (6,))  # depthwise
    yield case("conv2d", {}, (0, 3, 4, 5), (4, 3, 2, 2), (4,))
    yield case("conv2d", {}, (2, 3, 4, 5), (4, 3, 4, 5), (4,))  # one window
    yield case("conv2d", {"stride": (3,), "padding": [1]}, (2, 3, 4, 5), (4, 3, 2, 2), (4,))
    for stride, padding, dilation in itertools.product([1, 3], [0, 2, "same", "valid"], [1, 2]):
        if not (padding == "same" and stride > 1):
            yield case("conv1d", {"stride": stride, "padding": padding, "dilation": dilation},
                       (3, 4, 11), (6, 2, 4), (6,))._replace(
                function=lambda F, *xs, s=stride, p=padding, d=dilation: F.conv1d(
                    *xs, stride=s, padding=p, dilation=d, groups=2))
    yield case("conv1d", {}, (4, 9), (6, 4, 3), (6,))


def poolings() -> Iterator[Case]:
    size = (2, 3, 7, 8)
    for kernel, stride, padding, ceil_mode in itertools.product(
            [2, 3, (2, 3)], [None, 1, 2, (3, 2)], [0, 1, (1, 0)], [False, True]):
        common = {"kernel_size": kernel, "stride": stride, "padding": padding,
                  "ceil_mode": ceil_mode}
        yield case("max_pool2d", common, size)
        for count in (True, False):
            yield case("avg_pool2d", {**common, "count_include_pad": count}, size)
        yield case("avg_pool2d", {**common, "divisor_override": 5}, size)
    for dilation, padding, ceil_mode in itertools.product([2, (1, 3)], [0, 1], [False, True]):
        yield case("max_pool2d", {"kernel_size": 2, "stride": 1, "padding": padding,
                                  "dilation": dilation, "ceil_mode": ceil_mode}, size)
    for name in ("max_pool2d", "avg_pool2d"):
        yield case(name, {"kernel_size": 2}, (3, 5, 4))
        yield case(name, {"kernel_size": 1}, size)
        yield case(name, {"kernel_size": 2}, (0, 3, 4, 4))
        yield case(name, {"kernel_size": (7, 8)}, size)
    for name in ("max_pool1d", "avg_pool1d"):
        for kernel, stride, padding, ceil_mode in itertools.product(
                [2, 3], [None, 2], [0, 1], [False, True]):
            yield case(name, {"kernel_size": kernel, "stride": stride, "padding": padding,
                              "ceil_mode": ceil_mode}, (2, 3, 9))
        yield case(name, {"kernel_size": 2}, (3, 6))
    for out in (1, 2, 3, 5, (7, 8), (2, None), (None, 3), (9, 3)):
        yield case("adaptive_avg_pool2d", {"output_size": out}, size)
    yield case("adaptive_avg_pool2d", {"output_size": 2}, (3, 5, 4))
    for length in (1, 3, 4, 7):
        yield case("adaptive_avg_pool1d", {"output_size": length}, (2, 3, 6))
    yield case("adaptive_avg_pool1d", {"output_size": 2}, (3, 6))


def arrangements() -> Iterator[Case]:
    for kernel, dilation, padding, stride in itertools.product(
            [2, (3, 2)], [1, (2, 1)], [0, 1], [1, 2]):
        settings = {"kernel_size": kernel, "dilation": dilation, "padding": padding,
                    "stride": stride}
        yield case("unfold", settings, (2, 3, 6, 5))
        k = (kernel, kernel) if isinstance(kernel, int) else kernel
        d = (dilation, dilation) if isinstance(dilation, int) else dilation
        places = 1
        for n, kn, dn in zip((6, 5), k, d, strict=True):
            places *= (n + 2 * padding - dn * (kn - 1) - 1) // stride + 1
        yield case("fold", {"output_size": (6, 5), **settings}, (2, 3 * k[0] * k[1], places))
    yield case("unfold", {"kernel_size": 2}, (3, 4, 5))
    yield case("fold", {"output_size": 3, "kernel_size": 2}, (8, 4))
    for widths in ((1, 2), (0, 3, 1, 0), (2, 2, 1, 1, 0, 1), (-1, 2), (-1, -2, 1, -1), ()):
        yield case("pad", {"pad": widths}, (2, 3, 5, 5))
        yield case("pad", {"pad": widths, "value": 1.5}, (2, 3, 5, 5))
    for mode, shape, widths in itertools.product(
            ("reflect", "replicate", "circular"), ((2, 3, 4), (3, 4)), ((1, 3), (2, 0), (0, 0))):
        yield case("pad", {"pad": widths, "mode": mode}, shape)
    for mode, shape in itertools.product(
            ("reflect", "replicate", "circular"), ((2, 3, 4, 5), (3, 4, 5))):
        yield case("pad", {"pad": (2, 1, 3, 2), "mode": mode}, shape)
    for mode in ("reflect", "replicate", "circular"):
        yield case("pad", {"pad": (1, 1, 0, 1, 1, 0), "mode": mode}, (2, 3, 4, 5, 3))
    yield case("pad", {"pad": (5, 6), "mode": "replicate"}, (3, 2))


CASES = [*convolutions(), *poolings(), *arrangements()]

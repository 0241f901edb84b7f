"""Small models, and what the tests of pictures ask of a graph."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

import tinygrad_norm as tn
from tinygrad_norm.nn import BatchNorm1d, LayerNorm, Linear
from tinygrad_norm.nn.module import Buffer, Module
from tinygrad_norm.tensors.tensor import Parameter
from tinygrad_norm.viz import picture
from tinygrad_norm.viz.model import Graph

draws = pytest.mark.skipif(not any(picture.tools("svg")),
                           reason="nothing to draw with: pip install pygraphviz")


class MLP(Module):
    def __init__(self):
        self.fc1 = Linear(4, 3)
        self.fc2 = Linear(3, 2)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())


class Shift(Module):
    """Subtracts a buffer; holds another one that it does not read."""

    def __init__(self):
        self.mean = Buffer(tn.ones(4))
        self.count = Buffer(tn.tensor(0))
        self.scale = Parameter(tn.ones(4))

    def forward(self, x):
        return (x - self.mean) * self.scale


class Chain(Module):
    def __init__(self, *modules):
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x


class ReLU(Module):
    def forward(self, x):
        return x.relu()


class Same(Module):
    def forward(self, x):
        return x


class Normed(Module):
    """A linear layer, a BatchNorm and a linear layer."""

    def __init__(self):
        self.fc = Linear(3, 4)
        self.bn = BatchNorm1d(4)
        self.out = Linear(4, 2)

    def forward(self, x):
        return self.out(self.bn(self.fc(x)))


class Block(Module):
    """A residual block: x + b(relu(a(norm(x))))."""

    def __init__(self, width=4):
        self.norm = LayerNorm(width)
        self.a = Linear(width, width)
        self.act = ReLU()
        self.b = Linear(width, width)

    def forward(self, x):
        return x + self.b(self.act(self.a(self.norm(x))))


def leaf(*shape):
    return tn.ones(*shape, requires_grad=True)


def names(graph: Graph, kind: str) -> list[str]:
    return [node.name for node in graph.of_kind(kind)]


def edges(graph: Graph) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(graph.nodes[e.source].name, graph.nodes[e.target].name, e.shape)
            for e in graph.edges]


def edge(graph: Graph, source: str, target: str) -> Any:
    """The one edge between nodes of these names."""
    (found,) = [e for e in graph.edges
                if (graph.nodes[e.source].name, graph.nodes[e.target].name) == (source, target)]
    return found


def paths(graph: Graph) -> list[str]:
    """Each cluster with those around it: ``MLP/fc1``."""
    result: list[str] = []
    for cluster in graph.clusters:
        around = "" if cluster.parent is None else result[cluster.parent] + "/"
        result.append(around + (cluster.name or cluster.type))
    return result


def sound(graph: Graph) -> None:
    """Every number in the graph leads somewhere, and parents stand before what they hold."""
    n, m = len(graph.nodes), len(graph.clusters)
    for node in graph.nodes:
        assert node.cluster is None or 0 <= node.cluster < m
        assert node.of is None or 0 <= node.of < n
    for one in graph.edges:
        assert 0 <= one.source < n
        assert 0 <= one.target < n
        assert one.source != one.target
    for i, cluster in enumerate(graph.clusters):
        assert cluster.parent is None or cluster.parent < i
    assert acyclic(graph)


def acyclic(graph: Graph) -> bool:
    """Whether the way of the data never comes back to where it was."""
    waiting = [0] * len(graph.nodes)
    after: dict[int, list[int]] = {}
    for one in graph.edges:
        if one.kind != "state":
            waiting[one.target] += 1
            after.setdefault(one.source, []).append(one.target)
    ready = [i for i, count in enumerate(waiting) if not count]
    done = 0
    while ready:
        done += 1
        for target in after.get(ready.pop(), ()):
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return done == len(graph.nodes)


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(e.itertext()).replace("\xa0", " ")
            for e in root.iter("{http://www.w3.org/2000/svg}text")]

"""Places for the nodes of a small graph: ranks from left to right, few crossings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

GAP, ROW, THIN = 30, 58, 26
"""Between ranks, between the middles of nodes, and of what only passes by."""


@dataclass(slots=True)
class Placed:
    """The middle of each node, and the points through which each edge goes."""

    x: dict[str, float] = field(default_factory=dict)
    y: dict[str, float] = field(default_factory=dict)
    edges: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def placed(widths: Mapping[str, float], edges: Sequence[tuple[str, str]]) -> Placed:
    """Places for nodes of such widths; they come in the order of computation."""
    rank = _ranks(list(widths), edges)
    rows: dict[int, list[str]] = defaultdict(list)
    for name in widths:
        rows[rank[name]].append(name)
    paths = {(a, b): [a, *_between(a, b, rank), b] for a, b in edges}
    for (a, _), path in paths.items():
        for i, name in enumerate(path[1:-1], rank[a] + 1):
            rows[i].append(name)
    spine = _spine(rank, edges)
    above = {name for row in rows.values() for name in row
             if name not in spine and "\0" in name and set(name.split("\0")[:2]) <= spine}
    heights = _heights(rows, [link for path in paths.values() for link in pairwise(path)], spine,
                       above)
    top = min(heights.values()) - ROW / 2
    y = {name: height - top for name, height in heights.items()}
    columns = _columns(rows, widths)
    sides = {name: columns[i] for i, row in rows.items() for name in row}
    result = Placed({name: sum(sides[name]) / 2 for name in widths}, {n: y[n] for n in widths})
    for edge, path in paths.items():
        result.edges[edge] = [
            (x, y[name]) for name in path
            for x in _stations(sides[name], widths.get(name, 0.0), name in spine | above,
                               name == edge[0])]
    result.width = max(right for _, right in columns.values()) + 4
    result.height = max(y.values()) + ROW / 2
    return result


def _columns(
    rows: Mapping[int, list[str]], widths: Mapping[str, float]
) -> dict[int, tuple[float, float]]:
    """The left and the right side of each rank, as wide as the widest node in it."""
    found, left = {}, 4.0
    for i in sorted(rows):
        right = left + max(widths.get(name, 0.0) for name in rows[i])
        found[i], left = (left, right), right + GAP
    return found


def _stations(
    sides: tuple[float, float], wide: float, free: bool, first: bool
) -> tuple[float, ...]:
    """Where an edge goes through a column, by a node of it or past it (then wide is 0): straight as
    far as its sides where something wider may stand above, which is not so where it is free."""
    left, right = sides
    middle = (left + right) / 2
    if free or right - left - wide < 1:
        return (middle,)
    if not wide:
        return left, right
    return (middle, right) if first else (left, middle)


def _ranks(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way from the leaves; a leaf stands just before what reads it first."""
    rank = dict.fromkeys(names, 0)
    reads, read_by = defaultdict(list), defaultdict(list)
    for a, b in edges:
        reads[b].append(a)
        read_by[a].append(b)
    for name in names:
        rank[name] = max((rank[a] + 1 for a in reads[name]), default=0)
    for name in names:
        if not reads[name] and read_by[name]:
            rank[name] = min(rank[b] for b in read_by[name]) - 1
    return rank


def _spine(rank: Mapping[str, int], edges: Sequence[tuple[str, str]]) -> set[str]:
    """A longest way through the graph from its first node, with what passes by between two of its
    nodes: it is drawn straight."""
    start, name = next(iter(rank)), max(rank, key=lambda one: rank[one])
    after = {start}
    for _ in rank:
        after |= {b for a, b in edges if a in after}
    found = {name}
    while name != start:
        before = [a for a, b in edges if b == name and (a in after or name not in after)]
        if not before:
            break
        last, name = name, max(before, key=lambda one: (
            rank[one], any(b == one for _, b in edges)))  # rather no leaf
        found |= {name, *_between(name, last, rank)}
    return found


def _between(a: str, b: str, rank: Mapping[str, int]) -> list[str]:
    """The names of where the edge from a to b passes by other ranks."""
    return [f"{a}\0{b}\0{i}" for i in range(rank[a] + 1, rank[b])]


def _heights(
    rows: Mapping[int, list[str]], links: Sequence[tuple[str, str]], spine: set[str],
    above: set[str],
) -> dict[str, float]:
    """Each node near the middle of what it is linked with: above the spine what passes by between
    its nodes, below it all else."""
    beside: dict[str, list[str]] = defaultdict(list)
    for a, b in links:
        beside[a].append(b)
        beside[b].append(a)
    y = {name: 0.0 if name in spine else -ROW if name in above else ROW
         for row in rows.values() for name in row}
    for sweep in range(24):
        for i in sorted(rows, reverse=bool(sweep % 2)):
            wish = {name: sum(y[o] for o in beside[name]) / len(beside[name]) if beside[name]
                    else y[name] for name in rows[i]}
            for side, sign in ((above, -1), (set(rows[i]) - above - spine, 1)):
                last, edge = next((n for n in rows[i] if n in spine), ""), 0.0
                for name in sorted((n for n in rows[i] if n in side), key=lambda n: sign * wish[n]):
                    edge = max(sign * wish[name], edge + _room(last, name))
                    y[name], last = sign * edge, name
    return y


def _room(one: str, other: str) -> float:
    thin = ("\0" in one) + ("\0" in other)
    return (ROW, (ROW + THIN) / 2, THIN)[thin]

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
    links: list[tuple[str, str]] = []
    paths: dict[tuple[str, str], list[str]] = {}
    for a, b in edges:
        between = [f"{a}\0{b}\0{i}" for i in range(rank[a] + 1, rank[b])]
        for i, name in enumerate(between, rank[a] + 1):
            rows[i].append(name)
        paths[a, b] = [a, *between, b]
        links += pairwise(paths[a, b])
    y = _heights(rows, links, _spine(rank, edges))
    top = min(y.values()) - ROW / 2
    spots: dict[str, tuple[float, float]] = {}
    left = 4.0
    for i in sorted(rows):
        wide = max(widths.get(name, 0.0) for name in rows[i])
        spots.update((name, (left + wide / 2, y[name] - top)) for name in rows[i])
        left += wide + GAP
    result = Placed({name: spots[name][0] for name in widths},
                    {name: spots[name][1] for name in widths})
    result.edges = {edge: [spots[p] for p in path] for edge, path in paths.items()}
    result.width, result.height = left - GAP + 4, max(y.values()) - top + ROW / 2
    return result


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
    """A longest way through the graph: it is drawn straight."""
    name = max(rank, key=lambda one: rank[one])
    found = {name}
    while rank[name]:
        before = [a for a, b in edges if b == name and rank[a] == rank[name] - 1]
        if not before:
            break
        name = max(before, key=lambda one: any(b == one for _, b in edges))  # rather no leaf
        found.add(name)
    return found


def _heights(
    rows: Mapping[int, list[str]], links: Sequence[tuple[str, str]], spine: set[str]
) -> dict[str, float]:
    """Each node near the middle of what it is linked with: above the spine what passes by between
    its nodes, below it all else."""
    beside: dict[str, list[str]] = defaultdict(list)
    for a, b in links:
        beside[a].append(b)
        beside[b].append(a)
    above = {name for row in rows.values() for name in row
             if "\0" in name and set(name.split("\0")[:2]) <= spine}
    y = {name: 0.0 if name in spine else -ROW if name in above else ROW
         for row in rows.values() for name in row}
    for sweep in range(24):
        for i in sorted(rows, reverse=bool(sweep % 2)):
            wish = {name: sum(y[o] for o in beside[name]) / len(beside[name]) if beside[name]
                    else y[name] for name in rows[i]}
            for side, sign in ((above, -1), (set(rows[i]) - above - spine, 1)):
                last, edge = next((n for n in rows[i] if n in spine), ""), 0.0
                for name in sorted(side & set(rows[i]), key=lambda n: sign * wish[n]):
                    edge = max(sign * wish[name], edge + _room(last, name))
                    y[name], last = sign * edge, name
    return y


def _room(one: str, other: str) -> float:
    thin = ("\0" in one) + ("\0" in other)
    return (ROW, (ROW + THIN) / 2, THIN)[thin]

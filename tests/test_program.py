"""What a compiled step does: how much, in counts, and what its text says, which is run here."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="loops need llvmlite")

from test_loops import batch_norm, draw, group_norm, layer_norm, layer_norm_gradient, ran

import tinygrad_norm as tn
from tinygrad_norm import nn, optim
from tinygrad_norm.backend.array import array_module
from tinygrad_norm.compiler.counts import Counts, counted
from tinygrad_norm.viz.model import from_json


def compiled(batch, *sizes):
    """A step of benchmarks/train_step.py, and its program."""
    tn.manual_seed(0)
    layers = []
    for inside, outside in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(inside, outside), nn.BatchNorm1d(outside), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(*sizes[-2:]))
    sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @tn.compile(fullgraph=True)
    def step(x, y):
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        sgd.step()
        return loss

    x, y = tn.randn(batch, sizes[0]), tn.randint(0, sizes[-1], (batch,))
    for _ in range(2):  # the first makes the optimizer's state
        step(x, y)
    return step, next(entry.program for entry in step._entries if entry.program is not None)


STEPS = {
    (32, 64, 64, 64, 10): Counts(
        nests=18, kinds=12, passes=29, products=8, calls=0, buffers=40, bytes=67_904,
        read=330_205, written=151_633, allocations=1),
    (128, 64, 128, 128, 10): Counts(
        nests=18, kinds=12, passes=29, products=8, calls=0, buffers=40, bytes=482_240,
        read=1_618_141, written=767_697, allocations=1),
    (128, 784, 512, 512, 10): Counts(
        nests=18, kinds=12, passes=29, products=8, calls=0, buffers=40, bytes=1_908_672,
        read=16_772_317, written=7_556_817, allocations=1),
}
"""At most so much: more loops, passes or bytes than these make the step slower."""


@pytest.mark.parametrize("sizes", STEPS, ids=str)
def test_how_much_a_training_step_does(sizes):
    now = counted(compiled(*sizes)[1])
    more = {name: (n, bound) for name, n, bound in zip(now._fields, now, STEPS[sizes], strict=True)
            if n > bound}
    assert not more
    assert now.products == STEPS[sizes].products


def test_the_text_of_a_training_step():
    step, program = compiled(8, 4, 6, 3)
    text = step.program()
    assert text == str(program)
    steps = re.findall(r"^(\d+)\. (.*)", text, re.MULTILINE)
    assert [int(number) for number, _ in steps] == [*range(1, len(program.order) + 1)]
    counts = counted(program)
    kinds = [re.split(r"\W", head)[0] for _, head in steps]
    assert (kinds.count("loops"), kinds.count("product"), kinds.count("call")) == (
        counts.nests, counts.products, counts.calls)
    for line in ("t2 = x @ model.0.weightᵀ   (8×4 · 4×6)",
                 "model.1.running_mean′[i] = model.1.running_mean[i] * 0.9 + ",
                 "model.0.weight′[i, j] = model.0.weight[i, j] - lr * "
                 "model.0.weight.momentum_buffer′[i, j]",
                 "from test_program.py:", "loss.backward()", "# backend/passes.py:"):
        assert line in text, line
    assert not re.search(r"\b(input|constant|number)\d|<string>", text)
    assert max(map(len, text.splitlines())) < 180


def elementwise(x, y):
    m = array_module(x)
    z = m.exp(-abs(x)) * (x - 3) ** 2 + m.where(x > y, x / 2, -1)
    return z, m.maximum(z, -0.5).sum(axis=1), z.max(), (x > 0).all(axis=0)


def views(x, y):
    return x.T + y[1:2, 0], x[::-1, 1:] - y[:, :-1], x.reshape(2, -1)[1] * 2


@pytest.mark.parametrize(("function", "shapes"), [
    (batch_norm, [(5, 6), (6,), (6,)]), (layer_norm, [(5, 6), (6,), (6,)]),
    (layer_norm_gradient, [(5, 6), (5, 6), (6,)]),
    (group_norm, [(2, 8, 3, 2), (8,), (8,)]), (elementwise, [(4, 6)] * 2), (views, [(4, 6)] * 2),
])
def test_the_text_is_what_runs(function, shapes):
    arrays = [draw(*shape, seed=i) for i, shape in enumerate(shapes)]
    got, _, program = ran(function, *arrays)
    made = run_text(str(program), {f"input{i}": a for i, a in enumerate(arrays)})
    for result, expected in zip(made, got[:len(program.outputs)], strict=True):
        np.testing.assert_allclose([result[i] for i in np.ndindex(expected.shape)],
                                   expected.ravel(), rtol=1e-5, atol=1e-6)


class Cells(dict):
    """An array that grows as it is written."""

    def __getitem__(self, index):
        return super().__getitem__(index if isinstance(index, tuple) else (index,))

    def __setitem__(self, index, value):
        super().__setitem__(index if isinstance(index, tuple) else (index,), value)


FIRST = {"+=": 0, "max": -math.inf, "min": math.inf, "any": False, "all": True}


def run_text(text, scope):
    """What a program returns whose text is run as Python; it has loops alone."""
    names = {name: Cells() for name in re.findall(r"\bt\d+\b", text)}
    scope = {**vars(np), **scope, **names, "max": max, "min": min, "product": itertools.product,
             "any": lambda a, b: a or b, "all": lambda a, b: a and b}
    body, totals = text.strip().rsplit("\n\n", 1)
    lines = []
    for line in body.splitlines():
        line = re.sub(r"  # .*", "", line).replace("²", "**2")
        if not line.startswith("    ") or line.startswith("    from "):
            continue
        line = re.sub(r"\bt\d+\b(?!\[)", r"\g<0>[()]", line[4:])
        loop = re.fullmatch(r"( *)for (.*) in ([\d ×]*).*:", line)
        if loop:
            sizes = ", ".join(f"range({n})" for n in loop[3].split(" × "))
            line = f"{loop[1]}for {loop[2]}, in product({sizes}):"
        added = re.match(r"( *)(\S+(?:\[.*?\])?) (?:(\+=)|= (max|min|any|all)\(\2,)", line)
        if added:  # what it begins with stands before the inner loop
            at = max(i for i, one in enumerate(lines) if one.lstrip().startswith("for "))
            lines.insert(at, f"{added[1][4:]}{added[2]} = {FIRST[added[3] or added[4]]}")
        lines.append(line)
    exec("\n".join(lines), scope)
    returned = re.search(r"returns (.*);", totals)[1].split(", ")
    return [scope[name] for name in returned]


def test_the_page_on_loops_runs(capsys):
    page = (Path(tn.__file__).parent.parent / "docs" / "loops.md").read_text(encoding="utf-8")
    space = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/loops.md", "exec"), space)
    assert space["losses"][-1] < space["losses"][0]
    out = capsys.readouterr().out
    assert "ran " in out
    assert "docs/loops.md:" in out
    assert "for i in" in space["text"]


def test_the_program_is_drawn():
    step, program = compiled(8, 4, 6, 3)
    picture = tn.viz.graph(step)
    kinds = [node.kind for node in picture.graph.nodes]
    counts = counted(program)
    assert kinds.count("op") == counts.nests + counts.products + counts.calls
    assert kinds.count("output") == 1
    names = {node.name for node in picture.graph.nodes}
    assert {"model.0.weight (6, 4)", "x (8, 4)", "result"} <= names
    text, ends = step.program(), set()
    for node in picture.graph.of_kind("op"):  # a box has its number in the text
        assert f"\n\n{node.name.split(' ')[0]} {node.name.split(' ')[1]}" in f"\n\n{text}"
    for edge in picture.graph.edges:  # one edge between two boxes, with the names of the text
        ends.add((edge.source, edge.target))
        for line in edge.attributes["arrays"]:
            assert all(re.search(rf"{re.escape(name)}(\[| \+?= )", text)
                       for name in line.partition(" (")[0].split(", "))
    assert len(ends) == len(picture.graph.edges)
    folded = [n for n in picture.graph.of_kind("buffer") if "names" in n.attributes]
    assert [n.name for n in folded] == ["3 parameters, 2 buffers, 3 momentum buffers"]
    assert "model.1.running_mean (6,)" in folded[0].attributes["names"]
    assert from_json(picture.json) == picture.graph
    with pytest.raises(RuntimeError, match="no loops yet to draw"):
        tn.viz.graph(tn.compile(lambda x: x))

"""Formulas: written once, as a Python expression, and read in three ways.

The staged walk of a norm computes its values by running the expression, so that what is shown is
what was computed. Of the same text the printers here make a line of text and MathML.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple

import numpy as np


class Sum(NamedTuple):
    """What a function that sums is printed as: ``N`` under Σ, and the axes; None: not along axes of
    the body."""

    label: str
    axes: tuple[int, ...] | None


Sums = Mapping[str, Sum]
GREEK = {"mu": "μ", "gamma": "γ", "beta": "β", "eps": "ε"}
SUM, PRODUCT, MINUS, POWER, ATOM = range(5)
OPERATORS: dict[type[ast.AST], tuple[str, int]] = {
    ast.Add: (" + ", SUM), ast.Sub: (" − ", SUM), ast.Mult: (" · ", PRODUCT),
    ast.Div: (" / ", PRODUCT), ast.MatMult: (" @ ", PRODUCT)}
COMPARED: dict[type[ast.AST], str] = {ast.Gt: ">", ast.Lt: "<", ast.GtE: "≥", ast.LtE: "≤"}
RAISED = str.maketrans("0123456789-.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻·")


@dataclass(frozen=True, slots=True)
class Formula:
    """What a value is computed by."""

    name: str
    expression: str
    text: str
    mathml: str


def formula(name: str, expression: str, sums: Sums) -> Formula:
    """``name = expression`` in all its forms; ``sums`` says which functions are sums."""
    body = parsed(expression)
    return Formula(name, expression, f"{name} = {Text(sums).of(body)[0]}",
                   "<math xmlns=\"http://www.w3.org/1998/Math/MathML\" display=\"block\">"
                   f"<mrow>{identifier(name)}<mo>=</mo>{MathML(sums).of(body)[0]}</mrow></math>")


@lru_cache(maxsize=512)
def parsed(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def names(expression: str) -> list[str]:
    """The values that it reads, each once, in order. Of what ``ones`` is given only the shape is
    read."""
    found: list[ast.Name] = []
    stack: list[Any] = [parsed(expression)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            found.append(node)
        elif not isinstance(node, ast.Call):
            stack += ast.iter_child_nodes(node)
        elif not (isinstance(node.func, ast.Name) and node.func.id == "ones"):
            stack += node.args
    found.sort(key=lambda n: n.col_offset)
    return list(dict.fromkeys(node.id for node in found))


Printed = tuple[str, int]


class Text:
    """An expression as a line of text; each part comes with how tightly it binds."""

    def __init__(self, sums: Sums) -> None:
        self.sums = sums

    def of(self, node: ast.expr) -> Printed:
        if isinstance(node, ast.BinOp):
            return self.binary(node)
        if isinstance(node, ast.UnaryOp):
            return self.minus(self.within(node.operand, PRODUCT)), MINUS
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            return self.call(node.func.id, node.args)
        if isinstance(node, ast.Name):
            return self.name(node.id), ATOM
        if isinstance(node, ast.Constant):
            return self.number(node.value), ATOM
        if isinstance(node, ast.Attribute):
            return self.transposed(self.within(node.value, ATOM)), ATOM
        assert isinstance(node, ast.Compare), ast.dump(node)
        left, right = self.of(node.left)[0], self.of(node.comparators[0])[0]
        return self.compared(left, COMPARED[type(node.ops[0])], right), ATOM

    def within(self, node: ast.expr, least: int) -> str:
        """In brackets where it binds less tightly."""
        text, tight = self.of(node)
        return text if tight >= least else self.bracketed(text)

    def binary(self, node: ast.BinOp) -> Printed:
        if isinstance(node.op, ast.Pow):
            return self.power(self.within(node.left, ATOM), node.right), POWER
        if isinstance(node.op, ast.Div):
            return self.fraction(node), PRODUCT
        sign, tight = OPERATORS[type(node.op)]
        left = self.within(node.left, tight)
        if tight == PRODUCT and self.is_sum(node.left):
            left = self.bracketed(left)  # else it would be read as a sum of products
        right = self.within(node.right, tight + (not isinstance(node.op, ast.Add | ast.Mult)))
        return self.joined(left, sign, right), tight

    def is_sum(self, node: ast.expr) -> bool:
        return (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                and node.func.id in self.sums)

    def call(self, function: str, arguments: list[ast.expr]) -> Printed:
        if function in self.sums:
            return self.sum(self.sums[function], arguments[0]), PRODUCT
        if function == "ones":
            return self.ones(), ATOM
        if function == "sqrt":
            return self.root(arguments[0]), ATOM
        return self.function(function, [self.of(a)[0] for a in arguments]), ATOM

    # -- what the forms differ in ------------------------------------------------------------------

    def name(self, name: str) -> str:
        return name

    def number(self, value: Any) -> str:
        return f"{value:g}" if isinstance(value, float) else str(value)

    def bracketed(self, text: str) -> str:
        return f"({text})"

    def joined(self, left: str, sign: str, right: str) -> str:
        return f"{left}{sign}{right}"

    def minus(self, text: str) -> str:
        return f"−{text}"

    def fraction(self, node: ast.BinOp) -> str:
        return f"{self.within(node.left, PRODUCT)} / {self.within(node.right, MINUS)}"

    def power(self, base: str, exponent: ast.expr) -> str:
        value = exponent.value if isinstance(exponent, ast.Constant) else None
        if isinstance(value, int):
            return base + str(value).translate(RAISED)
        return f"{base}^{self.within(exponent, ATOM)}"

    def root(self, node: ast.expr) -> str:
        return f"√{self.within(node, ATOM)}"

    def ones(self) -> str:
        return "ones"

    def sum(self, over: Sum, body: ast.expr) -> str:
        label = f"_{over.label}" if over.label else ""
        return f"Σ{label} {self.within(body, PRODUCT)}"

    def transposed(self, text: str) -> str:
        return f"{text}ᵀ"

    def function(self, name: str, arguments: list[str]) -> str:
        return f"{name}({', '.join(arguments)})"

    def compared(self, left: str, sign: str, right: str) -> str:
        return f"[{left} {sign} {right}]"


class MathML(Text):
    """An expression as MathML, in which every name can be found again."""

    def name(self, name: str) -> str:
        return identifier(name)

    def number(self, value: Any) -> str:
        return f"<mn>{super().number(value)}</mn>"

    def bracketed(self, text: str) -> str:
        return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"

    def joined(self, left: str, sign: str, right: str) -> str:
        return f"<mrow>{left}<mo>{sign.strip()}</mo>{right}</mrow>"

    def minus(self, text: str) -> str:
        return f"<mrow><mo>−</mo>{text}</mrow>"

    def fraction(self, node: ast.BinOp) -> str:
        return f"<mfrac>{self.of(node.left)[0]}{self.of(node.right)[0]}</mfrac>"

    def power(self, base: str, exponent: ast.expr) -> str:
        return f"<msup>{base}{self.of(exponent)[0]}</msup>"

    def root(self, node: ast.expr) -> str:
        return f"<msqrt>{self.of(node)[0]}</msqrt>"

    def ones(self) -> str:
        return "<mn mathvariant=\"bold\">1</mn>"

    def sum(self, over: Sum, body: ast.expr) -> str:
        along = "cells" if over.axes is None else " ".join(map(str, over.axes))
        sign = f"<munder><mo>∑</mo><mi>{escape(over.label)}</mi></munder>" if over.label else (
            "<mo>∑</mo>")
        return f'<mrow data-sum="{along}">{sign}{self.within(body, PRODUCT)}</mrow>'

    def transposed(self, text: str) -> str:
        return f"<msup>{text}<mo>⊤</mo></msup>"

    def function(self, name: str, arguments: list[str]) -> str:
        inner = "<mo>,</mo>".join(arguments)
        return f"<mrow><mi>{escape(name)}</mi><mo>(</mo>{inner}<mo>)</mo></mrow>"

    def compared(self, left: str, sign: str, right: str) -> str:
        return f"<mrow><mo>[</mo>{left}<mo>{escape(sign)}</mo>{right}<mo>]</mo></mrow>"


def identifier(name: str) -> str:
    """A name in MathML, the Greek ones in Greek."""
    shown = GREEK.get(name) or ("d" + GREEK[name[1:]] if name[:1] == "d" and name[1:] in GREEK
                                else name)
    return f'<mi data-name="{escape(name)}">{escape(shown)}</mi>'


class Numbers(Text):
    """An expression with the numbers of one cell: sums are written out."""

    def __init__(
        self, sums: Sums, values: Mapping[str, Any], cell: tuple[int, ...], most: int,
        shown: Callable[[float], str],
    ) -> None:
        super().__init__(sums)
        self.values, self.cell, self.most, self.shown = values, cell, most, shown

    def name(self, name: str) -> str:
        array = np.asarray(self.values[name])
        index = self.cell[len(self.cell) - array.ndim:]
        value = float(array[tuple(i if n > 1 else 0 for i, n in zip(index, array.shape,
                                                                   strict=True))])
        text = self.shown(value)
        return f"({text})" if text.startswith("−") else text

    def ones(self) -> str:
        return "1"

    def function(self, name: str, arguments: list[str]) -> str:
        """Between its brackets and commas a negative number needs none of its own."""
        return super().function(name, [re.sub(r"^\((−[^()]*)\)$", r"\1", a) for a in arguments])

    def call(self, function: str, arguments: list[ast.expr]) -> Printed:
        if function in ("largest", "smallest"):
            raise NotImplementedError("an extreme of many cells")
        return super().call(function, arguments)

    def sum(self, over: Sum, body: ast.expr) -> str:
        """The terms, at most so many."""
        if over.axes is None:
            raise NotImplementedError("a sum that is not along axes of its body")
        shape = np.broadcast_shapes(*(np.shape(self.values[n]) for n in names(ast.unparse(body))))
        terms, here = [], self.cell
        for place in np.ndindex(*(shape[i] for i in over.axes)):
            cell = list(here)
            for axis, i in zip(over.axes, place, strict=True):
                cell[axis] = i
            self.cell = tuple(cell)
            terms.append(self.within(body, PRODUCT))
        self.cell = here
        if len(terms) > self.most:
            terms[self.most - 1:-1] = ["…"]
        return f"({' + '.join(terms)})"


def substituted(
    expression: str, sums: Sums, values: Mapping[str, Any], cell: tuple[int, ...], most: int = 4,
    shown: Callable[[float], str] = "{:.4g}".format,
) -> str:
    """The expression with the numbers that one cell of its value was computed from."""
    body = parsed(expression)
    printer = Numbers(sums, values, cell, most, shown)
    text = printer.of(body)[0]
    return text[1:-1] if printer.is_sum(body) else text

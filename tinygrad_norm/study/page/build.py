"""The page: one file with its numbers, its looks and what it does."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from ...checkpoint import replace_file
from ..walk.examples import Example
from ..walk.formula import parsed
from ..walk.limits import SMALL
from ..walk.study import Study, plain
from .drawing import svg

SCRIPTS = ("numbers.js", "formula.js", "tables.js", "walk.js", "findings.js", "nudge.js",
           "tensor.js", "study.js")
UNSAFE = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028",
          0x2029: "\\u2029"}
OPERATORS: dict[type[ast.AST], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/",
                                       ast.Pow: "**"}
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def page(study: Study, cases: Sequence[Example] = ()) -> str:
    """The page of a study; ``cases`` are what else the learner may look at, of the same layer."""
    data = numbers(study)
    traced = [(one, numbers(one.trace())) for one in cases]
    others = [{"name": one.name, "says": one.says, "changes": shorter(changes(data, shared(own)))}
              for one, own in traced if changes(data, own)]
    whole = {"study": data, "program": program(study) if study.arrangement else None,
             "cases": others, "small": SMALL}
    script = "\n".join(_file(name) for name in SCRIPTS)
    return _file("page.html").format(
        title=escape(study.title), policy=POLICY, style=_file("study.css"),
        graph=svg(study, "study"), text=escape(str(study)),
        data=json.dumps(whole, ensure_ascii=False, allow_nan=False,
                        separators=(",", ":")).translate(UNSAFE),
        script=f'(() => {{\n"use strict";\n{script}\n}})();')


def save(study: Study, path: str | os.PathLike[str], cases: Sequence[Example] = ()) -> None:
    """Write the page, or leave what is there."""
    replace_file(os.path.realpath(path), page(study, cases).encode())


def framed(study: Study) -> str:
    """The page in a frame of its own, for a notebook."""
    return (f'<iframe title="{escape(study.title)}" srcdoc="{escape(page(study))}" '
            'style="width:100%;height:900px;border:1px solid #8884;border-radius:8px"></iframe>')


def numbers(study: Study) -> dict[str, Any]:
    """The study as plain data; the gradients of the values, which stand in backward, left out."""
    data: dict[str, Any] = plain(asdict(study))
    for node in data["forward"]:
        del node["gradient"]
    return data


def shared(data: dict[str, Any]) -> dict[str, Any]:
    """The same, with {"same": "dx", "shape": …} where one of the gradients stands once more."""
    known = {tuple(np.ravel(one["value"]).tolist()): one["name"] for one in data["backward"]}

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items()}
        if not isinstance(value, list) or not value:
            return value
        if isinstance(value[0], dict):
            return [without(one) for one in value]
        name = known.get(tuple(np.ravel(value).tolist()))
        return {"same": name, "shape": list(np.shape(value))} if name else value

    return {key: without(one) if key in ("truth", "decomposition", "constant_statistics") else one
            for key, one in data.items()}


def shorter(value: Any) -> Any:
    """``value`` with 14 digits to a number."""
    if isinstance(value, float):
        return float(f"{value:.14g}")
    if isinstance(value, dict):
        return {key: shorter(one) for key, one in value.items()}
    return [shorter(one) for one in value] if isinstance(value, list) else value


def program(study: Study) -> dict[str, Any]:
    """Each expression with its operator first, as the page computes it."""
    formulas = [one.formula for one in study.forward] + [one.formula for one in study.backward]
    return {one.name: prefixed(parsed(one.expression)) for one in formulas if one}


def prefixed(node: ast.expr) -> Any:
    """``a + 2 * b`` as ``["+", "a", ["*", 2, "b"]]``."""
    match node:
        case ast.Name():
            return node.id
        case ast.Constant():
            return node.value
        case ast.UnaryOp(op=ast.USub()):
            return ["-", 0, prefixed(node.operand)]
        case ast.BinOp():
            return [OPERATORS[type(node.op)], prefixed(node.left), prefixed(node.right)]
        case ast.Call(func=ast.Name(id=name)):
            return [name, *map(prefixed, node.args)]
    raise TypeError(f"page: no such expression in a norm: {ast.unparse(node)}")


def changes(one: Any, other: Any) -> Any:
    """What makes ``one`` into ``other``: {} for nothing, {"is": …} for something else, else what
    changes below each key."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = {key: changes(one[key], other[key]) for key in one}
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = {str(i): changes(a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))}
        if len(pairs) and all("is" in change for change in pairs.values()):
            return {"is": other}
    else:
        return {} if one == other and type(one) is type(other) else {"is": other}
    below = {key: change for key, change in pairs.items() if change}
    return {"at": below} if below else {}


def _file(name: str) -> str:
    """Its text; a script without indents and comments, which would go into every page."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return re.sub(r"^ *//.*\n|^ +|  // .*$", "", text, flags=re.M) if name[-3:] == ".js" else text

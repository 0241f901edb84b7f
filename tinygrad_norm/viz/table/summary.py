"""A model as a table: its layers, their shapes, parameters and buffers, and what norms reduce."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...commandline import fitting
from ...nn.care.find import check_model
from ...nn.lazy import is_lazy
from ...nn.module import Buffer, Module
from ...tensors.tensor import Parameter, Tensor
from ..details import printable, shortened
from .norm_axes import norm_axes
from .probe import Call, Shapes, drawn, given, tensors_in, watched

COLUMNS = {"input_size": "input shape", "output_size": "output shape", "num_params": "parameters",
           "num_buffers": "buffers", "trainable": "learned", "norm_axes": "normalized over"}
"""Names of columns, as ``col_names`` takes them, and their headings."""
USUAL = ("output_size", "num_params", "num_buffers", "norm_axes")
WEIGHTS = "parametrizations"
"""Below it stand modules that compute weights; they count for the layer above."""


@dataclass(frozen=True)
class SummaryRow:
    """A layer, or a further call of it. Numbers are of what no row before has."""

    name: str
    """Dotted; empty for the model itself."""
    kind: str
    depth: int
    call: int
    """1, or the number of a further call."""
    input_shapes: Shapes | None
    """Of the tensors among its positional arguments; None when it was not called."""
    output_shapes: Shapes | None
    output_bytes: int
    parameters: int
    learned: int
    """So many of the parameters require a gradient."""
    buffers: int
    parameter_bytes: int
    buffer_bytes: int
    norm_axes: str
    waiting: tuple[int, int]
    """So many lazy parameters and buffers have no shape yet, and are not counted."""
    leaf: bool


@dataclass(frozen=True)
class Summary:
    """What ``summary`` prints, as data; ``str()`` is the table."""

    rows: list[SummaryRow]
    col_names: tuple[str, ...] = USUAL
    ran: bool = False
    """Whether there was an input, so that shapes are known."""
    inputs: Shapes = ()
    input_bytes: int = 0

    def total(self, name: str) -> int:
        """The sum of a column: ``parameters``, ``learned``, ``buffers``, ``parameter_bytes`` …"""
        return sum(getattr(row, name) for row in self.rows)

    @property
    def layer_bytes(self) -> int:
        """Of the outputs of all calls of layers without others within."""
        return sum(row.output_bytes for row in self.rows if row.leaf)

    def __str__(self) -> str:
        head = ["layer", "type", *(COLUMNS[name] for name in self.col_names)]
        lines = [head, *(self._cells(row) for row in self.rows)]
        right = {2 + i for i, name in enumerate(self.col_names)
                 if name in ("num_params", "num_buffers", "trainable")}
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        text = ["  ".join(cell.rjust(width) if i in right else cell.ljust(width)
                          for i, (cell, width) in enumerate(zip(line, widths, strict=True))
                          ).rstrip() for line in lines]
        rule = "-" * max(map(len, text))
        return "\n".join([text[0], rule, *text[1:], rule, *self._totals()])

    def _cells(self, row: SummaryRow) -> list[str]:
        again = row.call > 1
        numbers = {"num_params": (row.parameters, row.waiting[0]),
                   "num_buffers": (row.buffers, row.waiting[1]),
                   "trainable": (row.learned, row.waiting[0])}
        name = shortened(printable(row.name) or "(model)", 44)
        cells = [name + (f" (call {row.call})" if again else ""),
                 shortened(printable(row.kind), 28)]
        for name in self.col_names:
            if name in numbers:
                count, lazy = numbers[name]
                cells.append("" if again else "?" if lazy else f"{count:,}" if count else "")
            elif name == "norm_axes":
                cells.append(row.norm_axes)
            else:
                shapes = row.output_shapes if name == "output_size" else row.input_shapes
                cells.append(", ".join(map(str, shapes)) if shapes is not None else
                             "not called" if self.ran else "")
        return cells

    def _totals(self) -> Iterator[str]:
        learned = self.total("learned")
        lazy = any(sum(row.waiting) for row in self.rows)
        known = "; lazy layers (?) are not counted" if lazy else ""
        yield (f"parameters {self.total('parameters'):,} ({size(self.total('parameter_bytes'))}), "
               f"of them learned {learned:,}{known}")
        yield f"buffers    {self.total('buffers'):,} ({size(self.total('buffer_bytes'))})"
        if self.ran:
            yield (f"input      {', '.join(map(str, self.inputs))} ({size(self.input_bytes)}), "
                   f"outputs of the layers {size(self.layer_bytes)}")

    def __repr__(self) -> str:
        return f"<Summary of {len(self.rows)} rows, {self.total('parameters'):,} parameters>"


def summary(
    model: Module, input_size: Any = None, input_data: Any = None, *,
    col_names: Iterable[str] | None = None, depth: int | None = 3, dtypes: Any = None,
) -> Summary:
    """Print a table of a model's layers, and return it as data.

    With an input the model runs once, on a copy of it in inference mode that shares the parameters
    alone: nothing in the model changes, and lazy layers go on waiting. Without one there are no
    shapes.

    Args:
        input_size: the shape of the input, batch axis included, or a list of shapes for several.
            The values are random, or 0 where the dtype is an integer.
        input_data: instead of it a tensor, a list or tuple of arguments, or a dict of named ones.
        col_names: of ``input_size``, ``output_size``, ``num_params``, ``num_buffers``,
            ``trainable``, ``norm_axes``; by default what there is of all but the first and
            ``trainable``.
        depth: how many levels of modules are shown; what lies below counts for the last. None: all.
        dtypes: of the inputs of ``input_size``, one or a list; by default that of the parameters.

    Raises:
        TypeError, ValueError: the arguments are not as said here.
        RuntimeError: the model cannot be copied. What it raises on this input is raised here, with
            a note of the layer.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.Linear(64, 32), tn.nn.BatchNorm1d(32), tn.nn.ReLU())
    >>> _ = tn.viz.summary(net, (16, 64))
    layer    type         output shape  parameters  buffers  normalized over
    ------------------------------------------------------------------------
    (model)  Sequential   (16, 32)
    0        Linear       (16, 32)           2,080
    1        BatchNorm1d  (16, 32)              64       65  N
    2        ReLU         (16, 32)
    ------------------------------------------------------------------------
    parameters 2,144 (8.4 KiB), of them learned 2,144
    buffers    65 (264 B)
    input      (16, 64) (4.0 KiB), outputs of the layers 6.0 KiB
    """
    check_model("summary", model)
    if col_names is not None:
        col_names = (col_names,) if isinstance(col_names, str) else col_names
        if not isinstance(col_names, Iterable):
            raise TypeError(f"summary: expected col_names among {', '.join(COLUMNS)}, got "
                            f"{col_names!r}")
        col_names = tuple(col_names)
        for name in col_names:
            if name not in COLUMNS:
                raise ValueError(f"summary: expected col_names among {', '.join(COLUMNS)}, got "
                                 f"{name!r}")
    if depth is not None and (type(depth) is not int or depth < 0):
        raise ValueError(f"summary: expected depth to be an int from 0 or None, got {depth!r}")
    if input_size is not None and input_data is not None:
        raise ValueError("summary: expected input_size or input_data, got both")
    args, named = given(() if input_data is None else input_data)
    if input_size is not None:
        args = drawn(model, input_size, dtypes)
    ran = input_size is not None or input_data is not None
    seen, calls = watched(model, args, named) if ran else (model, {})
    rows = list(_Rows(calls, depth).of(seen))
    if col_names is None:
        some = any(row.norm_axes for row in rows)
        col_names = tuple(name for name in USUAL if (ran or name != "output_size")
                          and (some or name != "norm_axes"))
    every = list(tensors_in((args, named)))
    result = Summary(rows, tuple(col_names), ran, tuple(one.array.shape for one in every),
                     sum(one.array.nbytes for one in every))
    print(fitting(result))
    return result


# -- rows ------------------------------------------------------------------------------------------


@dataclass
class _Rows:
    """Walks the modules in the order in which they are held; counts each tensor once."""

    calls: dict[str, list[Call]]
    depth: int | None
    counted: set[int] = field(default_factory=set)

    def of(self, model: Module) -> Iterator[SummaryRow]:
        """Those of a model, down to the depth."""
        for name, module in model.named_modules():
            path = name.split(".") if name else []
            if WEIGHTS in path or (self.depth is not None and len(path) > self.depth):
                continue
            below = [child for child, _ in module.named_children() if child != WEIGHTS]
            whole = self.depth is not None and len(path) == self.depth
            held = list(self.held(module, whole=whole))
            yield from self.calls_of(name, module, len(path), held, leaf=whole or not below)

    def held(self, module: Module, *, whole: bool) -> Iterator[Tensor]:
        """The tensors of a module that were not counted: its own, or with all below it."""
        parts = [module]
        if whole:
            parts = list(module.modules())
        elif hasattr(module, WEIGHTS):
            parts += getattr(module, WEIGHTS).modules()
        for part in parts:
            for value in vars(part).values():
                if isinstance(value, Parameter | Buffer) and id(value) not in self.counted:
                    self.counted.add(id(value))
                    yield value

    def calls_of(
        self, name: str, module: Module, depth: int, held: Sequence[Tensor], *, leaf: bool
    ) -> Iterator[SummaryRow]:
        """A row for each call, or one where there is none; ``held`` counts in the first."""
        calls: Sequence[Call | None] = self.calls.get(name) or [None]
        for i, call in enumerate(calls, 1):
            counted = list(held) if i == 1 else []
            ready = [one for one in counted if not is_lazy(one)]
            waiting = [one for one in counted if is_lazy(one)]
            parameters = [one for one in ready if isinstance(one, Parameter)]
            buffers = [one for one in ready if isinstance(one, Buffer)]
            first = call.inputs[0] if call and call.inputs else None
            yield SummaryRow(
                name=name, kind=type(module).__name__, depth=depth, call=i,
                input_shapes=call.inputs if call else None,
                output_shapes=call.outputs if call else None,
                output_bytes=call.nbytes if call else 0,
                parameters=sum(p.numel() for p in parameters),
                learned=sum(p.numel() for p in parameters if p.requires_grad),
                buffers=sum(b.numel() for b in buffers),
                parameter_bytes=sum(p.array.nbytes for p in parameters),
                buffer_bytes=sum(b.array.nbytes for b in buffers),
                norm_axes=norm_axes(module, None if first is None else len(first)),
                waiting=(sum(isinstance(one, Parameter) for one in waiting),
                         sum(isinstance(one, Buffer) for one in waiting)), leaf=leaf)


def size(count: int) -> str:
    """Bytes as people read them."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"

"""Recorder: what the layers of a model put out in training, and the gradients that come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from ...backend.array import Array
from ...nn.care.find import check_model
from ...nn.lazy import is_lazy
from ...nn.module import Module
from ...tensors.tensor import RemovableHandle
from .choices import (
    MODEL,
    WEIGHTS,
    as_count,
    as_shares,
    as_units,
    labelled,
    matching,
    owner,
    tensors,
)
from .history import History, Layer
from .notes import ENOUGH, Notes, metric
from .places import Places

QUANTILES = (0.05, 0.15, 0.25, 0.5, 0.75, 0.85, 0.95)


class Recorder:
    """Statistics of a model's layers, gradients and parameters, step by step.

    Between ``attach()`` and ``detach()``, or in a ``with`` block, hooks look at the output of each
    layer and at its gradient. ``step(...)`` after the backward pass notes the parameters, their
    gradients and the numbers it is given, and closes the step. What was seen is plain data, in
    :attr:`history`; ``viz.curves``, ``viz.activations`` and ``viz.gradients`` draw it.

    Nothing else changes: outputs, gradients, running statistics and random numbers are what they
    are without it. It keeps statistics, no tensors but those of ``keep``; they are computed where
    the tensors lie and fetched when ``history`` is read, so that a GPU is not waited for.

    A step of 10 layers takes about 20 KiB; ``every`` thins long trainings out. The layers are those
    that the model has when the recorder is made. Named arguments of a layer are not seen.

    Several threads may run the model at the same time; ``step`` closes the step of all of them, so
    call it when they are done.

    Calls in inference mode (``model.eval()``) are left out, unless ``in_eval``. What is still open
    when it is detached becomes a last step; after an error it is dropped.

    Args:
        model: a module.
        layers: dotted names of modules, or patterns as ``"encoder.*"``; all by default, but for
            those that compute weights. ``"(model)"`` is the model itself.
        quantiles: shares from 0 to 1, increasing.
        bins: of the histograms; 0 for none.
        inputs: whether the tensors that layers are given are recorded too.
        gradients: whether the gradients of the outputs are.
        parameters: whether the parameters of these layers and their gradients are.
        units: for the name of a layer the numbers of units whose values are recorded by themselves.
        unit_axis: the axis of the output that counts units.
        keep: names or patterns of layers and parameters whose whole tensors and gradients are kept.
        every: only each so many steps are recorded; metrics always are.
        in_eval: whether calls in inference mode are recorded.

    Raises:
        TypeError, ValueError: the model or an argument is not as said here.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.Linear(3, 4), tn.nn.BatchNorm1d(4))
    >>> with tn.viz.Recorder(net) as recorder:
    ...     for _ in range(2):
    ...         loss = (net(tn.randn(8, 3)) ** 4).mean()
    ...         loss.backward()
    ...         recorder.step(loss=loss)
    >>> history = recorder.history
    >>> list(history.outputs)
    ['0', '1', '(model)']
    >>> bool(abs(history.column("outputs", "1", "mean")).max() < 1e-6)
    True
    """

    def __init__(
        self, model: Module, layers: Iterable[str] | str | None = None, *,
        quantiles: Sequence[float] = QUANTILES, bins: int = 32, inputs: bool = False,
        gradients: bool = True, parameters: bool = True,
        units: Mapping[str, int | Iterable[int]] | None = None, unit_axis: int = 1,
        keep: Iterable[str] | str = (), every: int = 1, in_eval: bool = False,
    ) -> None:
        check_model("Recorder", model)
        self.model = model
        modules = {name or MODEL: module for name, module in model.named_modules()}
        usual = [name for name in modules if WEIGHTS not in name.split(".")]
        chosen = usual if layers is None else matching("layers", layers, modules)
        self._modules = {name: modules[name] for name in chosen}
        self._names = {id(modules[name]): name for name in chosen}
        self._notes = Notes(as_shares(quantiles), as_count("bins", bins, 0))
        self._history = History(tuple(self._notes.quantiles), self._notes.bins)
        self._every = as_count("every", every, 1)
        self._inputs, self._gradients, self._in_eval = inputs, gradients, in_eval
        self._units = as_units(units or {}, self._modules)
        self._unit_axis = as_count("unit_axis", unit_axis, -99)
        names = [name for name, _ in model.named_parameters()]
        self._kept = frozenset(matching("keep", keep, [*modules, *names]))
        self._parameters = frozenset(name for name in names if parameters and (
            layers is None or owner(name) in self._modules))
        self._handles: list[RemovableHandle] = []
        self._watched: list[RemovableHandle] = []
        self._places = Places()
        self._begin_step()

    # -- attached and detached -------------------------------------------------------------------

    def attach(self) -> Self:
        """Begin to look on."""
        if not self._handles:
            self._handles.append(self.model.register_forward_pre_hook(self._begins))
            for module in self._modules.values():
                if self._inputs:
                    self._handles.append(module.register_forward_pre_hook(self._before))
                self._handles.append(module.register_forward_hook(self._after))
            if MODEL not in self._modules:
                self._handles.append(self.model.register_forward_hook(self._after))
        return self

    def detach(self) -> None:
        """Take all hooks away; what is open becomes a last step."""
        self._take_away()
        if self._notes.open:
            self.step()

    def _take_away(self) -> None:
        for handle in (*self._handles, *self._watched):
            handle.remove()
        self._handles.clear()
        self._watched.clear()

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self.detach()
        else:
            self._take_away()
            self._notes.open.clear()
            self._begin_step()

    @property
    def attached(self) -> bool:
        """Whether it looks on."""
        return bool(self._handles)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: a copy of the model has the hooks too, but is not the model that is recorded."""
        return self

    # -- steps -----------------------------------------------------------------------------------

    def step(self, **metrics: Any) -> None:
        """Close a step: call it after ``backward()`` and before ``zero_grad()``.

        Parameters are noted as they are then: before ``optimizer.step()`` those of this loss.

        Args:
            metrics: numbers, or tensors of one value, of this step: ``loss=loss``.
        """
        given = [metric(self.steps, name, value) for name, value in metrics.items()]
        if self._records(self.steps):
            self._note_parameters(self._places.last())
        self._notes.close(given)
        self._history.steps += 1
        self._begin_step()
        if len(self._notes.closed) > ENOUGH:
            self._notes.fetch(self._history)

    def log(self, **metrics: Any) -> None:
        """Note numbers that were measured between steps, as those of a validation.

        They count for the step that begins now: as many steps as its number were done before.
        """
        self._notes.closed += [metric(self.steps, *item) for item in metrics.items()]

    def _begin_step(self) -> None:
        for handle in self._watched:
            handle.remove()
        self._watched.clear()
        self._places.next_step(self.steps)

    @property
    def steps(self) -> int:
        """So many steps were closed."""
        return self._history.steps

    @property
    def history(self) -> History:
        """What was recorded in the steps that are closed. Reading it waits for a GPU."""
        self._notes.fetch(self._history)
        return self._history

    # -- what is looked at -----------------------------------------------------------------------

    def _records(self, step: int) -> bool:
        """Whether a step is one of those that are recorded."""
        return step % self._every == 0

    def _name(self, module: Module, step: int) -> str | None:
        """What a module is called, if it is looked at in that step. Another one may be a copy."""
        name = self._names.get(id(module))
        if name is None or self._modules[name] is not module or not self._records(step):
            return None
        return name if self.model.training or self._in_eval else None

    def _begins(self, module: Module, args: tuple[Any, ...]) -> None:
        """A new forward of the model: calls are counted from 1 again."""
        if module is self.model and (module.training or self._in_eval):
            self._places.begin()

    def _before(self, module: Module, args: tuple[Any, ...]) -> None:
        """The inputs, before a layer may write into them."""
        here = self._places.here()
        name = self._name(module, here.step)
        if name is not None:
            call = here.calls.get(name, 0) + 1
            for place, tensor in tensors(args[0] if len(args) == 1 else args):
                label = labelled(name, place, call)
                self._notes.distribution("inputs", label, *here.now(), tensor.array)

    def _after(self, module: Module, args: tuple[Any, ...], output: Any) -> None:
        """The outputs, and a hook on each for its gradient."""
        here = self._places.here()
        name = self._name(module, here.step)
        if module is self.model:
            here.within = False
        if name is None:
            return
        when = here.now()
        call = here.calls[name] = here.calls.get(name, 0) + 1
        for place, tensor in tensors(output):
            label, array = labelled(name, place, call), tensor.array
            if label not in self._history.layers:
                leaf = all(child == WEIGHTS for child, _ in module.named_children())
                own = "" if module is self.model else name
                self._history.layers[label] = Layer(own, type(module).__name__, call, leaf)
            self._notes.distribution("outputs", label, *when, array)
            for unit in self._units.get(name, ()):
                self._notes.distribution("units", f"{label} unit {unit}", *when,
                                         self._of_unit(name, unit, array))
            if name in self._kept:
                self._notes.whole("outputs", label, *when, array)
            if self._gradients and tensor.tracked:
                back = partial(self._back, label, when, name in self._kept)
                self._watched.append(tensor.register_hook(back))  # type: ignore[attr-defined]

    def _back(self, label: str, when: tuple[int, int], keep: bool, gradient: Any) -> None:
        self._notes.magnitude("gradients", label, *when, gradient.array)
        if keep:
            self._notes.whole("gradients", label, *when, gradient.array)

    def _note_parameters(self, when: tuple[int, int]) -> None:
        for name, parameter in self.model.named_parameters():
            both = {"parameters": parameter, "parameter_gradients": parameter.grad}
            for part, tensor in both.items():
                if tensor is None or is_lazy(tensor):
                    continue
                if name in self._parameters:
                    self._notes.magnitude(part, name, *when, tensor.array)
                if name in self._kept:
                    self._notes.whole(part, name, *when, tensor.array)

    def _of_unit(self, name: str, unit: int, array: Array) -> Array:
        axis = self._unit_axis + (array.ndim if self._unit_axis < 0 else 0)
        width = array.shape[axis] if 0 <= axis < array.ndim else 0
        if not -width <= unit < width:
            raise IndexError(f"Recorder: {name} has {width} units along axis {self._unit_axis} of "
                             f"its output {array.shape}, and no unit {unit}")
        return array[(slice(None),) * axis + (unit,)]

    def __repr__(self) -> str:
        state = "attached" if self.attached else "detached"
        return f"<Recorder of {type(self.model).__name__}, {state}, {self.steps} steps>"

"""What every optimizer has: groups of parameters, a state for each, and the step around a rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..autograd.graph import Value, tick, wrap
from ..autograd.mode import enable_grad
from ..backend import large
from ..backend.array import Array, array_module, check_device
from ..backend.choose import kernel
from ..tensors.tensor import Tensor
from .blocks import Blocks, fit
from .groups import Group as Group
from .groups import new_group, plain
from .in_place import InPlace, in_place, written
from .saved import STEP, elsewhere, fitting, matched
from .together import Together, side_by_side

Numbers = tuple[float, dict[str, float]]


class Optimizer:
    """Base class of optimizers: a subclass defines ``rule`` and its arguments, or ``step``.

    ``param_groups`` is a list of dicts, each with its ``"params"`` and an entry for each option;
    ``state`` holds a dict for each parameter that has been stepped.

    The rule is a pure function of arrays and numbers, elementwise: of a parameter p, its gradient g
    and its state; of numbers, which change from step to step; and of the settings of the group::

        change, *next_state = rule(p, g, *state, **numbers, **settings)        p ← p - change

    It is made of operators and elementwise functions of the arrays' module, asks for no value, and
    writes to none of its arguments: the step writes, in place.

    Args:
        params: tensors, (name, tensor) pairs, or dicts with ``"params"`` and options of their own.
        defaults: the options of a group that does not set them.

    Raises:
        TypeError: something that is no tensor. ValueError: no parameters at all, one that is
            computed and no leaf, or one in two groups.
    """

    rule: ClassVar[Any] = None

    start: ClassVar[float | None] = 0.0
    """What the rule gets for a state that has not begun."""

    counted: ClassVar[bool] = False
    """Whether the state of a parameter has its number of steps, as ``"step"``."""

    stepped: bool | None = None
    """Whether ``step`` was ever called; None when a subclass does not say. Schedulers look."""

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        who = type(self).__name__
        if isinstance(params, Value):
            raise TypeError(f"{who}: expected an iterable of tensors or dicts, got a single "
                            f"{type(params).__name__}; put it into a list: [param]")
        if not isinstance(params, Iterable):
            raise TypeError(f"{who}: expected an iterable of tensors or dicts, got a "
                            f"{type(params).__name__}; pass a model's parameters()")
        self.defaults = {name: plain(value) for name, value in defaults.items()}
        self.state: defaultdict[Tensor, Group] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self.__setstate__({})
        groups = list(params)
        if not groups:
            raise ValueError(f"{who}: optimizer got an empty parameter list; does the model have "
                             "parameters, and was an iterator over them used up before?")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # -- the step --------------------------------------------------------------------------------

    def kept(self, group: Group) -> tuple[str, ...]:
        """The names of the arrays in the state of a parameter, in the rule's order."""
        return ()

    @staticmethod
    def dtype_of_state(dtype: np.dtype) -> np.dtype:
        """In which dtype the state of a parameter of ``dtype`` is kept, and the rule computes: of
        float16 in float32, since a small lr, or its product with g, is 0 there."""
        return np.dtype(np.float32) if dtype == np.float16 else dtype

    def settings(self, group: Group) -> dict[str, Any]:
        """The arguments of the rule that stay from step to step."""
        return {}

    def numbers_at(self, group: Group, step: float) -> dict[str, float]:
        """The arguments of the rule at a parameter's step number ``step``, counted from 1."""
        return {"lr": float(group["lr"])}

    def numbers(self) -> list[list[Numbers]]:
        """What the next step gives to the rule and the one after may not: plain Python numbers.

        For each group, for each of its parameters, a pair: the number of the step that it is about
        to take (0 where steps are not counted), and a dict of keyword arguments of the rule, such
        as lr and the divisors of averages. Parameters at the same step share a pair. Nothing moves
        on by the call. Every ``step`` reads the numbers once, at its beginning, so that it sees
        what a schedule or the user wrote; who records a step to run it again reads them each time.
        """
        return [self._numbers_of(group, group["params"]) for group in self.param_groups]

    def _numbers_of(self, group: Group, parameters: list[Tensor]) -> list[Numbers]:
        if not self.counted:
            return [(0.0, self.numbers_at(group, 0.0))] * len(parameters)
        get, nothing = self.state.get, Group()
        counts = [get(p, nothing).get(STEP) for p in parameters]
        steps = [1.0 if count is None else count.array.item() + 1 for count in counts]
        if len({*parameters}) < len(parameters):  # one that is there twice takes two
            steps = [step + sum(p is q for q in parameters[:i])
                     for i, (p, step) in enumerate(zip(parameters, steps, strict=True))]
        pairs = {step: (step, self.numbers_at(group, step)) for step in {*steps}}
        return [*map(pairs.__getitem__, steps)]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient, once.

        Args:
            closure: computes the loss and its gradients anew; its result is returned.
        """
        if self.rule is None:
            raise NotImplementedError(f"{type(self).__name__}: define step(self, closure=None)")
        loss = None if closure is None else self.evaluated(closure)
        self.stepped = True
        self.apply_rule()
        return loss

    def apply_rule(self) -> None:
        """Apply the rule to every parameter that has a gradient."""
        for i, (group, numbers) in enumerate(zip(self.param_groups, self.numbers(), strict=True)):
            parameters, names, settings = group["params"], self.kept(group), self.settings(group)
            written, quick = self._in_place.get(i, (None, None))
            if written != (names, settings):
                ready = [p for p in parameters if p._grad is not None]
                if not ready:
                    continue
                array = ready[0].array
                quick = kernel(in_place, type(array))(
                    array_module(array), self.rule, tuple(settings.items()), tuple(numbers[0][1]),
                    len(names))
                self._in_place[i] = (names, settings), quick
            try:
                done = {j for one in self._together.get(i, ())
                        if one.step(quick, names, parameters, numbers, self.state) for j in one.at}
                if len(done) == len(parameters):
                    continue
                begun = [j for j, parameter in enumerate(parameters)
                         if j not in done and parameter._grad is not None
                         and self._step_one(parameter, names, quick, settings, *numbers[j])]
            except TypeError:  # of arrays on two devices, as after p.data = ...
                for p in parameters:
                    if p._grad is not None:
                        check_device(type(self).__name__, f"a parameter of shape {p.shape}",
                                     p.array, "its gradient", p._grad.array)
                raise
            if begun and (names or i not in self._together):
                self._lay_out(i, begun)

    def _step_one(
        self, parameter: Tensor, names: tuple[str, ...], quick: InPlace, settings: Group,
        step: float, numbers: dict[str, float],
    ) -> bool:
        """Apply the rule to one parameter. True if it had no state before."""
        array, gradient = parameter.array, parameter._grad.array
        dtype, module = self.dtype_of_state(array.dtype), array_module(array)
        values: Group = self.state[parameter] if names else {}
        if self.counted and STEP not in values:
            values[STEP] = wrap(Tensor, np.zeros((), np.float32))
        state: list[Any] = []
        begun, complete = 0, module is quick.module
        for name in names:
            tensor = values.get(name)
            if tensor is None:
                values[name] = wrap(Tensor, module.zeros_like(array, dtype=dtype))
                state.append(self.start)
                complete = False
                continue
            if type(tensor.array) is not type(array):
                raise elsewhere(type(self).__name__, parameter, name, tensor)
            state.append(tensor.array)
            begun += 1
            complete = complete and tensor.array.dtype == dtype
        if complete and array.size >= large.least(array) and self._looped(
                (array, gradient, *state), numbers, settings):
            pass
        elif complete:
            self._blocks.update(quick, numbers.values(), dtype, array, gradient, *state)
        else:
            p, g = array.astype(dtype, copy=False), gradient.astype(dtype, copy=False)
            change, *moved = self.rule(p, g, *state, **numbers, **settings)
            array -= change
            for name, new in zip(names, moved, strict=False):
                values[name].array[...] = new
        now = parameter.written[0] = tick()
        if self.counted:
            values[STEP].array[()] = step
            values[STEP].written[0] = now
        for name in names:
            values[name].written[0] = now
        return not begun

    def _looped(self, arrays: tuple[Array, ...], numbers: Group, settings: Group) -> bool:
        """Apply the rule to a large parameter by loops, where there are any."""
        update = large.updates(arrays[0])
        if update is None or len({(type(a), a.dtype) for a in arrays}) > 1:
            return False
        if arrays[0].__class__ is np.ndarray and not fit(*arrays):  # host memory: of one order
            return False
        assert self.rule is not None
        return update(written(self.rule), arrays, numbers, settings)

    def _lay_out(self, i: int, at: Iterable[int]) -> None:
        """Let the small parameters at these places of a group, whose states are new, be updated
        together from now on."""
        group, at = self.param_groups[i], {*at}
        if at and self.rule is not None and group.get("foreach") is not False:
            self._together[i] = [
                *(one for one in self._together.get(i, ()) if at.isdisjoint(one.at)),
                *side_by_side(group["params"], sorted(at), self.state, self.kept(group),
                              self.dtype_of_state, self.counted)]

    @staticmethod
    def evaluated(closure: Callable[[], Any]) -> Any:
        """What ``closure`` returns; it records its graph also where the step is under no_grad."""
        with enable_grad():
            return closure()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter._grad = None
                elif parameter._grad is not None:
                    parameter._grad = parameter._grad.detach().zero_()

    # -- groups and state dicts ------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Optimize more parameters, with options of their own.

        Args:
            param_group: ``"params"`` and any of the options.
        """
        self.param_groups.append(
            new_group(type(self).__name__, param_group, self.defaults, self.param_groups))

    def state_dict(self) -> Group:
        """``{"state": {number: values}, "param_groups": [...]}``.

        Parameters are replaced by numbers, counted through all groups. Tensors share memory with
        the optimizer's.
        """
        numbers: dict[int, int] = {}
        groups, start = [], 0
        for group in self.param_groups:
            for i, parameter in enumerate(group["params"], start):
                numbers.setdefault(id(parameter), i)
            start += len(group["params"])
            groups.append({**{k: plain(v) for k, v in group.items() if k != "params"},
                           "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the options and a copy of the state, in the parameters' dtypes and devices.

        Nothing is changed when anything does not fit.

        Raises:
            ValueError: the state of another model: groups of other sizes, tensors of other shapes.
        """
        who = type(self).__name__
        own = matched(who, state_dict, self.param_groups)
        state: defaultdict[Tensor, Group] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            parameter = own[number]
            dtype = self.dtype_of_state(parameter.array.dtype)
            state[parameter] = dict(
                fitting(who, number, parameter, values, dtype, self.counted))
        self.state = state
        self.param_groups = [
            {**group, **loaded, "params": group["params"]}
            for group, loaded in zip(self.param_groups, state_dict["param_groups"], strict=True)]
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made from: all but what is there for speed."""
        return {key: value for key, value in vars(self).items()
                if key not in ("_blocks", "_in_place", "_together")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._blocks = Blocks()
        self._in_place: dict[int, tuple[Any, Any]] = {}
        self._together: dict[int, list[Together]] = {}
        for i, group in enumerate(self.param_groups):
            self._lay_out(i, [j for j, p in enumerate(group["params"]) if p in self.state])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

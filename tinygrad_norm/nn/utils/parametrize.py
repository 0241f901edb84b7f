"""Attributes of a module that are computed from others, each time they are read.

``register_parametrization(layer, "weight", p)`` moves the weight to
``layer.parametrizations.weight.original`` and makes ``layer.weight`` mean ``p(original)``. The
layer's class becomes a subclass with a property, so that other modules pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from ... import public
from ...autograd.mode import is_grad_enabled, keep_statistics, no_grad
from ...tensors.tensor import Parameter, Tensor
from ..container import ModuleDict, ModuleList
from ..module import Buffer, Module

__all__ = ["ParametrizationList", "cached", "is_parametrized", "register_parametrization",
           "remove_parametrizations", "type_before_parametrizations"]  # fmt: skip

_kept: ContextVar[dict[Any, Tensor] | None] = ContextVar("tinygrad_norm.parametrize", default=None)


@contextmanager
def cached() -> Iterator[None]:
    """Within, each parametrized attribute is computed once: for a weight that is used often."""
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


class ParametrizationList(ModuleList):
    """The parametrizations of one attribute, in the order in which they are applied, and what the
    first is applied to: ``original``, or ``original0``, ``original1``, … where its
    ``right_inverse`` gives several tensors.

    Called, it computes the attribute.
    """

    def __init__(
        self, modules: Sequence[Module], original: Tensor, unsafe: bool = False
    ) -> None:
        if not modules:
            raise ValueError("ParametrizationList: expected one or more modules, got none")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad(), keep_statistics():
            new = self._inverted(original, strict=False)
            _check_inverse(type(self[0]).__name__, new, original)
            if not unsafe:
                given = (new,) if isinstance(new, Tensor) else tuple(new)
                _check_result(type(self[0]).__name__, self._applied(given), original)
        self.is_tensor = isinstance(new, Tensor)
        if isinstance(new, Tensor):
            if new is not original:
                original.data = new
            self.original = original  # the object that an optimizer may hold already
            return
        for i, part in enumerate(new):
            fresh = part.detach().clone()
            setattr(self, f"original{i}", Parameter(fresh, original.requires_grad)
                    if isinstance(original, Parameter) else
                    Buffer(fresh, getattr(original, "persistent", True)))

    def originals(self) -> tuple[Tensor, ...]:
        """What the first parametrization is applied to."""
        return tuple(value for name, value in vars(self).items()
                     if name.startswith("original") and isinstance(value, Tensor))

    def forward(self) -> Tensor:
        return self._applied(self.originals())

    def _applied(self, given: tuple[Tensor, ...]) -> Any:
        first, *others = self
        value = first(*given)
        for parametrization in others:
            value = parametrization(value)
        return value

    def _inverted(self, value: Any, *, strict: bool) -> Any:
        """Through the right inverses, the last parametrization first."""
        for parametrization in reversed(list(self)):
            inverse = getattr(parametrization, "right_inverse", None)
            if inverse is not None:
                value = inverse(value)
            elif strict:
                raise RuntimeError(f"parametrization {type(parametrization).__name__} does not "
                                   "implement right_inverse, which assigning needs")
        return value

    def put_behind(self, parametrization: Module, unsafe: bool) -> None:
        """Apply one more, after those that are there."""
        if not unsafe:
            with no_grad(), keep_statistics():
                current = self()
                _check_result(type(parametrization).__name__, parametrization(current), current)
        self.append(parametrization)
        self.unsafe |= unsafe

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the attribute becomes ``value``, where that is possible.

        Raises:
            RuntimeError: a parametrization has no right_inverse. ValueError: what they give does
                not fit the originals. Nothing is changed then.
        """
        if not isinstance(value, Tensor):
            raise TypeError(f"right_inverse: expected a Tensor, got {type(value).__name__}")
        with no_grad():
            new = self._inverted(value, strict=True)
            parts = (new,) if isinstance(new, Tensor) else tuple(new)
            held = self.originals()
            described = [_describe(part) for part in parts]
            if described != [_describe(own) for own in held]:
                raise ValueError(f"right_inverse: expected {', '.join(map(_describe, held))}, got "
                                 f"{', '.join(described)}")
            for own, part in zip(held, parts, strict=True):
                own.copy_(part)


def _describe(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{value.dtype} of shape {value.shape}"


def _check_inverse(who: str, new: Any, original: Tensor) -> None:
    """One tensor of the original's dtype and device, or a sequence of tensors."""
    if isinstance(new, Tensor):
        if new.dtype != original.dtype or new.device != original.device:
            raise ValueError(f"{who}: expected right_inverse to give one tensor of "
                             f"{original.dtype} on {original.device}, got {new.dtype} on "
                             f"{new.device}")
    elif not (isinstance(new, Sequence) and new and all(isinstance(x, Tensor) for x in new)):
        raise ValueError(f"{who}: expected right_inverse to give a tensor or a sequence of "
                         f"tensors, got {type(new).__name__}")


def _check_result(who: str, result: Any, original: Tensor) -> None:
    """A parametrized attribute looks like what it replaces."""
    if _describe(result) != _describe(original):
        raise ValueError(f"{who}: a parametrization may not change the shape or dtype, unless "
                         f"unsafe=True: expected {_describe(original)}, got {_describe(result)}")


# -- the class of a parametrized module --------------------------------------------------------

@cache
def _parametrized(base: Any, names: tuple[str, ...]) -> type[Module]:
    """The subclass of ``base`` in which these attributes are computed."""
    members: dict[str, Any] = {name: _computed(name) for name in names}
    # for copies and pickles: the class cannot be imported by its name
    members["__reduce__"] = lambda self: (_empty, (base, names), vars(self))
    members["__module__"] = base.__module__
    members["__doc__"] = base.__doc__
    return type(f"Parametrized{base.__name__}", (base,), members)


def _empty(base: Any, names: tuple[str, ...]) -> Module:
    form = _parametrized(base, names)
    return form.__new__(form)


def _give_class(module: Module, base: Any) -> None:
    """The subclass of ``base`` that computes what is parametrized, or ``base`` itself."""
    names = tuple(vars(module).get("parametrizations", ()))
    module.__class__ = _parametrized(base, names) if names else base


def _computed(name: str) -> property:
    """An attribute that reads what its parametrizations give, and writes through their inverse."""

    def read(self: Any) -> Tensor:
        kept = _kept.get()
        if kept is None:
            return self.parametrizations[name]()
        key = self, name, is_grad_enabled()
        if key not in kept:
            kept[key] = self.parametrizations[name]()
        return kept[key]

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)
        kept = _kept.get() or {}
        for recorded in (True, False):
            kept.pop((self, name, recorded), None)

    return property(read, write)


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class that the module was made with."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether that attribute is parametrized, or any, for None."""
    held = vars(module).get("parametrizations")
    if not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute an attribute with ``parametrization`` from now on; once more puts it behind others.

    Where the first has a ``right_inverse``, the original starts there. Where that gives several
    tensors, they are new parameters: register before the optimizer is made.

    Args:
        tensor_name: a parameter or a buffer of the module.
        parametrization: takes a tensor, gives one; it is set to the module's training mode.
        unsafe: allow it to change the shape or dtype, and check nothing.

    Returns:
        The module itself.

    >>> import tinygrad_norm as tn
    >>> from tinygrad_norm.nn.utils import parametrize
    >>> class Positive(tn.nn.Module):
    ...     def forward(self, x):
    ...         return x.exp()
    >>> layer = parametrize.register_parametrization(tn.nn.Linear(3, 2), "weight", Positive())
    >>> bool((layer.weight > 0).all())
    True
    """
    for name, given in (("module", module), ("parametrization", parametrization)):
        if not isinstance(given, Module):
            raise TypeError(f"register_parametrization: expected {name} to be a Module, got "
                            f"{type(given).__name__}")
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        held: Any = module.parametrizations[tensor_name]  # type: ignore[attr-defined]
        held.put_behind(parametrization, unsafe)
        return module
    original = vars(module).get(tensor_name)
    if not isinstance(original, Parameter | Buffer):
        raise ValueError(f"Module {type(module).__name__} does not have a parameter, a buffer, or "
                         f"a parametrized element with name {tensor_name!r}")
    made = ParametrizationList([parametrization], original, unsafe)
    base = type_before_parametrizations(module)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made  # type: ignore[attr-defined]
    _give_class(module, base)
    return module


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make the attribute an ordinary parameter or buffer again: of its present value, or for
    ``leave_parametrized=False`` of the original's.

    Where there is one original it stays the same object, so an optimizer still holds it.

    Raises:
        ValueError: the attribute is not parametrized; or it is made of several originals and
            ``leave_parametrized`` is False.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {type(module).__name__} does not have a parametrization on "
                         f"{tensor_name!r}")
    held: Any = module.parametrizations  # type: ignore[attr-defined]
    parametrizations = held[tensor_name]
    originals = parametrizations.originals()
    if not parametrizations.is_tensor and not leave_parametrized:
        raise ValueError("remove_parametrizations: cannot leave unparametrized "
                         f"(leave_parametrized=False) {tensor_name!r}, which is made of "
                         f"{len(originals)} tensors")
    result = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach()
        if parametrizations.is_tensor:
            if value.array is not result.array:
                result.data = value
        elif isinstance(result, Parameter):
            result = Parameter(value, any(p.requires_grad for p in originals))
        else:
            result = Buffer(value, result.persistent)
    base = type_before_parametrizations(module)
    del held[tensor_name]
    if not held:
        del module.parametrizations  # type: ignore[attr-defined]
    _give_class(module, base)
    setattr(module, tensor_name, result)
    return module


public.publish(globals())

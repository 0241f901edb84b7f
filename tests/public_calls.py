"""One right call of everything public, so that it can be called wrongly in every way."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import autograd, data, nn, optim

MODULES: dict[str, ModuleType] = {
    "tn": tn, "nn": nn, "F": nn.functional, "init": nn.init, "utils": nn.utils,
    "parametrize": nn.utils.parametrize, "parametrizations": nn.utils.parametrizations,
    "normalization": nn.normalization, "optim": optim, "lr_scheduler": optim.lr_scheduler,
    "data": data, "datasets": data.datasets, "autograd": autograd,
    "functional": autograd.functional, "cuda": tn.cuda,
}
"""The public modules, and what they are called here."""

ELSEWHERE = {
    "tn.certify", "tn.load", "tn.save", "tn.set_grad_enabled", "tn.Generator",
    "autograd.set_grad_enabled", "autograd.detect_anomaly", "autograd.Function*",
    "autograd.Node", "autograd.Value",
    "autograd.*Error", "nn.Module", "nn.Identity", "nn.Uninitialized*", "datasets.Measured",
    "datasets.Labelled", "data.Dataset", "normalization.equivalences", "Tensor.result_class",
    "datasets.photos", "lr_scheduler.LRScheduler", "cuda.*",
    "tn.manual_seed", "tn.*_rng_state", "tn.*_num_threads",
}
"""Bases, what has no arguments or takes any, and what writes to a disk or to a global state."""

ARGUMENTS = {
    # by the place of the function, else by the name of the argument
    "tn.cat": "[x, x]", "tn.stack": "[x, x]", "tn.einsum": "'ij,ij->i', x, x",
    "tn.where": "x > 0, x, x", "tn.broadcast_tensors": "x, x[0]", "tn.from_dlpack": "x.numpy()",
    "tn.from_numpy": "x.numpy()", "tn.arange": "4", "tn.linspace": "0, 1, 3", "tn.eye": "3, 2",
    "tn.full": "(2, 3), 1.5", "tn.full_like": "x, 2", "tn.randint": "0, 5, (3,)",
    "tn.randint_like": "x, 0, 5", "tn.randperm": "4", "tn.tensor": "[1.0, 2.0]",
    "tn.as_tensor": "[1.0, 2.0]", "tn.Tensor": "[1.0, 2.0]", "tn.device": "'cpu'",
    "tn.zeros": "2, 3", "tn.ones": "2, 3", "tn.empty": "2, 3", "tn.rand": "2, 3",
    "tn.randn": "2, 3", "tn.manual_seed": "0", "tn.is_tensor": "x",
    "tn.pow": "x, 2", "*.dot": "x[0], x[1]", "*.bmm": "x[None], x[None].mT", "*.mm": "x, x.T",
    "*.matmul": "x, x.T", "*.gather": "x, 0, i[:, None]", "*.reshape": "x, 12", "*.view": "x, 12",
    "*.permute": "x, 1, 0", "*.flip": "x, 0", "*.expand": "x, 4, 3", "*.broadcast_to": "x, (4, 3)",
    "*.split": "x, 2", "*.chunk": "x, 2", "*.transpose": "x, 0, 1", "*.clamp*": "x, 0, 1",
    "*.clip": "x, 0, 1", "*.masked_fill": "x, x > 0, 1", "Tensor.where": "x, x > 0, x",
    "Tensor.to": "x, 'float64'", "Tensor.backward": "p.sum()", "Tensor.register_hook": "p, id",
    "Tensor.retain_grad": "p", "Tensor.copy_": "x, x", "Tensor.item": "x[0, 0]",
    "*.bitwise_*_shift": "i, i", "*.logical_not": "x > 0", "*.logical_*": "x > 0, x > 0",
    "nn.Conv1d": "4, 2, 3", "nn.Conv2d": "4, 2, 3", "nn.LazyConv*": "2, 3", "nn.LazyLinear": "2",
    "nn.GroupNorm": "2, 4", "nn.ConditionalBatchNorm*": "4, 5", "nn.AdaptiveNorm":
    "nn.LayerNorm(3, elementwise_affine=False), 2",
    "nn.FiLM": "4, 3", "nn.Embedding": "5, 3", "nn.Linear": "3, 2", "nn.*Pool*": "2",
    "nn.EvoNormS0": "4, 2", "nn.*Norm": "4", "nn.*Norm?d": "4", "nn.*Renorm*": "4", "nn.TLU": "4",
    "nn.Lazy*Norm?d": "", "nn.AdaIN": "", "nn.LocalResponseNorm": "3", "nn.DyT": "4",
    "nn.LayerNorm": "3", "nn.RMSNorm": "3", "nn.ScaleNorm": "3", "nn.SyncBatchNorm": "4",
    "nn.EvoNormB0": "4", "nn.MultiheadAttention": "4, 2", "nn.TransformerEncoderLayer": "4, 2, 8",
    "nn.Unflatten": "1, (1, 3)", "nn.Parameter": "x", "nn.Buffer": "x",
    "nn.Sequential": "linear", "nn.ModuleList": "[linear]", "nn.ModuleDict": "{'a': linear}",
    "F.batch_norm": "x, mean, var", "F.batch_renorm": "x, mean, var, training=True",
    "F.*binary_cross_entropy*": "x.sigmoid(), (x > 0).float()", "F.*_loss": "x, x * 2",
    "F.conditional_batch_norm": "x, i, mean, var, tn.ones(5, 3), tn.zeros(5, 3)",
    "F.conv1d": "seq, tn.ones(2, 4, 3)", "F.conv2d": "image, tn.ones(2, 4, 3, 3)",
    "F.cross_entropy": "x, labels", "F.nll_loss": "x, labels", "F.dyt": "x, (3,), tn.ones(1)",
    "F.adaptive_instance_norm": "image, image", "F.embedding": "i, x",
    "F.evonorm_b0": "image, tn.ones(4), tn.ones(4)", "F.evonorm_s0": "image, tn.ones(4), groups=2",
    "F.film": "x, x, x", "F.filter_response_norm": "image, tn.ones(4), tn.ones(4)",
    "F.fold": "tn.ones(1, 8, 4), 3, 2", "F.unfold": "image, 2",
    "F.ghost_batch_norm": "x, mean, var, training=True, ghost_batch_size=2",
    "F.group_norm": "image, 2", "F.instance_norm": "image", "F.iter_norm":
    "x, mean, tn.ones(1, 3, 3), training=True", "F.layer_norm": "x, (3,)", "F.rms_norm": "x, (3,)",
    "F.scale_norm": "x, (3,)", "F.linear": "x, tn.ones(2, 3)", "F.local_response_norm": "image, 3",
    "F.normalize": "x", "F.pad": "x, (1, 1)", "F.scaled_dot_product_attention": "seq, seq, seq",
    "F.switchable_norm": "image, tn.zeros(4), tn.ones(4), tn.ones(3), tn.ones(3), training=True",
    "F.tlu": "image, tn.zeros(4)", "F.*pool1d": "seq, 2", "F.*pool2d": "image, 2",
    "F.softmax": "x, 1", "F.log_softmax": "x, 1",
    "init.calculate_gain": "'relu'", "init.constant_": "x, 1", "init.*": "x",
    "utils.clip_grad*": "[p], 1.0", "utils.*freeze": "norm",
    "utils.fuse": "nn.Sequential(linear, norm1).eval()",
    "utils.fuse_conv_bn_eval": "conv.eval(), norm",
    "utils.fuse_linear_bn_eval": "linear.eval(), norm1",
    "utils.fuse_conv_bn_weights": "tn.ones(3, 2, 1, 1), None, mean, var, 1e-5",
    "utils.fuse_linear_bn_weights": "tn.ones(3, 2), None, mean, var, 1e-5",
    "*.recalibrate": "norm, [image]", "parametrize.register_parametrization":
    "linear, 'weight', nn.Tanh()", "parametrize.is_parametrized": "linear",
    "parametrize.remove_parametrizations":
    "nn.utils.parametrizations.weight_norm(linear), 'weight'",
    "parametrize.ParametrizationList": "[nn.Tanh()], nn.Parameter(x)",
    "parametrize.type_before_parametrizations": "linear", "parametrizations.*": "linear",
    "normalization.diagnose": "norm, image", "normalization.swap": "nn.Sequential(norm), "
    "nn.BatchNorm2d, nn.InstanceNorm2d", "normalization.run_on_shards": "norm, [image]",
    "optim.param_groups": "norm, 0.1", "optim.Optimizer": "[p], {'lr': 0.1}", "optim.*": "[p]",
    "lr_scheduler.StepLR": "sgd, 2", "lr_scheduler.ExponentialLR": "sgd, 0.5",
    "lr_scheduler.MultiStepLR": "sgd, [2, 3]", "lr_scheduler.LambdaLR": "sgd, lambda e: 0.5",
    "lr_scheduler.CosineAnnealingLR": "sgd, 5", "lr_scheduler.OneCycleLR": "sgd, 0.1, 10",
    "lr_scheduler.*": "sgd", "data.ClassBatches": "[0, 1, 0, 1, 2, 2], 2",
    "data.DataLoader": "dataset", "data.Subset": "dataset, [0, 1]", "data.TensorDataset": "x",
    "data.default_collate": "[(1, x), (2, x)]", "data.random_split": "dataset, [3, 1]",
    "data.PCAWhiten": "2", "autograd.grad": "(p * p).sum(), [p]", "autograd.backward":
    "(p * p).sum()", "*.gradcheck": "square, (p.double(),)", "*.gradgradcheck":
    "square, (p.double(),)", "functional.hessian": "total, x", "functional.jacobian": "square, x",
    "functional.vhp": "total, x, x", "functional.hvp": "total, x, x", "functional.vjp":
    "square, x, x", "functional.jvp": "square, x, x", "*.no_grad": "", "*.enable_grad": "",
    "*.keep_statistics": "", "datasets.moons": "4", "datasets.spirals": "4",
}
"""Python text of the arguments of a right call; a ``*`` stands for anything, the first is taken."""

NAMED = {
    "self": "x.clone()", "input": "x.clone()", "other": "x * 2", "exponent": "2", "dim": "0",
    "value": "2", "size": "(2, 3)", "src": "x", "obj": "x",
}
"""The same by the argument's name."""

CALLED = {
    "*1d": "seq", "*2d": "image", "*3d": "volume", "ConditionalBatchNorm1d": "seq, i[:2]",
    "ConditionalBatchNorm2d": "image, i[:2]", "ConditionalBatchNorm3d": "volume, i[:2]",
    "AdaptiveNorm": "x, tn.ones(4, 2)", "FiLM": "image, tn.ones(2, 3)", "AdaIN": "image, image",
    "Embedding": "i", "BCELoss": "x.sigmoid(), x.sigmoid()", "BCE*": "x, x.sigmoid()",
    "CrossEntropyLoss": "x, labels", "NLLLoss": "x, labels", "*Loss": "x, x * 2",
    "MultiheadAttention": "token, token, token", "TransformerEncoderLayer": "token",
    "GroupNorm": "image", "GhostBatchNorm": "image", "EvoNorm*": "image", "TLU": "image",
    "LocalResponseNorm": "image", "IterNorm": "image", "SyncBatchNorm": "image", "DyT": "token",
    "Softmax": "x", "ModuleList": "", "ModuleDict": "", "ParametrizationList": "", "*": "x",
}
"""The arguments of a layer's call."""


NAMES: dict[str, Callable[[Any], Any]] = {
    "x": lambda _: tn.tensor(np.linspace(-1, 1.2, 12, dtype="float32").reshape(4, 3)),
    "p": lambda known: nn.Parameter(known["x"].clone()),
    "i": lambda _: tn.tensor([0, 1, 2, 3]),
    "labels": lambda _: tn.tensor([0, 1, 2, 0]),
    "seq": lambda _: tn.full((2, 4, 6), 0.5),
    "image": lambda _: tn.full((2, 4, 6, 6), 0.5),
    "volume": lambda _: tn.full((2, 4, 3, 3, 3), 0.5),
    "token": lambda _: tn.full((3, 2, 4), 0.5),
    "mean": lambda _: tn.zeros(3),
    "var": lambda _: tn.ones(3),
    "linear": lambda _: nn.Linear(3, 2),
    "conv": lambda _: nn.Conv2d(4, 4, 1),
    "norm": lambda known: used(nn.BatchNorm2d(4), known["image"]),
    "norm1": lambda known: used(nn.BatchNorm1d(2), known["x"][:, :2]),
    "sgd": lambda known: optim.SGD([known["p"]], momentum=0.9),
    "dataset": lambda known: data.TensorDataset(known["x"]),
    "square": lambda _: lambda a: a * a,
    "total": lambda _: lambda a: (a * a).sum(),
    "tn": lambda _: tn,
    "nn": lambda _: nn,
}
"""What the texts speak of; made anew for each call, and only what it names."""


class Known(dict[str, Any]):
    """The names that a text asks for."""

    def __missing__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(name)
        self[name] = NAMES[name](self)
        return self[name]


def used(layer: nn.Module, x: tn.Tensor) -> nn.Module:
    """A layer that has met a batch, in inference mode."""
    layer(x)
    return layer.eval()


def matching(table: dict[str, str], name: str) -> str | None:
    """What stands for a name: itself first, then the first pattern that it fits."""
    if name in table:
        return table[name]
    return next((text for pattern, text in table.items() if fnmatchcase(name, pattern)), None)


@functools.cache
def compiled(text: str) -> Any:
    return compile(f"call({text})", "<call>", "eval")


class Call:
    """A right call of one public callable: its function, and its arguments by their names."""

    def __init__(self, name: str, function: Callable[..., Any], text: str,
                 make: str | None = None) -> None:
        self.name, self.function, self.text, self.make = name, function, text, make
        shown = function if make is None else function.forward  # type: ignore[attr-defined]
        self.signature = inspect.signature(shown)
        if make is not None:  # a layer's call, without self
            _, *rest = self.signature.parameters.values()
            self.signature = self.signature.replace(parameters=rest)

    def __repr__(self) -> str:
        return self.name

    def prepared(self) -> tuple[Callable[..., Any], inspect.BoundArguments]:
        """The callable, and fresh arguments."""
        known, function = Known(), self.function
        if self.make is not None:
            function = eval(compiled(self.make), {"call": function}, known)
        bound = eval(compiled(self.text), {"call": self.signature.bind}, known)
        bound.apply_defaults()
        return function, bound


def text_for(name: str, function: Callable[..., Any]) -> str:
    """The arguments of a right call, from the tables."""
    text = matching(ARGUMENTS, name)
    if text is None:
        needed = [p for p in inspect.signature(function).parameters.values()
                  if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        text = ", ".join(NAMED[p.name] for p in needed)
    return text


def public(module: ModuleType) -> list[str]:
    """The names that a module shows."""
    return [name for name in dir(module) if name[0] != "_"]


def calls() -> Iterator[Call]:
    """A right call of each public function, of each class, of each layer made, of each method."""
    seen = set()
    for place, module in MODULES.items():
        for name in public(module):
            function, whole = getattr(module, name), f"{place}.{name}"
            if (isinstance(function, ModuleType | np.dtype) or not callable(function)
                    or any(fnmatchcase(whole, one) for one in ELSEWHERE)
                    or (id(function) in seen and place != "F")):
                continue
            seen.add(id(function))
            text = text_for(whole, function)
            yield Call(whole, function, text)
            if isinstance(function, type) and issubclass(function, nn.Module) and (
                    called := matching(CALLED, name)):
                yield Call(f"{whole}()", function, called, text)
    for name in dir(tn.Tensor):
        method = inspect.getattr_static(tn.Tensor, name)
        if name[0] != "_" and inspect.isfunction(method) and name != "cuda":
            yield Call(f"Tensor.{name}", method, text_for(f"Tensor.{name}", method))

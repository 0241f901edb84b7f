"""Train an MLP with a normalization after each Linear, on handwritten digits.

    python examples/train_mlp.py                        BatchNorm on the digits, into runs/
    python examples/train_mlp.py --norm layer --data spirals --hidden 64,64,64
    python examples/train_mlp.py --resume runs/digits-batch

options.py holds the command line, run_folder.py the files that a run writes.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from options import Options, UsageError, chosen, combined, parser
from run_folder import RunFolder, checkpoint_at, interrupt

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.data import DataLoader, Standardize, TensorDataset, datasets, random_split
from tinygrad_norm.errors import CheckpointError, DeviceError

PROGRAM = "train_mlp 1"
"""Stands in each checkpoint; the number is that of its form."""


# -- the model and the data ------------------------------------------------------------------------


class ChannelwiseNorm(nn.Module):
    """InstanceNorm1d on features (N, C), seen as ``channels`` channels of C/channels positions."""

    def __init__(self, channels: int) -> None:
        self.instance = nn.InstanceNorm1d(channels, affine=True)

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        n, features = x.shape
        return self.instance(x.reshape(n, self.instance.num_features, -1)).reshape(n, features)


NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda width, groups: nn.BatchNorm1d(width),
    "batch_renorm": lambda width, groups: nn.BatchRenorm1d(width),
    "layer": lambda width, groups: nn.LayerNorm(width),
    "instance": lambda width, groups: ChannelwiseNorm(groups),
    "group": lambda width, groups: nn.GroupNorm(groups, width),
    "rms": lambda width, groups: nn.RMSNorm(width),
}


def mlp(widths: Sequence[int], norm: str, groups: int) -> nn.Sequential:
    """Linear, norm, ReLU for each hidden width, then Linear: (N, widths[0]) -> (N, widths[-1])."""
    layers: dict[str, nn.Module] = {}
    for i, (before, width) in enumerate(pairwise(widths[:-1]), 1):
        layers[f"linear{i}"] = nn.Linear(before, width)
        if norm != "none":
            layers[f"norm{i}"] = NORMS[norm](width, groups)
        layers[f"relu{i}"] = nn.ReLU()
    layers["output"] = nn.Linear(widths[-2], widths[-1])
    return nn.Sequential(layers)


def load(data: str, seed: int) -> datasets.Labelled:
    """The samples and their classes; points in the plane are drawn anew for each seed."""
    if data == "digits":
        return datasets.digits()
    return {"moons": datasets.moons, "spirals": datasets.spirals}[data](seed=seed)


# -- training --------------------------------------------------------------------------------------


class Training:
    """All that changes while a model is trained. It can be saved after any step."""

    def __init__(self, options: Options) -> None:
        tn.manual_seed(options.seed)
        self.options = options
        data = load(options.data, options.seed)
        (x, y), (x_test, y_test) = (part[:] for part in random_split(data, [0.8, 0.2]))
        self.scale = Standardize().fit(x) if options.standardize else None
        self.train_set = self.placed(x, y)
        self.test_set = self.placed(x_test, y_test)
        # A last batch of one sample has no statistics; it is left out, whatever the norm is.
        self.loader = DataLoader(self.train_set, options.batch_size, shuffle=True,
                                 drop_last=len(x) % options.batch_size == 1)
        self.widths = (x.shape[1], *options.hidden, len(data.classes))
        self.model = mlp(self.widths, options.norm, options.groups).to(options.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = tn.optim.SGD(
            self.model.parameters(), lr=options.lr, momentum=options.momentum,
            nesterov=options.nesterov, weight_decay=options.weight_decay)
        self.scheduler = tn.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, options.epochs)
        self.history: list[dict[str, Any]] = []
        self.begin_epoch()

    def placed(self, x: tn.Tensor, y: tn.Tensor) -> TensorDataset:
        """The samples as the model takes them, on its device."""
        x = x if self.scale is None else self.scale(x)
        return TensorDataset(x.to(self.options.device), y.to(self.options.device))

    def begin_epoch(self) -> None:
        """Nothing of the epoch is done yet."""
        self.batches = 0
        self.seconds = 0.0
        self.losses = tn.zeros((), dtype=tn.float64, device=self.options.device)

    def steps(self) -> Iterator[None]:
        """What is left of the epoch, a step at a time."""
        self.model.train()
        begin = time.perf_counter() - self.seconds
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            self.losses = self.losses + loss.detach()  # a number only later: that would wait
            self.batches += 1
            self.seconds = time.perf_counter() - begin
            yield

    def end_epoch(self) -> dict[str, Any]:
        """Measure, and go on to the next epoch. Accuracies are of the model in eval mode."""
        begin = time.perf_counter()
        losses = self.losses.item()  # waits for the GPU
        seconds = self.seconds + time.perf_counter() - begin
        samples = min(self.batches * self.options.batch_size, len(self.train_set))
        train, test = self.evaluate(self.train_set), self.evaluate(self.test_set)
        record = {
            "epoch": len(self.history) + 1,
            "train_loss": losses / self.batches, "test_loss": test[0],
            "train_accuracy": train[1], "test_accuracy": test[1],
            "learning_rate": self.scheduler.get_last_lr()[0],
            "samples_per_second": samples / seconds, "seconds": seconds,
        }
        self.history.append(record)
        self.scheduler.step()
        self.begin_epoch()
        return record

    @tn.no_grad()
    def evaluate(self, data: TensorDataset) -> tuple[float, float]:
        """(mean loss, accuracy) in eval mode."""
        x, y = data.tensors
        self.model.eval()
        scores = self.model(x)
        right = (scores.argmax(1) == y).sum().item()
        return self.criterion(scores, y).item(), right / len(y)

    def one_step(self) -> tn.Tensor:
        """The loss of a batch in training mode, recorded; it leaves the statistics as they are."""
        x, y = self.train_set[: self.options.batch_size]
        self.model.train()
        with tn.autograd.keep_statistics():
            return self.criterion(self.model(x), y)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the numbers to come depend on, and those so far."""
        return {
            "program": PROGRAM,
            "options": self.options.saved(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "loader": self.loader.state_dict(),
            "scale": None if self.scale is None else self.scale.state_dict(),
            "random": tn.get_rng_state(),
            "epoch": {"batches": self.batches, "seconds": self.seconds, "losses": self.losses},
            "history": self.history,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for part in ("model", "optimizer", "scheduler", "loader"):
            getattr(self, part).load_state_dict(state[part])
        tn.set_rng_state(state["random"])
        self.batches, self.seconds = state["epoch"]["batches"], state["epoch"]["seconds"]
        self.losses = state["epoch"]["losses"].to(self.options.device)
        self.history = state["history"]

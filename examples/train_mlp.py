"""Train an MLP with a normalization after each Linear, on handwritten digits.

    python examples/train_mlp.py                        BatchNorm on the digits, into runs/
    python examples/train_mlp.py --norm layer --data spirals --hidden 64,64,64
    python examples/train_mlp.py --compile               the same, in less time
    python examples/train_mlp.py --resume runs/digits-batch

Beside it: options.py, the command line; run_folder.py, the files; report.py, what is printed.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Set before NumPy is imported. Matrices of this size gain nothing from BLAS threads, and on a busy
# machine OpenBLAS's wait for each other: the defaults took 36 s with two of them, 0.3 s with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

try:
    import datetime  # noqa: F401  Ctrl-C within it, NumPy makes an error of its own

    import numpy as np
    from lessons.kit import mlp
    from options import Options, UsageError, chosen, combined, parser
    from report import Report
    from run_folder import RunFolder, checkpoint_at, interrupt

    import tinygrad_norm as tn
    from tinygrad_norm import commandline, nn
    from tinygrad_norm.data import DataLoader, Standardize, TensorDataset, datasets, random_split
    from tinygrad_norm.errors import CheckpointError, DeviceError
except KeyboardInterrupt:
    print("stopped before it began", file=sys.stderr, flush=True)
    os._exit(130)

PROGRAM = "train_mlp 1"
"""Stands in each checkpoint; the number is that of its form."""


# -- the data ------------------------------------------------------------------------


def load(data: str, seed: int) -> datasets.Labelled:
    """The samples and their classes; points in the plane are drawn anew for each seed."""
    if data == "digits":
        return datasets.digits()
    return {"moons": datasets.moons, "spirals": datasets.spirals}[data](seed=seed)


# -- training --------------------------------------------------------------------------------------


def step_of(
    model: nn.Module, criterion: nn.Module, optimizer: tn.optim.Optimizer
) -> Callable[[tn.Tensor, tn.Tensor], tn.Tensor]:
    """A step of training on a batch, which gives its loss; nothing else is within its reach."""
    def step(x: tn.Tensor, y: tn.Tensor) -> tn.Tensor:
        optimizer.zero_grad()
        loss: tn.Tensor = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()
    return step


EPOCH = ("batches", "samples", "seconds", "losses")
"""What is known of an epoch before its end."""


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
        step = step_of(self.model, self.criterion, self.optimizer)
        self.step = tn.compile(step) if options.compile else step
        self.scheduler = tn.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, options.epochs)
        self.history: list[dict[str, Any]] = []
        self.begin_epoch()

    def placed(self, x: tn.Tensor, y: tn.Tensor) -> TensorDataset:
        """The samples as the model takes them, on its device."""
        x = x if self.scale is None else self.scale(x)
        return TensorDataset(x.to(self.options.device), y.to(self.options.device))

    def begin_epoch(self) -> None:
        """Nothing of the epoch is done yet."""
        self.batches = self.samples = 0
        self.seconds = 0.0
        self.losses = tn.zeros((), dtype=tn.float64, device=self.options.device)

    def steps(self) -> Iterator[None]:
        """What is left of the epoch, a step at a time."""
        self.model.train()
        begin = time.perf_counter() - self.seconds
        for x, y in self.loader:
            self.losses = self.losses + self.step(x, y) * len(y)  # .item() would wait for a GPU
            self.batches += 1
            self.samples += len(y)
            self.seconds = time.perf_counter() - begin
            yield

    def end_epoch(self) -> dict[str, Any]:
        """Measure, and go on to the next epoch.

        The training loss is the mean of what the steps saw; the other three are of the model as
        it is now, in eval mode.
        """
        begin = time.perf_counter()
        losses = self.losses.item()
        seconds = self.seconds + time.perf_counter() - begin
        train, test = self.evaluate(self.train_set), self.evaluate(self.test_set)
        record = {
            "epoch": len(self.history) + 1,
            "train_loss": losses / self.samples, "test_loss": test[0],
            "train_accuracy": train[1], "test_accuracy": test[1],
            "learning_rate": self.scheduler.get_last_lr()[0],
            "samples_per_second": self.samples / seconds, "seconds": seconds,
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

    def one_step(self) -> tuple[tn.Tensor, dict[str, tn.Tensor]]:
        """The loss of a batch in training mode, and the names of the tensors it comes from."""
        x, labels = self.train_set[: self.options.batch_size]
        self.model.train()
        with tn.autograd.keep_statistics():
            loss = self.criterion(self.model(x), labels)
        return loss, {"x": x, "labels": labels, **dict(self.model.named_parameters())}

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
            "epoch": {name: getattr(self, name) for name in EPOCH},
            "history": self.history,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises:
            ValueError, RuntimeError, LookupError: it is of another model or other data.
        """
        if self.scale is not None and not same(self.scale.state_dict(), state["scale"]):
            raise ValueError(f"the data set {self.options.data} is not what it was trained on")
        for part in ("model", "optimizer", "scheduler", "loader"):
            getattr(self, part).load_state_dict(state[part])
        tn.set_rng_state(state["random"])
        for name in EPOCH:
            setattr(self, name, state["epoch"][name])
        self.losses = self.losses.to(self.options.device)
        self.history = state["history"]


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two states of Standardize hold the same statistics."""
    return one["count"] == other["count"] and all(
        np.array_equal(one[name], other[name]) for name in ("mean", "squares"))


# -- the run ---------------------------------------------------------------------------------------


def train(training: Training, folder: RunFolder, report: Report) -> bool:
    """Train to the last epoch, or until Ctrl-C; whether it came to its end.

    Raises:
        FloatingPointError: the loss is no number any more; the last checkpoint stays as it is.
    """
    epochs = training.options.epochs
    with interrupt() as ctrl_c, np.errstate(all="ignore"):
        while len(training.history) < epochs:
            for _ in training.steps():
                report.step()
                if ctrl_c.asked and training.batches < len(training.loader):
                    folder.save(training.state_dict())
                    return False
            record = training.end_epoch()
            if not all(map(math.isfinite, record.values())):
                raise FloatingPointError(
                    f"training diverged in epoch {record['epoch']} (loss {record['train_loss']}); "
                    "take a smaller --lr, or a --norm")
            folder.append_metrics(record)
            folder.save(training.state_dict())
            report.epoch(record)
            if ctrl_c.asked:
                return len(training.history) == epochs
    return True


def saved_state(path: Path) -> dict[str, Any]:
    """What a checkpoint of this program holds.

    Raises:
        CheckpointError: there is none, it is damaged, or another program's.
    """
    file = checkpoint_at(path)
    state: Any = tn.load(file)
    if not isinstance(state, dict) or state.get("program") != PROGRAM:
        raise CheckpointError(f"{file} was not written by this version of train_mlp.py")
    return state


def prepared(given: Mapping[str, Any]) -> tuple[Training, RunFolder]:
    """The model and its data, at the start or where the checkpoint left them, saved once already:
    a disk that cannot be written to is noticed before the training, and not after it."""
    path = given.get("resume")
    state = None if path is None else saved_state(path)
    options = combined(given, None if state is None else state["options"])
    training = Training(options)
    if state is not None:
        try:
            training.load_state_dict(state)
        except (ValueError, RuntimeError, LookupError) as error:
            raise CheckpointError(f"{path} does not fit: {error}") from error
    if path is not None and options.out is None:
        folder = RunFolder(checkpoint_at(path).parent)
    else:
        folder = RunFolder.new(options.out, f"{options.data}-{options.norm}")
    folder.rewrite_metrics(training.history)
    folder.save(training.state_dict())
    return training, folder


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 when something failed, 2 for options that cannot be, 130 on Ctrl-C."""
    return commandline.run(lambda: _main(argv), "train_mlp.py")


def _main(argv: Sequence[str] | None) -> int:
    given = chosen(argv)
    try:
        try:
            training, folder = prepared(given)
        except (UsageError, CheckpointError, DeviceError, ImportError, OSError) as error:
            parser().error(commandline.said(error))
        with Report(training, folder) as report:
            if not train(training, folder, report):
                report.interrupted()
                return commandline.STOPPED
            report.result()
    except BrokenPipeError:
        raise
    except (OSError, MemoryError, FloatingPointError) as error:
        print(f"train_mlp.py: error: {commandline.said(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped at once; what was saved before is whole", file=sys.stderr)
        return commandline.STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())

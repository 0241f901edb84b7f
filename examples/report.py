"""What train_mlp.py prints: a progress bar, a line an epoch, the result."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from textwrap import indent
from typing import TYPE_CHECKING, Any

from run_folder import RunFolder

from tinygrad_norm.compiler import machine

if TYPE_CHECKING:
    from train_mlp import Training


class Report:
    """Prints the lines of a run, above a progress bar where there is a terminal."""

    def __init__(self, training: Training, folder: RunFolder) -> None:
        self.training = training
        self.folder = folder
        self.options = training.options
        self.widths = "-".join(map(str, training.widths))
        self.bar: Any = None

    def __enter__(self) -> Report:
        if self.options.quiet:
            return self
        training, steps = self.training, len(self.training.loader)
        done = len(training.history) * steps + training.batches
        count = sum(p.numel() for p in training.model.parameters())
        self.say(f"{self.options.data}: {len(training.train_set)} samples to train, "
                 f"{len(training.test_set)} to test")
        self.say(f"MLP {self.widths}, norm: {self.options.norm}, {count} parameters, on "
                 f"{self.options.device}")
        if self.options.compile:
            self.say(how_compiled())
        if done:
            self.say(f"resumed after {self.position()}")
        try:
            from tqdm import tqdm
        except ImportError:
            self.say("no progress bar: tqdm is not installed; "
                     "pip install 'tinygrad_norm[examples]'")
            return self
        self.bar = tqdm(total=self.options.epochs * steps, initial=done, unit="step",
                        leave=False, disable=None)
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.clear()
            print(line, flush=True)
            self.bar.refresh()

    def step(self) -> None:
        """One step is done."""
        if self.bar is not None:
            self.bar.update()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """One epoch is done."""
        epochs = self.options.epochs
        if not self.options.quiet:
            self.say(f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}"
                     f"  loss {record['train_loss']:.4f}"
                     f"  train {record['train_accuracy']:7.2%}"
                     f"  test {record['test_accuracy']:7.2%}"
                     f"  lr {record['learning_rate']:.4f}"
                     f"  {record['samples_per_second']:8.0f} samples/s")

    def position(self) -> str:
        """How far it came."""
        training = self.training
        done = f"{len(training.history)} of {self.options.epochs} epochs"
        if training.batches:
            done += f" and {training.batches} of {len(training.loader)} batches"
        return done

    def interrupted(self) -> None:
        """Where it stopped and how to go on."""
        self.close()
        near = os.path.relpath(sys.executable)
        python = sys.executable if near.startswith("..") else near
        command = shlex.join([python, sys.argv[0], "--resume", str(self.folder.path)])
        self.say(f"interrupted after {self.position()}; saved {self.folder.checkpoint}")
        self.say(f"go on with: {command}")

    def result(self) -> None:
        """The accuracy, and the files; draws the pictures."""
        self.close()
        training, folder, history = self.training, self.folder, self.training.history
        accuracy, count = history[-1]["test_accuracy"], len(training.test_set)
        seconds = sum(record["seconds"] for record in history)
        self.say(f"test accuracy {accuracy:.4f} ({round(accuracy * count)} of {count}) after "
                 f"epoch {len(history)}, {seconds:.1f} s of training")
        title = (f"{self.options.data}, norm: {self.options.norm}, MLP {self.widths}, "
                 f"seed {self.options.seed}: test accuracy {accuracy:.2%}")
        if self.options.compile:
            self.say(indent(repr(training.step), "  "))
        self.say(f"  metrics     {folder.metrics}")
        self.say(f"  curves      {folder.draw_curves(history, title)}")
        self.say(f"  graph       {folder.draw_graph(*training.one_step())}")
        self.say(f"  checkpoint  {folder.checkpoint}")


def how_compiled() -> str:
    """What runs a compiled step here; why, and what helps, if that is no machine code."""
    problem = machine.problem().removeprefix("off: ")
    if not problem:
        return "the training step is compiled: recorded once, then run as machine code"
    cure = "; pip install 'tinygrad_norm[fast]'" if "not installed" in problem else ""
    return f"the training step is recorded once, then run by NumPy's functions: {problem}{cure}"

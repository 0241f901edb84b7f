"""5b. Two classes: where each batch holds two classes only, BatchNorm fails, BatchRenorm does not.

The mean of such a batch is the mean of its two classes. BatchNorm subtracts it in every layer, and
with it goes what tells which two they are; in inference it subtracts the averages over all classes
instead. BatchRenorm trains with what is used in inference, as far as rmax and dmax allow, which a
ramp opens (Ioffe 2017, arXiv:1702.03275; there each batch has 16 classes of 1000, two samples of
each, and BatchNorm does well in train mode: it learns to use the batch mates). That the gradients
are those of two classes holds for all methods: LayerNorm and GroupNorm show what that does. Beside
it the same with batches drawn from all classes. The averages alone are not at fault: recalibrated,
with the moments of all training data, BatchNorm is measured too.
"""

import copy
import sys

from kit import Lesson, curve, digits, evaluate, fit, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.data import ClassBatches, DataLoader, TensorDataset
from tinygrad_norm.viz.recording.figure import INK

NAMES = {"batch": "BatchNorm", "batch_renorm": "BatchRenorm", "layer": "LayerNorm",
         "group": "GroupNorm"}
WIDTHS = 64, 64, 64, 64, 64, 64, 10
KINDS = "two classes", "all classes"
BATCH = 32
RAMP = 60_000
"""How many of the paper's steps a run stands for: for a twelfth of them plain BatchNorm, rmax = 3
after two thirds, dmax = 5 after five twelfths."""


def network(norm: str, steps: int) -> nn.Sequential:
    if norm != "batch_renorm":
        return mlp(WIDTHS, norm)
    rmax, dmax = nn.normalization.renorm_ramp(steps / RAMP)
    return mlp(WIDTHS, lambda width: nn.BatchRenorm1d(width, rmax=rmax, dmax=dmax))


def loader(data: TensorDataset, kind: str) -> DataLoader:
    """Batches of two classes, or of all as they come."""
    if kind == "two classes":
        return DataLoader(data, batch_sampler=ClassBatches(data.tensors[1], BATCH, 2))
    return DataLoader(data, BATCH, shuffle=True, drop_last=True)


def trained(
    model: nn.Module, batches: DataLoader, test: TensorDataset, looks: list[int]
) -> list[float]:
    """The test error (%) in eval mode after so many steps."""
    errors: list[float] = []

    def each(step: int, loss: float) -> None:
        if step + 1 in looks:
            errors.append(100 - 100 * evaluate(model, test)[1])

    fit(model, batches, looks[-1], lr=0.05, momentum=0, each=each)
    return errors + [100.0] * (len(looks) - 1 - len(errors))  # where it diverged


def in_its_batch(model: nn.Module, data: TensorDataset, kind: str) -> dict[str, float]:
    """In train mode, the test error (%), and the share (%) of answers that are a class of which
    there is nothing in the batch."""
    trial, wrong, absent = copy.deepcopy(model), [], []
    with tn.no_grad():
        for x, y in loader(data, kind):
            answers, truth = trial(x).argmax(1).numpy(), y.numpy()
            wrong.append(answers != truth)
            absent.append(~np.isin(answers, truth))
    return {"in_its_batch": 100 * float(np.mean(wrong)), "absent": 100 * float(np.mean(absent))}


def run(lesson: Lesson) -> None:
    steps = lesson.choose(quick=150, default=600, full=2000)
    looks = np.linspace(0, steps, lesson.choose(quick=6, default=21, full=41), dtype=int).tolist()
    seeds = lesson.seeds(quick=3)
    for seed in lesson.progress(seeds):
        train, test = digits(seed)
        for kind in KINDS:
            for norm in NAMES:
                tn.manual_seed(seed)
                model = network(norm, steps)
                errors = trained(model, loader(train, kind), test, looks)
                lesson.log(seed=seed, kind=kind, norm=norm, after=looks[1:], errors=errors,
                           **in_its_batch(model, test, kind))
                if norm == "batch":
                    nn.utils.recalibrate(model, [train.tensors[0]])
                    lesson.log(seed=seed, kind=kind,
                               recalibrated=100 - 100 * evaluate(model, test)[1])

    figure, axes = panels(2, size=(4.6, 3.4))
    for ax, kind, title in zip(axes, KINDS, (": BatchNorm fails", ""), strict=True):
        for i, (norm, name) in enumerate(NAMES.items()):
            curve(ax, looks[1:], lesson.values("errors", kind=kind, norm=norm), name, i)
        ax.set_ylim(-3, 103)
        titles(ax, f"Batches of {kind}{title}", "step", "test error (%)", legend=True)
    own = lesson.values("in_its_batch", kind="two classes", norm="batch")
    axes[0].plot([steps] * len(own), own, "o", markersize=4, color=INK, clip_on=False,
                 label="BatchNorm in train mode")
    axes[0].legend(frameon=False, fontsize=8.5, labelcolor=INK)
    lesson.figure(figure)

    def last(norm: str, kind: str = "two classes") -> np.ndarray:
        """The mean over the last third of the looks: a single one depends on the last batches."""
        return lesson.values("errors", kind=kind, norm=norm)[:, -(len(looks) // 3):].mean(axis=1)

    lesson.claim("fails", "With two classes in a batch BatchNorm errs more than with all, in eval "
                 "mode.", last("batch") - last("batch", "all classes"), above=5, unit=" points")
    lesson.claim("leaks", "In batches of two classes BatchNorm errs less in train mode than in "
                 "eval mode.", last("batch") - own, unit=" points",
                 reason="with 16 of 1000 classes, two samples of each, the batch mates help; the "
                 "mean of two classes only is taken out, and with it which two they are")
    lesson.claim("lost", "More than half of BatchNorm's errors in train mode name a class that is "
                 "not in the batch: it does not tell which two there are.", 100 * lesson.values(
                     "absent", kind="two classes", norm="batch") / own, above=50, unit=" %")
    lesson.claim("cure", "With two classes in a batch BatchRenorm errs less than BatchNorm.",
                 last("batch") - last("batch_renorm"), above=5, unit=" points",
                 reason="its averages move by a hundredth a step, and the run is short")
    lesson.claim("averages", "With two classes in a batch BatchRenorm errs less than recalibrated "
                 "BatchNorm too: it is not the averages.",
                 lesson.values("recalibrated", kind="two classes") - last("batch_renorm"),
                 unit=" points", reason="the averages of BatchRenorm need more steps than these")
    lesson.claim("mates", "With two classes in a batch LayerNorm, which knows no batch, errs less "
                 "than BatchNorm too.", last("batch") - last("layer"), above=5, unit=" points")
    lesson.claim("whole", "The cure is whole: BatchRenorm errs no more with two classes than "
                 "with all.", last("batch_renorm", "all classes") - last("batch_renorm"),
                 unit=" points", reason="early steps, before the ramp, are BatchNorm's")


if __name__ == "__main__":
    sys.exit(main(run))

"""A graph says the user's words: settings have the names that the user gave them by, and what an
operation makes for itself, a mask or the weights of a mean, is no input of the model."""

import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn, viz
from tinygrad_norm.viz.details import INNER, WORDS

F = nn.functional


def x(*shape):
    return tn.randn(*shape, requires_grad=True)


LABELS = tn.tensor([0, 1, 2, 1])
IGNORED = tn.tensor([0, -100, 2, 1])
HEADS = (2, 3, 5, 8)
CASES = {
    "dropout": (lambda: F.dropout(x(4, 6), 0.3), "dropout p=0.3"),
    "Dropout": (lambda: nn.Dropout()(x(4, 6)), "dropout p=0.5"),
    "cross_entropy": (lambda: F.cross_entropy(x(4, 3), LABELS), "cross_entropy"),
    "ignored": (lambda: F.cross_entropy(x(4, 3), IGNORED), "cross_entropy"),
    "nll_loss": (lambda: F.nll_loss(x(4, 3), LABELS, reduction="none"), "gather dim=1"),
    "attention": (lambda: F.scaled_dot_product_attention(x(*HEADS), x(*HEADS), x(*HEADS)),
                  "softmax dim=-2"),
    "causal": (lambda: F.scaled_dot_product_attention(x(*HEADS), x(*HEADS), x(*HEADS),
                                                      is_causal=True), "masked_softmax dim=-2"),
    "dropped attention": (lambda: F.scaled_dot_product_attention(
        x(*HEADS), x(*HEADS), x(*HEADS), dropout_p=0.2), "dropout p=0.2"),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3)(x(2, 3, 4, 4)),
                    "normalize dim=(0, 2, 3) eps=1e-05 centred=True"),
    "BatchRenorm2d": (lambda: nn.BatchRenorm2d(3)(x(2, 3, 4, 4)), "renorm"),
    "Softplus": (lambda: nn.Softplus()(x(4)), "where"),
    "masked_fill": (lambda: (v := x(4)).masked_fill(v > 0, 0.0), "where a=0"),
    "pad": (lambda: F.pad(x(2, 2), (1, 1)), "index_put indices=(0:2, 1:3)"),
    "sum": (lambda: x(2, 3).sum(dim=1, keepdim=True), "sum dim=1 keepdim=True"),
    "clamp": (lambda: x(3).clamp(-1, 2), "clamp min=-1 max=2"),
    "leaky_relu": (lambda: F.leaky_relu(x(3), 0.2), "leaky_relu negative_slope=0.2"),
    "max_pool2d": (lambda: F.max_pool2d(x(1, 1, 6, 6), 3, 2),
                   "max_pool2d kernel_size=3 stride=2"),
    "adaptive": (lambda: F.adaptive_avg_pool2d(x(1, 1, 6, 6), 2),
                 "adaptive_avg_pool2d output_size=(2, 2)"),
    "embedding": (lambda: nn.Embedding(4, 2, padding_idx=1)(LABELS), "embedding padding_idx=1"),
}


@pytest.mark.parametrize("name", CASES)
def test_labels(name):
    make, label = CASES[name]
    y = make().sum()
    graph = viz.trace(y)
    labels = [" ".join((node.name, *node.details)) for node in graph.of_kind("op")]
    assert label in labels
    words = {text.split("=")[0] for node in graph.of_kind("op") for text in node.details}
    assert not words & {*WORDS, *set().union(*INNER.values())}
    data = {"ignored", "cross_entropy", "embedding"}  # labels and numbers of words are data
    assert len([e for e in graph.edges if e.kind == "constant"]) == (name in data) + (
        name == "ignored")
    for view in ("both", "backward"):
        viz.graph(y, view=view)


def test_the_backward_pass_names_what_it_reads_of_an_operation():
    graph = viz.graph(nn.BatchRenorm1d(3)(x(4, 3)).sum(), view="both").graph
    assert {node.name for node in graph.of_kind("input")} == {"input", "r", "d"}
    graph = viz.graph(F.dropout(x(4, 3)).sum(), view="both").graph
    assert [n.name for n in graph.of_kind("input")] == ["input"]
    (back,) = [n for n in graph.of_kind("derivative") if n.name == "dropout"]
    assert back.details == ("p=0.5",)


def test_a_mask_with_a_name_is_drawn():
    mask = tn.tensor([True, False, True])
    y = x(3).masked_fill(mask, 0.0).sum()
    assert {n.name for n in viz.trace(y, {"mask": mask}).of_kind("input")} == {"input", "mask"}


def test_a_slice_is_written_as_it_was():
    (_, second) = x(4, 3).chunk(2)
    (node,) = viz.trace(second).of_kind("op")
    assert node.details == ("index=2:4",)

"""PyTorch's weights come in through a safetensors file, layer by layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.errors import CheckpointError

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors")
files = pytest.importorskip("safetensors.torch")

LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "MLP": (lambda nn: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(),
                                     nn.Linear(6, 2)), (5, 4)),
    "images": (lambda nn: nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.GroupNorm(2, 4), nn.BatchNorm2d(4),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), (2, 3, 6, 6)),
    "sequences": (lambda nn: nn.Sequential(nn.LayerNorm(4), nn.RMSNorm(4), nn.GELU()), (2, 3, 4)),
    "attention": (lambda nn: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 3, 8)),
}


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_state_dict_comes_in(name: str, bfloat16: bool, tmp_path: Path) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    theirs, ours = make(torch.nn), make(tn.nn)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    theirs.train()(torch.tensor(x))
    if bfloat16:
        theirs.bfloat16().float()
        files.save_file({key: t.bfloat16() if t.is_floating_point() else t
                         for key, t in theirs.state_dict().items()}, tmp_path / "a")
    else:
        files.save_model(theirs, str(tmp_path / "a"))
    ours.load_state_dict(tn.load(tmp_path / "a"))
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(x)).numpy()
    np.testing.assert_allclose(ours.eval()(tn.tensor(x)).detach().numpy(), expected, atol=2e-5)


def test_pytorchs_own_format_names_a_cure_that_helps(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="not damaged: it is in PyTorch's own") as caught:
        tn.load(tmp_path / "a.pt")
    cure = str(caught.value).partition("In PyTorch, ")[2].partition(" writes")[0]
    exec(cure.replace("'model.", f"'{tmp_path}/model."),
         {"safetensors": safetensors, "model": model})
    tn.nn.Linear(2, 2).load_state_dict(tn.load(tmp_path / "model.safetensors"))

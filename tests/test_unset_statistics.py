"""Eval with running statistics that nothing has written yet: one warning for each layer."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import strict
from norm_cases import array, tensor

import tinygrad_norm as tn

MESSAGE = (
    "{}: expected running statistics in eval(), got the initial ones: no batch was seen in "
    "training and none were loaded, so that nothing is normalized; train first, load a state "
    "dict, or call train()")

LAYERS: dict[str, dict[str, Any]] = {
    "BatchNorm1d": {}, "BatchRenorm1d": {}, "GhostBatchNorm": {},
    "InstanceNorm1d": {"track_running_stats": True}, "IterNorm": {},
}
layers = pytest.mark.parametrize("name", LAYERS)


def make(name: str, **settings: Any) -> Any:
    return getattr(tn.nn, name)(3, **LAYERS[name], **settings)


def warned(run: Callable[[], Any]) -> list[str]:
    """What was said while it ran."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in caught]


@layers
def test_it_warns_once_and_where_the_layer_was_called(name: str, device: str) -> None:
    layer, x = make(name, device=device).eval(), tensor([[[1.0, 2]] * 3], device).float()
    strict.traffic.clear()
    with pytest.warns(UserWarning, match="expected running statistics") as caught:
        y = layer(x)
    assert [str(w.message) for w in caught] == [MESSAGE.format(name)]
    assert caught[0].filename == __file__
    assert array(y)[0, 0].tolist() == pytest.approx([1, 2], rel=1e-4)
    strict.traffic.clear()
    assert warned(lambda: layer(x)) == []
    assert not strict.traffic  # a device is asked once, where nothing was trained or loaded


@layers
def test_a_device_is_not_asked_after_loading(name: str) -> None:
    layer, x = make(name, device="strict").eval(), tensor([[[1.0, 2]] * 3], "strict").float()
    layer.load_state_dict(layer.state_dict())
    strict.traffic.clear()
    assert warned(lambda: layer(x)) == []
    assert not strict.traffic


@layers
def test_each_layer_of_a_model_speaks_for_itself(name: str) -> None:
    model = tn.nn.Sequential(make(name), make(name)).eval()
    assert warned(lambda: model(tn.randn(2, 3, 4))) == [MESSAGE.format(name)] * 2


SILENT: dict[str, Callable[[Any], Any]] = {
    "trained": lambda layer: layer(tn.randn(2, 3, 4)),
    "trained without gradients": lambda layer: tn.no_grad()(layer)(tn.randn(2, 3, 4)),
    "loaded": lambda layer: layer.load_state_dict(layer.state_dict()),
    "written": lambda layer: layer.running_mean.fill_(1.0),
    "spread written": lambda layer: getattr(layer, layer.spread).fill_(2.0),
    "given": lambda layer: setattr(layer, "running_mean", tn.ones(3)),
}


@layers
@pytest.mark.parametrize("prepare", SILENT.values(), ids=SILENT)
def test_statistics_that_were_written(name: str, prepare: Callable[[Any], Any]) -> None:
    layer = make(name)
    prepare(layer)
    for one in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert warned(lambda one=one: one.eval()(tn.randn(2, 3, 4))) == []
    assert warned(lambda: layer.double().float()(tn.randn(2, 3, 4))) == []


@layers
def test_moving_and_copying_write_nothing(name: str) -> None:
    """The statistics are as unset as before."""
    for layer in (make(name).double(), copy.deepcopy(make(name)).double(),
                  pickle.loads(pickle.dumps(make(name))).double(), make(name).to("cpu").double()):
        x = tn.randn(2, 3, 4).double()
        assert len(warned(lambda layer=layer, x=x: layer.eval()(x))) == 1


@layers
def test_after_a_reset_they_are_unset_again(name: str) -> None:
    layer, x = make(name), tn.randn(2, 3, 4)
    layer(x)
    layer.reset_running_stats()
    assert warned(lambda: layer.eval()(x)) == [MESSAGE.format(name)]
    layer.train()(x)
    assert warned(lambda: layer.eval()(x)) == []


@layers
def test_what_does_not_use_running_statistics_is_silent(name: str) -> None:
    x = tn.randn(2, 3, 4)
    assert warned(lambda: make(name)(x)) == []
    with tn.autograd.keep_statistics():
        assert warned(lambda: make(name)(x)) == []
    if name not in ("BatchRenorm1d", "IterNorm"):
        layer = getattr(tn.nn, name)(3, track_running_stats=False)
        assert warned(lambda: layer.eval()(x)) == []


@layers
def test_a_refused_input_does_not_use_up_the_warning(name: str) -> None:
    layer = make(name).eval()
    with pytest.raises(ValueError, match="expected input"):
        layer(tn.randn(2, 4, 4))
    with pytest.raises(TypeError, match="floating point"):
        layer(tn.ones(2, 3, 4).long())
    assert warned(lambda: layer(tn.randn(2, 3, 4))) == [MESSAGE.format(name)]


@layers
def test_a_batch_that_was_refused_in_training_wrote_nothing(name: str) -> None:
    layer = make(name)
    with pytest.warns(RuntimeWarning, match="NaN"):
        layer(tn.randn(2, 3, 4) * float("nan"))
    assert MESSAGE.format(name) in warned(lambda: layer.eval()(tn.randn(2, 3, 4)))

"""Checkpoints: bit for bit there and back, or refused."""

import math
import os
import struct
import sys

import numpy as np
import pytest
from checkpoint_case import STATE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tinygrad_norm as tn
from tinygrad_norm import checkpoint
from tinygrad_norm.checkpoint import load, save
from tinygrad_norm.nn import Buffer, Parameter

safetensors = pytest.importorskip("safetensors.numpy", reason="save and load are built on it")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def same(a, b):
    """Whether two trees are equal to the last bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tn.Tensor):
        return same(a.array, b.array)
    if isinstance(a, np.ndarray | np.generic):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(same(list(p), list(q)) for p, q in pairs)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def there_and_back(obj, path):
    save(obj, path)
    return load(path)


# -- what comes back ---------------------------------------------------------------------------

numbers = st.integers() | st.integers(-(2**300), 2**300) | st.floats() | st.floats(width=16)
dtypes = st.sampled_from(sorted(checkpoint.DTYPES)).map(np.dtype)
raw = arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
tensors = arrays.arrays(
    st.sampled_from([tn.float16, tn.float32, tn.float64, tn.int32, tn.int64, np.dtype(bool)]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
).map(tn.from_numpy)
plain = st.none() | st.booleans() | numbers | st.text(st.characters(), max_size=8)
keys = st.recursive(plain, lambda k: st.tuples(k, k), max_leaves=3)
trees = st.recursive(
    plain | tensors | raw | raw.map(lambda a: a.dtype.type(0)),
    lambda t: st.lists(t, max_size=4) | st.lists(t, max_size=4).map(tuple)
    | st.dictionaries(keys, t, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(trees)
def test_any_tree_comes_back_bit_for_bit(tmp_path, tree):
    assert same(there_and_back(tree, tmp_path / "a"), tree)


@pytest.mark.parametrize("value", [
    STATE, None, True, 0, -(2**63), 2**63, 10**5000, -(10**5000), 0.1, -0.0, math.nan, math.inf,
    -math.inf, 5e-324, "", "\0\ud800é\x1f", [], (), {}, ((),), {"": {"": []}}, np.float64(0.1),
    struct.unpack("d", b"\1\0\0\0\0\0\xf8\xff")[0],
    {None: 1, True: 2, 2.5: 3, (1, ("a", None)): 4, -7: 5, "7": 6},
    {"a.b": np.zeros(1), "a": {"b": np.ones(1)}, "a.b#2": np.zeros(2)},
    {10**5000: np.ones(1), (10**5000,): np.zeros(1)},
    {"__metadata__": np.ones(2)}, {"\n\x1f\ud800": np.ones(2)}, {"tensor": np.zeros(1)},
    [{"dict": 1}, {"tensor": ["x", "y"]}],
], ids=lambda v: type(v).__name__)
def test_edges_come_back(value, path):
    assert same(there_and_back(value, path), value)


@pytest.mark.parametrize("view", [
    lambda a: a.T, lambda a: a[::2, 1::3], lambda a: a[::-1], lambda a: a[:, ::-1],
    lambda a: np.broadcast_to(a[0], (5, 8)), lambda a: np.asfortranarray(a), lambda a: a[2, 3],
    lambda a: a[:0], lambda a: a[1:1].T, lambda a: np.asarray(a[0, 0]), lambda a: a[0:1, None, 2:3],
])
@pytest.mark.parametrize("wrap", [np.asarray, tn.tensor, lambda a: tn.from_numpy(np.asarray(a))])
def test_any_layout_in_memory(view, wrap, path):
    array = view(np.arange(48, dtype=np.float32).reshape(6, 8))
    back = there_and_back([wrap(array)], path)[0]
    assert same(back, wrap(np.array(array, order="C")))


def test_foreign_byte_order_becomes_native(path):
    back = there_and_back(np.array([1, 2], ">i4"), path)
    assert back.dtype == np.int32
    assert back.tolist() == [1, 2]


def test_what_comes_back_can_be_written(path):
    back = there_and_back({"a": np.zeros(2), "t": tn.zeros(2)}, path)
    back["a"] += 1
    back["t"] += 1
    assert back["t"].tolist() == back["a"].tolist() == [1, 1]


def test_parameters_and_results_come_back_as_plain_tensors(path):
    weight = Parameter(tn.ones(2))
    weight.grad = tn.ones(2)
    back = there_and_back([weight, Buffer(tn.zeros(3)), weight * 2], path)
    assert [type(t) for t in back] == [tn.Tensor] * 3
    assert not any(t.requires_grad or t.grad is not None for t in back)
    assert back[2].tolist() == [2, 2]


def test_shared_memory_comes_back_apart(path):
    t = tn.zeros(2)
    a, b = there_and_back([t, t], path)
    a += 1
    assert b.tolist() == [0, 0]


def test_other_programs_read_the_tensors_by_name(path):
    save(STATE, path)
    found = safetensors.load_file(path)
    assert sorted(found) == ["model.0.weight", "model.steps", "seen"]
    np.testing.assert_array_equal(found["model.0.weight"], STATE["model"]["0.weight"].numpy())


def test_the_same_tree_gives_the_same_bytes(tmp_path):
    for name in "ab":
        save(STATE, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# -- devices -----------------------------------------------------------------------------------


def test_tensors_of_any_device_come_back_where_asked(device, path):
    far = tn.ones(2).to(device)
    back = there_and_back({"t": far, "a": np.zeros(1)}, path)
    assert same(back, {"t": tn.ones(2), "a": np.zeros(1)})
    back = load(path, map_location=device)
    assert back["t"].device == far.device
    assert same(back["t"].cpu(), tn.ones(2))
    assert type(back["a"]) is np.ndarray


def test_arrays_of_another_device_are_no_tensors(path):
    with pytest.raises(TypeError, match=r"\[0\]: cannot save a StrictArray"):
        save([tn.ones(2).to("strict").array], path)


def test_a_device_that_is_not_there(path):
    save(1, path)
    with pytest.raises(ValueError, match="device: expected 'cpu', 'cuda' or 'cuda:N'"):
        load(path, map_location="moon")


# -- what cannot be saved ----------------------------------------------------------------------


class Subclass(dict):
    pass


@pytest.mark.parametrize(("obj", "message"), [
    ({"optimizer": {"state": [object()]}}, r"optimizer\.state\[0\]: cannot save a object"),
    ({1, 2}, "the object: cannot save a set"),
    ({"a": {3: {"b": b"x"}}}, r"a\[3\]\.b: cannot save a bytes"),
    ([1, (2, 3j)], r"\[1\]\[1\]: cannot save a complex"),
    ({"a": Subclass()}, r"a: cannot save a Subclass.*make it a list\(...\) or a dict\(...\)"),
    ({"a": np.array(["x"])}, "a: cannot save a NumPy array of dtype <U1"),
    ({"a": np.array([None])}, "a: cannot save a NumPy array of dtype object"),
    ({"a": np.zeros(2, complex)}, "a: cannot save a NumPy array of dtype complex128"),
    ({"a": np.datetime64(0, "s")}, "a: cannot save a NumPy array of dtype datetime64"),
    ({"a": np.ma.zeros(2)}, "a: cannot save a MaskedArray"),
    ({"a": tn.float32}, "a: cannot save a Float32DType"),
    ({"m": {b"k": 1}}, "m: cannot save a dict with a key of type bytes"),
    ({"m": {(1, b"k"): 1}}, "m: cannot save a dict with a key of type tuple"),
    ({"m": {np.int64(1): 1}}, "m: cannot save a dict with a key of type int64"),
    ({"f": len}, "f: cannot save a builtin_function_or_method"),
])
def test_what_cannot_be_saved_is_named_with_its_place(obj, message, path):
    save("old", path)
    with pytest.raises(TypeError, match=message):
        save(obj, path)
    assert load(path) == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_tree_without_end(path):
    tree = {}
    tree["self"] = [tree]
    with pytest.raises(ValueError, match=r"self\[0\].*levels deep; does it contain itself"):
        save(tree, path)
    assert not path.exists()


def test_a_tree_as_deep_as_allowed(path):
    tree = {"x": 1}
    for _ in range(checkpoint.DEPTH - 1):
        tree = {"x": tree}
    assert same(there_and_back(tree, path), tree)


def test_a_tree_too_long_for_a_header(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LONGEST", 1000)
    with pytest.raises(ValueError, match=r"takes 3001 bytes, and 1000 is .* lists of num"):
        save([11] * 1000, path)


def test_places_that_take_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"save: .* is a directory; name a file in it"):
        save(1, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"save: there is no directory .*makedirs"):
        save(1, tmp_path / "no" / "a")
    for call in (lambda: save(1, 3), lambda: load(3)):
        with pytest.raises(TypeError, match="expected a path, got int"):
            call()


@pytest.mark.parametrize("call", [lambda: save(1, "x"), lambda: load("x")])
def test_without_safetensors(call, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"need safetensors, .* pip install safetensors"):
        call()

"""Datasets, subsets and splits."""

import math
import sys

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.data import Subset, TensorDataset, datasets, random_split


def seeded(seed=0):
    return tn.Generator().manual_seed(seed)


def pairs(n=10):
    return TensorDataset(tn.arange(2 * n).reshape(n, 2).float(), tn.arange(n))


@pytest.mark.parametrize("index", [slice(2, 7, 2), [1, 3, 3], np.array([4, -1]), slice(0, 0),
                                   tn.tensor([0, 9]), np.arange(10) > 6, tn.arange(10) > 6])
def test_a_dataset_is_read_by_slices_and_arrays(index):
    x, y = pairs()[index]
    plain = index.numpy() if isinstance(index, tn.Tensor) else index
    np.testing.assert_array_equal(y.numpy(), np.arange(10)[plain])
    np.testing.assert_array_equal(x.numpy()[:, 0], 2 * y.numpy())


def test_one_sample_and_iteration():
    x, y = pairs()[3]
    assert (x.tolist(), y.item(), y.ndim) == ([6.0, 7.0], 3, 0)
    assert [int(y) for _, y in pairs()] == list(range(10))
    with pytest.raises(IndexError):
        pairs()[10]


@pytest.mark.parametrize(("tensors", "error", "message"), [
    ([], ValueError, "at least one tensor"),
    ([np.zeros(3)], TypeError, "expected tensors, got ndarray; tn.from_numpy"),
    ([tn.tensor(1.0)], ValueError, r"one of shape \(\)"),
    ([tn.zeros(3, 2), tn.zeros(4)], ValueError, r"of one length, got shapes \(3, 2\), \(4,\)"),
])
def test_tensors_that_make_no_dataset(tensors, error, message):
    with pytest.raises(error, match=f"TensorDataset: .*{message}"):
        TensorDataset(*tensors)


@pytest.mark.parametrize("indices", [[5, 1, 8], (5, 1, 8), np.array([5, 1, 8], np.int32),
                                     tn.tensor([5, 1, 8]), [-5, 1, -2]])
def test_a_subset_numbers_its_samples_anew(indices):
    part = Subset(pairs(), indices)
    assert len(part) == 3
    assert [int(part[i][1]) for i in range(3)] == [5, 1, 8]
    assert part[1:][1].tolist() == [1, 8]
    assert part[tn.tensor([2, 0])][1].tolist() == [8, 5]
    assert Subset(part, [2])[0][1].item() == 8
    assert Subset(["a", "b", "c"], [2])[0] == "c"
    assert len(Subset(pairs(), [])) == 0


@pytest.mark.parametrize(("indices", "error", "message"), [
    ([0, 10], IndexError, "expected indices from -10 to 9, got 0 to 10"),
    ([-11], IndexError, "expected indices from -10 to 9"),
    ([0.5], TypeError, "whole numbers, got float64"),
    ([[1, 2]], TypeError, r"of shape \(1, 2\)"),
    ([True] * 10, TypeError, "whole numbers, got bool"),
])
def test_indices_that_make_no_subset(indices, error, message):
    with pytest.raises(error, match=f"Subset: .*{message}"):
        Subset(pairs(), indices)


@pytest.mark.parametrize(("lengths", "sizes"), [
    ([7, 3], [7, 3]), ([10, 0], [10, 0]), ([0.7, 0.3], [7, 3]), ([0.35, 0.35, 0.3], [4, 3, 3]),
    ([1 / 3] * 3, [4, 3, 3]), ([1.0], [10]), ([1], [10]), ([np.int64(4), 6], [4, 6]),
])
def test_split_sizes(lengths, sizes):
    parts = random_split(pairs(), lengths, seeded())
    assert [len(p) for p in parts] == sizes
    numbers = [int(i) for p in parts for i in p.indices]
    assert sorted(numbers) == list(range(10))


def test_a_split_is_random_and_reproducible():
    splits = [[p.indices.tolist() for p in random_split(pairs(100), [60, 40], seeded(s))]
              for s in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]
    assert splits[0][0] != sorted(splits[0][0])
    tn.manual_seed(3)
    first = random_split(pairs(), [5, 5])
    tn.manual_seed(3)
    assert random_split(pairs(), [5, 5])[0].indices.tolist() == first[0].indices.tolist()


@pytest.mark.parametrize(("lengths", "message"), [
    ([7, 2], r"add up to the 10 samples of the dataset, got \[7, 2\] with sum 9"),
    ([], "sum 0"), ([12, -2], "counts >= 0"), ([0.5, 0.4], "fractions that add up to 1"),
    ([5.0, 5.0], "expected counts"), ([1.5, -0.5], "expected counts"), ([math.nan], "counts"),
])
def test_lengths_that_do_not_fit(lengths, message):
    with pytest.raises(ValueError, match=f"random_split: .*{message}"):
        random_split(pairs(), lengths)


def test_a_part_without_samples_is_told():
    with pytest.warns(UserWarning, match="part 1 of 2 samples is empty"):
        random_split(pairs(2), [0.9, 0.1])


# -- datasets ----------------------------------------------------------------------------------


def test_digits():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    digits = datasets.digits()
    assert (digits.data.shape, digits.targets.shape) == ((1797, 64), (1797,))
    assert (digits.data.dtype, digits.targets.dtype) == (tn.float32, tn.int64)
    assert (digits.data.min().item(), digits.data.max().item()) == (0, 16)
    assert digits.image_shape == (8, 8)
    assert digits.classes == tuple("0123456789")
    assert np.bincount(digits.targets.numpy()).min() > 170
    assert repr(digits) == "digits: 1797 samples of 64 features, 10 classes"
    x, y = digits[0]
    assert y.item() == 0
    picture = x.reshape(digits.image_shape).numpy()
    assert picture[3:5, 3:5].sum() < picture[:, 2].sum()  # a zero has a hole


def test_digits_as_pictures():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    pictures, rows = datasets.digits(images=True), datasets.digits()
    assert pictures.data.shape == (1797, 1, 8, 8)
    assert repr(pictures) == "digits: 1797 pictures of 1×8×8, 10 classes"
    np.testing.assert_array_equal(pictures.data.reshape(1797, 64).numpy(), rows.data.numpy())
    np.testing.assert_array_equal(pictures.targets.numpy(), rows.targets.numpy())
    x, y = pictures[5]
    assert (x.shape, y.item()) == ((1, 8, 8), 5)


@pytest.mark.parametrize(("name", "shape", "classes", "first"), [
    ("wine", (178, 13), ("class_0", "class_1", "class_2"), "alcohol"),
    ("breast_cancer", (569, 30), ("malignant", "benign"), "mean radius"),
    ("iris", (150, 4), ("setosa", "versicolor", "virginica"), "sepal length (cm)"),
])
def test_tables(name, shape, classes, first):
    pytest.importorskip("sklearn", reason="the tables come with scikit-learn")
    table = getattr(datasets, name)()
    assert (table.data.shape, table.targets.shape) == (shape, shape[:1])
    assert (table.data.dtype, table.targets.dtype) == (tn.float32, tn.int64)
    assert (table.classes, table.image_shape, table.features[0]) == (classes, None, first)
    assert len(table.features) == shape[1]
    assert {type(text) for text in (*table.classes, *table.features)} == {str}
    assert set(table.targets.tolist()) == set(range(len(classes)))
    assert repr(table) == (f"{name}: {shape[0]} samples of {shape[1]} features, "
                           f"{len(classes)} classes")


def test_a_number_to_predict():
    pytest.importorskip("sklearn", reason="the tables come with scikit-learn")
    diabetes = datasets.diabetes()
    assert (diabetes.data.shape, diabetes.targets.shape) == ((442, 10), (442,))
    assert (diabetes.data.dtype, diabetes.targets.dtype) == (tn.float32, tn.float32)
    assert diabetes.features[:3] == ("age", "sex", "bmi")
    ages = diabetes.data[:, 0]
    assert 18 <= ages.min().item() < ages.max().item() < 80  # years: it is not scaled
    assert repr(diabetes) == "diabetes: 442 samples of 10 features, a number for each"
    x, y = diabetes[0]
    assert (x.shape, y.shape) == ((10,), ())


@pytest.mark.parametrize(("name", "factor"), [("wine", 2500), ("breast_cancer", 200_000)])
def test_the_spread_of_features_is_as_the_docstring_says(name, factor):
    pytest.importorskip("sklearn", reason="the tables come with scikit-learn")
    std = getattr(datasets, name)().data.numpy().astype("float64").std(0)
    assert 1 < std.max() / std.min() / factor < 1.1
    assert f"factor of {factor}" in getattr(datasets, name).__doc__


def test_photographs():
    pytest.importorskip("sklearn", reason="the pictures come with scikit-learn")
    pytest.importorskip("PIL", reason="Pillow reads them")
    photos = datasets.photos()
    assert list(photos) == ["china", "flower"]
    for picture in photos.values():
        assert (picture.shape, picture.dtype) == ((3, 427, 640), tn.float32)
        assert picture.is_contiguous()
        assert (picture.min().item(), picture.max().item()) == (0, 1)
    red, green, blue = photos["china"][:, :50].numpy().mean((1, 2))
    assert blue > green > red  # the sky
    assert photos["flower"].mean().item() < 0.5 * photos["china"].mean().item()


def test_photographs_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"datasets.photos: Pillow .* pip install pillow"):
        datasets.photos()


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer", "iris", "diabetes", "photos"])
def test_data_without_scikit_learn(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=rf"datasets.{name}: .* pip install 'tinygrad_norm\[exam"):
        getattr(datasets, name)()


@pytest.mark.parametrize(("make", "classes"), [
    (datasets.moons, 2), (datasets.spirals, 3),
    (lambda *a, **k: datasets.spirals(*a, classes=5, **k), 5),
])
def test_points_in_the_plane(make, classes):
    points = make(500, seed=1)
    assert points.data.shape == (500, 2)
    assert (points.data.dtype, points.targets.dtype) == (tn.float32, tn.int64)
    assert len(points.classes) == classes
    assert points.image_shape is None
    counts = np.bincount(points.targets.numpy(), minlength=classes)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(make(500, seed=1).data.numpy(), points.data.numpy())
    assert (make(500, seed=2).data != points.data).any()
    assert len(make(n=classes, noise=0)) == classes


def test_moons_and_spirals_without_noise_lie_on_their_curves():
    moons = datasets.moons(300, noise=0)
    x, y = moons.data.numpy().T
    upper = moons.targets.numpy() == 0
    np.testing.assert_allclose(np.hypot(x, y)[upper], 1, atol=1e-6)
    np.testing.assert_allclose(np.hypot(x - 1, y - 0.5)[~upper], 1, atol=1e-6)
    assert y[upper].min() >= 0
    assert y[~upper].max() <= 0.5
    spirals = datasets.spirals(300, noise=0)
    x, y = spirals.data.numpy().T
    radius = np.hypot(x, y)
    assert radius.max() <= 1
    turn = np.arctan2(x, y) - 4 * radius - spirals.targets.numpy() * 2 * np.pi / 3
    np.testing.assert_allclose(np.cos(turn), 1, atol=1e-5)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: datasets.moons(1), "moons: .*got n=1 and classes=2"),
    (lambda: datasets.spirals(10, classes=0), "spirals: .*at least one class"),
    (lambda: datasets.moons(noise=-1), "moons: expected noise >= 0, got -1"),
    (lambda: datasets.spirals(noise=math.nan), "spirals: expected noise >= 0, got nan"),
])
def test_datasets_that_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()

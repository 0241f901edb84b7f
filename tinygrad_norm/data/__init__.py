"""Data: from arrays to batches.

    feature_map.py     FeatureMap, the base class           statistics, in pieces; their state
    preprocessing.py   Center, Standardize                  features with mean 0, and variance 1
    whitening.py       PCAWhiten, ZCAWhiten                 and uncorrelated
    dataset.py         Dataset, TensorDataset, Subset       samples by their number
                       random_split                         train and test
    loader.py          DataLoader                           batches, in a shuffled order
    collate.py         default_collate                      samples joined into a batch
    class_batches.py   ClassBatches                         batches of a few classes only
    datasets.py        datasets.digits / moons / …          small sets to learn from
"""

from typing import TYPE_CHECKING

from .. import public
from . import datasets
from .collate import default_collate
from .dataset import Dataset, Subset, TensorDataset, random_split
from .loader import DataLoader
from .preprocessing import Center, Standardize

if TYPE_CHECKING:
    from .class_batches import ClassBatches
    from .whitening import PCAWhiten, ZCAWhiten

__all__ = ["Center", "ClassBatches", "DataLoader", "Dataset", "PCAWhiten", "Standardize", "Subset",
           "TensorDataset", "ZCAWhiten", "datasets", "default_collate", "random_split"]

LATER = {"ClassBatches": ".class_batches", "PCAWhiten": ".whitening", "ZCAWhiten": ".whitening"}
"""Classes that are rarely used, and the files that are imported when they are asked for."""

public.publish(globals(), LATER)

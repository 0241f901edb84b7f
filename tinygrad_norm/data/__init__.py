"""Data: from arrays to batches.

    preprocessing.py   Standardize                          features with mean 0 and variance 1
    loader.py          Dataset, TensorDataset, Subset       samples by their number
                       random_split                         train and test
                       DataLoader, default_collate          batches, in a shuffled order
    datasets.py        datasets.digits / moons / spirals    small sets to learn from
"""

from . import datasets
from .loader import DataLoader, Dataset, Subset, TensorDataset, default_collate, random_split
from .preprocessing import Standardize

__all__ = ["DataLoader", "Dataset", "Standardize", "Subset", "TensorDataset", "datasets",
           "default_collate", "random_split"]

"""DataLoader's batch_sampler against PyTorch's."""

from __future__ import annotations

import pytest

import tinygrad_norm as tn
from tinygrad_norm.data import DataLoader, TensorDataset

torch = pytest.importorskip("torch")


def test_pytorch_has_the_same_words() -> None:
    data = torch.utils.data.TensorDataset(torch.arange(10))
    lists = [[3, 1], [0]]
    theirs = torch.utils.data.DataLoader(data, batch_sampler=lists)
    ours = DataLoader(TensorDataset(tn.arange(10)), batch_sampler=lists)
    assert [x.tolist() for x, in theirs] == [x.tolist() for x, in ours]
    assert (len(theirs), theirs.batch_size) == (len(ours), ours.batch_size)
    with pytest.raises(ValueError, match="batch_sampler option is mutually exclusive"):
        torch.utils.data.DataLoader(data, batch_size=2, batch_sampler=lists)

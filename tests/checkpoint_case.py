"""What the tests of checkpoints save."""

import numpy as np

import tinygrad_norm as tn

STATE = {
    "model": {"0.weight": tn.tensor([[1.5, -2.0], [0.25, 3.0]]), "steps": tn.tensor(7)},
    "seen": np.arange(3, dtype=np.uint8), "lr": 0.1, "names": ["a", ("b", None)], 3: True,
}

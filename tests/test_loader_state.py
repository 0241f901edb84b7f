"""DataLoader's state at any moment: the resumed run sees what the other would have seen."""

from typing import Any

import numpy as np
import pytest
from test_class_batches import Drawn, Squares, pairs, seeded

from tinygrad_norm.data import ClassBatches, DataLoader


class Five(Drawn):
    def __len__(self) -> int:
        return 5


MOMENTS: dict[str, Any] = {
    "begun": lambda loader, it: None,
    "after a batch": lambda loader, it: next(it),
    "on the last batch": lambda loader, it: [next(it) for _ in range(len(loader))],
    "at the end": lambda loader, it: list(it),
    "others have drawn": lambda loader, it: (next(it), draw_elsewhere(loader)),
    "a pass within it has ended": lambda loader, it: (next(it), list(loader)),
    "a pass within it was left": lambda loader, it: (next(it), next(iter(loader))),
    "one within it was only begun": lambda loader, it: (next(it), iter(loader)),
    "one within it goes on": lambda loader, it: (next(it), setattr(loader, "it", iter(loader))),
}


def draw_elsewhere(loader: DataLoader) -> None:
    if loader.generator is not None:
        loader.generator.numpy.random(3)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_resumed_run_sees_what_is_left(moment: str) -> None:
    """Bit by bit what the run sees that was not stopped: the rest of the pass, and the next two."""
    samplers: list[Any] = [ClassBatches(np.arange(20) % 3, 4, generator=seeded(1)),
                           Five(seeded(1)), [[0, 1], [5], [2, 3, 4]]]
    for options in ({"shuffle": True, "batch_size": 6, "generator": seeded(1)}, {"batch_size": 9},
                    {"shuffle": True, "batch_size": 6, "drop_last": True},
                    {"shuffle": True, "batch_size": 12},
                    *({"batch_sampler": sampler} for sampler in samplers)):
        loader, fresh = (DataLoader(pairs(20), **options) for options in (options, {
            **options, **({"generator": seeded(5)} if options.get("shuffle") else {}),
            **({"batch_sampler": ClassBatches(np.arange(20) % 3, 4)} if options.get(
                "batch_sampler") is samplers[0] else {})}))
        it: Any = iter(loader)
        MOMENTS[moment](loader, it)
        state = loader.state_dict()
        if moment == "one within it goes on":
            it = loader.__dict__.pop("it")
        seen = [[y.tolist() for _, y in batches] for batches in (it, loader, loader)]
        fresh.load_state_dict(state)
        assert str(fresh.state_dict()) == str(state)
        passes = [batches for batches in seen if batches]
        assert [[y.tolist() for _, y in fresh] for _ in passes] == passes, options


def test_a_state_without_the_generators_own_resumes() -> None:
    """As loaders wrote it before: then no other may draw from the generator within a pass."""
    loader = DataLoader(pairs(20), 6, shuffle=True)
    it = iter(loader)
    next(it)
    state = loader.state_dict()
    del state["now"]
    seen = [[y.tolist() for _, y in batches] for batches in (it, loader)]
    fresh = DataLoader(pairs(20), 6, shuffle=True)
    fresh.load_state_dict(state)
    assert [[y.tolist() for _, y in fresh] for _ in seen] == seen


def test_a_batch_that_cannot_be_read_is_not_passed_over() -> None:
    class Failing(Squares):
        def __getitem__(self, i: int) -> dict[str, int]:
            if i == 3 and self.fails:
                raise OSError("the disk is away")
            return super().__getitem__(i)

        fails = True

    loader = DataLoader(Failing(), 2)
    with pytest.raises(OSError, match="away"):
        list(loader)
    Failing.fails = False
    loader.load_state_dict(loader.state_dict())
    assert [b["n"].tolist() for b in loader] == [[2, 3], [4, 5], [6]]

"""Python numbers that each run of a recording is given, and where they are read then."""

from __future__ import annotations

from typing import Any

from ..compiler.number import Number, given_number
from ..compiler.recording import NumberSlot, Recording, Unsupported
from ..optim.optimizer import Optimizer
from .key import Key
from .reach import Reached
from .stage import Stage


class Numbers:
    """The numbers of a step: what optimizers and layers say of the next one, the options of
    optimizers, and floats that were seen to change.

    They are asked for before the recording, which then gets Numbers in their place.

    texts:   for each, the text of where it is
    owners:  what is called before they are read: names, and the texts of the calls
    """

    def __init__(self, reached: Reached, key: Key, recording: Recording, varying: set[Any]) -> None:
        self.reached, self.key, self.recording, self.varying = reached, key, recording, varying
        self.texts: dict[NumberSlot, str] = {}
        self.owners: dict[str, str] = {}
        self._overridden: list[dict[str, Any]] = []
        self._optimizers = [(one, one.numbers()) for _, one in reached.optimizers.values()
                            if one.rule is not None]
        self._layers = [(one, one.numbers()) for _, one in reached.layers.values()]

    def given(self, value: Any, text: str, name: str = "") -> Number:
        """One that each run finds at ``text``; ``name`` is what it is called when it is shown."""
        number = given_number(self.recording, value)
        self.texts[number.slot] = text
        self.recording.called[number.slot] = name or text
        return number

    def lend(self, stage: Stage) -> None:
        """Put Numbers where the step will find them."""
        groups = {id(group): i for _, one in self.reached.optimizers.values()
                  for i, group in enumerate(one.param_groups)}
        for i, (optimizer, numbers) in enumerate(self._optimizers):
            self._own_optimizer(f"o{i}", optimizer, numbers)
        for i, (layer, numbers) in enumerate(self._layers):
            self._own_layer(f"l{i}", layer, numbers)
        for i, place in enumerate(self.reached.places):
            spot = id(place.holder), place.key
            if type(place.value) is float and not isinstance(place.holder, tuple) and (
                    id(place.holder) in groups or spot in self.varying):
                self.key.scope[f"p{i}"] = place.holder
                where = f"p{i}.cell_contents" if place.key is None else f"p{i}[{place.key!r}]"
                stage.replace(place, self.given(place.value, where, place.name))
            else:
                self.key.same.append(place)
        self.key.links += self.reached.links
        self.key.sizes += [one for _, one, ours in self.reached.containers
                           if not ours or "training" in one]

    def _own_optimizer(self, name: str, optimizer: Optimizer, numbers: Any) -> None:
        """The numbers of an optimizer's step, read when a run begins."""
        self.key.scope[name] = optimizer
        plain = type(optimizer).numbers is Optimizer.numbers and all(
            len({id(pair) for pair in pairs}) == 1 for pairs in numbers)
        known: dict[int, Any] = {}
        given: list[Any] = []
        for g, pairs in enumerate(numbers):
            given.append([])
            for j, pair in enumerate(pairs):
                if id(pair) not in known:
                    step, values = pair
                    text = f"{name}g{g}" if plain else f"{name}n[{g}][{j}][1]"
                    count = f"{name}s{g}" if plain else f"{name}n[{g}][{j}][0]"
                    if plain:
                        if optimizer.counted:
                            self._own_counts(name, g, optimizer)
                        self.owners[text] = (f"{name}.numbers_at({name}.param_groups[{g}], "
                                             f"{count if optimizer.counted else 0.0})")
                    known[id(pair)] = (
                        self.given(step, count, "step") if optimizer.counted else step,
                        {key: self.given(value, f"{text}[{key!r}]", key)
                         for key, value in values.items()})
                given[-1].append(known[id(pair)])
        if not plain:
            self.owners[f"{name}n"] = f"{name}.numbers()"
        calls: list[int] = []

        def numbers_then() -> Any:
            calls.append(1)
            if len(calls) > 1 and optimizer.counted:
                raise Unsupported("an optimizer that counts its steps takes several in one call")
            return given

        self._overridden.append(vars(optimizer))
        vars(optimizer)["numbers"] = numbers_then

    def _own_counts(self, name: str, g: int, optimizer: Optimizer) -> None:
        """The number of the step, which is the same for all parameters of a group."""
        counts = [optimizer.state[p]["step"] for p in optimizer.param_groups[g]["params"]
                  if "step" in optimizer.state.get(p, ())]
        names = [f"{name}c{g}_{i}" for i in range(len(counts))]
        self.key.scope.update(zip(names, counts, strict=True))
        read = ", ".join(f"{one}.array.item()" for one in names)
        self.owners[f"{name}s{g}"] = f"one_of({{{read}}}) + 1.0" if names else "1.0"

    def _own_layer(self, name: str, layer: Any, numbers: dict[str, Any]) -> None:
        """The numbers of a layer, where they are not what its attributes say."""
        own = vars(layer)
        if all(type(value) is not float or own.get(key) == value
               for key, value in numbers.items()):
            return
        self.key.scope[name] = layer
        self.owners[f"{name}n"] = f"{name}.numbers()"
        given = {key: value if type(value) is not float or own.get(key) == value
                 else self.given(value, f"{name}n[{key!r}]", key)
                 for key, value in numbers.items()}
        calls: list[int] = []

        def numbers_then() -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise Unsupported("a layer whose numbers follow its count of batches is called "
                                  "several times in one step")
            return dict(given)

        self._overridden.append(own)
        own["numbers"] = numbers_then

    def take_back(self) -> None:
        """What optimizers and layers say is theirs again."""
        for own in self._overridden:
            del own["numbers"]

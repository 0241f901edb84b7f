"""A recording, run again on NumPy: what loops are compared with, and what runs without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .recording import Line, NumberSlot, Recording, Slot


class Plain:
    """Runs the lines of a recording in their order.

    The lines become the text of one function, in which slots are names, and each result is dropped
    after its last reading.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        written = recording.written()
        self._copied = [i for i, slot in enumerate(recording.inputs) if slot in written]
        self._constants = [(array, slot in written)
                           for slot, array in recording.constants.items()]
        self._scope: dict[str, Any] = {"asarray": np.asarray}
        self.text = "\n    ".join(self._lines())
        exec(self.text, self._scope)
        self._run: Callable[..., Any] = self._scope["run"]

    def run(self, arrays: Sequence[np.ndarray], numbers: Sequence[Any], same: bool = False
            ) -> list[np.ndarray] | None:
        """The outputs, as new arrays; state among ``arrays`` is written.

        None if a guard has another answer now: then nothing was written.

        Args:
            arrays: one for each of the recording's inputs.
            numbers: the value of each NumberSlot.
            same: the state is where it was at the last run.
        """
        given = list(arrays)
        for i in self._copied:
            given[i] = given[i].copy("K")  # in whose layout a reshape is a view or not
        constants = [a.copy() if written else a for a, written in self._constants]
        with np.errstate(all="ignore"):  # loops do not warn either
            results = self._run(given, constants, numbers)
        if results is not None:
            for i in self._copied:
                arrays[i][...] = given[i]
        return results

    def words(self) -> str:
        """What the calls became."""
        return "run one by one, as nothing here makes loops (plain)"

    def __str__(self) -> str:
        return self.text

    # -- the text --------------------------------------------------------------------------------

    def _lines(self) -> list[str]:
        recording = self.recording
        last: dict[int, int] = {}
        for i, line in enumerate(recording.lines):
            for slot in (*line.slots(), *line.made()):
                last[slot] = i
        kept = {*recording.outputs, *recording.inputs, *recording.constants}
        made = {slot: i for i, line in enumerate(recording.lines) for slot in line.made()}
        asked: dict[int, list[tuple[Slot, bool]]] = {}
        for slot, answer in recording.guards:
            asked.setdefault(made.get(slot, -1), []).append((slot, answer))
            kept.add(slot)
        text = ["def run(inputs, constants, numbers):"]
        text += [f"a{slot} = inputs[{i}]" for i, slot in enumerate(recording.inputs)]
        text += [f"a{slot} = constants[{i}]" for i, slot in enumerate(recording.constants)]
        for i, line in enumerate(recording.lines):
            text.append(self._line(i, line))
            text += [f"if bool(a{slot}) is not {answer}: return None"
                     for slot, answer in asked.get(i, ())]
            ended = sorted({slot for slot in (*line.slots(), *line.made())
                            if last[slot] == i and slot not in kept})
            if ended:
                text.append(f"del {', '.join(f'a{slot}' for slot in ended)}")
        text += [f"if bool(a{slot}) is not {answer}: return None"
                 for slot, answer in asked.get(-1, ())]
        return [*text, f"return [{', '.join(map(self._returned, recording.outputs))}]"]

    def _returned(self, slot: Slot) -> str:
        """An output; copied where something else may have its memory."""
        recording = self.recording
        own = recording.roots(slot) == {slot} and recording.outputs.count(slot) == 1 and (
            slot not in recording.inputs and slot not in recording.constants)
        return f"a{slot}" if own and not recording.is_shared(slot) else f"a{slot}.copy()"

    def _line(self, i: int, line: Line) -> str:
        name = f"f{i}"
        self._scope[name] = line.function
        spelt = [self._spelt(value) for value in line.args]
        spelt += [f"{key}={self._spelt(value)}" for key, value in line.settings.items()]
        call = f"{name}({', '.join(spelt)})"
        if line.out is None:
            return call
        if isinstance(line.out, list):
            return f"{', '.join(f'a{slot}' for slot in line.out)}, = map(asarray, {call})"
        is_scalar = not self.recording.meta[line.out][0]  # NumPy gives a number of its own
        return f"a{line.out} = asarray({call})" if is_scalar else f"a{line.out} = {call}"

    def _spelt(self, value: Any) -> str:
        if isinstance(value, Slot):
            return f"a{int(value)}"
        if isinstance(value, NumberSlot):
            return f"numbers[{int(value)}]"
        if isinstance(value, tuple):
            return f"({''.join(self._spelt(one) + ', ' for one in value)})"
        if isinstance(value, list):
            return f"[{', '.join(map(self._spelt, value))}]"
        if isinstance(value, slice):
            return f"slice({', '.join(map(self._spelt, (value.start, value.stop, value.step)))})"
        name = f"c{len(self._scope)}"
        self._scope[name] = value
        return name

"""The rules of the optimizers alone, pure functions, and the numbers that a step gives them."""

from __future__ import annotations

import copy
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import strict
from test_optim import parameters, same, set_gradients, values

import tinygrad_norm as tn
from tinygrad_norm.optim import SGD, Adam, AdamW, Optimizer, lr_scheduler
from tinygrad_norm.optim.adam import adam
from tinygrad_norm.optim.in_place import in_place
from tinygrad_norm.optim.sgd import sgd


def sgd_by_hand(p: float, g: float, b: float, o: dict[str, Any]) -> tuple[float, ...]:
    """Sutskever et al. 2013 as PyTorch has it, on single numbers."""
    g = (-g if o.get("maximize") else g) + o.get("weight_decay", 0) * p
    if "momentum" not in o:
        return (o["lr"] * g,)
    b = o["momentum"] * b + (1 - o.get("dampening", 0)) * g
    return o["lr"] * (g + o["momentum"] * b if o.get("nesterov") else b), b


def adam_by_hand(
    p: float, g: float, m: float, v: float, high: float | None, o: dict[str, Any]
) -> tuple[float, ...]:
    """Algorithm 1 of Kingma and Ba 2015, on single numbers; AdamW, amsgrad as PyTorch has them."""
    g = -g if o.get("maximize") else g
    decay = o.get("weight_decay", 0)
    g = g if o.get("decoupled") else g + decay * p
    m = o["beta1"] * m + (1 - o["beta1"]) * g
    v = o["beta2"] * v + (1 - o["beta2"]) * g**2
    high = None if high is None else max(high, v)
    m_hat = m / o["correction1"]
    v_hat = (v if high is None else high) / o["root_correction2"] ** 2
    change = o["lr"] * m_hat / (math.sqrt(v_hat) + o["eps"])
    change += o["lr"] * decay * p if o.get("decoupled") else 0
    return (change, m, v) if high is None else (change, m, v, high)


class Case(NamedTuple):
    """A rule, how many arrays a state has, and its numbers and settings."""

    rule: Callable[..., Any]
    by_hand: Callable[..., Any]
    states: int
    numbers: dict[str, float]
    settings: dict[str, Any]


MOMENTUM = {"lr": 0.1, "momentum": 0.9}
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "correction1": 1 - 0.9**3,
        "root_correction2": math.sqrt(1 - 0.99**3)}
CASES = {
    "sgd": Case(sgd, sgd_by_hand, 0, {"lr": 0.1}, {}),
    "sgd decay maximize": Case(sgd, sgd_by_hand, 0, {"lr": 0.1},
                               {"weight_decay": 0.2, "maximize": True}),
    "momentum": Case(sgd, sgd_by_hand, 1, MOMENTUM, {}),
    "dampening": Case(sgd, sgd_by_hand, 1, MOMENTUM, {"dampening": 0.3, "maximize": True}),
    "nesterov": Case(sgd, sgd_by_hand, 1, MOMENTUM, {"nesterov": True, "weight_decay": 0.2}),
    "adam": Case(adam, adam_by_hand, 2, ADAM, {"eps": 1e-2}),
    "adam decay maximize": Case(adam, adam_by_hand, 2, ADAM,
                                {"eps": 1e-8, "weight_decay": 0.2, "maximize": True}),
    "adamw": Case(adam, adam_by_hand, 2, ADAM,
                  {"eps": 1e-8, "weight_decay": 0.2, "decoupled": True}),
    "amsgrad": Case(adam, adam_by_hand, 3, ADAM, {"eps": 1e-8}),
    "amsgrad adamw": Case(adam, adam_by_hand, 3, ADAM, {
        "eps": 1e-8, "weight_decay": 0.2, "decoupled": True, "maximize": True}),
}


def arrays(case: Case, dtype: str = "float64") -> list[np.ndarray]:
    """p, g, and the arrays of a state; the second and later ones of Adam are not negative."""
    random = np.random.default_rng(0)
    made = [random.normal(size=(3, 4)).astype(dtype) for _ in range(2 + case.states)]
    return [abs(a) if i > 2 else a for i, a in enumerate(made)]


def applied(case: Case, given: list[Any]) -> list[Any]:
    """The change and the next state."""
    return list(case.rule(*given, **case.numbers, **case.settings))[: 1 + case.states]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_rule_is_pure_and_is_the_formula(case: Case) -> None:
    given = arrays(case)
    before = [a.copy() for a in given]
    for a in given:
        a.setflags(write=False)
    results = applied(case, given)
    assert same(given, before)
    again = applied(case, before)
    assert same(results, again)
    options = {**case.numbers, **case.settings}
    padded = [*given, *[None] * (3 - case.states)] if case.rule is adam else given
    for at in itertools.product(range(3), range(4)):
        single = [None if a is None else a[at].item() for a in padded[: 5 if case.rule is adam
                                                                      else 3]]
        if case.rule is sgd and not case.states:
            single.append(0.0)
        expected = case.by_hand(*single, options)
        np.testing.assert_allclose([r[at] for r in results], expected, rtol=1e-13)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_rule_keeps_the_dtype(case: Case, dtype: str) -> None:
    assert {str(r.dtype) for r in applied(case, arrays(case, dtype))} == {dtype}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_rule_asks_for_no_value_on_a_device(case: Case) -> None:
    given = arrays(case)
    strict.traffic.clear()
    results = applied(case, [strict.StrictArray(a.copy()) for a in given])
    assert not strict.traffic
    assert same([r.hidden for r in results], applied(case, given))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_in_place_the_bits_are_those_of_the_rule(case: Case, dtype: str) -> None:
    p, g, *states = arrays(case, dtype)
    expected = applied(case, [p, g, *states])
    quick = in_place(np, case.rule, tuple(case.settings.items()), tuple(case.numbers), case.states)
    change, *others = np.full((len(quick.temporaries), *p.shape), np.nan, dtype)
    for a in (p, g):
        a.setflags(write=False)
    quick.update(*case.numbers.values(), p, g, *states, change, *others)
    assert same([change, *states], expected), quick.text
    assert len(quick.temporaries) <= 2
    assert quick.reads_p is ("weight_decay" in case.settings)


def swapping(p: Any, g: Any, a: Any, b: Any, *, lr: float) -> tuple[Any, ...]:
    """Old states are read after their successors are known; one is handed on, one in twice."""
    c, d = a + g, b + a
    return p * lr - c, d, d - a


def handing_on(p: Any, g: Any, a: Any, b: Any, *, lr: float) -> tuple[Any, ...]:
    return g, g, a


def twice(p: Any, g: Any, a: Any, b: Any, *, lr: float) -> tuple[Any, ...]:
    c = lr * g
    return c, c, c


def staying(p: Any, g: Any, a: Any, b: Any, *, lr: float) -> tuple[Any, ...]:
    return b * 2 - a, a, b


@pytest.mark.parametrize("rule", [swapping, handing_on, twice, staying])
def test_any_elementwise_rule_can_be_run_in_place(rule: Callable[..., Any]) -> None:
    random = np.random.default_rng(1)
    p, g, a, b = random.normal(size=(4, 5))
    expected = [r.copy() for r in rule(p, g, a, b, lr=0.5)]
    quick = in_place(np, rule, (), ("lr",), 2)
    temporaries = np.empty((len(quick.temporaries), 5))
    quick.update(0.5, p, g, a, b, *temporaries)
    assert same([temporaries[0], a, b], expected), quick.text


def drawn(seed: int) -> Callable[..., Any]:
    """A rule of a few random operations."""

    def rule(p: Any, g: Any, a: Any, b: Any, *, lr: float) -> list[Any]:
        random = np.random.default_rng(seed)
        known = [p, g, a, b]
        for _ in range(random.integers(1, 9)):
            operation = (operator.add, operator.sub, operator.mul)[random.integers(3)]
            others = [*known, lr, lr * 2 - 1, 0.75]
            known.append(operation(known[random.integers(len(known))],
                                   others[random.integers(len(others))]))
        return [known[i] for i in random.integers(len(known), size=3)]

    return rule


def test_drawn_rules_can_be_run_in_place() -> None:
    for seed in range(300):
        p, g, a, b = np.random.default_rng(seed).normal(size=(4, 5))
        expected = [r.copy() for r in drawn(seed)(p, g, a, b, lr=0.5)]
        quick = in_place(np, drawn(seed), (), ("lr",), 2)
        temporaries = np.empty((len(quick.temporaries), 5))
        quick.update(0.5, p, g, a, b, *temporaries)
        assert same([temporaries[0], a, b], expected), quick.text


@pytest.mark.parametrize("rule", [
    lambda p, g, *, lr: (lr * g / (g * g).sum(),),
    lambda p, g, *, lr: (np.where(g > 0, lr, -lr),),
], ids=["sum", "where"])
def test_a_rule_that_may_not_be_elementwise_is_refused(rule: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        in_place(np, rule, (), ("lr",), 0)


def test_the_text_of_a_rule_can_be_read() -> None:
    text = in_place(np, sgd, (), ("lr", "momentum"), 1).text
    assert text in (in_place.__doc__ or "").replace("\n        ", "\n")


# -- numbers -------------------------------------------------------------------------------------


class Spied(Adam):
    """Remembers the numbers that its rule was given."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012

    @staticmethod
    def rule(*arrays: Any, **given: Any) -> Any:
        if type(arrays[0]) is np.ndarray:  # and not while it is written down
            Spied.seen.append(given)
        return adam(*arrays, **given)


def test_a_step_uses_its_numbers_and_sees_what_a_schedule_wrote() -> None:
    """At its first step a state begins, and the rule itself is called."""
    Spied.seen.clear()
    expected = []
    for epoch in range(3):
        p, q = parameters(shapes=[(2,), (3,)])
        optimizer = Spied([{"params": [p]}, {"params": [q], "lr": 0.5}], lr=0.25,
                          betas=(0.5, 0.75))
        schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
        set_gradients([p, q])
        optimizer.stepped = True
        for _ in range(epoch):
            schedule.step()
        numbers = optimizer.numbers()
        assert numbers == optimizer.numbers(), "reading moves nothing on"
        assert [pairs[0][1]["lr"] for pairs in numbers] == [0.25 / 2**epoch, 0.5 / 2**epoch]
        expected += [pairs[0][1] for pairs in numbers]
        optimizer.step()
    assert [{k: given[k] for k in expected[0]} for given in Spied.seen] == expected


def test_numbers_are_plain_and_count_the_steps_of_each_parameter() -> None:
    params = parameters(shapes=[(2,)] * 6)
    optimizer = Adam(params, lr=np.float64(0.5), betas=(0.5, 0.75))
    for step in range(3):
        set_gradients(params, step)
        if step == 1:
            params[2].grad = None
        optimizer.step()
    optimizer.param_groups[0]["lr"] = tn.tensor(0.125)
    pairs, = optimizer.numbers()
    assert [step for step, _ in pairs] == [4, 4, 3, 4, 4, 4]
    for step, given in pairs:
        assert given == {"lr": 0.125, "beta1": 0.5, "beta2": 0.75, "correction1": 1 - 0.5**step,
                         "root_correction2": math.sqrt(1 - 0.75**step)}
        assert {type(value) for value in given.values()} == {float}
    plain, = SGD(params, lr=0.5).numbers()
    assert plain == [(0, {"lr": 0.5})] * 6
    heavy, = SGD(params, lr=0.5, momentum=0.75).numbers()
    assert heavy[0] == (0, {"lr": 0.5, "momentum": 0.75})


@pytest.mark.filterwarnings("ignore:.*a parameter twice")
def test_a_parameter_twice_is_at_two_steps() -> None:
    p, q = parameters(shapes=[(2,), (2,)])
    optimizer = Adam([p, q, p])
    assert [step for step, _ in optimizer.numbers()[0]] == [1, 1, 2]
    set_gradients([p, q])
    optimizer.step()
    assert [optimizer.state[x]["step"].item() for x in (p, q)] == [2, 1]
    assert [step for step, _ in optimizer.numbers()[0]] == [3, 2, 4]


class Sign(Optimizer):
    """A user's rule: two lines."""

    @staticmethod
    def rule(p: Any, g: Any, *, lr: float) -> tuple[Any]:
        return (lr * g / (g * g) ** 0.5,)


def test_a_users_rule_needs_no_more() -> None:
    params = parameters(shapes=[(3,)] * 6)
    before = values(params)
    optimizer = Sign(params, {"lr": 0.5})
    set_gradients(params)
    optimizer.step()
    for p, old in zip(params, before, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), old - 0.5 * np.sign(p.grad.numpy()))


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_group_may_be_empty(kind: Callable[..., Optimizer]) -> None:
    p = tn.ones(2, requires_grad=True)
    optimizer = kind([{"params": []}, {"params": [p]}], lr=0.5)
    p.grad = tn.ones(2)
    optimizer.step()
    assert p.tolist() == [0.5, 0.5]
    assert optimizer.numbers()[0] == []


# -- where states lie ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AdamW, lambda params: SGD(params, momentum=0.9)])
def test_the_arrays_of_a_state_stay_where_they_began(kind: Callable[..., Optimizer]) -> None:
    """Those of small parameters are parts of one array, which nobody need know."""
    params = parameters(shapes=[(2, 3)] * 5)
    optimizer = kind(params)
    for loaded in (False, True):
        if loaded:
            optimizer.load_state_dict(optimizer.state_dict())
        else:
            set_gradients(params)
            optimizer.step()
        held = [(t, t.array) for p in params for t in optimizer.state[p].values()]
        before = [array.copy() for _, array in held]
        for step in range(1, 4):
            set_gradients(params, step)
            optimizer.step()
        assert all(tensor.array is array for tensor, array in held)
        assert not any(np.array_equal(a, b)
                       for a, (_, b) in zip(before, held, strict=True) if a.size)
    twin = copy.deepcopy(optimizer)
    theirs = [t.array for values in twin.state.values() for t in values.values()]
    assert not any(np.shares_memory(a, b) for a in theirs for _, b in held)
    before = [array.copy() for _, array in held]
    set_gradients(twin.param_groups[0]["params"])
    twin.step()
    assert same(before, [array for _, array in held])


def test_changes_on_the_way_are_followed() -> None:
    """A parameter's array, the settings, a state and the order in the group, each replaced."""
    results = []
    for foreach in (None, False):
        tn.manual_seed(5)
        params = parameters(shapes=[(2, 3)] * 8)
        optimizer = Adam(params, lr=0.1, foreach=foreach)
        group = optimizer.param_groups[0]
        for step in range(12):
            set_gradients(params, step)
            if step == 2:
                params[1].data = params[1].detach() * 2
            if step == 3:
                params[0].data = tn.from_numpy(params[0].detach().numpy().copy(order="F"))
            if step == 4:
                group["weight_decay"] = 0.5
            if step == 5:
                optimizer.state[params[2]]["exp_avg"] = tn.ones(2, 3, dtype="float64")
            if step == 6:
                optimizer.state[params[3]].clear()
            if step == 7:
                group["params"] = params[1:]
            if step == 8:
                group["params"] = params
            if step == 9:
                optimizer.state.clear()
            if step == 10:
                params[4].data = params[4].detach().float()
                params[4].grad = params[4].grad.float()
            optimizer.step()
        results.append(values(params))
    assert same(*results)

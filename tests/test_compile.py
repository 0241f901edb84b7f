"""Compiled steps against eager ones: results, state, and what is said where one cannot be."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn, optim
from tinygrad_norm.compiler.device import record
from tinygrad_norm.compiler.plain import Plain
from tinygrad_norm.compiler.recording import Question

RNG = np.random.default_rng(0)
X = [tn.from_numpy(RNG.standard_normal((8, 6), dtype="f4")) for _ in range(12)]
Y = [tn.from_numpy(RNG.integers(0, 4, 8)) for _ in range(12)]
IMAGES = [tn.from_numpy(RNG.standard_normal((4, 2, 8, 8), dtype="f4")) for _ in range(12)]
WORDS = [tn.from_numpy(RNG.standard_normal((4, 5, 8), dtype="f4")) for _ in range(12)]
FOUR = [y[:4].clone() for y in Y]


def mlp(norm: Callable[[int], Any] = nn.BatchNorm1d) -> Any:
    """Without a bias before the norm: its gradient would be 0, and Adam blow up the rounding."""
    return nn.Sequential(nn.Linear(6, 8, bias=False), norm(8), nn.ReLU(), nn.Linear(8, 4))


def conv() -> Any:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(36, 4))


def transformer() -> Any:
    return nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True), nn.Flatten(),
                         nn.Linear(40, 4))


def weight_normed() -> Any:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.Tanh(),
                         nn.utils.parametrizations.spectral_norm(nn.Linear(8, 4)))


def training(
    model: Any, optimizer: Any, *, clip: float | None = None, penalty: bool = False
) -> Any:
    """An ordinary training step."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        if penalty:
            gradients = tn.autograd.grad(loss, list(model.parameters()), create_graph=True)
            loss = loss + 0.1 * sum((g * g).sum() for g in gradients)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss

    return step


def state_of(model: Any, optimizer: Any) -> dict[str, Any]:
    found = {name: value for name, value in model.state_dict().items()}
    for i, values in optimizer.state_dict()["state"].items():
        found |= {f"{i} {name}": value for name, value in values.items()}
    return found


def assert_close(a: Any, b: Any, name: str = "", rtol: float = 1e-5) -> None:
    a, b = (np.asarray(v.detach().numpy(), float) for v in (a, b))
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(initial=1e-2),
                               err_msg=name)


def both(make: Callable[[], Any], rule: Callable[[Any], Any], **options: Any) -> Any:
    """Two of the same: (model, optimizer, step) eager and compiled."""
    pairs = []
    for _ in range(2):
        tn.manual_seed(0)
        model = make()
        optimizer = rule(model.parameters())
        pairs.append((model, optimizer, training(model, optimizer, **options)))
    (a, b) = pairs
    return a, (*b[:2], tn.compile(b[2], fullgraph=True))


def assert_same(eager: Any, compiled: Any, batches: Any, between: Any = lambda i, m, o: None
                ) -> None:
    """The same losses, and the same state at the end; generators stand at the same place."""
    ends = []
    batches = list(batches)
    for model, optimizer, step in (eager, compiled):
        tn.manual_seed(1)
        losses = []
        for i, (x, y) in enumerate(batches):
            between(i, model, optimizer)
            losses.append(step(x, y))
        ends.append((losses, state_of(model, optimizer), tn.rand(2)))
    for a, b in zip(ends[0][0], ends[1][0], strict=True):
        assert_close(b, a, "loss")
    assert ends[0][1].keys() == ends[1][1].keys()
    for name, value in ends[0][1].items():
        assert_close(ends[1][1][name], value, name, 1e-4)
    assert ends[0][2].tolist() == ends[1][2].tolist()


def sgd(parameters: Any) -> Any:
    return optim.SGD(parameters, lr=0.05, momentum=0.9)


RULES: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1), "momentum": sgd,
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
}
MODELS: dict[str, tuple[Callable[[], Any], list[Any], list[Any]]] = {
    "BatchNorm": (mlp, X, Y), "LayerNorm": (lambda: mlp(nn.LayerNorm), X, Y),
    "RMSNorm": (lambda: mlp(nn.RMSNorm), X, Y),
    "GroupNorm": (lambda: mlp(lambda n: nn.GroupNorm(2, n)), X, Y),
    "momentum None": (lambda: mlp(lambda n: nn.BatchNorm1d(n, momentum=None)), X, Y),
    "BatchRenorm": (lambda: mlp(lambda n: nn.BatchRenorm1d(
        n, rmax=lambda t: 1 + 0.1 * t, dmax=lambda t: 0.2 * t)), X, Y),
    "dropout": (lambda: mlp(lambda n: nn.Dropout(0.3)), X, Y),
    "conv": (conv, IMAGES, FOUR), "transformer": (transformer, WORDS, FOUR),
    "weight and spectral norm": (weight_normed, X, Y),
}


@pytest.mark.parametrize("model", MODELS)
def test_models(model: str) -> None:
    make, xs, ys = MODELS[model]
    eager, compiled = both(make, sgd)
    assert_same(eager, compiled, zip(xs, ys, strict=True))
    assert "ran 11 times" in repr(compiled[2])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("options", [{}, {"clip": 0.1}, {"penalty": True}])
def test_optimizers(rule: str, options: dict[str, Any]) -> None:
    eager, compiled = both(mlp, RULES[rule], **options)
    assert_same(eager, compiled, zip(X, Y, strict=True))
    assert "ran 1" in repr(compiled[2])


def schedule(i: int, model: Any, optimizer: Any) -> None:
    optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)


def replaced(i: int, model: Any, optimizer: Any) -> None:
    if i == 6:
        model[0].weight.data = tn.ones(8, 6) * 0.1


def loaded(i: int, model: Any, optimizer: Any) -> None:
    if i % 4 == 3:
        model.load_state_dict(copy.deepcopy(model.state_dict()))
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def frozen(i: int, model: Any, optimizer: Any) -> None:
    if i == 5:
        model[0].requires_grad_(False)


def evaluated(i: int, model: Any, optimizer: Any) -> None:
    model.train(i % 4 != 3)


def grown(i: int, model: Any, optimizer: Any) -> None:
    if i == 0:
        del optimizer.param_groups[0]["params"][-1]
    if i == 5:
        optimizer.add_param_group({"params": [model[3].bias], "lr": 0.5})


@pytest.mark.parametrize("between", [schedule, replaced, loaded, frozen, evaluated, grown],
                         ids=lambda f: f.__name__)
@pytest.mark.parametrize("rule", ["momentum", "Adam"])
def test_what_happens_between_steps_is_seen(between: Any, rule: str) -> None:
    eager, compiled = both(mlp, RULES[rule])
    assert_same(eager, compiled, zip(X, Y, strict=True), between)
    assert "not compiled" not in repr(compiled[2])


def test_a_scheduler() -> None:
    eager, compiled = both(mlp, sgd)
    schedulers = {id(o): optim.lr_scheduler.StepLR(o, 2, 0.5) for _, o, _ in (eager, compiled)}

    def between(i: int, model: Any, optimizer: Any) -> None:
        if i:
            schedulers[id(optimizer)].step()

    assert_same(eager, compiled, zip(X, Y, strict=True), between)
    assert repr(compiled[2]).count(" of NumPy,") == 1, "the learning rate is a number of each run"


def test_another_batch_size() -> None:
    eager, compiled = both(mlp, sgd)
    batches = [(x[: 8 - i % 3], y[: 8 - i % 3]) for i, (x, y) in enumerate(zip(X, Y, strict=True))]
    assert_same(eager, compiled, batches)
    assert "3 kinds of calls" in repr(compiled[2])


def test_numbers_of_the_users() -> None:
    """An argument, and one in the closure that changes."""
    beta = 0.0

    def loss(x: Any, weight: float) -> Any:
        return (x * x).mean() * weight + beta * x.sum()

    step = tn.compile(loss, fullgraph=True)
    for i in range(6):
        beta = 0.1 * i
        assert_close(step(X[i], 0.5 + i), loss(X[i], 0.5 + i))
    assert repr(step).count(" of NumPy,") == 2, "the second time it is a number of each run"


def test_a_number_that_decides() -> None:
    @tn.compile(fullgraph=True)
    def step(x: Any, weight: float) -> Any:
        return x * weight if weight > 1 else x - weight

    for weight in (0.5, 2.0, 0.25, 3.0):
        assert_close(step(X[0], weight), X[0] * weight if weight > 1 else X[0] - weight)
    assert repr(step).count(" of NumPy,") == 2


def test_results_are_not_written_over() -> None:
    step = tn.compile(lambda x: {"y": x * 2, "parts": (x[0], [x.sum(), 3, None])}, fullgraph=True)
    first = step(X[0])
    values = first["y"].tolist(), first["parts"][0].tolist()
    again = step(X[1])
    assert (first["y"].tolist(), first["parts"][0].tolist()) == values
    assert again["parts"][1][1:] == [3, None]
    assert not again["y"].requires_grad


def test_gradients_where_they_are_asked_for() -> None:
    model = mlp()
    optimizer = sgd(model.parameters())
    plain = tn.compile(training(model, optimizer), fullgraph=True)
    asked = tn.compile(training(model, optimizer), fullgraph=True, grads=True)
    for x, y in zip(X[:4], Y, strict=False):
        plain(x, y)
    assert model[0].weight.grad is None
    other = copy.deepcopy(model)
    asked(X[5], Y[5])
    nn.functional.cross_entropy(other(X[5]), Y[5]).backward()
    assert_close(model[0].weight.grad, other[0].weight.grad)


def test_gradients_that_add_up() -> None:
    """A step without zero_grad and optimizer, inside an eager loop."""
    models = [mlp(), mlp()]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [sgd(m.parameters()) for m in models]

    def adding(model: Any) -> Any:
        def step(x: Any, y: Any) -> Any:
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss
        return step

    steps = [adding(models[0]), tn.compile(adding(models[1]), fullgraph=True)]
    for i, (x, y) in enumerate(zip(X, Y, strict=True)):
        for step, optimizer in zip(steps, optimizers, strict=True):
            step(x, y)
            if i % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert_close(b, a)


MADE = ["BatchNorm", "LayerNorm", "dropout", "conv", "transformer", "weight and spectral norm"]


@pytest.mark.parametrize("model", MADE)
def test_compiled_models(model: str) -> None:
    """In an eager loop; gradients are asked for where the input requires them too."""
    make, xs, ys = MODELS[model]
    pairs: list[Any] = []
    for compiled in (False, True):
        tn.manual_seed(0)
        own = make()
        optimizer = sgd(own.parameters())
        called = tn.compile(own, fullgraph=True) if compiled else own
        pairs.append((own, optimizer, training(called, optimizer)))
        if compiled:
            assert [name for name, _ in called.named_parameters()] == [
                name for name, _ in own.named_parameters()]
    assert_same(*pairs, zip(xs, ys, strict=True))
    assert "ran 12 times" in repr(called)
    x, own = xs[0].clone().requires_grad_(), pairs[1][0].eval()
    own.zero_grad()
    called.train().eval()(x).sum().backward()
    gradients = [x.grad, *(p.grad for p in own.parameters())]
    x.grad = None
    own.zero_grad()
    own(x).sum().backward()
    for a, b in zip(gradients, [x.grad, *(p.grad for p in own.parameters())], strict=True):
        assert_close(a, b)


def test_a_compiled_models_graph() -> None:
    model = mlp(nn.LayerNorm)
    called = tn.compile(model, fullgraph=True)
    hooked: list[Any] = []
    model[0].weight.register_hook(lambda g: hooked.append(g))
    y = called(X[0])
    assert y.grad_fn is not None
    y.sum().backward()
    assert len(hooked) == 1
    with pytest.raises(RuntimeError, match="backward through Compiled a second time"):
        y.sum().backward()
    y = called(X[0])
    with tn.no_grad():
        model[3].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="its backward cannot be differentiated again"):
        tn.autograd.grad(called(X[0]).sum(), model[0].weight, create_graph=True)
    with tn.no_grad():
        assert not called(X[0]).requires_grad


def test_inference() -> None:
    model = mlp().train()
    model(X[0])
    step = tn.compile(tn.no_grad()(lambda x: model(x)), fullgraph=True)
    model.eval()
    for x in X:
        assert_close(step(x), model(x))
    assert "1 kind of calls" in repr(step)


def test_a_batch_of_nan_leaves_the_state() -> None:
    _, compiled = both(mlp, sgd)
    for x, y in zip(X[:4], Y, strict=False):
        compiled[2](x, y)
    before = {k: v.tolist() for k, v in compiled[0].state_dict().items() if "running" in k}
    with pytest.warns(RuntimeWarning, match="NaN or Inf in"):
        compiled[2](X[0] * float("nan"), Y[0])
    after = {k: v.tolist() for k, v in compiled[0].state_dict().items() if "running" in k}
    assert before == after
    assert "1 time as it is" in repr(compiled[2])


def test_a_bad_first_batch_does_not_decide() -> None:
    """What is recorded goes the rare way, or not at all; some good batches later it is anew."""
    _, compiled = both(mlp, sgd)
    for bad in (float("nan"), 1e30):
        model = copy.deepcopy(compiled[0])
        optimizer = optim.SGD(model.parameters(), lr=0.05)
        step = tn.compile(training(model, optimizer))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            for _ in range(2):
                step(X[0] * bad, Y[0])
        model.load_state_dict(compiled[0].state_dict())
        for x, y in zip(X, Y, strict=True):
            step(x, y)
        assert int(repr(step).partition("ran ")[2].split()[0]) >= 8, repr(step)


def test_that_it_has_stepped_is_known_to_schedulers() -> None:
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
    tn.compile(training(model, optimizer), fullgraph=True)(X[0], Y[0])
    scheduler.step()  # warns where the optimizer has not


QUESTIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "if": (lambda x: x * 2 if x.sum() > 0 else x, "the value of a tensor is asked for"),
    "item": (lambda x: x * x.sum().item(), "the value of a tensor is asked for"),
    "float": (lambda x: float(x.mean()), "the value of a tensor is asked for"),
    "tolist": (lambda x: tn.tensor((x * 2).tolist()), "the values of a tensor are|is asked for"),
    "mask": (lambda x: x[x > 0].sum(), "the shape of what a mask selects is asked for"),
    "numpy": (lambda x: tn.from_numpy(np.asarray((x + 1).cpu().array)), "values of a tensor"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(name: str) -> None:
    function, message = QUESTIONS[name]
    with pytest.raises(Question, match=message) as error:
        tn.compile(function, fullgraph=True)(X[0])
    assert f"{__file__}:{function.__code__.co_firstlineno}" in str(error.value)
    step = tn.compile(function)
    with pytest.warns(UserWarning, match=f"runs as it is, not compiled: .*{message}"):
        result = step(X[0])
    expected = function(X[0])
    assert result == expected if isinstance(expected, float) else (
        result.tolist() == expected.tolist())
    step(X[1])  # one warning for each kind
    assert "ran 2 times as it is" in repr(step)


count = 0


def counting(x: Any) -> Any:
    global count
    count += 1
    return x * count


def test_what_the_step_itself_changes() -> None:
    step = tn.compile(counting)
    with pytest.warns(UserWarning, match="the step changes count"):
        results = [step(X[0]) for _ in range(3)]
    for i, result in enumerate(results):
        assert_close(result, X[0] * (i + 1))

    kept: list[Any] = []

    def keeping(x: Any) -> Any:
        kept.append(x * 2)
        return x

    with pytest.warns(UserWarning, match=r"the step changes kept\[0\]"):
        tn.compile(keeping)(X[0])
    assert_close(kept[0], X[0] * 2)


def test_a_scheduler_inside_is_noticed() -> None:
    _, (model, optimizer, _) = both(mlp, sgd)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    plain = training(model, optimizer)

    def step(x: Any, y: Any) -> Any:
        loss = plain(x, y)
        scheduler.step()
        return loss

    step = tn.compile(step)
    step(X[0], Y[0])  # state is made
    with pytest.warns(UserWarning, match="the step changes"):
        step(X[1], Y[1])
    assert optimizer.param_groups[0]["lr"] == 0.0125


def test_other_generators_are_noticed() -> None:
    random = np.random.default_rng(0)
    step = tn.compile(lambda x: x + tn.tensor(random.standard_normal(6)).float())
    with pytest.warns(UserWarning, match="draws from a NumPy generator"):
        first, second = step(X[0]), step(X[0])
    assert first.tolist() != second.tolist()


def test_draws_are_the_eager_ones() -> None:
    generator = tn.Generator().manual_seed(3)

    def noisy(x: Any) -> Any:
        return x + tn.randn(6, generator=generator) + tn.rand_like(x) * tn.zeros(6)

    step = tn.compile(noisy, fullgraph=True)
    ends = []
    for function in (noisy, step):
        generator.manual_seed(3)
        tn.manual_seed(5)
        ends.append([function(x).tolist() for x in X[:4]])
    assert ends[0] == ends[1]


def test_an_error_in_the_middle_leaves_the_state() -> None:
    model = mlp()
    optimizer = sgd(model.parameters())

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        return model(x) + tn.ones(3)

    before = {k: v.tolist() for k, v in model.state_dict().items()}
    compiled = tn.compile(step, fullgraph=True)
    with pytest.raises(ValueError, match="shapes"):
        compiled(X[0])
    assert {k: v.tolist() for k, v in model.state_dict().items()} == before
    assert all(isinstance(p.array, np.ndarray) and p.grad is None for p in model.parameters())
    assert not optimizer.state


def test_what_is_given_must_be_tensors_of_the_cpu_without_history() -> None:
    for argument, message in ((np.ones(3), "pass tn.from_numpy"),
                              (tn.ones(3, requires_grad=True) * 2, "history"),
                              (tn.ones(3, device="strict"), "another device")):
        with pytest.raises(RuntimeError, match=message):
            tn.compile(lambda x: tn.as_tensor(x) * 2, fullgraph=True)(argument)


def test_tensors_that_the_search_does_not_find() -> None:
    class Hidden:
        __slots__ = ("weight",)

    hidden = Hidden()
    hidden.weight = tn.ones(6)
    step = tn.compile(lambda x: x * hidden.weight, fullgraph=True)
    step(X[0])
    hidden.weight.mul_(2)
    assert_close(step(X[0]), X[0] * 2)


def test_check() -> None:
    eager, compiled = both(mlp, sgd)
    step = tn.compile(compiled[2].function, fullgraph=True, check=2)
    assert_same(eager, (*compiled[:2], step), zip(X, Y, strict=True))

    hidden = [1.0]
    read = hidden.__getitem__
    wrong = tn.compile(lambda x: x * read(0), check=2)
    wrong(X[0])
    hidden[0] = 2.0
    with pytest.raises(RuntimeError, match=r"<lambda>: the result of shape \(8, 6\) is .* from"):
        wrong(X[0])


def test_decorator_and_copies() -> None:
    @tn.compile(fullgraph=True)
    def double(x: Any) -> Any:
        """Twice."""
        return x * 2

    assert double.__doc__ == "Twice."
    double(X[0])
    assert double.program()
    other = copy.deepcopy(double)
    assert_close(other(X[0]), X[0] * 2)
    step = tn.compile(counted, fullgraph=True)
    assert_close(pickle.loads(pickle.dumps(step))(X[0]), X[0] + 1)


def counted(x: Any) -> Any:
    return x + 1


def test_plain_arrays_on_the_way() -> None:
    """NumPy's own are data that stays; what is written into one is a line too."""
    def centred(x: Any) -> Any:
        mean = np.zeros(6, np.float32)
        mean += x.mean(axis=0)
        return np.ones(6, np.float32) * np.exp(x - mean)

    recording = record(centred, [X[0].numpy()])
    for x in (x.numpy() for x in X[:3]):
        (result,) = Plain(recording).run([x], []) or []
        np.testing.assert_array_equal(result, centred(x))


def test_its_own_name_is_not_reached() -> None:
    """``o.step()`` names an attribute, where a global of that name is the compiled step."""
    scope: dict[str, Any] = {"tn": tn, "model": mlp()}
    scope["o"] = sgd(scope["model"].parameters())
    exec("""
@tn.compile(fullgraph=True)
def step(x, y):
    o.zero_grad()
    loss = tn.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    o.step()
    return step.__name__, loss
""", scope)
    for x, y in zip(X, Y, strict=True):
        assert scope["step"](x, y)[0] == "step"
    assert "ran 11 times" in repr(scope["step"])


def test_steps_within_steps() -> None:
    inner = tn.compile(counted, fullgraph=True)
    outer = tn.compile(lambda x: inner(x) * 2, fullgraph=True)
    assert_close(outer(X[0]), (X[0] + 1) * 2)
    assert_close(outer(X[1]), (X[1] + 1) * 2)


def test_threads() -> None:
    """Each its own step, and all the same one."""
    shared = tn.compile(lambda x: (x * x).sum(1), fullgraph=True)
    results: dict[int, Any] = {}

    def work(i: int) -> None:
        eager, compiled = both(mlp, sgd)
        assert_same(eager, compiled, zip(X, Y, strict=True))
        results[i] = [shared(x) for x in X]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        for x, result in zip(X, results[i], strict=True):
            assert_close(result, (x * x).sum(1))


def test_versions() -> None:
    model = mlp()
    step = tn.compile(training(model, sgd(model.parameters())), fullgraph=True)
    for i in range(3):
        step(X[i], Y[i])
    loss = model(X[0]).sum()
    step(X[3], Y[3])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_tensor_left_behind() -> None:
    class Keeper:
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keeper = Keeper()
        names = {"k": keeper}.__getitem__
        step = tn.compile(lambda x: setattr(names("k"), "y", x * 2))
        step(X[0])
    with pytest.raises(RuntimeError, match="used after the step had been recorded"):
        keeper.y + 1


def test_memory_stays() -> None:
    import tracemalloc

    model = mlp()
    step = tn.compile(training(model, sgd(model.parameters())), fullgraph=True)
    for i in range(20):
        step(X[i % 12], Y[i % 12])
    tracemalloc.start()
    for i in range(20):
        step(X[i % 12], Y[i % 12])
    before = tracemalloc.get_traced_memory()[0]
    for i in range(1000):
        step(X[i % 12], Y[i % 12])
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 5000


def test_what_can_never_be_recorded_is_tried_a_few_times():
    counts = []

    class Counting:
        seen = 0

    counting = Counting()

    def step(x):
        counting.seen += 1  # another key at each call
        counts.append(1)
        return tn.ones(2) if (x.sum() > 0).item() else x

    compiled = tn.compile(step)
    with pytest.warns(UserWarning, match="not compiled"):
        [compiled(tn.ones(3)) for _ in range(20)]
    assert len(counts) < 40


@pytest.mark.parametrize("change", [
    lambda x: x.copy_(x.flip(0)), lambda x: x.copy_(x.flip(0) * x.sum(2, keepdim=True)),
    lambda x: x.copy_(x.transpose(0, 1) * x)])
def test_a_tensor_that_is_written_from_its_own_other_values(change: Callable[[Any], Any]) -> None:
    x = tn.randn(5, 5, 2)
    expected = x.clone()

    @tn.compile(fullgraph=True)
    def step() -> None:
        with tn.no_grad():
            change(x)

    for _ in range(3):
        step()
        change(expected)
        np.testing.assert_allclose(x.numpy(), expected.numpy(), rtol=1e-6)

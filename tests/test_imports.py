"""Imports run one way, and `import tinygrad_norm` needs NumPy alone."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tinygrad_norm

ROOT = Path(tinygrad_norm.__file__).parent
NAME = "tinygrad_norm"
FILES = sorted(ROOT.rglob("*.py"))

ENGINE = {"autograd", "backend", "errors", "absent", "kinds", "public"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "absent": set(),
    "commandline": set(),
    "kinds": {"errors"},
    "public": {"absent", "kinds"},
    "backend": {"errors", "public"},
    "compiler": {"backend", "errors", "kinds"},
    "autograd": {"backend", "errors", "public"},
    "ops": ENGINE,
    "tensors": {"ops", *ENGINE},
    "nn": {"tensors", "ops", *ENGINE},
    "optim": {"tensors", "nn", *ENGINE},
    "compiled": {"compiler", "optim", "nn", "tensors", *ENGINE},
    "data": {"tensors", "nn", *ENGINE},
    "viz": {"commandline", "compiled", "compiler", "tensors", "nn", *ENGINE},
    "study": {"viz", "checkpoint", "commandline", "tensors", "nn", "ops", *ENGINE},
    "checkpoint": {"foreign", "tensors", "backend", "errors"},
    "foreign": {"tensors", "errors"},
    "cuda": {"backend", "errors", "public"},
    "functions": {"kinds", "tensors"},
}
"""What each package or file at the top may import; those not named may import all of it.

Three rings: up to nn, optim, data and checkpoint; then viz and study; then proof, which nobody
imports.
"""
LATE = {"study/__init__.py": "proof"}
"""Names that have moved out of a part, and are still looked up through it when they are asked for.
"""

ANYWHERE = {"numpy", *sys.stdlib_module_names}


class Import:
    """One imported module, with where it stands."""

    def __init__(self, path: Path, line: int, module: str, late: bool) -> None:
        self.path, self.line, self.module, self.late = path, line, module, late

    @property
    def own(self) -> bool:
        return self.module.split(".")[0] == NAME

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT.parent)}:{self.line} imports {self.module}"


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file but those for type checkers; ``late`` within functions."""
    package = (NAME, *path.relative_to(ROOT).parts[:-1])

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, late)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == NAME or (node.level and not node.module):
                for alias in node.names:
                    yield Import(path, node.lineno, f"{module}.{alias.name}", late)
            else:
                yield Import(path, node.lineno, module, late)
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, late)

    yield from visit(ast.parse(path.read_text()), False)


def part(module: str) -> str:
    """The package or file at the top that a module of ours belongs to."""
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).with_suffix("").parts[0]
    name = path.relative_to(ROOT).as_posix()
    allowed = MAY_IMPORT.get(own)
    wrong = []
    for one in imports(path):
        if one.own:
            to = part(one.module)
            if allowed is None or (one.late and LATE.get(name) == to):
                continue
            if to not in {own, *allowed}:
                wrong.append(str(one))
            if one.late and to != own:
                wrong.append(f"{one} late: a hidden cycle")
        elif one.module.split(".")[0] not in ANYWHERE and not one.late:
            wrong.append(f"{one} at its top: optional modules are imported inside functions")
    assert not wrong, "\n".join(wrong)


def test_the_backend_is_all_that_the_engine_knows() -> None:
    """autograd imports of the backend only its arrays and sums, and names no operation.

    What undoes broadcasting is a sum; how sums are added is said in ``backend.sums`` alone.
    """
    allowed = {f"{NAME}.backend.{name}" for name in ("array", "sums")}
    for path in (ROOT / "autograd").glob("*.py"):
        for one in imports(path):
            if one.own and part(one.module) == "backend":
                assert one.module in allowed, str(one)


NUMPY_ASKED = {"backend/choose.py", "backend/array.py", "compiler/eager.py"}
"""Where it may be asked whether an array is NumPy's: the two seams, what knows the devices, and
what makes loops for NumPy's arrays."""


def asks_for_numpy(node: ast.AST) -> bool:
    """``type(x) is np.ndarray``, ``module is np``, ``module.__name__ == "cupy"``,
    ``isinstance(x, np.ndarray)``, ``hasattr(ufunc, "at")``."""
    if isinstance(node, ast.Compare):
        names = [ast.unparse(one) for one in (node.left, *node.comparators)]
        return bool({"np", "numpy", "'numpy'", "'cupy'"} & set(names)) or "np.ndarray" in str(names)
    if not isinstance(node, ast.Call) or len(node.args) != 2:
        return False
    called, second = ast.unparse(node.func), ast.unparse(node.args[1])
    return (called in {"isinstance", "issubclass"} and "np.ndarray" in second) or (
        called == "hasattr" and second == "'at'")


@pytest.mark.parametrize("question", [
    "type(x) is np.ndarray", "kind in (np.ndarray, float)", "module is not np",
    "module.__name__ == 'cupy'", "isinstance(x, np.ndarray | np.generic)", "hasattr(add, 'at')"])
def test_a_question_is_seen(question: str) -> None:
    assert any(map(asks_for_numpy, ast.walk(ast.parse(question))))


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_numpy_is_asked_for_at_the_seams(path: Path) -> None:
    """Which implementation computes is asked through ``kernel``, whether a value may be looked at
    through ``expect``; a test for memory of this computer says so, on its line or above it."""
    name = path.relative_to(ROOT).as_posix()
    if name in NUMPY_ASKED:
        return
    lines = path.read_text().splitlines()
    wrong = [f"{name}:{node.lineno} {lines[node.lineno - 1].strip()}"
             for node in ast.walk(ast.parse(path.read_text())) if asks_for_numpy(node)
             if not any("# host memory: " in line for line in lines[node.lineno - 2:node.lineno])]
    assert not wrong, "\n".join(wrong)


INNER = {"plan", "saved", "cells", "sources", "pull"}
"""Of a node and its operation: how the engine keeps what a rule needs, and runs it."""


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_only_the_engine_knows_how_a_node_keeps_its_values(path: Path) -> None:
    """Whoever looks on has ``node.kept()`` and an Observer; own attributes may be called so."""
    if path.parent == ROOT / "autograd" or not any(
            one.own and part(one.module) == "autograd" for one in imports(path)):
        return
    read = [node for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and node.attr in INNER
            and not (isinstance(node.value, ast.Name) and node.value.id == "self")]
    assert not read, ", ".join(f"line {node.lineno}: {ast.unparse(node)}" for node in read)


def test_no_file_is_a_drawer() -> None:
    for path in FILES:
        assert path.stem not in {"utils", "helpers", "common", "misc"}, path
        if path.parent.name == "utils":
            assert path.parent == ROOT / "nn" / "utils", "nn.utils is PyTorch's name"


def test_files_stay_short() -> None:
    long = {str(p.relative_to(ROOT)): n for p in FILES
            if (n := len(p.read_text().splitlines())) > 320}
    assert not long


def run(code: str) -> str:
    """The output of a fresh interpreter; warnings are errors there too."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                          text=True, check=False, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_needs_numpy_alone() -> None:
    loaded = set(run(
        "import sys; before = set(sys.modules); import tinygrad_norm; "
        "print(*{m.split('.')[0] for m in set(sys.modules) - before})").split())
    strangers = {m for m in loaded - ANYWHERE - {NAME, "__main__"} if not m.startswith("_")}
    assert not strangers


def test_import_works_where_all_else_is_missing() -> None:
    """With the optional modules out of reach, everything that needs none of them runs."""
    run("""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"cupy", "cupyx", "sklearn", "matplotlib", "tqdm", "graphviz",
                                  "pygraphviz", "safetensors", "llvmlite", "scipy", "torch"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import tinygrad_norm as tn
x = tn.rand(4, 3, requires_grad=True)
(tn.nn.Linear(3, 2)(x).relu().erf() ** 2).mean().backward()
assert not tn.cuda.is_available()
try:
    tn.ones(2).cuda()
except RuntimeError as error:
    assert "pip install 'tinygrad_norm[cuda12]'" in str(error)
""")


def test_public_names() -> None:
    """What the issue lists is there, and no module is public by accident."""
    for name in (  # noqa: SIM905
                 "Tensor tensor zeros ones full eye arange linspace zeros_like ones_like full_like "
                 "rand randn randint randperm from_numpy from_dlpack stack cat where einsum "
                 "manual_seed float16 float32 float64 int32 int64 bool no_grad enable_grad "
                 "set_grad_enabled is_grad_enabled autograd nn optim save load cuda viz data "
                 "add sub mul div pow neg abs exp log log1p expm1 sqrt rsqrt square reciprocal sin "
                 "cos tanh sigmoid erf sign clamp maximum minimum sum mean var std var_mean amax "
                 "amin max min prod cumsum logsumexp softmax log_softmax argmax argmin reshape "
                 "transpose permute unsqueeze squeeze flatten broadcast_to flip matmul mm bmm"
                 ).split():
        assert hasattr(tinygrad_norm, name), name
    for name in ("np", "annotations", "Any"):
        assert not hasattr(tinygrad_norm, name), name


def public_modules() -> Iterator[ModuleType]:
    """The package, and every module that a public one shows."""
    found = [tinygrad_norm]
    for module in found:
        yield module
        found += [shown for name in dir(module)
                  if inspect.ismodule(shown := getattr(module, name)) and shown not in found]


def test_dir_shows_public_names_only() -> None:
    """And each of them is there, is ours, and is no module's own tool."""
    modules = list(public_modules())
    assert len(modules) >= 18, modules
    for module in modules:
        assert dir(module) == sorted(module.__all__), module
        for name in dir(module):
            owner = getattr(getattr(module, name), "__module__", NAME)
            assert (owner or NAME).startswith(NAME), f"{module.__name__}.{name} is of {owner}"

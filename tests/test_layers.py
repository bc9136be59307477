"""Layers point one way, torch stays behind the door, files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {  # what a module of this folder must not import
    "nas": {"search_spaces", "strategies", "tests", "benchmarks"},
    "search_spaces": {"strategies", "tests", "benchmarks"},
    "strategies": {"search_spaces", "tests", "benchmarks"},
}
MODULES = sorted(path.relative_to(ROOT) for folder in FORBIDDEN for path in (ROOT / folder).rglob("*.py"))
LONGEST = 320  # lines


def imports(path: Path) -> set[str]:
    """The top-level packages that a module imports, anywhere in it; its own for a relative import."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0] if not node.level else path.parts[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_imports_what_lies_above_it(path: Path) -> None:
    upward = imports(path) & FORBIDDEN[path.parts[0]]
    assert not upward, f"{path} imports {upward}; a name in a string, found through nas.plugins, is the door"


def test_the_modules_are_found() -> None:
    assert {str(path) for path in MODULES} >= {"nas/ops/op.py", "search_spaces/mlp.py", "strategies/random.py"}
    assert "nas" in imports(Path("strategies/random.py"))
    assert "strategies" in imports(Path("strategies/reinforce.py"))


@pytest.mark.parametrize(
    "work",
    [
        "import nas.space, nas.budget, search_spaces.mlp",
        "import nas.plugins; nas.plugins.names('strategies')",
        "from search_spaces.mlp import MLP; from nas.budget import Budget; MLP((868,), 11, Budget(20_000)).check()",
        "from search_spaces.mlp import MLP; from strategies.predictor import Predictor; Predictor(MLP((8,), 3))",
    ],
)
def test_describing_and_counting_networks_needs_no_torch(work: str) -> None:
    assert imported(work, "torch") == ""


def test_a_search_begins_without_what_it_needs_later_if_at_all() -> None:
    """Each of these takes as long to import as all else that a search does before its workers have started."""
    work = "import nas.cli; from nas.data.digits import Digits; Digits().load(0)"
    work += "; from search_spaces.mlp import MLP; from strategies.predictor import Predictor; Predictor(MLP((8,), 3))"
    slow = ("torch", "networkx", "scipy.special", "scipy.linalg", "sklearn", "matplotlib", "pandas")
    assert imported(work, *slow) == ""


def imported(work: str, *names: str) -> str:
    """Which of these modules a new interpreter has imported after some work."""
    script = f"{work}\nimport sys; print(*(name for name in {names} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_file_is_short_and_named_for_what_it_is(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= LONGEST
    assert path.name not in ("utils.py", "helpers.py", "common.py", "misc.py")
    assert ast.get_docstring(ast.parse((ROOT / path).read_text())), f"{path} does not say what it is"

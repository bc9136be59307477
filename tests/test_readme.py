"""The README is code: what it shows is run, what it names exists."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import pytest

import nas
from nas.cli import search as command
from search_spaces.mlp import MLP

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_door_of_the_readme_leaves_a_network_behind(here: Path) -> None:
    door = next(block for block in BLOCKS if "load_wine" in block)
    exec(compile(door, "README", "exec"), {})
    assert {p.name for p in (here / "my_network").iterdir()} == {
        "model.py",
        "weights.safetensors",
        "config.json",
        "predict.py",
    }


def test_the_mlp_space_stands_in_the_readme_as_it_is_in_the_code() -> None:
    shown = next(block for block in BLOCKS if block.startswith("def describe"))
    assert shown.strip() == textwrap.dedent(inspect.getsource(MLP.describe)).strip()


def test_the_three_snippets_add_a_space_a_strategy_and_a_kind_of_data(here: Path) -> None:
    names: dict[str, type] = {}
    for block in (b for b in BLOCKS if "class " in b):
        exec(compile(block, "README", "exec"), names)
    result = nas.search(
        space=names["Bottleneck"],
        strategy=names["HillClimb"],
        data=names["Spiral"](),
        budget="20K",
        trials=3,
        epochs=2,
        workers=0,
        out=here / "run",
    )
    assert len(result.trials) == 3
    assert result.best.params <= 20_000


def test_every_option_of_the_command_line_is_in_the_readme() -> None:
    table = "\n".join(line for line in README.splitlines() if line.startswith("| `-"))
    missing = [name for p in command.params for name in p.opts[:1] if name not in table and name != "--help"]
    assert not missing


def test_the_two_setup_lines_are_in_the_readme() -> None:
    assert "pip install -e . && python -m nas.search --space mlp --budget 20M\n" in README
    assert 'pip install -e ".[dev]" && pytest\n' in README


def test_every_link_and_every_file_named_in_the_readme_exists() -> None:
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    files = re.findall(r"`((?:nas|search_spaces|strategies|benchmarks)/[\w/.]*)`", README)
    assert links
    assert files
    assert not [name for name in links + files if not (ROOT / name).exists()]

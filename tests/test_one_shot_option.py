"""The option `--one-shot`: how it is read, and what it cannot be had with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_one_shot import blobs, search

from nas.cli import main
from nas.dataset import Arrays
from nas.options import Options
from nas.provenance import identity

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"final_epochs": 0}, "leave it out, or --final-epochs 0"),
    ({"folds": 3}, "--folds 3"),
    ({"strategy": "asha"}, "strategy asha decides for how long"),
    ({"strategy": "hyperband"}, "strategy hyperband decides for how long"),
    ({"strategy": "coarse_to_fine"}, "decides for how long"),
    ({"fix": "lr=1e-3|1e-2"}, "must be one value"),
    ({"fix": "optimizer=sam"}, "optimizer=sam"),
    ({"fix": "schedule=plateau"}, "schedule=plateau"),
    ({"only": "width,lr"}, "leave lr out of --only"),
    ({"one_shot": "round=3"}, "did you mean 'rounds'"),
    ({"one_shot": "rounds=0"}, "rounds must be a whole number"),
    ({"one_shot": "rounds=1,rounds=2"}, "gives rounds twice; leave one out"),
    ({"one_shot": 3}, "got 3"),
    ({"one_shot": "rounds=100,epochs=3"}, r"epochs 3 must be as many as the rounds \(100\)"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=str)
def test_what_means_nothing_with_shared_weights_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        search(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_trained_are_a_mistake_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give a lower --fix lr"):
        search(tmp_path / "run", fix={"lr": 1e30})


def test_without_it_a_search_is_named_as_ever(tmp_path: Path) -> None:
    dataset = Arrays(*blobs()).load(0)
    assert "one_shot" not in identity(Options.of({"budget": "5K", "one_shot": False}), dataset)
    assert identity(Options.of({"budget": "5K", "one_shot": True}), dataset)["one_shot"] == {"rounds": 1, "epochs": 0}


def test_the_option_is_read_as_words_a_mapping_or_a_switch() -> None:
    for given in ("rounds=3,epochs=9", {"rounds": 3, "epochs": 9}):
        assert Options.of({"budget": "5K", "one_shot": given}).one_shot == {"rounds": 3, "epochs": 9}
    for given in (True, "", {}):
        assert Options.of({"budget": "5K", "one_shot": given}).one_shot == {"rounds": 1, "epochs": 0}


@pytest.mark.parametrize("words", [["--one-shot"], ["--one-shot", "rounds=2"]], ids=" ".join)
def test_the_command_line_says_how_long_it_takes(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    space = ["--space", "mlp:max_depth=2,max_width=16", "--budget", "3K", "--workers", "0"]
    assert main([*space, *words, "--dry-run"]) == 0
    assert "300 trials and the training of the shared weights" in capsys.readouterr().out

"""The best network as files of its own: readable source that imports torch alone, weights, facts, and a predictor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.dataset import Dataset
from nas.normalise import affine
from nas.plan import plan
from nas.source import source
from nas.templates import HEADER, LOAD, predict_source
from nas.trial import Trial


def model_source(architecture: Architecture, facts: Mapping[str, Any], module: str = "model") -> str:
    """model.py: a class, what is known of it, and `load()`. `facts` are those of config.json; any may be missing."""
    shape = ", ".join(map(str, ("batch", *architecture.input_shape)))
    lines = [f"{architecture}: a network found by nas.", *_sentences(architecture, facts)]
    title, *rest = (" ".join(line.split()).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    words = {"title": title, "facts": "\n".join(rest), "module": module}
    header = HEADER.format(**words, input=f"({shape})", params=f"{architecture.num_params:_}")
    return header + source(plan(architecture), f"({shape}) -> (batch, {architecture.shapes[-1][0]}) logits.") + LOAD


def _sentences(architecture: Architecture, facts: Mapping[str, Any]) -> list[str]:
    lines = []
    if data := facts.get("data"):
        classes = f"{architecture.shapes[-1][0]} classes"
        lines.append(f"Data: {data['name']} ({data['training_samples']:,} training samples, {classes}).")
    accuracies = (("validation", facts.get("validation_accuracy")), ("test", facts.get("test_accuracy")))
    found = [f"{part} accuracy {value:.4f}" for part, value in accuracies if value is not None]
    found += [f"trial {facts['trial']}"] if "trial" in facts else []
    lines += [f"Found: {', '.join(found)}."] if found else []
    size, budget = f"{architecture.num_params:,} parameters", facts.get("parameter_budget")
    share = f", {architecture.num_params / budget:.1%} of the parameter budget of {budget:,}" if budget else ""
    return [*lines, f"Size: {size}{share}."]


def write_folder(trial: Trial, weights: Path, dataset: Dataset, folder: Path, budget: int, test: float | None) -> None:
    """Write model.py, weights.safetensors, config.json and predict.py into `folder`, each whole or not at all."""
    architecture = trial.candidate.architecture
    offset, scale = (array.tolist() for array in affine(dataset))
    config: dict[str, Any] = {
        "input_shape": list(architecture.input_shape),
        "classes": list(dataset.classes),
        "parameters": trial.params,
        "parameter_budget": budget,
        "validation_accuracy": trial.value,
        "test_accuracy": test,
        "data": {"name": dataset.name, "training_samples": len(dataset.train)},
        "normalisation": {"kind": dataset.normalise, "offset": offset, "scale": scale},
        "recipe": trial.candidate.recipe.to_json(),
        "architecture": architecture.to_json(),
        "trial": trial.number,
    }
    with whole(folder) as partial:
        (partial / "model.py").write_text(model_source(architecture, config), encoding="utf-8")
        (partial / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (partial / "predict.py").write_text(predict_source(dataset), encoding="utf-8")
        shutil.copyfile(weights, partial / "weights.safetensors")


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to write files in, which then stand in `folder`; whatever else lies there stays."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    folder.mkdir(exist_ok=True)
    for file in sorted(partial.iterdir(), key=lambda file: file.suffix == ".py"):  # what reads the others comes last
        file.replace(folder / file.name)
    partial.rmdir()

"""The best network as files of its own: readable source that imports torch alone, weights, facts, and a predictor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from nas.dataset import Dataset
from nas.normalise import affine
from nas.plan import plan
from nas.source import source
from nas.templates import HEADER, LOAD, predict_source
from nas.trial import Trial


def model_source(trial: Trial, title: str, facts: list[str]) -> str:
    """model.py: a class, what is known of it, and `load()`."""
    architecture = trial.candidate.architecture
    shape = ", ".join(map(str, ("batch", *architecture.input_shape)))
    title, *facts = (" ".join(line.split()).replace("\\", "\\\\").replace('"', '\\"') for line in (title, *facts))
    header = HEADER.format(title=title, facts="\n".join(facts), input=f"({shape})", params=f"{trial.params:_}")
    return header + source(plan(architecture), f"({shape}) -> (batch, {architecture.shapes[-1][0]}) logits.") + LOAD


def export(trial: Trial, weights: Path, dataset: Dataset, folder: Path, budget: int, test: float | None) -> None:
    """Write model.py, weights.safetensors, config.json and predict.py into `folder`, each whole or not at all."""
    accuracy = f"validation accuracy {trial.value:.4f}" + ("" if test is None else f", test accuracy {test:.4f}")
    facts = [
        f"Data: {dataset.name} ({len(dataset.train):,} training samples, {len(dataset.classes)} classes).",
        f"Found: {accuracy}, trial {trial.number}.",
        f"Size: {trial.params:,} parameters, {trial.params / budget:.1%} of the parameter budget of {budget:,}.",
    ]
    offset, scale = (array.tolist() for array in affine(dataset))
    config: dict[str, Any] = {
        "input_shape": list(trial.candidate.architecture.input_shape),
        "classes": list(dataset.classes),
        "parameters": trial.params,
        "parameter_budget": budget,
        "validation_accuracy": trial.value,
        "test_accuracy": test,
        "normalisation": {"kind": dataset.normalise, "offset": offset, "scale": scale},
        "recipe": trial.candidate.recipe.to_json(),
        "architecture": trial.candidate.architecture.to_json(),
        "trial": trial.number,
    }
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    title = f"{trial.candidate.architecture}: a network found by nas."
    (partial / "model.py").write_text(model_source(trial, title, facts), encoding="utf-8")
    (partial / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (partial / "predict.py").write_text(predict_source(dataset), encoding="utf-8")
    shutil.copyfile(weights, partial / "weights.safetensors")
    folder.mkdir(exist_ok=True)
    for name in ("weights.safetensors", "config.json", "predict.py", "model.py"):  # whatever else lies there stays
        (partial / name).replace(folder / name)
    partial.rmdir()

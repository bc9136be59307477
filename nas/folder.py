"""The best network as files of its own: readable source that imports torch alone, weights, facts, and a predictor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.dataset import Dataset
from nas.normalise import affine
from nas.objectives import spent
from nas.plan import plan
from nas.selection import Finalist
from nas.source import source
from nas.templates import HEADER, LOAD, predict_source, sample_file
from nas.trial import Trial


def model_source(architecture: Architecture, facts: Mapping[str, Any], module: str = "model") -> str:
    """model.py: a class, what is known of it, and `load()`. `facts` are those of config.json; any may be missing."""
    shape = ", ".join(map(str, ("batch", *architecture.input_shape)))
    lines = [f"{architecture}: a network found by nas.", *_sentences(architecture, facts)]
    return (
        header(lines, module, f"({shape})", architecture.num_params)
        + source(plan(architecture), f"({shape}) -> (batch, {architecture.shapes[-1][0]}) logits.")
        + LOAD
    )


def header(lines: Sequence[str], module: str, shape: str, params: int) -> str:
    """The beginning of a module; what `lines` say, a user's path among it, cannot end the docstring they stand in."""
    title, *rest = (" ".join(line.split()).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return HEADER.format(title=title, facts="\n".join(rest), module=module, input=shape, params=f"{params:_}")


def _sentences(architecture: Architecture, facts: Mapping[str, Any]) -> list[str]:
    lines = []
    if data := facts.get("data"):
        classes = f"{architecture.shapes[-1][0]} classes"
        lines.append(f"Data: {data['name']} ({data['training_samples']:,} training samples, {classes}).")
    mean, seeds = facts.get("validation_accuracy_mean"), facts.get("seeds", 1)
    words = "" if mean is None or seeds < 2 else f" (the mean of {seeds} seeds is {mean:.4f})"
    accuracies = (("validation", facts.get("validation_accuracy"), words), ("test", facts.get("test_accuracy"), ""))
    found = [f"{part} accuracy {value:.4f}{more}" for part, value, more in accuracies if value is not None]
    found += [f"trial {facts['trial']}"] if "trial" in facts else []
    lines += [f"Found: {', '.join(found)}."] if found else []
    size, budget = f"{architecture.num_params:,} parameters", facts.get("parameter_budget")
    share = f", {architecture.num_params / budget:.1%} of the parameter budget of {budget:,}" if budget else ""
    return [*lines, f"Size: {size}{share}."]


@dataclass(frozen=True)
class Facts:
    """What is known of a network that is handed over, beside the network itself."""

    budget: int
    test: float | None = None
    finalist: Finalist | None = None  # its final trainings, where it had any


def write_folder(trial: Trial, weights: Path, dataset: Dataset, folder: Path, facts: Facts) -> None:
    """Write model.py, weights.safetensors, config.json and predict.py into `folder`, each whole or not at all."""
    architecture = trial.candidate.architecture
    offset, scale = (array.tolist() for array in affine(dataset))
    config: dict[str, Any] = {
        "input_shape": list(architecture.input_shape),
        "classes": list(dataset.classes),
        "parameters": trial.params,
        "parameter_budget": facts.budget,
        **({"costs": costs} if (costs := spent(trial.metrics)) else {}),
        "validation_accuracy": trial.value,
        **({} if facts.finalist is None else _means(facts.finalist)),
        "test_accuracy": facts.test,
        "data": {"name": dataset.name, "training_samples": len(dataset.train)},
        "normalisation": {"kind": dataset.normalise, "offset": offset, "scale": scale},
        "file": sample_file(dataset),
        **({} if dataset.reading is None else {"reading": dict(dataset.reading.facts)}),
        "recipe": trial.candidate.recipe.to_json(),
        "architecture": architecture.to_json(),
        "trial": trial.number,
    }
    with whole(folder) as partial:
        (partial / "model.py").write_text(model_source(architecture, config), encoding="utf-8")
        (partial / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (partial / "predict.py").write_text(predict_source(dataset), encoding="utf-8")
        shutil.copyfile(weights, partial / "weights.safetensors")


def _means(finalist: Finalist) -> dict[str, Any]:
    """Of all seeds of the network; these weights are those of the best one."""
    return {"validation_accuracy_mean": finalist.mean, "seeds": len(finalist.trials)}


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

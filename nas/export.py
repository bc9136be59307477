"""The best network as files of its own: readable source that imports torch alone, weights, facts, and a predictor."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import chain, count
from pathlib import Path
from typing import Any

from nas.dataset import Dataset
from nas.ops import OPS, Join
from nas.plan import Block, Plan, plan
from nas.trial import Trial

HEADER = '''"""{title}

{facts}

    from model import load
    network = load()                 # reads weights.safetensors beside this file
    logits = network(x)              # x: {input}, normalised as in predict.py
"""

import json
from pathlib import Path

import torch
from torch import nn

PARAMETERS = {params}


'''

LOAD = '''

def load(path=Path(__file__).with_name("weights.safetensors")):
    """The trained network, in evaluation mode; checks its number of parameters."""
    data = Path(path).read_bytes()  # safetensors: length of the header, header in JSON, tensors
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in entry["data_offsets"])
            dtype = {"F32": torch.float32, "I64": torch.int64}[entry["dtype"]]
            flat = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype)
            tensors[name] = flat.reshape(entry["shape"])
    network = Network()
    network.load_state_dict(tensors)
    params = sum(p.numel() for p in network.parameters())
    if params != PARAMETERS:
        raise ValueError(f"expected {PARAMETERS:,} parameters, got {params:,}")
    return network.eval()
'''

PREDICT = '''"""Classify samples with the trained network: `python predict.py samples.npy` prints one class a line.

samples.npy holds an array of shape (n, {shape}), as it was before normalisation.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from model import load

CONFIG = json.loads(Path(__file__).with_name("config.json").read_text(encoding="utf-8"))
MEAN, STD = (torch.tensor(CONFIG["normalisation"][key]) for key in ("mean", "std"))


def predict(samples):
    """Class names of samples, an array (n, {shape})."""
    x = torch.as_tensor(np.asarray(samples), dtype=torch.float32)
    if list(x.shape[1:]) != CONFIG["input_shape"]:
        raise ValueError(f"samples must have shape (n, {shape}), got {{tuple(x.shape)}}")
    if not torch.isfinite(x).all():
        raise ValueError("samples must be finite numbers; some are NaN or infinite")
    with torch.inference_mode():
        scores = load()((x - MEAN) / STD)
    return [CONFIG["classes"][i] for i in scores.argmax(1).tolist()]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python predict.py samples.npy")
    try:
        for name in predict(np.load(sys.argv[1])):
            print(name)
    except (OSError, TypeError, ValueError) as error:
        sys.exit(f"error: {{error}}")
'''


def source(drawn: Plan, doc: str = "") -> str:
    """The class `Network` as a person would write it."""
    init: list[str] = []
    for block in drawn.blocks():
        calls = drawn.calls(block)
        if len(calls) == 1:
            init.append(f"        self.{block.name} = {calls[0]}")
        else:
            layers = "".join(f"            {call},\n" for call in calls)
            init.append(f"        self.{block.name} = nn.Sequential(\n{layers}        )")
    lines = ["class Network(nn.Module):"]
    lines += [f'    """{doc}"""', ""] if doc else []
    lines += ["    def __init__(self):", "        super().__init__()", *init, "", "    def forward(self, x):"]
    return "\n".join([*lines, *(f"        {line}" for line in _statements(drawn))]) + "\n"


def _statements(drawn: Plan) -> list[str]:
    """The body of `forward`: a value used once is written where it is used, any other gets a variable."""
    nodes = drawn.architecture.nodes
    left = Counter(i for step in drawn.steps for i in _inputs(step, drawn))  # uses still to come, by node
    written: dict[int, tuple[str, frozenset[str]]] = {0: ("x", frozenset("x"))}  # expression, variables it reads
    lines: list[str] = []
    for step in drawn.steps:
        inputs = _inputs(step, drawn)
        expression = _expression(step, drawn, [written[i][0] for i in inputs])
        reads = frozenset().union(*(written[i][1] for i in inputs))
        left.subtract(inputs)
        for i in inputs:
            if not left[i]:
                written.pop(i, None)
        output = step if isinstance(step, int) else step.nodes[-1]
        if output == len(nodes) - 1:
            lines.append(f"return {expression}")
        elif left[output] == 1:
            written[output] = expression, reads
        else:
            alive = frozenset().union(*(variables for _, variables in written.values()))
            name = next(name for name in chain("xyz", (f"x{n}" for n in count(1))) if name not in alive)
            written[output] = name, frozenset((name,))
            lines.append(f"{name} = {expression}")
    return lines


def _inputs(step: Block | int, drawn: Plan) -> tuple[int, ...]:
    return (step.start,) if isinstance(step, Block) else drawn.architecture.nodes[step].inputs


def _expression(step: Block | int, drawn: Plan, inputs: list[str]) -> str:
    if isinstance(step, Block):
        return f"self.{step.name}({inputs[0]})"
    join = OPS[drawn.architecture.nodes[step].op]
    assert isinstance(join, Join)
    return join.source(*inputs)


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
    mean, std = (array.tolist() for array in dataset.normalisation)
    config: dict[str, Any] = {
        "input_shape": list(dataset.input_shape),
        "classes": list(dataset.classes),
        "parameters": trial.params,
        "parameter_budget": budget,
        "validation_accuracy": trial.value,
        "test_accuracy": test,
        "normalisation": {"mean": mean, "std": std},
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
    sample = ", ".join(map(str, dataset.input_shape))
    (partial / "predict.py").write_text(PREDICT.format(shape=sample), encoding="utf-8")
    shutil.copyfile(weights, partial / "weights.safetensors")
    folder.mkdir(exist_ok=True)
    for name in ("weights.safetensors", "config.json", "predict.py", "model.py"):  # whatever else lies there stays
        (partial / name).replace(folder / name)
    partial.rmdir()

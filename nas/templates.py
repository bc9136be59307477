"""The files of an exported network that are written once: how it is loaded, and how raw samples are classified."""

from __future__ import annotations

from nas.dataset import Dataset

HEADER = '''"""{title}

{facts}

    from {module} import load
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

PREDICT = '''"""Classify {what} with the trained network: `python predict.py {file}.npy` prints one class a line.

{file}.npy holds an array of shape {shape}, {raw}.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from model import load

CONFIG = json.loads(Path(__file__).with_name("config.json").read_text(encoding="utf-8"))
OFFSET, SCALE = (torch.tensor(CONFIG["normalisation"][key]) for key in ("offset", "scale"))


def predict({file}):
    """Class names of {what}, an array {shape}."""
    {file} = np.asarray({file})
    if {file}.dtype.kind not in "fiub":
        raise ValueError(f"{file} must be numbers, got {{{file}.dtype}}")
    x = torch.as_tensor({file}, dtype=torch.float32)
    if x.ndim != {dimensions} or list(x.shape[1:]) != {features}:
        raise ValueError(f"{file} must have shape {shape}, got {{tuple(x.shape)}}")
    if not torch.isfinite(x).all():
        raise ValueError("{file} must be finite numbers; some are NaN or infinite")
{prepare}    with torch.inference_mode():
        scores = load()(x)
    return [CONFIG["classes"][i] for i in scores.argmax(1).tolist()]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python predict.py {file}.npy")
    try:
        for name in predict(np.load(sys.argv[1])):
            print(name)
    except (EOFError, OSError, TypeError, ValueError) as error:
        sys.exit(f"error: {{sys.argv[1]}}: {{error}}")
'''

CENTRE = "    x = x.double() - x.double().mean(0)  # each utterance for itself\n"
SPREAD = """    deviation = x.std(0, correction=0)
    x = x / torch.where(deviation > 1e-7, deviation, 1.0)
"""
PIXELS = "    x = x / 255\n"
AFFINE = "    x = (x.float() - OFFSET) / SCALE\n"
WINDOWS = """    context = CONFIG["input_shape"][0] // 2  # frames either side, zeros beyond the ends
    x = torch.nn.functional.pad(x, (0, 0, context, context)).unfold(0, 2 * context + 1, 1).transpose(1, 2)
"""


def predict_source(dataset: Dataset) -> str:
    """predict.py: samples, or the frames of an utterance, from raw numbers to class names."""
    kind = dataset.normalise
    prepare = CENTRE * kind.startswith("utterance") + SPREAD * (kind == "utterance") + PIXELS * dataset.pixels + AFFINE
    raw = "of bytes, 0 to 255" if dataset.pixels else "as it was before normalisation"
    if dataset.contexts:
        words = {"what": "the frames of an utterance", "file": "utterance", "features": 'CONFIG["input_shape"][1:]'}
        return PREDICT.format(
            **words, raw=raw, shape=f"(n, {dataset.input_shape[0]})", dimensions=2, prepare=prepare + WINDOWS
        )
    words = {"what": "samples", "file": "samples", "features": 'CONFIG["input_shape"]'}
    shape = ", ".join(map(str, ("n", *dataset.input_shape)))
    dimensions = len(dataset.input_shape) + 1
    return PREDICT.format(**words, raw=raw, shape=f"({shape})", dimensions=dimensions, prepare=prepare)

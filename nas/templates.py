"""The files of an exported network that are written once: how it is loaded, and how raw samples are classified."""

from __future__ import annotations

import math

from nas.dataset import Dataset
from nas.ops import Shape

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

PREDICT = '''"""Classify {what} with the trained network: `python predict.py {file}` prints one class a line.

{file} {holds}.
"""

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch

from model import load

CONFIG = json.loads(Path(__file__).with_name("config.json").read_text(encoding="utf-8"))
OFFSET, SCALE = (torch.tensor(CONFIG["normalisation"][key]) for key in ("offset", "scale"))
BATCH = 1024

network = cache(load)


def probabilities({name}):
    """Of each class, (n, {classes}): {what}, an array {shape}, {raw}."""
    {name} = np.asarray({name})
    if {name}.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be numbers, got {{{name}.dtype}}")
    x = torch.tensor({name}, dtype=torch.float32)
{reshape}    if x.ndim != {dimensions} or list(x.shape[1:]) != {features}:
        raise ValueError(f"{name} must have shape {shape}, got {{tuple(x.shape)}}")
    if not torch.isfinite(x).all():
        raise ValueError("{name} must be finite numbers; some are NaN or infinite")
{prepare}    with torch.inference_mode():
        return torch.cat([network()(batch).softmax(1) for batch in x.split(BATCH)]).numpy()


def predict({name}):
    """Class names of {what}, an array {shape}."""
    return [CONFIG["classes"][i] for i in probabilities({name}).argmax(1)]

{read}
if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit("usage: python predict.py {file} ...")
    try:
        network()
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: weights.safetensors is missing or damaged: {{error}}")
    for path in sys.argv[1:]:
        try:
            for name in predict({call}):
                print(name)
        except (EOFError, OSError, TypeError, ValueError) as error:
            sys.exit(f"error: {{path}}: {{error}}")
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


ARRAY = '''
def read(path):
    """The array in a .npy file."""
    if not path.endswith(".npy"):
        raise ValueError("give the samples as an array, in a file that ends in .npy")
    return np.load(path)
'''
RESHAPE = """    if tuple(x.shape[1:]) in {others}:  # {words}
        x = x.reshape(len(x), {shape})
"""


def sample_file(dataset: Dataset) -> str:
    """What a file that predict.py reads may be called."""
    if dataset.reading is not None:
        return dataset.reading.file
    return "utterance.npy" if dataset.contexts else "samples.npy"


def predict_source(dataset: Dataset) -> str:
    """predict.py: samples, or the frames of an utterance, from raw numbers to class names."""
    kind, shape = dataset.normalise, dataset.input_shape
    prepare = CENTRE * kind.startswith("utterance") + SPREAD * (kind == "utterance") + PIXELS * dataset.pixels + AFFINE
    raw = "of bytes, 0 to 255" if dataset.pixels else "as it was before normalisation"
    words = {"what": "samples", "name": "samples", "features": 'CONFIG["input_shape"]'}
    if dataset.contexts:
        words |= {"what": "the frames of an utterance", "name": "utterance", "features": 'CONFIG["input_shape"][1:]'}
        prepare += WINDOWS
    shown = f"({', '.join(map(str, ('n', *shape)))})"
    reading = dataset.reading
    return PREDICT.format(
        **words,
        file=sample_file(dataset),
        holds=f"holds an array of shape {shown}, {raw}" if reading is None else reading.holds,
        classes=len(dataset.classes),
        shape=shown,
        raw=raw,
        reshape="" if dataset.contexts else _reshape(shape),
        dimensions=len(shape) + 1,
        prepare=prepare,
        read=f"\n{(ARRAY if reading is None else reading.source).strip()}\n\n",
        call="read(path)" if reading is None else 'np.load(path) if path.endswith(".npy") else read(path)',
    )


def _reshape(shape: Shape) -> str:
    """What makes samples of rows of plain numbers, and of grey images without their one channel."""
    if len(shape) < 2:
        return ""
    others = [(math.prod(shape),), *([shape[1:]] if shape[0] == 1 else [])]
    words = "flat" + ", or without the one channel" * (shape[0] == 1)
    return RESHAPE.format(others=tuple(others), words=words, shape=", ".join(map(str, shape)))

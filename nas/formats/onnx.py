"""ONNX: input `x` (batch, *input_shape), output `logits` (batch, classes), batch free, metadata as in config.json."""

from __future__ import annotations

import logging
import warnings

from nas.format import Format, metadata
from nas.formats.torch_export import program
from nas.wanted import Wanted

REGISTRY = "torch.onnx._internal.exporter._registration"


class Onnx(Format):
    """One file, weights inside, for onnxruntime and others. Needs onnx and onnxscript."""

    ENDING = ".onnx"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        import onnx  # noqa: F401  # torch's own word for its absence is no ModuleNotFoundError
        import onnxscript  # noqa: F401
        import torch

        logging.getLogger(REGISTRY).setLevel(
            logging.ERROR
        )  # it warns of no torchvision, which no network of ours needs
        graph = program(wanted)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # torch's exporter on torch's own tree
            made = torch.onnx.export(graph, (), input_names=["x"], output_names=["logits"], dynamo=True, verbose=False)
        assert made is not None  # as without dynamo
        made.model.metadata_props.update(metadata(wanted))
        return bytes(made.model_proto.SerializeToString())

"""ONNX: input `x` (batch, *input_shape), output `logits` (batch, classes), batch free, metadata as in config.json."""

from __future__ import annotations

import logging
import warnings

from nas.format import Format, metadata
from nas.formats.torch_export import of_any_batch
from nas.wanted import Wanted

REGISTRY = "torch.onnx._internal.exporter._registration"  # warns of no torchvision, which no network of ours needs
MOST = 2_000_000_000  # bytes of weights: a protobuf ends at 2 GiB


class Onnx(Format):
    """One file, weights inside, for onnxruntime and others. Needs onnx and onnxscript."""

    ENDING = ".onnx"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        if 4 * wanted.architecture.num_params > MOST:
            size = f"{wanted.architecture.num_params:,} parameters"
            raise ValueError(f"an ONNX file holds at most 2 GB, too little for {size}; take --format torch_export")
        import onnx  # noqa: F401  # torch's own word for its absence is no ModuleNotFoundError
        import onnxscript  # noqa: F401
        import torch

        logging.getLogger(REGISTRY).setLevel(logging.ERROR)
        network, (example, shapes) = wanted.network(), of_any_batch(wanted)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # torch's exporter on torch's own tree
            made = torch.onnx.export(
                network, example, input_names=["x"], output_names=["logits"],
                dynamic_shapes=shapes, dynamo=True, verbose=False,
            )  # fmt: skip
        assert made is not None  # as without dynamo
        made.model.metadata_props.update(metadata(wanted))
        return bytes(made.model_proto.SerializeToString())

"""ONNX: input `x` (batch, *input_shape), output `logits` (batch, classes), batch free, metadata as in config.json."""

from __future__ import annotations

from nas.format import Format, metadata
from nas.formats.torch_export import program
from nas.wanted import Wanted


class Onnx(Format):
    """One file, weights inside, for onnxruntime and others. Needs onnx and onnxscript."""

    ENDING = ".onnx"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        import onnx  # noqa: F401  # torch's own word for its absence is no ModuleNotFoundError
        import onnxscript  # noqa: F401
        import torch

        made = torch.onnx.export(
            program(wanted), (), input_names=["x"], output_names=["logits"], dynamo=True, verbose=False
        )
        assert made is not None  # as without dynamo
        made.model.metadata_props.update(metadata(wanted))
        return made.model_proto.SerializeToString()

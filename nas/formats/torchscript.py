"""TorchScript, traced: for C++ and mobile, where no Python is. config.json lies inside, as an extra file."""

from __future__ import annotations

import io
import json
import warnings

from nas.format import Format
from nas.wanted import Wanted


class TorchScript(Format):
    """`torch.jit.load(FILE)`: a module that takes batches of any size. No network of ours branches on its data."""

    ENDING = ".ts"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        import torch

        network, buffer = wanted.network(), io.BytesIO()
        with warnings.catch_warnings(), torch.inference_mode():
            # torch advises torch.export instead, which is a format here too; this one was asked for by name
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is", DeprecationWarning)
            # torch's layers check the shape of their input, which is as checked here as for any other batch
            warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean", module=r"torch\.nn\.")
            example = torch.zeros(2, *wanted.architecture.input_shape)
            traced = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]  # torch has left it untyped
            torch.jit.save(traced, buffer, _extra_files={"config.json": json.dumps(wanted.facts)})
        return buffer.getvalue()

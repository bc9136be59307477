"""Where bfloat16 is faster than float32: a fixed rule, so that a resumed search computes the same numbers.

Measured on a processor with avx512_bf16 (`python -m benchmarks.step` repeats it): 0.8 of the speed at width 256 and
batch 64, 1.5 times at width 256 and batch 256 or width 512 and batch 64, 2 to 3 times above.
"""

from __future__ import annotations

import torch

from nas.architecture import Architecture


def use_bfloat16(architecture: Architecture, batch_size: int, device: torch.device) -> bool:
    """Whether to train in bfloat16 autocast on this device."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # a private name of torch: absent from some versions, and then float32 is right
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    width = max((int(dict(node.attrs)["out"]) for node in architecture.nodes if node.op == "linear"), default=0)
    return bool(supported and (width >= 512 or (width >= 256 and batch_size >= 256)))

"""Number format and memory format of a training: fixed rules, so that a resumed search computes the same numbers.

Measured on a processor with avx512_bf16 (`python -m benchmarks.step` repeats it): 0.8 of the speed of float32 at width
256 and batch 64, 1.5 times at width 256 and batch 256 or width 512 and batch 64, 2 to 3 times above. Convolutions of 16
to 64 channels, channels last: 1.4 to 1.6 times; depthwise ones 0.7, so networks that have any stay in float32.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from nas.recipe import PRECISIONS, Recipe, wide_enough


def autocast_type(network: nn.Module, recipe: Recipe, device: torch.device) -> torch.dtype:
    """The number format of a training's matrix products. Raises `ValueError` where the device lacks it."""
    if recipe.precision == "auto":
        return torch.bfloat16 if use_bfloat16(network, recipe.batch_size, device) else torch.float32
    if recipe.precision == "float16" and device.type != "cuda":
        raise ValueError(f"precision float16 needs a CUDA device, got {device.type}; use auto or bfloat16")
    if recipe.precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {recipe.precision!r}")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[recipe.precision]


def make_scaler(format: torch.dtype, device: torch.device) -> GradScaler:
    """What keeps small gradients of float16 above zero; of other formats it does nothing."""
    return GradScaler(device.type, enabled=format == torch.float16)


def use_bfloat16(network: nn.Module, batch_size: int, device: torch.device) -> bool:
    """Whether bfloat16 is the faster format of this network on this device."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # a private name of torch: absent from some versions, and then float32 is right
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    layers = list(network.modules())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    if device.type == "cpu" and any(layer.groups > 1 for layer in convolutions):
        return False
    channels = max((layer.out_channels for layer in convolutions), default=0)
    width = max((layer.out_features for layer in layers if isinstance(layer, nn.Linear)), default=0)
    return bool(supported and (channels >= 16 or wide_enough(width, batch_size)))


def memory_format(network: nn.Module) -> torch.memory_format:
    """How the images of a network lie in memory: channels last where there are convolutions, which are faster so."""
    convolves = any(isinstance(layer, nn.Conv2d) for layer in network.modules())
    return torch.channels_last if convolves else torch.contiguous_format

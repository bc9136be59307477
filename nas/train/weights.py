"""Which parameters are weight matrices: those that are decayed, and before which an activation's gain counts."""

from __future__ import annotations

from torch import nn


def weight_matrices(module: nn.Module) -> list[nn.Parameter]:
    """The trainable weights of linear and convolutional layers, in order; not biases, not normalisation.

    Of more than one dimension, that is, and not those of a LayerNorm, which on images has as many as they have.
    """
    return [
        p
        for part in module.modules()
        if not isinstance(part, nn.LayerNorm)
        for p in part.parameters(recurse=False)
        if p.requires_grad and p.ndim > 1
    ]

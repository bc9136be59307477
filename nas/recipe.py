"""Training hyper-parameters, chosen at the same forks as the architecture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from nas.budget import Choose
from nas.ops import Scalar

OPTIMIZERS = ("adamw", "adam", "sgd", "nesterov", "rmsprop", "adagrad", "sam", "adam-sgd")
SCHEDULES = ("constant", "step", "multistep", "exponential", "cosine", "sgdr", "onecycle", "plateau")
INITIALISATIONS = ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
AVERAGES = ("none", "ema", "swa")
SGD_LIKE = ("sgd", "nesterov", "sam")  # of these the useful learning rates are some twenty times larger
BATCHES, OF_FEW = (32, 64, 128, 256, 512), (16, 32)  # the latter of a few hundred samples
STEPS = 8  # of an epoch: a batch that leaves fewer is not worth searching


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Every field is a choice: searched, or fixed by `--fix field=value`."""

    optimizer: str = "adamw"
    lr: float = 1e-3  # the highest learning rate of the schedule
    momentum: float = 0.9  # of sgd, nesterov, sam, rmsprop, and of adam-sgd after the switch
    weight_decay: float = 0.0  # L2, decoupled for adamw; on weight matrices alone
    l1: float = 0.0  # times the sum of the absolute weights; on weight matrices alone
    batch_size: int = 128
    schedule: str = "cosine"
    warmup: float = 0.0  # share of the steps over which the learning rate rises from nothing
    label_smoothing: float = 0.0
    initialisation: str = "kaiming_normal"  # with the gain of the activation that follows
    clip: float = 1.0  # largest norm of the gradient; 0: no limit
    precision: str = "auto"  # auto: bfloat16 where it is faster
    average: str = "none"  # of the weights: exponential over the steps, or SWA over the last quarter of the epochs
    flip: bool = False  # images mirrored left to right, each with probability 1/2
    shift: int = 0  # images moved by up to so many pixels in each direction
    rotate: float = 0.0  # images turned by up to so many degrees
    cutout: int = 0  # side of the square erased from each image
    mixup: float = 0.0  # alpha of the Beta distribution; 0: none (arXiv 1710.09412)
    time_mask: int = 0  # most frames of a window masked at once (SpecAugment, arXiv 1904.08779)
    freq_mask: int = 0  # most features of a frame masked at once

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})

    to_json = asdict


DEFAULTS: dict[str, Scalar] = {f.name: f.default for f in fields(Recipe)}  # type: ignore[misc]  # all have one
AUGMENTATIONS = ("flip", "shift", "rotate", "cutout", "mixup", "time_mask", "freq_mask")


def wide_enough(width: int, batch_size: int) -> bool:
    """Whether products of this width are faster in bfloat16, where a device has it: see `nas.train.precision`."""
    return width >= 512 or (width >= 256 and batch_size >= 256)


def batch_sizes(samples: int | None) -> tuple[int, ...]:
    """Those worth searching where an epoch has so many samples: four at most. All of them where that is not known."""
    if samples is None:
        return tuple(sorted({*OF_FEW, *BATCHES}))
    fitting = [size for size in BATCHES if size * STEPS <= samples]
    return tuple(fitting[-4:]) if len(fitting) > 1 else OF_FEW


def usual_batch(samples: int | None) -> int:
    """What a practitioner would take first: the usual one, or what leaves an epoch twice as many steps as it needs."""
    usual = Recipe.batch_size
    fitting = [size for size in batch_sizes(samples) if samples is None or 2 * STEPS * size <= samples]
    return max([size for size in fitting if size <= usual], default=batch_sizes(samples)[0])


def choose_recipe(
    choose: Choose, augmentations: Mapping[str, Scalar] | None = None, samples: int | None = None
) -> Recipe:
    """The recipes that every space searches by default; `augmentations` are what suits the data, `samples` an epoch's.

    Every field is asked, also where one value is offered, so that each can be fixed and the log holds all. Weight decay
    and augmentation are not searched unless `--fix` gives several values: short trainings vote against them, and the
    long one that follows needs them.
    """
    optimizer = str(choose("optimizer", ("adamw", "nesterov")))
    searched: dict[str, Sequence[Scalar]] = {
        "lr": (1e-2, 2e-2, 5e-2, 1e-1, 2e-1) if optimizer in SGD_LIKE else (5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
        "weight_decay": (1e-2 if optimizer == "adamw" else 2e-3,),  # more than usual: trainings are short
        "batch_size": batch_sizes(samples),
        "schedule": ("cosine", "onecycle"),
        "label_smoothing": (0.0, 0.05, 0.1),
        "initialisation": ("kaiming_normal", "xavier_uniform"),
        **{name: (usual,) for name, usual in (augmentations or {}).items()},
    }
    chosen = {name: choose(name, searched.get(name, (default,))) for name, default in list(DEFAULTS.items())[1:]}
    return Recipe.from_json({"optimizer": optimizer, **chosen})


def check_knob(name: str, value: Scalar) -> Scalar:
    """The value as its field holds it. Raises `ValueError` where the field cannot have it."""
    kind = type(DEFAULTS[name])
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    allowed = _WORDS.get(name)
    if allowed and value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    if type(value) is not kind:
        raise ValueError(f"{name} must be like its default {DEFAULTS[name]!r}, got {value!r}")
    meaning, fits = _RANGES.get(name, ("at least 0", lambda v: v >= 0))
    finite = bool(allowed) or math.isfinite(float(value))
    if not finite or not (allowed or fits(value)):
        raise ValueError(f"{name} must be {meaning if finite else 'finite'}, got {value!r}")
    return value


_WORDS: dict[str, tuple[str, ...]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "initialisation": INITIALISATIONS,
    "precision": PRECISIONS,
    "average": AVERAGES,
}
_RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "lr": ("above 0", lambda v: v > 0),
    "momentum": ("in 0..1, below 1", lambda v: 0 <= v < 1),
    "batch_size": ("at least 1", lambda v: v >= 1),
    "warmup": ("in 0..1, below 1", lambda v: 0 <= v < 1),
    "label_smoothing": ("in 0..1, below 1", lambda v: 0 <= v < 1),
    "rotate": ("in 0..180 degrees", lambda v: 0 <= v <= 180),
}

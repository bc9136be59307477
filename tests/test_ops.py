"""Every layer's arithmetic against torch's own module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas.architecture import Sketch
from nas.ops import ACTIVATIONS, NOTHING, OPS, Join, Linear, Shape

BATCH = 3
Example = st.SearchStrategy[tuple[Shape, dict[str, Any]]]


def shapes(fewest: int = 1, most: int = 3) -> st.SearchStrategy[Shape]:
    return st.lists(st.integers(1, 5), min_size=fewest, max_size=most).map(tuple)


def examples(shape: st.SearchStrategy[Shape], **attrs: st.SearchStrategy[Any]) -> Example:
    return st.tuples(shape, st.fixed_dictionaries({}, optional=attrs))


def images() -> st.SearchStrategy[Shape]:
    return st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))


def windows() -> Example:
    """A pool that fits: torch takes no padding above half the window, nor a window that finds nothing."""
    attrs = st.fixed_dictionaries(
        {"kernel": st.integers(2, 3), "stride": st.integers(1, 3)}, optional={"padding": st.integers(0, 1)}
    )
    image = st.tuples(st.integers(1, 5), st.integers(3, 9), st.integers(3, 9))
    return st.tuples(image, attrs)


def convolutions(**attrs: st.SearchStrategy[Any]) -> Example:
    kernel = {"kernel": st.sampled_from((1, 3, 5))}
    optional = {"stride": st.integers(1, 3), "dilation": st.integers(1, 2), "bias": st.booleans()}
    return st.tuples(images(), st.fixed_dictionaries({**kernel, **attrs}, optional=optional))


def grouped(example: tuple[Shape, dict[str, Any]], groups: int) -> tuple[Shape, dict[str, Any]]:
    """The same layer with so many times the channels, in groups."""
    (channels, *size), attrs = example
    out = {"out": attrs["out"] * groups} if "out" in attrs else {}
    return (channels * groups, *size), {**attrs, **out, "groups": groups}


EXAMPLES: dict[str, Example] = {
    "linear": st.tuples(
        shapes(1, 1), st.fixed_dictionaries({"out": st.integers(1, 9)}, optional={"bias": st.booleans()})
    ),
    "flatten": examples(shapes()),
    "batchnorm": examples(shapes(1, 4)),
    "layernorm": examples(shapes()),
    "groupnorm": st.builds(grouped, examples(shapes(2, 4)), st.integers(1, 3)),
    "conv": convolutions(out=st.integers(1, 5))
    | st.builds(grouped, convolutions(out=st.integers(1, 3)), st.integers(1, 3)),
    "depthwise": convolutions(),
    "maxpool": windows(),
    "avgpool": windows(),
    "globalpool": examples(images()),
    "dropout": st.tuples(shapes(), st.fixed_dictionaries({"p": st.floats(0, 0.95)})),
    **{name: examples(shapes()) for name in ACTIVATIONS},
}
JOINS = [name for name, op in OPS.items() if isinstance(op, Join)]
LAYERS = [name for name in OPS if name not in JOINS]
each_layer = pytest.mark.parametrize("name", LAYERS)


def over_examples(name: str, check: Callable[[Shape, dict[str, Any]], None]) -> None:
    """Run `check` over random input shapes and attributes of the op `name`."""
    if name not in EXAMPLES:
        pytest.fail(f"op {name!r} has no example strategy: add one to EXAMPLES in tests/test_ops.py")
    given(EXAMPLES[name])(lambda example: check(*example))()


def measured(module: nn.Module, shape: Shape) -> tuple[Shape, int, int]:
    """Output shape, parameters and FLOPs of one sample, as torch shows them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = module(torch.randn(BATCH, *shape))
    return tuple(output.shape[1:]), sum(p.numel() for p in module.parameters()), counter.get_total_flops() // BATCH


@each_layer
def test_shape_params_and_flops_are_what_torch_shows(name: str) -> None:
    op = OPS[name]

    def check(x: Shape, attrs: dict[str, Any]) -> None:
        counted = (op.shape(x, **attrs), op.params(x, **attrs), op.flops(x, **attrs))
        assert counted == measured(op.layer(x, **attrs)(), x)

    over_examples(name, check)


@each_layer
def test_a_printed_call_is_source_of_the_module_that_calling_it_gives(name: str) -> None:
    def check(x: Shape, attrs: dict[str, Any]) -> None:
        call = OPS[name].layer(x, **attrs)
        assert repr(eval(str(call), {"nn": nn})) == repr(call())

    over_examples(name, check)


@pytest.mark.parametrize("name", [name for name in LAYERS if name in NOTHING])
def test_a_layer_is_left_out_just_where_it_returns_its_input(name: str) -> None:
    def check(x: Shape, attrs: dict[str, Any]) -> None:
        batch = torch.rand(64, *x) + 1
        output = OPS[name].layer(x, **attrs)()(batch)
        is_identity = output.shape == batch.shape and torch.equal(output, batch)
        if NOTHING[name](x, **attrs):
            assert is_identity
        elif attrs.get("p", 1) > 1e-3:  # a tiny p rounds to nothing
            assert not is_identity

    over_examples(name, check)


@pytest.mark.parametrize("name", JOINS)
@given(shape=shapes(), count=st.integers(1, 4))
def test_a_join_as_function_as_source_and_as_shape_agree(name: str, shape: Shape, count: int) -> None:
    join = OPS[name]
    assert isinstance(join, Join)
    tensors = [torch.randn(BATCH, *shape) for _ in range(count)]
    names = [f"x{i}" for i in range(count)]
    joined = join.apply(*tensors)
    assert tuple(joined.shape[1:]) == join.shape(*[shape] * count)
    assert torch.equal(joined, eval(join.source(*names), {"torch": torch, **dict(zip(names, tensors, strict=True))}))


@pytest.mark.parametrize("name", JOINS)
def test_a_join_has_no_layer_and_says_so(name: str) -> None:
    with pytest.raises(TypeError, match=type(OPS[name]).__name__):
        OPS[name].layer((3,))


def test_add_is_the_sum_of_all_its_inputs() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(OPS["add"].apply(x, 10 * x, 100 * x), 111 * x)  # type: ignore[attr-defined]  # a Join


def test_add_refuses_inputs_of_different_shapes_and_names_them() -> None:
    with pytest.raises(ValueError, match=r"\(4,\).*\(5,\).*residual"):
        OPS["add"].shape((4,), (5,))


@pytest.mark.parametrize("outer", JOINS)
@pytest.mark.parametrize("inner", JOINS)
def test_an_expression_inside_another_is_computed_as_it_is_written(outer: str, inner: str) -> None:
    ops = OPS[outer], OPS[inner]
    a, b, c = torch.randn(3, 100, 4)
    for swap in (False, True):
        both = [ops[1].source("a", "b"), "c"]  # type: ignore[attr-defined]  # a Join
        values = [ops[1].apply(a, b), c]  # type: ignore[attr-defined]  # a Join
        if "concat" in (outer, inner):
            values[1], both[1] = ops[1].apply(c, c), ops[1].source("c", "c")  # type: ignore[attr-defined]  # a Join
        text = ops[0].source(*both[:: -1 if swap else 1])  # type: ignore[attr-defined]  # a Join
        found = eval(text, {"torch": torch, "a": a, "b": b, "c": c})
        assert torch.equal(found, ops[0].apply(*values[:: -1 if swap else 1]))  # type: ignore[attr-defined]  # a Join


def test_a_product_spreads_a_number_of_each_channel_over_the_image() -> None:
    assert OPS["multiply"].shape((4, 7, 5), (4, 1, 1)) == OPS["multiply"].shape((4, 1, 1), (4, 7, 5)) == (4, 7, 5)
    for others in ((3, 7, 5), (4, 2, 1), (4,)):
        with pytest.raises(ValueError, match="multiply"):
            OPS["multiply"].shape((4, 7, 5), others)


def test_concat_adds_channels_and_refuses_images_of_different_size() -> None:
    assert OPS["concat"].shape((4, 7, 5), (3, 7, 5)) == (7, 7, 5)
    with pytest.raises(ValueError, match=r"\(3, 7, 6\)"):
        OPS["concat"].shape((4, 7, 5), (3, 7, 6))


def test_zero_is_zero() -> None:
    assert not OPS["zero"].apply(torch.ones(3)).any()  # type: ignore[attr-defined]  # a Join


def test_an_average_at_the_border_is_that_of_the_image_alone() -> None:
    pool = OPS["avgpool"].layer((1, 2, 2), kernel=3, stride=1, padding=1)()
    assert torch.equal(pool(torch.ones(1, 1, 2, 2)), torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize(
    ("shape", "attrs", "words"),
    [
        ((4,), {"out": 2, "kernel": 3}, "channels, height, width"),
        ((4, 5, 5), {"out": 2, "kernel": 4}, "odd, got 4"),
        ((4, 5, 5), {"out": 3, "kernel": 3, "groups": 2}, "groups"),
    ],
)
def test_a_convolution_refuses_what_torch_would(shape: Shape, attrs: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OPS["conv"].shape(shape, **attrs)


def test_a_pool_refuses_a_window_larger_than_the_image() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        OPS["maxpool"].shape((4, 1, 5), kernel=2, stride=2)


@given(shapes(2, 4))
def test_linear_refuses_an_input_that_is_not_flat_and_names_the_remedy(x: Shape) -> None:
    with pytest.raises(ValueError, match="flatten") as refusal:
        Linear().shape(x, out=3)
    assert str(x) in str(refusal.value)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_gain_that_torch_knows(name: str) -> None:
    assert nn.init.calculate_gain(ACTIVATIONS[name].gain) > 0  # type: ignore[arg-type]  # torch lists literals


@pytest.mark.parametrize(("op", "attrs"), [("conv", {"out": 8, "kernel": 3}), ("depthwise", {"kernel": 3})])
def test_a_misspelt_attribute_is_noticed_where_it_is_written(op: str, attrs: dict[str, Any]) -> None:
    net = Sketch((4, 8, 8))
    with pytest.raises(ValueError, match="strid"):
        net(op, net.input, **attrs, strid=2)


@pytest.mark.parametrize("op", ["maxpool", "avgpool", "globalpool", "conv"])
def test_a_layer_of_images_refuses_what_is_none(op: str) -> None:
    net = Sketch((8,))
    attrs = {"conv": {"out": 4, "kernel": 3}, "globalpool": {}}.get(op, {"kernel": 2, "stride": 2})
    with pytest.raises(ValueError, match=r"needs an input \(channels, height, width\), got shape \(8,\)"):
        net(op, net.input, **attrs)

"""Networks as plain data: random ones, grown by a sketch, renumbered, rewired, written down and built."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from nas.architecture import Architecture, Node, Sketch
from nas.network import Network

WIDTHS = (3, 4)


def grow(net: Sketch, random_: random.Random) -> int:
    """One random step on a random node."""
    x = random_.randrange(len(net.nodes))
    match random_.choice(("linear", "linear", "word", "residual", "add")):
        case "linear":
            return net("linear", x, out=random_.choice(WIDTHS), bias=random_.random() < 0.7)
        case "word":
            return net(random_.choice(("gelu", "relu", "batchnorm", "layernorm")), x)
        case "residual":
            return net.residual(x, random_.randrange(len(net.nodes)))
        case _:
            alike = [i for i, shape in enumerate(net.shapes) if shape == net.shapes[x]]
            return net("add", *random_.choices(alike, k=random_.randint(2, 3)))


@st.composite
def networks(draw: st.DrawFn, most: int = 9) -> Architecture:
    random_ = random.Random(draw(st.integers(0, 2**32)))
    net = Sketch((4,))
    for _ in range(draw(st.integers(1, most))):
        output = grow(net, random_)
    return net.done(output)


def renumbered(network: Architecture, random_: random.Random) -> Architecture:
    """The same graph in another topological order, the inputs of every sum in another order."""
    number, nodes, waiting = {0: 0}, [network.nodes[0]], list(range(1, len(network.nodes)))
    while waiting:
        position = random_.choice([p for p in waiting if all(i in number for i in network.nodes[p].inputs)])
        waiting.remove(position)
        node = network.nodes[position]
        inputs = [number[i] for i in node.inputs]
        random_.shuffle(inputs)  # only a sum has more than one
        number[position] = len(nodes)
        nodes.append(Node(node.op, tuple(inputs), node.attrs))
    return Architecture(network.input_shape, tuple(nodes))


def rewired(network: Architecture, random_: random.Random) -> Architecture | None:
    """`network` with two arrows exchanged, or None where they cannot be: a near neighbour, easily mistaken for it."""
    nodes = list(network.nodes)
    arrows = [(p, slot) for p, node in enumerate(nodes) for slot in range(len(node.inputs))]
    (a, i), (b, j) = random_.choice(arrows), random_.choice(arrows)
    one, other = nodes[a].inputs[i], nodes[b].inputs[j]
    if network.shapes[one] != network.shapes[other] or other >= a or one >= b:
        return None
    for position, slot, new in ((a, i, other), (b, j, one)):
        inputs = list(nodes[position].inputs)
        inputs[slot] = new
        nodes[position] = Node(nodes[position].op, tuple(inputs), nodes[position].attrs)
    return Architecture(network.input_shape, tuple(nodes))


def graph(network: Architecture) -> nx.DiGraph:
    """Nodes labelled by layer, arrows by how many there are: nothing else tells two networks apart."""
    labelled = nx.DiGraph()
    for position, node in enumerate(network.nodes):
        labelled.add_node(position, layer=(node.op, node.attrs, position == len(network.nodes) - 1))
        labelled.add_edges_from((i, position, {"times": n}) for i, n in Counter(node.inputs).items())
    return labelled


def same_graph(a: Architecture, b: Architecture) -> bool:
    layers, arrows = (
        nx.isomorphism.categorical_node_match("layer", 0),
        nx.isomorphism.categorical_edge_match("times", 0),
    )
    return bool(nx.is_isomorphic(graph(a), graph(b), layers, arrows))


def on_linears(*lines: tuple[Any, ...]) -> Architecture:
    """Two linear layers alike, nodes 1 and 2, then `lines` of an op and the nodes it reads."""
    net = Sketch((4,))
    for _ in range(2):
        net("linear", net.input, out=4)
    for op, *inputs in lines:
        output = net(op, *inputs)
    return net.done(output)


@given(networks())
def test_a_network_survives_json(network: Architecture) -> None:
    again = Architecture.from_json(json.loads(json.dumps(network.to_json())))
    assert (again.nodes, again.input_shape, again.digest) == (network.nodes, network.input_shape, network.digest)
    assert (again.shapes, again.num_params, again.flops) == (network.shapes, network.num_params, network.flops)


@given(networks(), st.randoms(use_true_random=False))
def test_the_digest_is_blind_to_the_numbering_of_the_nodes(network: Architecture, random_: random.Random) -> None:
    twin = renumbered(network, random_)
    assert twin == network
    assert hash(twin) == hash(network)
    assert (twin.num_params, twin.flops) == (network.num_params, network.flops)


@given(networks(12), st.randoms(use_true_random=False))
def test_two_digests_are_equal_just_where_the_two_graphs_are(network: Architecture, random_: random.Random) -> None:
    for _ in range(10):
        if neighbour := rewired(network, random_):
            assert (neighbour == network) == same_graph(neighbour, network)


def test_a_layer_shared_by_two_differs_from_two_layers_alike() -> None:
    shared = on_linears(("gelu", 1), ("tanh", 1), ("add", 3, 4))
    apart = on_linears(("gelu", 1), ("tanh", 2), ("add", 3, 4))
    assert shared != apart
    assert on_linears(("add", 1, 1)) != on_linears(("add", 1, 2))


def test_skips_within_two_branches_differ_from_skips_across_them() -> None:
    start, end = (("gelu", 1), ("gelu", 2)), (("relu", 5), ("relu", 6), ("add", 7, 8))
    within = on_linears(*start, ("add", 1, 3), ("add", 2, 4), *end)
    across = on_linears(*start, ("add", 1, 4), ("add", 2, 3), *end)
    assert not same_graph(within, across)  # relu(a + gelu a) + relu(b + gelu b) is not relu(a + gelu b) + ...
    assert within != across


@given(networks(), st.randoms(use_true_random=False))
def test_a_changed_attribute_changes_the_digest(network: Architecture, random_: random.Random) -> None:
    linears = [p for p, node in enumerate(network.nodes) if node.op == "linear"]
    if linears:
        position = random_.choice(linears)
        attrs = dict(network.nodes[position].attrs)
        nodes = list(network.nodes)
        nodes[position] = Node("linear", nodes[position].inputs, tuple({**attrs, "bias": not attrs["bias"]}.items()))
        assert Architecture(network.input_shape, tuple(nodes)) != network


def test_the_input_shape_is_part_of_what_is_computed() -> None:
    plain, image = (Architecture(shape, (Node("input", ()), Node("relu", (0,)))) for shape in ((4,), (1, 2, 2)))
    assert plain != image


def test_the_order_in_which_attributes_are_written_does_not_matter() -> None:
    net = Sketch((4,))
    one = net.done(net("linear", net.input, out=3, bias=False))
    assert net.done(net("linear", net.input, bias=False, out=3)) == one
    assert Architecture.from_json(json.loads(json.dumps(one.to_json(), sort_keys=True))) == one


@given(networks(), st.randoms(use_true_random=False))
def test_nodes_that_lead_nowhere_are_dropped(network: Architecture, random_: random.Random) -> None:
    net = Sketch(network.input_shape, list(network.nodes))
    net.shapes = list(network.shapes)
    for _ in range(4):
        grow(net, random_)
    assert net.done(len(network.nodes) - 1).nodes == network.nodes


def test_what_is_kept_has_parameters_but_is_not_computed_nor_named() -> None:
    net = Sketch((4,))
    x = net("relu", net("linear", net.input, out=4))
    dead = net("linear", net("gelu", x), out=9)
    output = net("linear", x, out=2)
    later = net("linear", net.input, out=3)
    network, without = net.done(output, keep=[dead, later]), net.done(output)
    assert network == without
    assert network.num_params == without.num_params + 4 * 9 + 9 + 4 * 3 + 3
    assert network.flops == without.flops
    assert network.shapes[-1] == (2,)
    assert sum(p.numel() for p in Network(network).parameters()) == network.num_params
    assert Architecture.from_json(network.to_json()).num_params == network.num_params


def test_the_order_of_a_concatenation_matters_unless_its_author_says_not() -> None:
    def joined(*order: int, **attrs: bool) -> Architecture:
        net = Sketch((4,))
        net("gelu", net.input)
        net("tanh", net.input)
        return net.done(net("linear", net("concat", *order, **attrs), out=3))

    assert joined(1, 2) != joined(2, 1)
    assert joined(1, 2, ordered=False) == joined(2, 1, ordered=False)


def test_a_scope_names_parts_but_tells_no_networks_apart() -> None:
    def named(*scopes: str) -> Architecture:
        net = Sketch((4,))
        x = net.input
        for scope in scopes:
            with net.scope(scope), net.scope("inner"):
                x = net("relu", net("linear", x, out=4))
        return net.done(net("linear", x, out=2))

    one, other = named("cell1", "cell2"), named("a", "b")
    assert one == other
    assert one.nodes == other.nodes
    assert one.nodes[1].scope == "cell1.inner"
    assert one.nodes[-1].scope == ""
    again = Architecture.from_json(json.loads(json.dumps(one.to_json())))
    assert [node.scope for node in again.nodes] == [node.scope for node in one.nodes]


def test_a_deep_network_of_twin_branches_is_named_quickly() -> None:
    net = Sketch((4,))
    x = net.input
    for _ in range(40):
        branches = [net("relu", net("linear", x, out=4)) for _ in range(3)]
        x = net("add", *branches, x)
    network = net.done(x)
    assert network == renumbered(network, random.Random(0))


def test_a_sketch_leaves_out_what_computes_nothing() -> None:
    net = Sketch((4,))
    assert net("none", net("dropout", net("flatten", net.input), p=0.0)) == net.input
    assert net("dropout", net.input, p=0.5) == 1


@given(networks())
def test_the_networkx_graph_is_acyclic_and_carries_what_each_layer_is(network: Architecture) -> None:
    drawn = network.to_networkx()
    assert nx.is_directed_acyclic_graph(drawn)
    assert sorted(drawn.edges) == sorted({(i, p) for p, node in enumerate(network.nodes) for i in node.inputs})
    for position, node in enumerate(network.nodes):
        facts = {"op": node.op, "shape": network.shapes[position], "params": network.layer_params[position]}
        assert drawn.nodes[position] == {**facts, **dict(node.attrs)}
    assert sum(params for _, params in drawn.nodes(data="params")) == network.num_params


@pytest.mark.parametrize(
    ("widths", "words", "text"),
    [
        ((1024, 512), ("batchnorm", "gelu", "dropout"), "1024-512, gelu, batchnorm, dropout 0.2, skip"),
        ((8,), ("layernorm", "tanh"), "8, tanh, layernorm"),
        ((), (), "no hidden layer"),
    ],
)
def test_a_network_prints_as_words(widths: tuple[int, ...], words: tuple[str, ...], text: str) -> None:
    net = Sketch((1, 28, 28))
    x = net("flatten", net.input)
    for i, width in enumerate(widths):
        y = net("linear", x, out=width)
        for word in words:
            y = net(word, y, **{"p": 0.2} if word == "dropout" else {})
        x = net.residual(x, y) if i else y
    assert str(net.done(net("linear", x, out=10))) == text


@given(networks(12))
def test_a_built_network_has_the_parameters_flops_and_output_that_were_counted(network: Architecture) -> None:
    module = Network(network).eval()
    assert sum(p.numel() for p in module.parameters()) == network.num_params
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = module(torch.randn(2, *network.input_shape))
    assert tuple(output.shape) == (2, *network.shapes[-1])
    assert counter.get_total_flops() == 2 * network.flops


def test_two_projections_into_one_sum_are_two_layers_of_the_module() -> None:
    net = Sketch((4,))
    layers = [net("linear", net.input, out=8, bias=bias) for bias in (True, False, False)]
    network = net.done(net("add", *layers))
    assert sum(p.numel() for p in Network(network).parameters()) == network.num_params == 104


def test_a_name_does_not_depend_on_what_was_named_before() -> None:
    def dropped(p: float) -> str:
        net = Sketch((4,))
        return net.done(net("linear", net("dropout", net("linear", net.input, out=3), p=p), out=2)).digest

    assert dropped(1) == dropped(1.0) != dropped(0.5)

"""The exported source computes bit for bit what the module computes, where `nas` cannot be imported at all."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exporting import NETWORKS, alone, drawn, exported, insects
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture import Architecture, Sketch
from nas.network import Network
from nas.ops import ACTIVATIONS
from nas.plan import plan
from nas.source import source

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_network_of_the_space_computes_the_same_bits_without_nas(tmp_path: Path) -> None:
    x = torch.randn(64, 2, 4, generator=torch.Generator().manual_seed(2))
    np.save(tmp_path / "x.npy", x.numpy())
    wanted: list[torch.Tensor] = []
    for number, architecture in enumerate(drawn()):
        network = exported(tmp_path / f"n{number}", architecture, insects())
        with torch.inference_mode():
            wanted.append(network(x))
        assert sum(p.numel() for p in network.parameters()) == architecture.num_params
    script = """
x = torch.from_numpy(numpy.load("x.npy"))
for number in range(int(sys.argv[1])):
    sys.path[:0] = [f"n{number}"]
    sys.modules.pop("model", None)
    model = importlib.import_module("model")
    network = model.load()
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) == model.PARAMETERS
    with torch.inference_mode():
        numpy.save(f"y{number}.npy", network(x).numpy())
    print(model.PARAMETERS)
    del sys.path[0]
"""
    printed = alone(script, str(NETWORKS), cwd=tmp_path).split()
    for number, (architecture, logits) in enumerate(zip(drawn(), wanted, strict=True)):
        assert int(printed[number]) == architecture.num_params
        assert torch.equal(torch.from_numpy(np.load(tmp_path / f"y{number}.npy")), logits), str(architecture)


@st.composite
def dags(draw: st.DrawFn) -> Architecture:
    """Any graph of layers and joins over two widths: values used several times, joins of joins, projections."""
    net = Sketch((2, 4))
    values = [net("linear", net("flatten", net.input), out=draw(st.sampled_from([4, 6])))]
    for _ in range(draw(st.integers(1, 9))):
        x = draw(st.sampled_from(values))
        kind = draw(st.sampled_from(["add", "join", "residual", "linear", "other"]))
        alike = [value for value in values if net.shapes[value] == net.shapes[x]]
        if kind == "add":
            values.append(net("add", x, draw(st.sampled_from(alike))))
        elif kind == "join":
            values.append(net("add", *draw(st.lists(st.sampled_from(alike), min_size=2, max_size=4))))
        elif kind == "residual":
            values.append(net.residual(x, draw(st.sampled_from(values))))
        elif kind == "linear":
            values.append(net("linear", x, out=draw(st.sampled_from([4, 6])), bias=draw(st.booleans())))
        else:
            values.append(net(draw(st.sampled_from([*ACTIVATIONS, "batchnorm", "layernorm"])), x))
    output = draw(st.sampled_from(values[1:]))
    return net.done(net("linear", output, out=3) if draw(st.booleans()) else output)


def built(text: str) -> torch.nn.Module:
    names: dict[str, Any] = {}
    exec(compile(f"import torch\nfrom torch import nn\n\n\n{text}", "model.py", "exec"), names)
    network: torch.nn.Module = names["Network"]()
    return network


@given(architecture=dags())
def test_any_graph_is_written_as_it_is_computed(architecture: Architecture) -> None:
    network = Network(architecture)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    twin = built(source(plan(architecture)))
    twin.load_state_dict(network.state_dict())
    x = torch.randn(16, 2, 4, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert torch.allclose(network.eval()(x), twin.eval()(x), rtol=1e-5, atol=1e-5), source(plan(architecture))
        assert torch.equal(network.eval()(x), twin.eval()(x)), source(plan(architecture))
    assert sum(p.numel() for p in twin.parameters()) == architecture.num_params


def test_a_sum_of_a_sum_is_added_in_the_order_of_the_graph() -> None:
    net = Sketch((4,))
    a, b, c = (net(op, net.input) for op in ("relu", "tanh", "gelu"))
    architecture = net.done(net("add", a, net("add", b, c)))
    x = torch.randn(1000, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(built(source(plan(architecture)))(x), Network(architecture)(x))


def test_the_source_imports_torch_and_the_standard_library_alone(tmp_path: Path) -> None:
    for number, architecture in enumerate(drawn()[:8]):
        exported(tmp_path / f"n{number}", architecture, insects())
        for file, beside in (("model.py", {"torch"}), ("predict.py", {"torch", "numpy", "model"})):
            tree = ast.parse((tmp_path / f"n{number}" / file).read_text(encoding="utf-8"))
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
            names = {
                name.partition(".")[0]
                for node in imports
                for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
            }
            assert names - set(sys.stdlib_module_names) == beside


@pytest.mark.parametrize("name", ["block1", "head", "layers", "project0", "train", "plan", "path", "none"])
def test_a_part_may_have_any_name_that_python_allows(name: str, tmp_path: Path) -> None:
    net = Sketch((6,))
    with net.scope(name):
        x = net("add", net("linear", net.input, out=8), net("linear", net.input, out=8))
    x = net("add", net("linear", net("relu", x), out=8), x)
    architecture = net.done(net("linear", x, out=3))
    network = Network(architecture)
    assert sum(p.numel() for p in network.parameters()) == architecture.num_params
    assert network(torch.randn(2, 6)).shape == (2, 3)
    assert "class Path(" not in source(network.plan)
    compile(source(network.plan), "model.py", "exec")


@pytest.mark.parametrize("name", ["stage-1", "class", "a..b", "1st"])
def test_a_scope_that_is_no_python_name_is_refused(name: str) -> None:
    net = Sketch((6,))
    with pytest.raises(ValueError, match="a scope must be a Python name"), net.scope(name):
        pass


def test_a_scope_ends_with_its_block_even_where_that_fails() -> None:
    net = Sketch((6,))
    with pytest.raises(ValueError, match=r"\(channels, height, width\)"), net.scope("stem"):
        net("globalpool", net.input)
    net("linear", net.input, out=2)
    assert net.nodes[-1].scope == ""

"""A network as a picture: nothing overlaps, nothing is missing, the file is an SVG, mistakes are one sentence."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from toy import assert_refused

from nas import plugins
from nas.architecture import Architecture, Sketch
from nas.budget import Budget
from nas.draw import draw, main
from nas.drawing import words
from nas.drawing.canvas import measure
from nas.drawing.picture import Picture, Rect, picture
from nas.options import Options
from nas.problem import Problem
from nas.space import SearchSpace
from nas.wanted import Wanted
from search_spaces.mlp import MLP
from search_spaces.nasbench201 import NASBench201, choices

SPACES = plugins.names("search_spaces")
IMAGES = (3, 32, 32)
OPTIONS = {"space": "mlp:max_depth=4,max_width=64", "budget": 20_000, "data": "digits"}
CLOSE = 0.01  # points


@cache
def drawn(name: str, draws: int = 4) -> tuple[Architecture, ...]:
    space: SearchSpace = plugins.find("search_spaces", name, SearchSpace)(IMAGES, 10, Budget(1_000_000))
    return tuple(space.sample(np.random.default_rng(seed)).architecture for seed in range(draws))


def apart(one: Rect, other: Rect) -> bool:
    across = one.x + one.width <= other.x + CLOSE or other.x + other.width <= one.x + CLOSE
    return across or one.y + one.height <= other.y + CLOSE or other.y + other.height <= one.y + CLOSE


def within(one: Rect, other: Rect) -> bool:
    across = other.x - CLOSE <= one.x and one.x + one.width <= other.x + other.width + CLOSE
    return across and other.y - CLOSE <= one.y and one.y + one.height <= other.y + other.height + CLOSE


def check(made: Picture) -> None:
    """No two boxes overlap, a box is inside a frame or outside, all is on the sheet, no arrow goes through a box."""
    boxes = [rect for rect, _ in made.boxes]
    sheet = Rect(0, 0, made.width, made.height)
    assert all(within(rect, sheet) for rect in (*boxes, *made.frames))
    assert all(apart(one, other) for one, other in combinations(boxes, 2))
    assert all(apart(one, other) for one, other in combinations(made.frames, 2))
    assert all(apart(box, frame) or within(box, frame) for box in boxes for frame in made.frames)
    for text in made.texts:
        line = Rect(text.x, text.y - text.size / 2, measure(text.text, text.size), text.size)
        assert within(line, sheet), text
        assert all(apart(line, box) for box in boxes), text
    corners = np.array([[(r.x + 1, r.y + 1), (r.x + r.width - 1, r.y + r.height - 1)] for r in boxes])
    for path in made.paths:
        for (x, top), (end, bottom) in pairwise(path):
            low, high = np.array([min(x, end), top]), np.array([max(x, end), bottom])
            through = ((low < corners[:, 1]) & (high > corners[:, 0])).all(1)
            assert not through.any(), (path, np.array(boxes, dtype=object)[through])


@pytest.mark.parametrize("full", [False, True], ids=["short", "full"])
@pytest.mark.parametrize("name", SPACES)
def test_the_boxes_of_any_network_are_apart_and_no_arrow_goes_through_one(name: str, full: bool) -> None:
    for architecture in drawn(name, 2 if full else 4):
        check(picture(architecture, measure, full))


@pytest.mark.parametrize("ops", ["333132", "000000", "310023", "111111", "230410"])
def test_cells_with_nothing_or_with_layers_held_are_drawn_too(ops: str) -> None:
    architecture = NASBench201(IMAGES, 10).network(choices(ops))
    check(made := picture(architecture, measure))
    held = {i for _, box in made.boxes if box.style == "held" for row in box.rows for i in row.nodes}
    assert held == set(range(len(architecture.nodes))) - set(architecture.computed)


@pytest.mark.parametrize("name", SPACES)
def test_every_node_is_once_in_the_full_picture(name: str) -> None:
    for architecture in (*drawn(name), NASBench201(IMAGES, 10, cells=1).network(choices("310023"))):
        shown = [i for _, box in picture(architecture, measure, True).boxes for row in box.rows for i in row.nodes]
        assert sorted(shown) == list(range(len(architecture.nodes)))


@pytest.mark.parametrize("name", SPACES)
def test_every_node_is_in_the_short_picture_and_the_shares_are_those_of_all_parameters(name: str) -> None:
    for architecture in drawn(name):
        boxes = [box for _, box in picture(architecture, measure).boxes]
        shown = [i for box in boxes for row in box.rows for i in row.nodes if row.kind != "part"]
        assert sorted(shown) == list(range(len(architecture.nodes)))


def test_a_plain_chain_of_alike_layers_is_one_box() -> None:
    net = Sketch((64,))
    x = net("relu", net("linear", net.input, out=32))
    for _ in range(5):
        x = net("relu", net("linear", x, out=48))
    boxes = [box for _, box in picture(net.done(net("linear", x, out=10)), measure).boxes]
    assert [box.caption for box in boxes] == ["", "", "", "(4 ×)", ""]
    assert boxes[3].rows[0].params == words.spread([48 * 48 + 48])
    assert len(boxes[3].rows[0].nodes) == 4


def test_sixty_layers_are_drawn_short_and_full() -> None:
    space = MLP((64,), 10, Budget(1_000_000), max_depth=60)
    given = {"shape": "pyramid", "depth": 60, "norm": "batchnorm", "skip": True, "taper": 0.25, "size": 1.0}
    deep = space.describe(lambda name, options: given.get(name, options[0]))
    for full in (False, True):
        check(picture(deep, measure, full))


def test_parts_that_repeat_are_one_box_and_their_inside_is_drawn_once() -> None:
    made = picture(NASBench201(IMAGES, 10).network(choices("333132")), measure)
    parts = [box.rows[0].words for _, box in made.boxes if box.style == "part"]
    assert parts == [
        "A  cell 1–5 (5 ×)",
        "B  reduction 1",
        "A  cell 6–10 (5 ×)",
        "B  reduction 2",
        "A  cell 11–15 (5 ×)",
    ]
    titles = [text.text for text in made.texts if text.bold][1:]
    assert titles == ["A  cell 1–15 (15 ×)", "B  reduction 1–2 (2 ×)"]
    assert "conv 3x3, 16|32|64" in {row.words for _, box in made.boxes for row in box.rows}


def test_the_inputs_of_a_cell_say_where_they_come_from() -> None:
    cells = next(a for a in drawn("cell", 12) if any(node.scope.startswith("cell3") for node in a.nodes))
    ports = {row.words for _, box in picture(cells, measure).boxes if box.style == "port" for row in box.rows}
    assert {"from the one before", "from the last but one", "output"} <= ports


@pytest.mark.parametrize("name", SPACES)
def test_the_file_is_an_svg_with_the_words_and_the_number_of_parameters(name: str, tmp_path: Path) -> None:
    architecture = drawn(name)[0]
    tree = ET.parse(draw(architecture, tmp_path / "network.svg"))  # our own file
    assert tree.getroot().tag.endswith("svg")
    text = " ".join(" ".join(element.itertext()) for element in tree.iter() if element.tag.endswith("text"))
    assert f"{architecture.num_params:,} parameters" in text
    assert str(architecture).split(",")[0] in text
    assert "linear 10" in text


def test_the_same_network_is_the_same_file(tmp_path: Path) -> None:
    one, two = (draw(drawn("mlp")[0], tmp_path / name) for name in ("a.svg", "b.svg"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_the_ending_of_the_file_says_what_it_is(ending: str, tmp_path: Path) -> None:
    head = draw(drawn("mlp")[0], tmp_path / f"a.{ending}").read_bytes()[:4]
    assert head == {"png": b"\x89PNG", "pdf": b"%PDF"}[ending]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a search leaves, as far as a picture needs it."""
    folder = tmp_path_factory.mktemp("run")
    space = Problem.of(Options.of(OPTIONS)).space
    trials = [space.sample(np.random.default_rng(seed)) for seed in range(3)]
    (folder / "config.yaml").write_text(yaml.safe_dump({**OPTIONS, "identity": {}, "record": {}}))
    rows = [json.dumps({"number": n, "choices": t.values}) + "\n" for n, t in enumerate(trials)]
    (folder / "trials.jsonl").write_text("".join(rows) + '{"number": 3, "choi')
    (folder / "best").mkdir()
    config = {"architecture": trials[1].architecture.to_json(), "trial": 1}
    (folder / "best" / "config.json").write_text(json.dumps(config))
    return folder


def title(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def size(architecture: Architecture) -> str:
    return f"{architecture.num_params:,} parameters"


def test_a_run_its_best_folder_and_its_config_json_give_the_same_picture(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = run / "best" / "architecture.svg"
    for what in (run, run / "best", run / "best" / "config.json"):
        beside.unlink(missing_ok=True)
        assert main([str(what)]) == 0
        assert capsys.readouterr().out.strip() == str(beside)
        best = json.loads((run / "best" / "config.json").read_text())["architecture"]
        assert size(Architecture.from_json(best)) in title(beside)


def test_a_trial_is_drawn_from_its_choices(run: Path, tmp_path: Path) -> None:
    space = Problem.of(Options.of(OPTIONS)).space
    for number in (0, 2):
        row = json.loads((run / "trials.jsonl").read_text().splitlines()[number])
        assert main([str(run), "--trial", str(number), "--out", str(tmp_path / "it.svg"), "--full"]) == 0
        assert size(space.replay(row["choices"]).architecture) in title(tmp_path / "it.svg")
    assert main([str(run), "--trial", "0"]) == 0
    assert (run / "architecture-trial0.svg").exists()
    with pytest.raises(ValueError, match=r"has no baseline\.jsonl"):
        _ = Wanted(run, "random 0").architecture


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}/nowhere"], "'{run}/nowhere' does not exist; give a run directory"),
        (["{run}", "--trial", "7"], "trial 7 is not in {run}/trials.jsonl, which holds trials 0..2; give one of those"),
        (["{run}", "--trial", "3"], "trial 3 is not in"),
        (["{run}/best", "--trial", "1"], "--trial needs a run directory, and {run}/best has no trials.jsonl"),
        (["{run}/config.yaml"], "{run}/config.yaml holds no architecture; give the config.json"),
        (["{run}/.."], "holds no config.json and no best/config.json; give a run directory"),
        (["{run}", "--out", "network.jpg"], "a picture's file ends in .svg, .pdf, .png; got 'network.jpg'"),
        (["{run}", "--out", "{run}/no/such.svg"], "{run}/no/such.svg: No such file or directory"),
        (
            ["{run}", "--trial", "x"],
            "--trial must be the number of a trial, 12, or of random search, 'random 12', got 'x'",
        ),
        ([], "Missing argument 'WHAT'"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_remedy_and_status_two(
    run: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([argument.format(run=run) for argument in arguments])
    assert_refused(status, capsys.readouterr(), said.format(run=run))


def test_a_search_without_a_best_network_yet_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trials.jsonl").write_text((run / "trials.jsonl").read_text())
    assert main([str(tmp_path)]) == 2
    assert "has no best network yet; finish it or give --trial N" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**OPTIONS, "data": "npz:nowhere.npz"}))
    assert main([str(tmp_path), "--trial", "0"]) == 2
    assert "cannot be made again from" in capsys.readouterr().err
    (tmp_path / "trials.jsonl").write_text("nonsense\n")
    assert main([str(tmp_path), "--trial", "0"]) == 2
    assert "line 1 is damaged; restore the file" in capsys.readouterr().err

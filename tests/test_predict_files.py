"""predict.py takes files such as the data came from: the same samples as the search saw, or one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from exporting import alone, exported, predicted
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS, Layout, table
from PIL import Image

from nas.architecture import Architecture
from nas.data.csv import Csv
from nas.data.imagefolder import ImageFolder
from nas.dataset import Dataset, Part
from nas.network import Network
from nas.train.resident import Resident
from search_spaces.mlp import MLP

RUN = """
sys.path[:0] = ["best"]
sys.argv[1:] = json.loads(sys.argv[1])
runpy.run_path("best/predict.py", run_name="__main__")
"""
FILES = {"csv": "*.csv", "imagefolder": "**/*.png"}
READ = {name: layout for name, layout in LAYOUTS.items() if layout.kind in FILES}


def whole(dataset: Dataset) -> np.ndarray:
    return np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])


def reader(dataset: Dataset) -> Any:
    assert dataset.reading is not None
    facts = json.loads(json.dumps(dataset.reading.facts))
    names: dict[str, Any] = {"np": np, "sys": sys, "CONFIG": {"reading": facts}}
    exec(dataset.reading.source, names)
    return names["read"]


def in_order(x: np.ndarray) -> list[bytes]:
    return sorted(row.astype(np.float32).tobytes() for row in x)


def network(dataset: Dataset) -> Architecture:
    return MLP(dataset.input_shape, len(dataset.classes), max_depth=1, max_width=64).default().architecture


def answers(network: Network, dataset: Dataset, part: Part) -> list[str]:
    with torch.inference_mode():
        rows = network(Resident.of(part, dataset, torch.device("cpu")).x).argmax(1)
    return [dataset.classes[i] for i in rows.tolist()]


@pytest.mark.parametrize("layout", READ.values(), ids=READ.keys())
def test_a_file_of_the_data_is_read_as_the_samples_of_the_search(layout: Layout, tmp_path: Path) -> None:
    dataset = layout.source(tmp_path).load(0)
    found = np.concatenate([reader(dataset)(str(file)) for file in sorted(tmp_path.glob(FILES[layout.kind]))])
    found = np.divide(found, np.float32(255), dtype=np.float32) if dataset.pixels else found
    assert found.shape[1:] == dataset.input_shape
    assert in_order(found) == in_order(whole(dataset))


def test_every_kind_of_data_that_is_made_of_other_files_than_arrays_is_read(tmp_path: Path) -> None:
    for name, layout in LAYOUTS.items():
        folder = tmp_path / name
        folder.mkdir()
        assert (layout.source(folder).load(0).reading is not None) == (layout.kind in FILES), name


FIELD = st.sampled_from(["", "1", "2.5", "-3e2", " 7", "x", " y", "TRUE", "false", "a,b", 'say "so"', "é"])


@given(st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=12, max_size=30), st.randoms(use_true_random=False))
def test_any_table_that_a_search_takes_is_read_so(rows: list[tuple[str, ...]], chance: Any) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "data.csv"
        quoted = [
            ['"' + field.replace('"', '""') + '"' if set(field) & set(',"') else field for field in r] for r in rows
        ]
        lines = [",".join([*row, "no" if i % 2 else "yes"]) for i, row in enumerate(quoted)]
        file.write_text("\n".join(["a, b ,c,y", *lines]) + "\n", encoding="utf-8")
        source = Csv(str(file), target="y", drop=chance.choice(["", "a"]), missing=chance.choice(["", "x|7", "y"]))
        try:
            dataset = source.load(0)
        except ValueError:  # a column that is refused
            return
        assert in_order(reader(dataset)(str(file))) == in_order(whole(dataset))


def test_the_rows_of_a_table_get_the_classes_of_the_evaluation(tmp_path: Path) -> None:
    dataset = Csv(table(tmp_path), target="insect").load(0)
    chosen = exported(tmp_path / "best", network(dataset), dataset)
    names, *lines = (tmp_path / "data.csv").read_text().splitlines()
    columns = [names.split(",").index(name) for name in ("colour", "height", "width")]
    some = [",".join(line.split(",")[i] for i in columns) for line in lines]
    (tmp_path / "rows.csv").write_text("\n".join(["colour,height,width", *some]))  # no class, and another order
    found = alone(RUN, json.dumps(["rows.csv"]), cwd=tmp_path).splitlines()
    facts = json.loads((tmp_path / "best" / "config.json").read_text())
    assert facts["file"] == "rows.csv"
    x = reader(dataset)(str(tmp_path / "data.csv")).astype(np.float32)
    assert found == answers(chosen, dataset, Part(x, np.zeros(len(x), np.int64)))
    assert len(set(found)) > 1
    np.save(tmp_path / "rows.npy", x)
    assert predicted(tmp_path, "rows.npy", "rows.csv") == 2 * found


REFUSED = {
    "": "the table is empty",
    "width,height\n1,2": "there is no column 'colour'",
    "width,height,colour\n1,tall,red": "column 'height' has 'tall' in row 1, which is no number",
    "width,height,width,colour\n1,2,3,red": "there is more than one column 'width'",
    "width,height,colour\n1,2,red,4": "row 1 has 4 fields, and there are 3 columns",
    "width;height;colour\n1;2;red": "there is one column; they should have ',' between them",
    "width,height,colour\ninf,2,red": "samples must be finite numbers; some are NaN or infinite",
}


@pytest.mark.parametrize("content", REFUSED)
def test_a_table_that_will_not_do_gets_one_sentence(tmp_path: Path, content: str) -> None:
    exported_table(tmp_path)
    (tmp_path / "rows.csv").write_text(content)
    assert predicted(tmp_path, "rows.csv") == [f"error: rows.csv: {REFUSED[content]}"]


@pytest.mark.parametrize("damage", [lambda data: data[:300], lambda data: data[:-4], lambda data: b"none", None])
def test_damaged_weights_are_not_blamed_on_the_samples(tmp_path: Path, damage: Callable[[bytes], bytes] | None) -> None:
    exported_table(tmp_path)
    weights = tmp_path / "best" / "weights.safetensors"
    if damage is None:
        weights.unlink()
    else:
        weights.write_bytes(damage(weights.read_bytes()))
    (said,) = predicted(tmp_path, "data.csv")
    assert said.startswith("error: weights.safetensors is missing or damaged: ")


def exported_table(folder: Path) -> None:
    dataset = Csv(table(folder), target="insect").load(0)
    exported(folder / "best", network(dataset), dataset)


def test_a_word_that_was_not_met_is_said_and_taken_for_missing(tmp_path: Path) -> None:
    exported_table(tmp_path)
    (tmp_path / "rows.csv").write_text("width,height,colour\n1,2,pink\n1,2,\n")
    said, *classes = predicted(tmp_path, "rows.csv")
    assert said == "column 'colour': 'pink' was not met in training"
    assert classes[0] == classes[1]
    (tmp_path / "rows.csv").write_text("width,height,colour\n")
    assert predicted(tmp_path, "rows.csv") == []


def test_of_a_table_with_one_column_an_empty_line_is_a_missing_number(tmp_path: Path) -> None:
    numbers = np.linspace(0, 10, 60)
    (tmp_path / "data.csv").write_text("a,y\n" + "".join(f"{a},{int(a > 5)}\n" for a in numbers))
    dataset = Csv(str(tmp_path / "data.csv"), target="y").load(0)
    exported(tmp_path / "best", network(dataset), dataset)
    (tmp_path / "rows.csv").write_text("a\n9\n\n0.2\n\n\n")
    median = float(np.median(dataset.train.x))
    (tmp_path / "same.csv").write_text(f"a\n9\n{median}\n0.2\n")
    assert predicted(tmp_path, "rows.csv") == predicted(tmp_path, "same.csv")
    assert len(predicted(tmp_path, "rows.csv")) == 3


@pytest.mark.parametrize(("options", "shape"), [({}, (8, 8)), ({"size": 6}, (8, 8)), ({"size": 6}, (12, 9, 3))])
def test_photographs_get_the_classes_of_the_evaluation(tmp_path: Path, options: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f"{number}.jpg")
    dataset = ImageFolder(str(tmp_path / "photos"), **options).load(0)
    chosen = exported(tmp_path / "best", network(dataset), dataset)
    files = [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.glob("photos/*/*.jpg"))]
    pixels = np.concatenate([reader(dataset)(str(tmp_path / file)) for file in files])
    assert in_order(np.divide(pixels, np.float32(255), dtype=np.float32)) == in_order(whole(dataset))
    part = Part((pixels / 255).astype(np.float32), np.zeros(len(files), np.int64))
    assert predicted(tmp_path, *files) == answers(chosen, dataset, part)
    (tmp_path / "none.jpg").write_bytes(b"none")
    assert "cannot identify image file" in predicted(tmp_path, "none.jpg")[0]
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    assert predicted(tmp_path, "deep.png") == ["error: deep.png: pixels of mode I;16 are not 8 bits a channel"]
    if not options:
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "small.png")
        assert "samples must have shape (n, 1, 8, 8), got (1, 1, 4, 5)" in predicted(tmp_path, "small.png")[0]


def test_flat_samples_and_grey_ones_without_their_channel_are_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1, 4, 3)).astype(np.float32)
    part = Part(x, np.arange(60) % 3)
    dataset = Dataset("grey", part, part, part, ("ant", "bee", "cat"))
    chosen = exported(tmp_path / "best", network(dataset), dataset)
    for name, array in {
        "whole": x,
        "flat": x.reshape(60, 12),
        "grey": x[:, 0],
        "one": x[0],
        "odd": x[:, :, :3],
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    for name in ("whole", "flat", "grey"):
        assert predicted(tmp_path, f"{name}.npy") == answers(chosen, dataset, part)
    assert predicted(tmp_path, "one.npy") == answers(
        chosen, dataset, Part(x[:1], part.y[:1])
    )  # one without its channel
    np.savez(tmp_path / "many.npz", x)
    assert predicted(tmp_path, "many.npz") == [
        "error: many.npz: give the samples as an array, in a file that ends in .npy"
    ]
    assert predicted(tmp_path, "odd.npy") == ["error: odd.npy: samples must have shape (n, 1, 4, 3), got (60, 1, 3, 3)"]


def test_a_program_gets_probabilities(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    part = Part(rng.normal(size=(2500, 5)).astype(np.float32), np.arange(2500) % 3)
    dataset = Dataset("numbers", part, part, part, ("ant", "bee", "cat"))
    chosen = exported(tmp_path / "best", network(dataset), dataset)
    np.save(tmp_path / "x.npy", part.x)
    script = """
sys.path[:0] = ["best"]
from predict import probabilities
numpy.save("p.npy", probabilities(numpy.load("x.npy")))
assert probabilities(numpy.zeros((0, 5))).shape == (0, 3)
"""
    alone(script, cwd=tmp_path)
    with torch.inference_mode():
        wanted = chosen(Resident.of(part, dataset, torch.device("cpu")).x).softmax(1)
    assert np.allclose(np.load(tmp_path / "p.npy"), wanted, atol=1e-6)

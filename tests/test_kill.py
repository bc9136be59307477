"""`kill -9` at any moment loses no trial and repeats none: the search, gone on with, is the uninterrupted one."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from toy import command, environment, rows, timeless

LIMIT = 180.0
EVOLUTION = "evolution:population=4,sample=2"
BEST = ("model.py", "weights.safetensors", "config.json", "predict.py")


class Run:
    """A search in a directory, by one worker, that can be killed and started again."""

    def __init__(
        self, folder: Path, trials: int, strategy: str, epochs: int, fused: bool, more: tuple[str, ...] = ()
    ) -> None:
        self.folder, self.log = folder, folder / "out" / "trials.jsonl"
        options = ("--budget", "50K", "--epochs", str(epochs), "--strategy", strategy, "--no-baseline")
        options = (*options, "--fused" if fused else "--no-fused", *more)
        self.command = command(*options, "--trials", str(trials), "--workers", "1", "--device", "cpu", "--out", "out")
        folder.mkdir()

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "printed").open("ab") as printed:
            return subprocess.Popen(
                self.command, env=environment(), cwd=self.folder, stdout=printed, stderr=subprocess.STDOUT
            )

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        assert process.wait(LIMIT) == 0, (self.folder / "printed").read_text()

    @property
    def lines(self) -> list[bytes]:
        """Those that are whole."""
        data = self.log.read_bytes() if self.log.exists() else b""
        return data[: data.rfind(b"\n") + 1].splitlines()

    def killed(self, rng: random.Random) -> list[bytes]:
        """Start, kill at a random moment; the lines that were whole by then."""
        process, before = self.start(), len(self.lines)
        wanted = before + rng.choice((0, 0, 1, 1, 2))  # trials that it is left time for
        limit = time.monotonic() + LIMIT
        while len(self.lines) < wanted and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 3.0 if wanted == before else 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT)
        return self.lines


def check(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    trials: int,
    kills: int,
    seed: int,
    strategy: str = EVOLUTION,
    epochs: int = 2,
    fused: bool = False,
    more: tuple[str, ...] = (),
) -> None:
    whole, cut = (Run(tmp_path / name, trials, strategy, epochs, fused, more) for name in ("whole", "cut"))
    rng = random.Random(seed)
    uninterrupted = whole.start()  # beside the other: nothing but the time may depend on what else runs
    seen: list[list[bytes]] = [cut.killed(rng) for _ in range(kills)]
    cut.finish(cut.start())
    whole.finish(uninterrupted)
    numbers = Counter(row["number"] for row in rows(cut.log))
    lost = sum(line not in cut.lines for lines in seen for line in lines) + trials - len(numbers)
    repeated = sum(numbers.values()) - len(numbers)
    moments = [len(lines) for lines in seen]
    with capsys.disabled():
        print(f"\n{kills} kills after {moments} of {trials} trials: {lost} lost, {repeated} repeated")
    assert (lost, repeated) == (0, 0)
    assert set(numbers) == set(range(trials))
    for lines in seen:
        assert cut.lines[: len(lines)] == lines
    if fused:  # in other groups the last digits may differ
        asked = [{row["number"]: row["choices"] for row in rows(run.log)} for run in (cut, whole)]
        assert asked[0] == asked[1]
        return
    assert timeless(rows(cut.log)) == timeless(rows(whole.log))
    for name in BEST:
        assert (cut.folder / "out" / "best" / name).read_bytes() == (whole.folder / "out" / "best" / name).read_bytes()
    kept = 0 if "--one-shot" in more else 1
    assert len(list((cut.folder / "out" / "weights" / "search").iterdir())) == kept


@pytest.mark.slow
def test_a_search_killed_twice_is_the_uninterrupted_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, capsys, trials=6, kills=2, seed=0)


@pytest.mark.slow
def test_a_search_by_groups_killed_twice_loses_nothing_and_repeats_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, capsys, trials=12, kills=2, seed=2, strategy="random", fused=True)


@pytest.mark.slow
def test_a_search_by_rungs_killed_three_times_is_the_uninterrupted_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, capsys, trials=14, kills=3, seed=1, strategy="asha:inner=random", epochs=9)
    assert not (tmp_path / "cut" / "out" / "checkpoints").exists()


@pytest.mark.slow
def test_a_search_with_shared_weights_killed_three_times_is_the_uninterrupted_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--one-shot", "rounds=2,epochs=8", "--space", "mlp:max_depth=2,max_width=16")
    check(tmp_path, capsys, trials=8, kills=3, seed=3, more=more)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_killed_twenty_times_is_the_uninterrupted_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, capsys, trials=40, kills=20, seed=0)

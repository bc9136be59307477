"""What a report says in sentences: the answer, how it was found, what of it may be chance."""

from __future__ import annotations

from collections.abc import Sequence

from nas.budget import format_size
from nas.reporting.conditions import count, percent, points
from nas.reporting.facts import Run, Tried
from nas.reporting.finals import (
    Finalist,
    Handed,
    against_random,
    best_of,
    chosen,
    handed_over,
    leads,
    luckiest,
    sample_half_width,
    sample_interval,
    seed_deviation,
)
from nas.reporting.tables import signed
from nas.selection import Difference

PHASES = {
    "search": "The search is still running",
    "random": "Random search at equal cost is still running",
    "final": "The final training is still running",
    "distilled": "A network is still being taught by the ensemble",
    "test": "The chosen network is being tested and written",
    "interrupted": "The search was interrupted; the same command continues it",
    "failed": "The search ended with an error; see its terminal and errors.log",
    "killed": "The search was killed, or has written no state; the same command continues it",
}
FLATTERED = (
    "The best of many noisy scores is flattered by chance: of networks that are equally good the luckiest comes first. "
    "So the finalists were trained again with fresh seeds, and compared by these."
)
ALONE = (
    "Random search at equal cost was not run (it is left out with --no-baseline, and under --time), so that nothing "
    "can be said of what the strategy is worth."
)
ONCE = (
    "Each of the two searches was run once: this compares two networks and says little of the two strategies, for "
    "which several searches of each would be needed."
)
NO_INTERVAL = {  # by whether both have several seeds
    False: "With one seed each it cannot be said whether that is more than chance.",
    True: "All seeds of each agree, so there is no interval, and it cannot be said whether that is more than chance.",
}
LUCKY = "the best of many single trainings is flattered by chance"
RANKED = (
    "The search compared networks by the accuracy that each has with weights that all share, which is not what it has "
    "once it is trained. So the best were trained from scratch with fresh seeds, and judged by these."
)
UNMEASURED = {  # by whether it was tried
    False: "It was not trained again with fresh seeds",
    True: "It has no accuracy of fresh seeds",
}


def state(run: Run) -> str:
    """Why a report is not that of a finished search; empty where it is."""
    said = PHASES.get(run.state.phase, "")
    return f"{said}. This page shows what had ended when it was made." if said else ""


def headline(run: Run, again: Sequence[Finalist]) -> str:
    """The result in figures."""
    best = chosen(run, again)
    if best is None and not run.ranked:
        return "No network yet"
    won = tested(run, again)
    if won is not None and won.folder != "best":
        accuracy, half, params, of = won.expected, won.half_width, won.params, f" of {won.name}"
    elif best is not None:
        accuracy, half, params, of = best.mean, best.half_width, best.first.params, ""
    else:
        return f"{percent(run.ranked[0].score)} {run.measure}, {run.ranked[0].params:,} parameters"
    reach = "" if half is None else f" ± {points(half)}"
    held = "" if won is None or won.tested is None else f", {percent(won.tested)} on the test part"
    return f"{100 * accuracy:.2f}{reach} % validation accuracy{of}{held}, {params:,} parameters"


def answer(run: Run, again: Sequence[Finalist]) -> list[str]:
    """The result in a few sentences."""
    if not run.ranked and not again:
        if not run.tried:
            return ["No trial has ended yet, so that there is no network to report."]
        return [f"No network was trained to the end: all of the {count(len(run.tried), 'trial')} failed."]
    best, won = chosen(run, again), tested(run, again)
    if best is None:
        row, trials = run.ranked[0], count(len(run.tried), "trial")
        failed = all_failed(run)
        said = [
            *([failed] if failed else []),
            f"The best of {trials} has {percent(row.score)} {run.measure}, with {size(run, row.params)}.",
            f"{UNMEASURED[bool(failed)]}, and {'that only ranks networks' if run.shared else LUCKY}.",
        ]
    else:
        accuracy, params = percent(best.mean), size(run, best.first.params)
        said = [f"The best network has {accuracy} validation accuracy, {_mean(best)}, with {params}."]
    if won is not None and won.folder != "best":
        said.append(f"More is expected of {won.name}: {percent(won.expected)}, with {size(run, won.params)}.")
        said.append("Whether that difference is more than chance is not known.")
    return [*said, test(run, again)]


def _mean(best: Finalist) -> str:
    others = f", {best.failed} more failed," if best.failed else ""
    if len(best.values) == 1:
        return f"measured with one fresh seed{others or ','} so that no interval can be given"
    fresh = f"mean of {len(best.values)} fresh seeds{others}"
    if best.half_width is None:
        return f"the {fresh} ({interval(best)})"
    return f"± {points(best.half_width)} points ({fresh} and its 95 % interval)"


def beyond_seeds(run: Run, again: Sequence[Finalist]) -> str:
    """What the intervals leave out: that the validation part is a sample too; empty where its size is not known."""
    best = chosen(run, again)
    if best is None or len(run.samples) != 3 or run.samples[1] < 1:
        return ""
    half = sample_half_width(best.mean, run.samples[1])
    by = f": ± {points(half)} points at {percent(best.mean)} (binomial, 95 %)" if half else ""
    return (
        f"An interval here is over seeds alone; the validation part of {count(run.samples[1], 'sample')} adds its own "
        f"uncertainty{by}."
    )


def ended(again: Finalist) -> str:
    """How many of its seeds ended, where some failed."""
    number = len(again.values)
    return f"{number} of {count(number + again.failed, 'seed')}" if again.failed else ""


def left_out(run: Run, again: Sequence[Finalist]) -> str:
    """Of finalists that are not in the table, since none of their seeds ended; empty where all are."""
    number = len({row.key for row in run.counting("final")} - {f.first.key for f in again})
    which = "finalist is not shown: its seeds" if number == 1 else "finalists are not shown: their seeds"
    return f"{number} more {which} all failed." if number and again else ""


def all_failed(run: Run) -> str:
    """Says so where the final trainings that count have all failed; empty where one has ended, or none was begun."""
    rows = run.counting("final") or run.final
    if not rows or any(row.value is not None for row in rows):
        return ""
    if len(rows) == 1:
        return "The final training failed; the accuracy below is the flattered one of the search."
    return f"All {len(rows)} final trainings failed; the accuracy below is the flattered one of the search."


def interval(again: Finalist | None) -> str:
    """Half the width of the interval around a mean of seeds, or why there is none."""
    if again is None or again.half_width is not None:
        return "–" if again is None or again.half_width is None else f"± {points(again.half_width)}"
    number = len(again.values)
    all_ = "both" if number == 2 else f"all {number}"
    return "one seed" if number == 1 else f"{all_} seeds agree, so there is no interval"


def size(run: Run, params: int) -> str:
    share = run.share(params)
    of = "" if share is None else f", {100 * share:.1f} % of the budget of {format_size(run.budget)}"
    return f"{params:,} parameters{of}"


def stale(run: Run, again: Sequence[Finalist]) -> bool:
    """Whether best/ holds another training than the best; a search that goes on may have found another since."""
    if run.selection is not None:  # it ended, and wrote best/ at its end
        return False
    best, number = chosen(run, again), run.exported.get("trial")
    if best is not None and number is not None and all(row.number != number for row in best.rows):
        return True
    params = best.first.params if best is not None else next((row.params for row in run.ranked), None)
    return bool(run.exported) and run.exported.get("parameters") != params


def tested(run: Run, again: Sequence[Finalist]) -> Handed | None:
    """What was chosen and tested."""
    if stale(run, again):
        return None
    return next((one for one in handed_over(run, again) if one.tested is not None), None)


def test(run: Run, again: Sequence[Finalist]) -> str:
    """The test accuracy, and what its sample leaves open."""
    if stale(run, again):
        return "The network in best/ is another one, exported before; this one has not been tested."
    won = tested(run, again)
    if won is None or won.tested is None:
        return "The accuracy on the test part has not been measured."
    samples = run.samples[2] if len(run.samples) == 3 else 0
    interval = sample_interval(won.tested, samples)
    open_ = ""
    if interval:
        low, high = (percent(end) for end in interval)
        open_ = f" ({samples:,} samples; where these are independent the 95 % interval is {low} to {high})"
    who = {"best": "it", "ensemble": "the ensemble"}.get(won.folder, "the network that was taught")
    used = "once" if run.tests < 2 else f"for {run.tests} choices of this run, one after the other"
    return f"On the test part, which was used {used}, {who} has {percent(won.tested)}{open_}."


def flattered(run: Run, again: Sequence[Finalist]) -> list[str]:
    """What of the score in the search is luck, as far as can be told."""
    best = chosen(run, again)
    if best is None:
        return []
    said = [RANKED if run.shared else FLATTERED]
    if best.searched is not None:
        said.append(_fall(run, best, best.searched))
    if ahead := leads(again):
        before, after = (f"{signed(lead)} points" for lead in ahead)
        said.append(
            f"The finalist that was first in the search led the others there by {before} on average, and by {after} on "
            "fresh seeds."
        )
    deviation, number = seed_deviation(again), len(run.trained)
    if run.shared:
        return said
    if deviation is None:
        said.append("Each finalist was trained with one seed, so that nothing can be said of chance.")
    elif not deviation:
        said.append("The seeds of each finalist agree, so that it cannot be told how much of a score may be luck.")
    elif number > 1:
        said.append(
            f"Between seeds the accuracy of a finalist deviates by {points(deviation)} points (one standard deviation, "
            "in the final training; shorter ones vary more). If seeds varied as much in the search, the luckiest of "
            f"{number:,} networks that are equally good would be {points(deviation * luckiest(number))} points above "
            "its true accuracy: about so much of the best score in the search may be luck."
        )
    return said


def _fall(run: Run, best: Finalist, searched: Tried) -> str:
    before, now = percent(searched.score), percent(best.mean)
    seeds = "its fresh seed" if len(best.values) == 1 else f"the mean of {len(best.values)} fresh seeds"
    if run.shared:
        return f"The chosen network had {before} with shared weights and has {now}, {seeds}."
    said = f"The chosen network had {before} in the search and has {now}, {seeds}"
    unlike = [
        *([f"{best.first.epochs:g} epochs against {searched.epochs:g}"] if best.longer else []),
        *(["on all training samples"] if run.config.get("sample") not in (None, 1, 1.0) else []),
        *(["on the validation part, not in folds"] if run.config.get("folds") not in (None, 1) else []),
    ]
    fall = searched.score - best.mean
    if not unlike:
        return f"{said}: the search flattered it by {points(fall)} points." if fall > 0 else f"{said}."
    return f"{said}; the final training differs ({', '.join(unlike)}), so that the flattery is not their difference."


def compared(run: Run, again: Sequence[Finalist]) -> list[str]:
    """The search against random search at equal cost."""
    if not run.random:
        return [ALONE]
    ours, theirs = best_of(run, run.search), best_of(run, run.random)
    if ours is None or theirs is None:
        return ["One of the two searches has no result, so that they cannot be compared."]
    if ours.key == theirs.key:
        return ["The search and random search at equal cost have found the same network.", ONCE]
    found = against_random(run, again)
    if found is None:
        said = f"The search's best had {percent(ours.score)} there, random search's {percent(theirs.score)}."
        return [f"{said} They were not both trained again, so that nothing can be said of chance.", ONCE]
    first, second, apart = found
    said = f"On fresh seeds the search's best has {percent(first.mean)}, random search's best {percent(second.mean)}."
    verdict = {
        True: f"The search's best network is significantly {'better' if apart.value > 0 else 'worse'}.",
        False: "Neither is significantly better: the interval includes zero.",
        None: NO_INTERVAL[min(len(first.values), len(second.values)) > 1],
    }[apart.significant]
    return [f"{said} The difference is {_difference(apart)}. {verdict}", ONCE]


def _difference(apart: Difference) -> str:
    interval = "" if apart.low is None or apart.high is None else f"{signed(apart.low)} to {signed(apart.high)}"
    return f"{signed(apart.value)} points" + (f" (95 % interval {interval})" if interval else "")

"""Why no network of a space fits a parameter budget, in one sentence with the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.architecture import Architecture
from nas.budget import Budget, BudgetError, format_size

if TYPE_CHECKING:
    from nas.space import SearchSpace

STEPS = 30  # budgets that are tried, each half as large again


def only_fits(where: str, space: SearchSpace, budget: Budget) -> str:
    """The same of a space whose choices are few, so that what is left out, by default, may fit one budget alone."""
    for most in (int(budget.most * 1.5**step) + 1 for step in range(1, STEPS)):
        try:
            space.within(Budget(most, budget.fill)).draw(lambda name, options, weights: 0)
        except BudgetError:
            continue
        fits = f"a --budget of {format_size(most, up=True)} has room for it"
        break
    else:
        fits = "no larger --budget that was tried has room for it"
    return (
        f"{where} has no network for the parameter budget {budget.most:,}: choices that --only leaves out take their "
        f"default; {fits}, or let --only have more choices, such as width"
    )


def diagnose(where: str, smallest: Architecture, budget: Budget) -> str:
    """`where`: the space and its task in words; `smallest`: the smallest network found there."""
    if smallest.num_params <= budget.most and not budget.fill:
        return (
            f"no network of {where} is left, though the smallest has {smallest.num_params:,} parameters: another limit "
            f"of the space, such as max_flops, rules all out; raise it as in --space NAME:max_flops=1e9"
        )
    if smallest.num_params <= budget.most:
        return (
            f"no network of {where} uses at least {budget.fill:g} of the parameter budget {budget.most:,}; "
            f"lower --fill or --budget"
        )
    largest = max(range(len(smallest.nodes)), key=lambda i: smallest.layer_params[i])
    layers = [i for i, n in enumerate(smallest.nodes) if smallest.layer_params[i]]
    position = "its first layer" if largest == layers[0] else f"one {smallest.nodes[largest].op}"
    return (
        f"the smallest network of {where} has {smallest.num_params:,} parameters, "
        f"{smallest.layer_params[largest]:,} of them in {position}, and the parameter budget is {budget.most:,}; "
        f"raise --budget to at least {format_size(smallest.num_params, up=True)} or lower the number of inputs"
    )

"""nas: neural architecture search inside a parameter budget that cannot be left."""

from nas.api import search
from nas.architecture import Architecture, Sketch
from nas.budget import Budget, BudgetError
from nas.events import Monitor
from nas.result import Result
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial

__version__ = "0.1.0"
__all__ = [
    "Architecture",
    "Budget",
    "BudgetError",
    "Candidate",
    "Monitor",
    "Result",
    "SearchSpace",
    "Sketch",
    "Strategy",
    "Trial",
    "search",
]

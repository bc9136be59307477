"""What the options of strategies have in common."""

from __future__ import annotations


def at_least(**bounds: tuple[int, int]) -> None:
    """Raise `ValueError` for an option that is less than it may be; `bounds`: its value, and the least."""
    for name, (value, least) in bounds.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")

"""`python -m nas.search`: the command line. (`nas.search(...)`, the function, is in `nas.api`.)"""

import sys
from types import ModuleType
from typing import Any

from nas.api import search
from nas.cli import main


class _Callable(ModuleType):
    """Whoever imports this module puts it in the place of the function; so it can be called like it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return search(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    raise SystemExit(main())

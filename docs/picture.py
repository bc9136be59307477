"""Makes docs/search.svg: the README's first command, as its terminal shows it at the end. `python docs/picture.py`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from nas.options import Options
from nas.run import run
from nas.summary import print_result


def main() -> None:
    options = Options.of({"budget": "20M"})
    result = run(options, Console(stderr=True), verbosity=0)
    console = Console(record=True, width=116, force_terminal=True)
    console.print("$ python -m nas.search --space mlp --budget 20M", highlight=False)
    print_result(result, options, console, quiet=False)
    wrapped = Console(record=True, width=116, force_terminal=True)  # long lines as a terminal shows them, not cut off
    wrapped.print(Text.from_ansi(console.export_text(styles=True)))
    picture = Path(__file__).with_name("search.svg")
    picture.write_text(wrapped.export_svg(title="nas"), encoding="utf-8")


if __name__ == "__main__":
    main()

"""What every command line of ours has in common: a user's mistake is one sentence, and the exit status says so."""

from __future__ import annotations

import os
import sys
from errno import EDQUOT, ENOSPC

import click

from nas.executor import JobFailed


def run_command(command: click.Command, arguments: list[str] | None, name: str, interrupted: str = "") -> int:
    """Run `python -m NAME`; its exit status: 2 for a user's mistake, 130 after Ctrl-C, which says `interrupted`."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's own modules are found, by the console script too
    try:
        return int(command.main(args=arguments, prog_name=f"python -m {name}", standalone_mode=False) or 0)
    except click.ClickException as error:
        message = error.format_message()
    except ValueError as error:
        message = str(error)
    except JobFailed as error:
        message = f"a worker failed: {error}"
    except OSError as error:  # a full disk, a folder that may not be written; finished trials are in the log
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        if error.errno in (ENOSPC, EDQUOT) or os.strerror(ENOSPC) in message:
            message += "; make room and give the same command again, what has finished is kept"
    except (KeyboardInterrupt, click.Abort):
        print(interrupted, end="\n" if interrupted else "", file=sys.stderr)
        return 130
    print(f"error: {message}", file=sys.stderr)
    return 2

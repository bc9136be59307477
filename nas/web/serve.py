"""`python -m nas.monitor RUN`: the NNI web UI of a run, whether it is searching, finished or was killed."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import click

from nas.command import run_command
from nas.record import Record
from nas.web import LOOPBACK

PORT = 8080


def find_ui() -> Path:
    """The web UI in the installed `nni` package. Raises `ValueError` where something that it needs is missing."""
    for package in ("starlette", "uvicorn", "nni_node"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"the NNI web UI needs {package}; pip install 'nas-search[nni]'")
    spec = importlib.util.find_spec("nni_node")
    folders = [Path(place) / "static" for place in (spec and spec.submodule_search_locations) or ()]
    for folder in folders:
        if (folder / "index.html").is_file():
            return folder
    raise ValueError("the installed nni package holds no web UI; pip install 'nni==3.0'")


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket that listens there; port 0 is any that is free.

    Raises `ValueError`, which names the `option` that the port is from, where it cannot be had.
    """
    if not 0 <= port < 65536:
        raise ValueError(f"{option}: a port is 0..65535, got {port}")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = str(error.strerror).partition(" (while")[0]  # Python adds the address
        raise ValueError(f"port {port} of {host} cannot be had ({why}); give another {option}") from None


def serve(run: Path, listening: socket.socket, token: str | None = None) -> None:
    """Answer until the process is told to end."""
    import uvicorn

    from nas.web.app import make_app

    app = make_app(Record(run), find_ui(), listening.getsockname()[1], token)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")).run([listening])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", type=int, default=PORT, show_default=True, help="Port; 0: any that is free.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; any but this machine's own needs --token."
)
@click.option("--token", help="What a visitor must know, at least 8 characters; `random` makes one.")
@click.option("--fd", type=int, hidden=True, help="Listen on this descriptor and end with standard input.")
def command(run: Path, port: int, host: str, token: str | None, fd: int | None) -> None:
    """Show the run directory RUN in the NNI web UI."""
    if fd is not None:
        _end_with_stdin()
        serve(run, socket.socket(fileno=fd), token)
        return
    record, _ = Record(run), find_ui()
    token = secrets.token_urlsafe(16) if token == "random" else token  # noqa: S105  # the word that asks for one
    if token is not None and len(token) < 8:
        raise ValueError(f"--token must have at least 8 characters, got {len(token)}; --token random makes one")
    if host not in LOOPBACK and token is None:
        raise ValueError(f"--host {host} lets others in; give --token random, or leave --host out")
    listening = listen(host, port)
    name = f"[{host}]" if ":" in host else host  # an address of IPv6 has colons of its own
    address = f"http://{name}:{listening.getsockname()[1]}/" + (f"?token={quote(token, safe='')}" if token else "")
    if host not in LOOPBACK:
        click.echo(f"warning: {host} can be reached from other machines, and what they send is not encrypted", err=True)
    click.echo(f"{record.path}: {address} (Ctrl-C ends it)")
    serve(run, listening, token)


def _end_with_stdin() -> None:
    """End this process when whoever started it has ended, however that was."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for a user's mistake, which it says in one sentence."""
    return run_command(command, arguments, "nas.monitor")

"""The NNI web UI over HTTP: its own files, and the answers it asks for. Read-only, but for the kill button."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from nas.live import stop_file
from nas.record import Record
from nas.web import LOOPBACK
from nas.web.answers import Answers, number_of

FRESH = 0.5  # seconds for which what was read of the run directory is good
COOKIE = "nas-token"


def make_app(record: Record, ui: Path, port: int, token: str | None = None) -> Starlette:
    """The application on a run directory; `ui` holds NNI's own pages. With a `token`, nobody gets in without it."""
    interface = _Interface(record, port)
    return Starlette(
        routes=[
            Mount("/api/v1/nni", routes=interface.routes()),
            Route("/logs/nnimanager.log", interface.story, methods=["GET"]),
            Route("/logs/dispatcher.log", interface.failures, methods=["GET"]),
            Mount("/", _Pages(ui)),
        ],
        middleware=[Middleware(Guard, token=token, cookie=f"{COOKIE}-{port}")],
        exception_handlers={OSError: _unreadable},
    )


class _Interface:
    """NNI's REST interface, `/api/v1/nni`."""

    def __init__(self, record: Record, port: int) -> None:
        self.record, self.port = record, port
        self.answers, self._read = Answers(record), time.monotonic()

    def fresh(self) -> Answers:
        if time.monotonic() - self._read > FRESH:
            self.answers.refresh()
            self._read = time.monotonic()
        return self.answers

    def routes(self) -> list[Route]:
        answer = {
            "/check-status": lambda: self.fresh().status(),
            "/experiment": lambda: self.fresh().experiment(),
            "/experiment-metadata": lambda: self.fresh().metadata(self.port),
            "/trial-jobs": lambda: self.fresh().jobs(),
            "/metric-data": lambda: self.fresh().metrics(),
            "/metric-data-latest": lambda: self.fresh().latest(),
            "/job-statistics": lambda: self.fresh().counts(),
            "/export-data": lambda: self.fresh().exported(),
            "/experiments-info": list,  # a mapping here gives a white page
            "/tensorboard-tasks": list,
        }
        return [
            *(Route(path, _answering(make), methods=["GET"]) for path, make in answer.items()),
            Route("/version", lambda request: PlainTextResponse("v3.0"), methods=["GET"]),
            Route("/metric-data-range/{first:int}/{last:int}", self.between, methods=["GET"]),
            Route("/trial-jobs/{name}", self.trial, methods=["GET"]),
            Route("/trial-jobs/{name}", self.kill, methods=["DELETE"]),
            Route("/trial-file/{name}/{file}", self.log, methods=["GET"]),
            Route("/{rest:path}", _refused, methods=["GET", "PUT", "POST", "DELETE", "PATCH"]),
        ]

    async def between(self, request: Request) -> Response:
        first, last = request.path_params["first"], request.path_params["last"]
        return _json(self.fresh().metrics(range(first, min(last, first + 1000) + 1)))

    async def trial(self, request: Request) -> Response:
        found = self.fresh().job(request.path_params["name"])
        return _json(found) if found else _error(404, f"there is no {request.path_params['name']} in this run")

    async def log(self, request: Request) -> Response:
        text = self.fresh().log(request.path_params["name"])
        if text is None:
            return _error(404, f"there is no {request.path_params['name']} in this run")
        if request.path_params["file"] == "stderr":
            text = _of_trial(self.record.errors(), request.path_params["name"])
        return PlainTextResponse(text)

    async def story(self, request: Request) -> Response:
        return PlainTextResponse(self.fresh().story())

    async def failures(self, request: Request) -> Response:
        return PlainTextResponse(self.record.errors() or "nothing has failed\n")

    async def kill(self, request: Request) -> Response:
        """Leave the file at which the training stops, wherever its worker is."""
        name = request.path_params["name"]
        number = number_of(name)
        self.answers.refresh()
        if number is None or not self.answers.is_running(number):
            return _error(409, f"{name} is not running, so it cannot be stopped")
        try:
            stop_file(self.record.live_file(number)).touch()
        except OSError as error:
            return _error(500, f"{name} cannot be stopped: {error.strerror}")
        return JSONResponse({})


class _Pages(StaticFiles):
    """NNI's files; its page for every other path, for the UI makes its own way from there."""

    def __init__(self, ui: Path) -> None:
        super().__init__(directory=ui)
        self._index = ui / "index.html"

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return _error(405, "this server is read-only")
        try:
            found, _ = self.lookup_path(path)
            there = path not in ("", ".") and Path(found).is_file()
        except (OSError, ValueError):  # a name that no file can have
            there = False
        if not there:
            return FileResponse(self._index)
        return await super().get_response(path, scope)


class Guard:
    """Refuses whoever comes from another page, under another name of this machine, or without the token."""

    def __init__(self, app: ASGIApp, token: str | None, cookie: str) -> None:
        self.app, self.token = app, token
        self.cookie = cookie  # a browser sends it to every port of this machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._refusal(request)
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        headers: Headers = request.headers
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name, page = urlsplit(f"//{host}").hostname, origin and urlsplit(origin).netloc
        except ValueError:  # such as [::1
            return _error(403, f"the host {host!r} or the origin {origin!r} is malformed")
        if self.token is None and name not in LOOPBACK:
            return _error(403, f"this server answers to localhost alone, not to {host!r}")
        if origin is not None and page != host:
            return _error(403, f"requests from {origin} are refused")
        if headers.get("sec-fetch-site", "none") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return _error(403, "requests from other sites are refused")
        return None if self.token is None else self._without_token(request)

    def _without_token(self, request: Request) -> Response | None:
        given = request.query_params.get("token")
        if given is not None and secrets.compare_digest(given.encode(), str(self.token).encode()):
            response = RedirectResponse(request.url.path, status_code=303)
            response.set_cookie(self.cookie, quote(given, safe=""), httponly=True, samesite="strict")
            return response
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        held = unquote(request.cookies.get(self.cookie, "")) or bearer
        if secrets.compare_digest(held.encode(), str(self.token).encode()):
            return None
        return _error(401, "the token is missing; open the address that the server printed")


def _answering(make: Any) -> Any:
    async def answer(request: Request) -> Response:
        return _json(make())

    return answer


def _json(value: Any) -> Response:
    return Response(value, media_type="application/json") if isinstance(value, bytes) else JSONResponse(value)


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


async def _refused(request: Request) -> Response:
    return _error(405, f"{request.method} {request.url.path} is not offered: a run is watched here, not changed")


async def _unreadable(request: Request, error: Exception) -> Response:
    """The run directory is gone, or may not be read, while somebody looks."""
    assert isinstance(error, OSError)
    return _error(503, f"{error.filename}: {error.strerror}; the run directory cannot be read")


def _of_trial(errors: str, name: str) -> str:
    """The part of errors.log that tells of a trial of the search; others' entries begin with more than `trial N:`."""
    start = f"trial {number_of(name)}:"
    entries = re.split(r"^(?=(?:random search, )?trial \d+: |final training \d+: )", errors, flags=re.MULTILINE)
    return "".join(entry for entry in entries if entry.startswith(start)) or "it has not failed\n"

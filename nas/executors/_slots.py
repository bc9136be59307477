"""Slots: a thread for each worker hands it jobs, one at a time, and puts another in its place when it has died."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from nas.executor import JobFailed, T, Workers
from nas.executors._reply import Reply

REFUSED = 3  # workers in a row that die before they take a job, after which there is no use in starting more


class Died(Exception):
    """A worker has ended in the middle of a job; the words say how."""


class Worker(ABC):
    """One worker, at work on one job at a time."""

    @abstractmethod
    def send(self, job: Any) -> bool:
        """Hand over a job, as packed; False where the worker has died before it took it."""

    @abstractmethod
    def reply(self, timeout: float | None) -> Reply | None:
        """What it says next; None where that takes longer than `timeout` seconds. Raises `Died`."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, whatever it does; from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Let it end, and wait for that; it has no job."""


@dataclass(eq=False)
class _Job:
    """`fn(evaluator, *args)`, and whoever waits for it; of `several` done together there are several who wait."""

    fn: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    waiting: dict[int, Future[Any]]
    several: bool = False
    packed: Any = None
    begun: bool = False
    lost: int = 0  # workers that have died with it
    refused: int = 0  # workers that have died before they took it

    def begin(self) -> bool:
        """Whether anybody still waits for it."""
        if not self.begun:
            self.begun = True
            self.waiting = {n: f for n, f in self.waiting.items() if f.set_running_or_notify_cancel()}
        return bool(self.waiting)

    def settle(self, reply: Reply) -> None:
        """End the future of one of several."""
        if (future := self.waiting.pop(reply.position or 0, None)) is not None:
            reply.settle(future)

    def shorten(self) -> None:
        """Leave out those of several that have ended."""
        if self.several:
            self.args = ([self.args[0][n] for n in self.waiting],)
            self.waiting = dict(enumerate(self.waiting.values()))

    def end(self, reply: Reply) -> None:
        """End what has not ended."""
        if self.several and reply.failure is None:
            reply = reply._replace(failure=JobFailed("the worker has not said what became of it"))
        for future in self.waiting.values():
            if self.begun:
                reply.settle(future)
            else:
                future.cancel()
                future.set_running_or_notify_cancel()  # tells those who wait for it


class Slots(Workers):
    """Workers that a subclass starts. `lives`: so many workers may die with a job before it has failed."""

    lives = 1

    def __init__(self, slots: int, timeout: float | None) -> None:
        """Starts the workers, so a subclass calls it last."""
        self.slots, self.timeout = slots, timeout
        self._jobs: deque[_Job] = deque()
        self._workers: dict[int, Worker] = {}
        self._open = 0  # jobs that have not ended
        self._closed = self._killed = False
        self._failure = "the executor was shut down"
        self._changed = threading.Condition()
        self._servers = [threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in range(slots)]
        for server in self._servers:
            server.start()

    @abstractmethod
    def start(self, slot: int) -> Worker | None:
        """A worker that is ready; None where the executor is over before. Raises `JobFailed` where none can be had."""

    @abstractmethod
    def pack(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A job as `Worker.send` takes it."""

    @property
    def over(self) -> bool:
        """Whether there is nothing to do any more."""
        return self._killed or (self._closed and not self._open)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        self._queue(_Job(fn, args, kwargs, {0: future}))
        return future

    def stream(self, fn: Callable[..., Iterable[tuple[int, T]]], jobs: Sequence[Any]) -> list[Future[T]]:
        futures: list[Future[T]] = [Future() for _ in jobs]
        self._queue(_Job(fn, (jobs,), {}, dict(enumerate(futures)), several=True))
        return futures

    def _queue(self, job: _Job) -> None:
        try:
            job.packed = self.pack(job.fn, job.args, job.kwargs)
        except Exception as error:  # pickle raises what it likes
            job.begin()
            job.end(Reply(failure=JobFailed(f"the job cannot be sent to a worker: {error}")))
            return
        with self._changed:
            if self._closed:
                raise RuntimeError("the executor has been shut down")
            self._open += 1
            self._jobs.append(job)
            self._changed.notify()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let running jobs end, or with `cancel_futures` kill their workers."""
        with self._changed:
            if self._closed:
                return
            self._closed, self._killed = True, cancel_futures
            left = [self._jobs.popleft() for _ in range(len(self._jobs))] if cancel_futures else []
            workers = list(self._workers.values()) if cancel_futures else []
            self._changed.notify_all()
        for worker in workers:
            worker.kill()
        for job in left:
            self._end(job, Reply(failure=JobFailed(self._failure)))
        if wait:
            for server in self._servers:
                server.join()

    def _serve(self, slot: int) -> None:
        """Thread of one slot."""
        worker: Worker | None = None
        while True:
            worker = worker or self._started(slot)
            job = self._take()
            if job is None:
                break
            if worker is None:
                self._end(job, Reply(failure=JobFailed(self._failure)))
            elif not self._run(worker, job):
                worker.kill()
                worker.close()
                worker = None
        if worker is not None:
            worker.close()

    def _started(self, slot: int) -> Worker | None:
        if self.over:
            return None
        try:
            worker = self.start(slot)
        except JobFailed as error:
            self._failure = str(error)
            return None
        if worker is not None:
            with self._changed:
                self._workers[slot] = worker
                killed = self._killed
            if killed:
                worker.kill()
        return worker

    def _take(self) -> _Job | None:
        """The next job that nobody has cancelled; None once there can be none."""
        with self._changed:
            while not self.over:
                while self._jobs:
                    job = self._jobs.popleft()
                    if job.begin():
                        return job
                    self._open -= 1
                    self._changed.notify_all()
                if not self.over:
                    self._changed.wait()
            return None

    def _run(self, worker: Worker, job: _Job) -> bool:
        """Have a worker do a job; whether it can do another."""
        try:
            taken = worker.send(job.packed)
            reply = self._ending(worker, job) if taken else None
        except Died as death:
            job.lost += 1
            self._again(job, self.epitaph(death) if job.lost == self.lives else None)
            return False
        except Exception as error:  # whatever it is, no job is left without an end
            taken, reply = True, Reply.of(error)._replace(spoilt=True)
        if not taken:  # it died while idle: that costs nothing
            job.refused += 1
            self._again(job, "no worker lives long enough to take it" if job.refused == REFUSED else None)
            return False
        job.refused = 0
        if reply is None:
            self._end(job, Reply(failure=JobFailed(f"stopped after {self.timeout:g} s (--trial-timeout)")))
            return False
        self._end(job, reply)
        return not reply.spoilt

    def _ending(self, worker: Worker, job: _Job) -> Reply | None:
        """The reply that ends a job; those before it are of the several that are done together."""
        while (reply := worker.reply(self.timeout)) is not None and reply.position is not None:
            job.settle(reply)
        return reply

    def epitaph(self, death: Died) -> str:
        """Of a job that has taken its last worker with it."""
        return str(death)

    def _again(self, job: _Job, failure: str | None) -> None:
        """Leave a job to whoever is free next, unless it has failed."""
        with self._changed:
            again = failure is None and not self._killed
            if again:
                job.shorten()
                job.packed = self.pack(job.fn, job.args, job.kwargs)
                self._jobs.appendleft(job)
                self._changed.notify()
        if not again:
            self._end(job, Reply(failure=JobFailed(failure or self._failure)))

    def _end(self, job: _Job, reply: Reply) -> None:
        job.end(reply)
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

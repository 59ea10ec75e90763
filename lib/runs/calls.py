"""Calls of functions on chosen workers of a cluster, answered in the order in which they end."""

import asyncio
import contextlib
import queue
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, NamedTuple

FAREWELL = 5.0  # seconds for the last calls


class Call(NamedTuple):
    """A call on its way.

    Attributes:
        future: of Dask, ready as soon as the worker has a result.
        arrival: ready when the result is here.
        address: of the worker.
        then: called with what the function returns.
        otherwise: called with a sentence if it raises, or if its worker is lost on the way.
    """

    future: Any
    arrival: Future
    address: str
    then: Callable[[Any], None]
    otherwise: Callable[[str], None]


class Calls:
    """The calls of one client.

    Args:
        client: a ``distributed.Client``.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._calls: dict[str, Call] = {}  # by the key of the future
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(
        self,
        address: str,
        function: Callable,
        *arguments: Any,
        then: Callable[[Any], None],
        otherwise: Callable[[str], None],
        label: str = "",
    ) -> None:
        """Call a function on a worker, and on no other one if that is lost.

        Args:
            address: of the worker.
            function: of a module; Dask shows the call by its name, or by ``label``.
            arguments: of the function.
            then, otherwise: see :class:`Call`.
        """
        key = f"{label or function.__name__}-{uuid.uuid4().hex}"
        future = self.client.submit(function, *arguments, key=key, workers=[address], pure=False)
        # fetched in the background: what a lost worker had ready never arrives
        fetching = self.client.gather(future, asynchronous=True)
        arrival = asyncio.run_coroutine_threadsafe(fetching, self.client.loop.asyncio_loop)
        self._calls[key] = Call(future, arrival, address, then, otherwise)
        arrival.add_done_callback(lambda _: self._ended.put(key))

    def handle(self, seconds: float) -> None:
        """Wait so long for an answer, and handle all that have come."""
        with contextlib.suppress(queue.Empty):
            key = self._ended.get(timeout=seconds)
            while True:
                self._handle(key)
                key = self._ended.get_nowait()

    def _handle(self, key: str) -> None:
        call = self._calls.pop(key, None)
        if call is None:
            return
        call.future.release()
        try:
            result = call.arrival.result()
        except (CancelledError, Exception) as error:
            if self.client.status == "running":  # otherwise all are lost, with the scheduler
                call.otherwise(f"{type(error).__name__}: {error}")
            return
        call.then(result)

    def forget(self, address: str) -> None:
        """Wait no longer for a worker."""
        for key, call in list(self._calls.items()):
            if call.address == address:
                del self._calls[key]
                call.arrival.cancel()
                call.future.cancel()

    def end(self, addresses: list[str], function: Callable, *arguments: Any) -> None:
        """Call a function on workers a last time, and wait for no other call."""
        if self.client.status != "running":
            return
        for call in self._calls.values():
            call.arrival.cancel()
        self.client.cancel([call.future for call in self._calls.values()])
        self._calls.clear()
        for address in addresses:
            self.send(address, function, *arguments, then=str, otherwise=str)
        with contextlib.suppress(queue.Empty):
            while self._calls:
                self._calls.pop(self._ended.get(timeout=FAREWELL), None)

"""Messages from threads to one client: notes in order, and of the results the newest."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

MOST = 256  # notes that wait for a slow client; the oldest are dropped
TIMEOUT = 10.0  # seconds until a client that reads nothing is gone
AHEAD = 2  # images on their way to a viewer that did not acknowledge them


class Outbox:
    """What waits for one client; filled by any thread, emptied by the event loop."""

    def __init__(self, acknowledged: bool) -> None:
        """Call it in the event loop; `acknowledged`: whether the client acknowledges results."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._notes: deque[str] = deque(maxlen=MOST)
        self._newest: str | bytes | None = None  # poses, of a viewer with their picture
        self._found: str | None = None
        self._code: int | None = None
        self._acknowledged, self._ahead = acknowledged, 0

    def _later(self, act: Callable[..., None], *what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act, *what)

    def note(self, text: str) -> None:
        """Send a message, after those before."""
        self._notes.append(text)
        self._later(self._wake.set)

    def newest(self, message: str | bytes) -> None:
        """Send a result, in place of one that waits."""
        self._newest = message
        self._later(self._wake.set)

    def found(self, message: str) -> None:
        """Send what is known about people, in place of what waits."""
        self._found = message
        self._later(self._wake.set)

    def close(self, code: int) -> None:
        """Close the connection after the notes."""
        self._code = code
        self._later(self._wake.set)

    def acknowledge(self) -> None:
        """The client has shown a result; call it in the event loop."""
        self._ahead = max(0, self._ahead - 1)
        self._wake.set()

    async def send(self, socket: WebSocket) -> None:
        """Send what comes, until the connection is closed.

        Raises:
            TimeoutError: the client does not read.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._notes:
                text = self._notes.popleft()
                await asyncio.wait_for(socket.send_text(text), TIMEOUT)
            if self._code is not None:
                await socket.close(self._code)
                return
            if self._newest is not None and self._ahead < AHEAD:
                message, self._newest = self._newest, None
                self._ahead += self._acknowledged
                send = socket.send_text if isinstance(message, str) else socket.send_bytes
                await asyncio.wait_for(send(message), TIMEOUT)  # pyright: ignore[reportArgumentType]
            if self._found is not None and self._ahead < AHEAD:
                message, self._found = self._found, None
                await asyncio.wait_for(socket.send_text(message), TIMEOUT)

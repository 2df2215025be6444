"""The server of the live page: HTTP for its files, a WebSocket for frames, poses and events.

Safe by default: it listens on this machine only; on another address a token is needed. Sizes, rates
and numbers of what clients send are bounded, and nothing of it becomes a path.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import socket as sockets
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from vitruvian.errors import VitruvianError, pip_install, shown
from vitruvian.rendering.page import POINTERS
from vitruvian.verbs.live.live_stream import Choice, Setup
from vitruvian.verbs.live.outbox import Outbox
from vitruvian.verbs.live.pictures import LARGEST_MESSAGE, SentFrame, message_json
from vitruvian.verbs.live.work import LiveWorker, Reader, Session

if TYPE_CHECKING:
    from vitruvian.sources.open import Source

try:
    import uvicorn
    from fastapi import FastAPI
    from starlette.responses import Response
    from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
except ImportError as error:
    raise VitruvianError(
        f"the live page needs {error.name}; install it with: {pip_install('live')}"
    ) from None

PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
LONGEST_TEXT = 4096  # characters of a client's message
IDLE = 60.0  # seconds without a frame, until a camera's place is free again
FASTEST = 130.0  # messages a second of a client, on average
MOST_BYTES = 64e6  # a second of a client, on average
BURST = 0.5  # seconds, by which it may be ahead of that
VIEWERS = 200  # of one source
CONNECTIONS = 400
SWITCH = 5e-4  # seconds; with Python's 5 ms a frame waits that long whenever another thread works
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware: who may ask, and headers of every answer.

    On loopback the name in `Host` must be one of this machine, or else a page elsewhere could
    reach the server by a name of its own (DNS rebinding); on other addresses the token keeps it
    out. A browser's WebSocket must come from this server's page (`Origin`).
    """

    def __init__(self, app: Any, token: str | None) -> None:
        """`token`: None on loopback."""
        self.app, self.token = app, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 403 if it may not, or pass it on."""
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        if scope["type"] == "websocket":
            if why := self.refused(scope, headers):
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": why})
                return
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                ours = [(n.lower().encode(), v.encode()) for n, v in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        if why := self.refused(scope, headers):
            response = Response(f"{why}\n", 403, media_type="text/plain")
            await response(scope, receive, with_headers)
            return
        await self.app(scope, receive, with_headers)

    def refused(self, scope: Any, headers: dict[bytes, str]) -> str:
        """Why a request is refused; "" if it is not."""
        host = headers.get(b"host", "")
        if self.token is None and not _is_this_machine(host):
            return "this server answers to localhost only"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "another site may not use this server"
        guarded = scope["type"] == "websocket" or scope["path"] == "/"
        if self.token is not None and guarded:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            given = query.get("token", [""])[0]
            if not secrets.compare_digest(given.encode(), self.token.encode()):
                return "the token in the address is missing or wrong; use the printed address"
        return ""


def _is_this_machine(host: str) -> bool:
    """Whether a `Host` is a name of the loopback interface."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Pace:
    """Waits before the next message of a client is read, if it sends too much."""

    def __init__(self) -> None:
        self._due = time.monotonic()

    async def __call__(self, length: int) -> None:
        """Read a message of so many bytes."""
        now = time.monotonic()
        self._due = max(self._due, now - BURST) + max(1 / FASTEST, length / MOST_BYTES)
        if self._due > now:
            await asyncio.sleep(self._due - now)


class Clients:
    """The WebSocket of the page: cameras of browsers, or viewers of one source."""

    def __init__(self, setup: Setup, most: int, reader: Callable[[], Reader] | None) -> None:
        """Open nothing yet.

        Args:
            setup: of all streams.
            most: cameras at once.
            reader: gives the reader of the server's source; None: browsers have the cameras.
        """
        self.setup, self.most, self.reader = setup, most, reader
        self.worker, self.shared = LiveWorker(), Session(setup, 0)
        self.worker.add(self.shared)
        self.cameras, self.viewers, self._number = 0, 0, 0

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one client until it is gone."""
        await socket.accept()
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError, asyncio.TimeoutError):
            if self.reader is None:
                await self._camera(socket)
            else:
                await self._viewer(socket)
        with suppress(Exception):  # it is gone already
            if socket.application_state is not WebSocketState.DISCONNECTED:
                await asyncio.wait_for(socket.close(1001), 1)

    async def _camera(self, socket: WebSocket) -> None:
        if self.cameras >= self.most:
            busy = {"type": "busy", "clients": self.most}
            await socket.send_text(message_json(busy))
            await socket.close(1013)
            return
        self.cameras += 1
        self._number += 1
        session = Session(self.setup, self._number)
        self.worker.add(session)
        try:
            await self._serve(socket, session)
        finally:
            self.worker.remove(session)
            self.cameras -= 1

    async def _viewer(self, socket: WebSocket) -> None:
        if self.viewers >= VIEWERS:
            await socket.send_text(message_json({"type": "busy", "clients": VIEWERS}))
            await socket.close(1013)
            return
        self.viewers += 1
        try:
            await self._serve(socket, self.shared)
        finally:
            self.viewers -= 1

    async def _serve(self, socket: WebSocket, session: Session) -> None:
        reader = self.reader() if self.reader is not None else None
        outbox = Outbox(acknowledged=reader is not None)
        await socket.send_text(message_json(self._hello(session, reader)))
        for message in (
            *([session.about] if session.about else []),
            *tuple(session.going.values()),
        ):
            await socket.send_text(message_json(message))
        if reader is not None and reader.state["state"] != "running":
            await socket.send_text(message_json(reader.state))
        session.outboxes.append(outbox)
        sender = asyncio.create_task(outbox.send(socket))
        receiver = asyncio.create_task(self._receive(socket, session, outbox, reader is None))
        try:
            done, _ = await asyncio.wait({sender, receiver}, return_when="FIRST_COMPLETED")
            for task in done:
                task.result()
        finally:
            session.outboxes.remove(outbox)
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    def _hello(self, session: Session, reader: Reader | None) -> dict[str, Any]:
        setup = self.setup
        return {
            "type": "hello",
            "stream": session.number,
            "source": None if reader is None else reader.source.name,
            "models": setup.models.offers(),
            "rules": list(setup.asked.rules),
            "record": setup.record is not None,
        }

    async def _receive(
        self, socket: WebSocket, session: Session, outbox: Outbox, camera: bool
    ) -> None:
        pace = Pace()
        while True:
            if camera:
                message = await asyncio.wait_for(socket.receive(), IDLE)
            else:
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data, text = message.get("bytes"), message.get("text")
            await pace(len(data or text or ""))
            try:
                if data is not None:
                    if not camera:
                        raise VitruvianError("this server has a camera of its own")
                    self.worker.frame(session, SentFrame.parse(data))
                elif text is not None:
                    await self._command(text, session, outbox)
            except VitruvianError as error:
                outbox.note(message_json({"type": "refused", "why": str(error)}))

    async def _command(self, text: str, session: Session, outbox: Outbox) -> None:
        """Do what a client asks for.

        Raises:
            VitruvianError: it makes no sense.
        """
        try:
            given = json.loads(text) if len(text) <= LONGEST_TEXT else None
        except (ValueError, RecursionError):
            given = None
        given = given if isinstance(given, dict) else {}
        kind = given.get("type")
        if kind == "ack":
            outbox.acknowledge()
        elif kind == "choose":
            choice = Choice.of(given)
            # Opened here: the worker goes on with other streams.
            await asyncio.to_thread(self.setup.models.open, choice)
            self.worker.job(session, lambda: session.choose(choice))
        elif kind == "record":
            on = given.get("on") is True
            self.worker.job(session, lambda: session.record(on))
        else:
            raise VitruvianError(f"not a message of the page: {shown(text)}")

    def close(self) -> None:
        """End all streams."""
        self.worker.close()


def make_app(clients: Clients, token: str | None = None) -> Any:
    """The ASGI app: the files of the page, and its WebSocket."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def serve_file(path: Path) -> None:
        data, kind = path.read_bytes(), f"{KINDS[path.suffix]}; charset=utf-8"

        async def answer() -> Response:
            return Response(data, headers={"Content-Type": kind})

        route = "/" if path.name == "index.html" else f"/{path.name}"
        app.add_api_route(route, answer, methods=["GET", "HEAD"])

    for path in (*sorted(PAGE.iterdir()), POINTERS):
        if path.suffix in KINDS:
            serve_file(path)
    app.add_api_websocket_route("/ws", _endpoint(clients))
    return Guard(app, token)


def _endpoint(clients: Clients) -> Any:
    async def endpoint(socket: WebSocket) -> None:
        await clients(socket)

    return endpoint


class LiveServer:
    """The server of the live page, in a thread. Use it in a `with` statement."""

    def __init__(
        self,
        setup: Setup,
        *,
        source: Source | None = None,
        loop: bool = False,
        clients: int = 4,
        host: str = "127.0.0.1",
        port: int = 8000,
        certfile: Path | None = None,
        keyfile: Path | None = None,
    ) -> None:
        """Take the port; nothing is served yet.

        Raises:
            VitruvianError: the address is in use or not of this machine, or a certificate cannot
                be read.
        """
        self._socket = _listen(host, port)
        self.port = self._socket.getsockname()[1]
        name = "localhost" if _is_this_machine(host if ":" not in host else f"[{host}]") else host
        self.token = None if name == "localhost" else secrets.token_urlsafe(16)
        self._setup, self._source, self._loop = setup, source, loop
        self.reader: Reader | None = None
        self.clients = Clients(setup, clients, None if source is None else lambda: self._reader)
        config = uvicorn.Config(
            make_app(self.clients, self.token),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=2,
            ssl_certfile=None if certfile is None else str(certfile),
            ssl_keyfile=None if keyfile is None else str(keyfile),
        )
        try:
            config.load()
        except OSError as error:  # also ssl.SSLError
            self._socket.close()
            self.clients.close()
            raise VitruvianError(
                f"cannot use the certificate '{certfile}': {error.strerror or error}"
            ) from None
        self._server, self._ended = uvicorn.Server(config), threading.Event()
        self._thread = threading.Thread(target=self._run, name="vitruvian-serve", daemon=True)
        if name in ("0.0.0.0", "::"):
            name = _own_address()
        name = f"[{name}]" if ":" in name else name
        kind = "http" if certfile is None else "https"
        self.url = f"{kind}://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @property
    def _reader(self) -> Reader:
        assert self.reader is not None
        return self.reader

    def __enter__(self) -> LiveServer:
        """Serve.

        Raises:
            VitruvianError: the source cannot be read.
        """
        clients = self.clients
        self._switch = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        try:
            if self._source is not None:

                def give(frame: Any) -> None:
                    clients.worker.frame(clients.shared, frame)

                def tell(state: dict[str, Any]) -> None:
                    clients.shared.send(state)
                    if state["state"] == "ended":
                        clients.worker.end(clients.shared)

                self.reader = Reader(self._source, give, tell, self._loop)
            self._thread.start()
            while not self._server.started and self._thread.is_alive():
                time.sleep(0.005)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _run(self) -> None:
        try:
            self._server.run([self._socket])
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Serve until a KeyboardInterrupt."""
        # Not `join`: Python up to 3.12 takes a thread for dead where an exception interrupts it.
        with suppress(KeyboardInterrupt):
            while not self._ended.wait(1):
                pass

    def __exit__(self, *_: object) -> None:
        if self.reader is not None:
            self.reader.close()
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        self.clients.close()
        sys.setswitchinterval(self._switch)


def _listen(host: str, port: int) -> sockets.socket:
    try:
        family, kind, _, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
        listening = sockets.socket(family, kind)
        try:
            listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
        return listening
    except (OSError, UnicodeError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        way_out = "; choose another --port" if "in use" in why else ""
        raise VitruvianError(
            f"cannot listen on {shown(host)}, port {port}: {why}{way_out}"
        ) from None


def _own_address() -> str:
    """The address of this machine in its network, as far as it is known."""
    with suppress(OSError), sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # reserved for documentation; nothing is sent
        return probe.getsockname()[0]
    return sockets.gethostname()

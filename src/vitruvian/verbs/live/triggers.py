"""Triggers: what events of live streams set off: lines of JSON, a webhook, OSC, a command, a call.

Each has a thread and a bounded queue, so that a slow or dead one never delays a stream: of the
events that wait, the oldest are dropped.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from vitruvian.errors import VitruvianError, note, pip_install, shown

Line = dict[str, Any]  # an event, see `EventChange.to_dict`
Act = Callable[[Line], object]
MOST = 64  # events that wait for a slow trigger
TIMEOUT = 5.0  # seconds, of a webhook and of a command
BEGINS = ("starts", "enters")


class Trigger:
    """Calls a function with each event, in a thread."""

    def __init__(self, name: str, act: Act) -> None:
        """`name`: for notes."""
        self.name, self._act = name, act
        self._waiting: deque[Line] = deque(maxlen=MOST)
        self._change, self._open, self._noted = threading.Condition(), True, False
        self._thread = threading.Thread(target=self._work, name="vitruvian-trigger", daemon=True)
        self._thread.start()

    def __call__(self, line: Line) -> None:
        """Enqueue an event; does not block."""
        with self._change:
            if len(self._waiting) == MOST:
                self._note("is too slow; events are dropped")
            self._waiting.append(line)
            self._change.notify()

    def _note(self, what: str) -> None:
        """Said once, until it works again."""
        if not self._noted:
            self._noted = True
            note(f"{self.name} {what}; the stream goes on")

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._waiting and self._open:
                    self._change.wait()
                if not self._waiting:
                    return
                line = self._waiting.popleft()
            try:
                self._act(line)
                self._noted = False
            except Exception as error:  # of a caller's function any
                self._note(f"failed: {type(error).__name__}: {shown(error, 120)}")
                if not self._open:
                    return

    def close(self) -> None:
        """Handle what waits, until one fails, and end the thread."""
        with self._change:
            self._open = False
            self._change.notify()
        self._thread.join(2 * TIMEOUT)


class Triggers:
    """All triggers of a server."""

    def __init__(
        self,
        *,
        lines: bool = False,
        webhook: str | None = None,
        osc: str | None = None,
        run: str | None = None,
        on_event: Act | None = None,
    ) -> None:
        """Start their threads.

        Args:
            lines: whether events are written to standard output.
            webhook: address that gets each event as a POST of JSON.
            osc: `HOST:PORT` that gets each event as an OSC message.
            run: command that is run with each event, as a line of JSON on its standard input.
            on_event: called with each event.

        Raises:
            VitruvianError: an address is not valid, or python-osc is missing.
        """
        acts: dict[str, Act] = {}
        if lines:
            acts["standard output"] = _print
        if webhook is not None:
            acts[f"the webhook {shown(webhook)}"] = _webhook(webhook)
        if osc is not None:
            acts[f"OSC to {shown(osc)}"] = _osc(osc)
        if run is not None:
            acts[f"the command '{shown(run)}'"] = lambda line: _run(run, line)
        if on_event is not None:
            acts["on_event"] = on_event
        self._all = [Trigger(name, act) for name, act in acts.items()]

    def __call__(self, line: Line) -> None:
        """Set all of them off; does not block."""
        for trigger in self._all:
            trigger(line)

    def close(self) -> None:
        """Handle the events that wait, and end the threads."""
        for trigger in self._all:
            trigger.close()


def _print(line: Line) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _webhook(url: str) -> Act:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise VitruvianError(f"webhook is '{shown(url)}', want an http:// or https:// address")

    def post(line: Line) -> None:
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(line).encode(), head)
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            pass

    return post


def _osc(address: str) -> Act:
    """Messages /vitruvian/EVENT with 1 or 0 (begins or ends), person, side, and stream."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise VitruvianError(f"osc is '{shown(address)}', want HOST:PORT, such as 127.0.0.1:9000")
    try:
        from pythonosc.osc_message_builder import build_msg
    except ImportError:
        raise VitruvianError(
            f"osc needs python-osc; install it with: {pip_install('live')}"
        ) from None
    try:
        family, kind, _, _, to = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)[
            0
        ]
    except OSError as error:
        raise VitruvianError(f"osc is '{shown(address)}': {error.strerror or error}") from None

    def send(line: Line) -> None:
        name = re.sub(r"\W", "_", line["event"], flags=re.ASCII)
        begins = int(line["change"] in BEGINS)
        values = [begins, line["person"], line.get("side", ""), line["stream"]]
        with socket.socket(family, kind) as sender:
            sender.sendto(build_msg(f"/vitruvian/{name}", values).dgram, to)

    return send


def _run(command: str, line: Line) -> None:
    text = json.dumps(line) + "\n"
    done = subprocess.run(
        command, shell=True, input=text, text=True, timeout=TIMEOUT, stdout=2, check=False
    )
    if done.returncode:
        raise VitruvianError(f"exit code {done.returncode}")

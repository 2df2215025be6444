"""A camera of a network for tests: multipart JPEG over HTTP, which hangs up after some frames."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image


@contextmanager
def hanging_up(frames: int = 10, pause: float = 0.1, grey: int = 100) -> Iterator:
    """Serve; yields its address, and a list that grows with each connection."""
    out, connections = io.BytesIO(), list[float]()
    Image.fromarray(np.full((64, 64, 3), grey, np.uint8)).save(out, "JPEG")
    data = out.getvalue()
    part = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connections.append(time.monotonic())
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            with suppress(ConnectionError):
                for _ in range(frames):
                    self.wfile.write(part + data + b"\r\n")
                    time.sleep(pause)

        def log_message(self, format: str, *_: object) -> None:
            pass

    camera = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    thread = threading.Thread(target=camera.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{camera.server_port}/video", connections
    finally:
        camera.shutdown()
        thread.join()
        camera.server_close()

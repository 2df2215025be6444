"""An S3 server of this machine (moto) whose answers tests can disturb."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class S3:
    """The server; `before` is called with each request: method and path; it may deny one."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.before: Callable[[str, str], bool] = lambda method, path: True
        self.environment = {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "no_proxy": "*",
        }


@contextmanager
def s3_server() -> Iterator[S3]:
    """A server without buckets."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    application = DomainDispatcherApplication(create_backend_app)

    def disturbed(request: dict[str, Any], start: Callable[..., Any]) -> Any:
        if s3.before(request["REQUEST_METHOD"], request["PATH_INFO"]):
            return application(request, start)
        start("403 Forbidden", [("Content-Type", "application/xml")])
        return [DENIED]

    server = make_server("127.0.0.1", 0, disturbed, threaded=True, request_handler=Quiet)
    s3 = S3(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A loopback HTTP proxy before an S3 server that answers 5xx, cuts connections, truncates bodies or stalls, by a plan."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CUT_BEFORE = "cut before"
"""The connection is reset, and the server never hears of the request."""
CUT_AFTER = "cut after"
"""The server does what is asked, and the connection is reset before its answer."""
TRUNCATE = "truncate"
"""Half of the answer's body comes, then the end; as CUT_AFTER where there is no body."""
STALL = "stall"
"""Nothing comes, and the connection stays, until the proxy is closed."""
ERRORS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "403": (403, "AccessDenied", "Access Denied"),
}
PASSING = ("500", "503", CUT_BEFORE, CUT_AFTER, TRUNCATE)
"""What a store may do now and then."""


@dataclass(frozen=True)
class Request:
    """A request as it came.

    Attributes:
        method: GET, HEAD, PUT, POST or DELETE.
        target: path and query.
        headers: names in lower case.
        fault: what was done to it; None where it was answered.
    """

    method: str
    target: str
    headers: dict[str, str]
    fault: str | None = None


Plan = Callable[[Request], str | None]
"""Request to fault; None for an answer. Called under a lock, in the order in which requests come."""


def at_random(seed: int, share: float, faults: tuple[str, ...] = PASSING) -> Plan:
    """A plan that strikes that share of all requests."""
    draws = random.Random(seed)
    return lambda request: draws.choice(faults) if draws.random() < share else None


def at_first(num_times: int, fault: str, method: str = "", part: str = "") -> Plan:
    """A plan that strikes the first requests of a method (any, if empty) whose target holds `part`."""
    left = [num_times]

    def plan(request: Request) -> str | None:
        if left[0] and request.method.startswith(method) and part in request.target:
            left[0] -= 1
            return fault
        return None

    return plan


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        url: where it listens; for AWS_ENDPOINT_URL.
        plan: may be exchanged at any time.
        requests: all so far.
        seconds: added to each answer, as a distant store would.
    """

    url: str
    plan: Plan = lambda request: None
    requests: list[Request] = field(default_factory=list)
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: threading.Event = field(default_factory=threading.Event)

    def count(self, method: str = "", part: str = "") -> int:
        """Requests of a method (any, if empty) whose target holds `part`."""
        return sum(request.method.startswith(method) and part in request.target for request in self.requests)


@contextlib.contextmanager
def flaky_proxy(endpoint: str) -> Iterator[Proxy]:
    """A proxy before the server at `endpoint`."""
    address = urlsplit(endpoint).netloc

    class Handler(_Handler):
        pass

    server = _Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    Handler.proxy, Handler.address = proxy, address
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy
    address: str

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        with self.proxy.lock:
            fault = self.proxy.plan(request)
            self.proxy.requests.append(Request(self.command, self.path, headers, fault))
        if fault == CUT_BEFORE:
            return self._cut()
        if fault == STALL:
            self.proxy.closed.wait()
            return self._cut()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        if fault in ERRORS:
            return self._refuse(*ERRORS[fault])
        status, answer_headers, answer = self._forward(body)
        if fault == CUT_AFTER or (fault == TRUNCATE and not answer):
            return self._cut()
        if self.proxy.seconds:
            time.sleep(self.proxy.seconds)
        self.send_response_only(status)
        for name, value in answer_headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if fault == TRUNCATE else answer)
        if fault == TRUNCATE:
            self.close_connection = True
        return None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  # names that http.server looks up

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            hop = ("connection", "expect", "keep-alive")
            kept = {name: value for name, value in self.headers.items() if name.lower() not in hop}
            connection.request(self.command, self.path, body, kept)
            answer = connection.getresponse()
            content = answer.read()
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in ("connection", "transfer-encoding")]
            if not any(name.lower() == "content-length" for name, _ in headers):
                headers.append(("Content-Length", str(len(content))))
            return answer.status, headers, content
        finally:
            connection.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, no goodbye
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

"""A proxy in front of the collector that refuses requests, to see what a package does then."""

import http.client
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")
ACROSS = [("Content-Type", "application/json"), ("Access-Control-Allow-Origin", "*")]
REFUSAL = b'{"code": "refused", "message": "Refused by the test.", "remedy": "None."}'

PREPARATION = re.compile(r"/settings$|^/flags/|^/array/")  # what browsers ask for besides

Headers = list[tuple[str, str]]


class Refusing:
    """Counts requests, and decides about each.

    Args:
        collector: its URL.
        verdicts: one for each request with an event, the last one for all that follow. ``pass``; ``lose``: the collector takes
            the request, but the sender is told 503; a number: answered so, and not passed on.
    """

    def __init__(self, collector: str, verdicts: list[str | int]) -> None:
        self.hits = 0
        self._collector, self._verdicts = urlsplit(collector).netloc, verdicts
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        """Status, headers and body for the sender."""
        verdict = self._verdict(method, path)
        passed = self._pass(method, path, headers, body) if isinstance(verdict, str) else (0, [], b"")
        if verdict == "pass":
            return passed
        assert verdict != "lose" or passed[0] == 200, passed
        status = 503 if verdict == "lose" else int(verdict)
        return status, [*ACROSS, ("Retry-After", "1")] if status == 503 else ACROSS, REFUSAL

    def _verdict(self, method: str, path: str) -> str | int:
        if method == "OPTIONS" or PREPARATION.search(path):
            return "pass"
        with self._lock:
            self.hits += 1
            return self._verdicts[min(self.hits, len(self._verdicts)) - 1]

    def _pass(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        connection = http.client.HTTPConnection(self._collector, timeout=20)
        try:
            sent = {name: value for name, value in headers if name.lower() not in ("transfer-encoding", "content-length")}
            connection.request(method, path, body, sent | {"Content-Length": str(len(body))})
            answer = connection.getresponse()
            said = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            return answer.status, said, answer.read()
        finally:
            connection.close()


@contextmanager
def refusing(collector: str, verdicts: list[str | int]) -> Iterator[tuple[str, Refusing]]:
    """The proxy, and its address."""
    proxy = Refusing(collector, verdicts)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
            body = self.chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, said = proxy.answer(self.command, self.path, self.headers.items(), body)
            self.send_response(status)
            for name, value in [*headers, ("Content-Length", str(len(said)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_OPTIONS = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # senders leave as they like
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", proxy
    finally:
        server.shutdown()
        server.server_close()

"""Packages for browsers, in a headless Chromium: --app names the page, which has another origin than the collector."""

import json
import queue
import shutil
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread

from tests.vendors.facts import arguments

HERE = Path(__file__).resolve().parent
NPM, PAGES = HERE / "node_modules", HERE / "pages"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
SECONDS = 60
# A headless browser says in its User-Agent that it is one, and is taken for a bot.
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-first-run", "--disable-breakpad",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", f"--user-agent={AGENT}",
)  # fmt: skip


def main() -> None:
    args, done = arguments(), queue.Queue[bytes]()
    asked = json.dumps({"url": args.url, "key": args.key, "run": args.run, "one": args.one}).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = PurePosixPath(self.path.partition("?")[0])
            file = NPM / path.relative_to("/npm") if path.is_relative_to("/npm") else PAGES / path.relative_to("/")
            if self.path == "/arguments":
                self.answer(asked, "application/json")
            elif ".." in path.parts or file.suffix not in TYPES or not file.is_file():
                self.answer(b"", "text/plain", 404)
            else:
                self.answer(file.read_bytes(), TYPES[file.suffix])

        def do_POST(self) -> None:
            done.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(b"", "text/plain")

        def answer(self, body: bytes, content_type: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        address = f"http://127.0.0.1:{server.server_port}/{args.app}.html"
        browser = subprocess.Popen([chromium, *QUIET, f"--user-data-dir={folder}", address], stdout=sys.stderr)
        try:
            sys.stdout.write(done.get(timeout=SECONDS).decode() + "\n")
        finally:
            browser.terminate()
            browser.wait(20)


main()

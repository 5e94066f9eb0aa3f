"""A receiver of webhooks that counts, and answers as it is told."""

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """`answers` are taken in turn, the last one for all that follow: a status, or
    (status, headers, seconds before it is said)."""

    def __init__(self):
        self.answers = [200]
        self.got = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append((dict(self.headers.items()), body))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                status, headers, wait = answer if isinstance(answer, tuple) else (answer, {}, 0)
                time.sleep(wait)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"noted")

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def counts(self):
        """How often each delivery came."""
        return Counter(headers["webhook-id"] for headers, _body in self.got)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

"""What the tests of the sandbox share: schemas, files, the SDK, a webhook receiver."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai

from jobsite.sandbox.testing import RunningSandbox

SECRET = "whsec_" + base64.b64encode(b"a key of the sandbox's own tests").decode()

QUOTE = {
    "type": "object",
    "properties": {"document": {"type": "string"}, "quote": {"type": "string"}},
    "required": ["document", "quote"],
    "additionalProperties": False,
}
SECTION = {
    "type": "object",
    "properties": {
        "heading": {"type": "string"},
        "summary": {"type": "string"},
        "quotes": {"type": "array", "items": {"$ref": "#/$defs/quote"}},
    },
    "required": ["heading", "summary", "quotes"],
    "additionalProperties": False,
}
DIGEST = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 120},
        "summary": {"type": "string"},
        "sections": {"type": "array", "items": SECTION},
    },
    "required": ["title", "summary", "sections"],
    "additionalProperties": False,
    "$defs": {"quote": QUOTE},
}
DIGEST_FORMAT = {"type": "json_schema", "name": "digest", "strict": True, "schema": DIGEST}


def client_of(running: RunningSandbox, **options: Any) -> openai.OpenAI:
    """The real SDK, told to accept no shape that it does not know."""
    return openai.OpenAI(
        api_key="sk-test",
        base_url=running.base_url,
        webhook_secret=SECRET,
        **{"max_retries": 0, "timeout": 10, "_strict_response_validation": True, **options},
    )


class Receiver:
    """Takes webhooks, remembers them, and answers with the next of ``replies`` (then 200)."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.replies: list[int] = []
        self.on_webhook: Callable[[dict[str, Any]], None] = lambda event: None
        self.changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver.changed:
                    receiver.got.append((headers, body))
                    status = receiver.replies.pop(0) if receiver.replies else 200
                with contextlib.suppress(ValueError):
                    receiver.on_webhook(json.loads(body))
                self.send_response(status)
                if status == 302:
                    self.send_header("location", receiver.url)
                self.send_header("content-length", "0")
                self.end_headers()
                with receiver.changed:
                    receiver.changed.notify_all()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks"

    def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, timeout=5), self.got
            return list(self.got)


def file_part(name: str, data: bytes | str, media_type: str = "text/plain") -> dict[str, str]:
    raw = data.encode() if isinstance(data, str) else data
    encoded = base64.b64encode(raw).decode()
    return {
        "type": "input_file",
        "filename": name,
        "file_data": f"data:{media_type};base64,{encoded}",
    }


def message(*parts: Any) -> list[dict[str, Any]]:
    content = [
        {"type": "input_text", "text": part} if isinstance(part, str) else part for part in parts
    ]
    return [{"role": "user", "content": content}]


def shelf_text(name: str) -> str:
    folder = Path(__file__).parents[2] / "jobsite" / "sandbox" / "shelf"
    return (folder / f"{name}.md").read_text(encoding="utf-8")


def pdf(pages: list[list[str]]) -> bytes:
    """A PDF with these lines on its pages, written by hand: the smallest that holds text."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for lines in pages:
        drawn = (
            "BT /F1 11 Tf 14 TL 50 780 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    out = b"%PDF-1.4\n"
    places = []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    table += "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return out + (table + end).encode()

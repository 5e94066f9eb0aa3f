"""Running the sandbox as a program."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from .app import build_app
from .engine import Sandbox
from .webhooks import BadTarget

FAREWELL = 0.05  # seconds that open requests get when the sandbox ends


class CannotStart(Exception):
    """The message is a sentence for people."""


async def serve(
    sandbox: Sandbox,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[str], None],
) -> None:
    """Serve until ``stop`` is set. ``ready`` is told the base URL once requests are answered.

    Port 0 takes a free one. Raises CannotStart when the address cannot be had; nothing that was
    kept from an earlier run has been touched then.
    """
    runner = web.AppRunner(
        build_app(sandbox), access_log=None, shutdown_timeout=FAREWELL, handle_signals=False
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = f"Port {port} on {host} is in use; choose another with --port."
            else:
                reason = f"Cannot listen on {host} port {port}: {error.strerror or error}."
            raise CannotStart(reason) from None
        try:
            sandbox.open()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CannotStart(f"The state of the last run cannot be read: {error}") from None
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{bound}/v1")
        await stop.wait()
    finally:
        await sandbox.close()
        await runner.cleanup()


async def _run(sandbox: Sandbox, *, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            loop.add_signal_handler(name, stop.set)

    def ready(base_url: str) -> None:
        print(f"sandbox listening on {base_url}", flush=True)

    await serve(sandbox, host=host, port=port, stop=stop, ready=ready)


def _pace(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError("must be 0 to 1000")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return value


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m jobsite.sandbox",
        description="A stand-in for the OpenAI Responses API, on this machine.",
    )
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=_port, default=8089, help="0 takes a free one")
    made.add_argument(
        "--pace", type=_pace, default=1.0, help="multiplies simulated times; 0 is immediate"
    )
    made.add_argument(
        "--webhook-url",
        default=os.environ.get("SANDBOX_WEBHOOK_URL"),
        help="where webhooks go, on this machine only (or SANDBOX_WEBHOOK_URL)",
    )
    made.add_argument(
        "--webhook-secret",
        default=os.environ.get("SANDBOX_WEBHOOK_SECRET"),
        help="'whsec_' and base64 (better: SANDBOX_WEBHOOK_SECRET)",
    )
    made.add_argument(
        "--state", type=Path, metavar="DIR", help="keep responses and files there, over restarts"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. 0 when ended by one, 1 when it could not start."""
    options = parser().parse_args(argv)
    try:
        sandbox = Sandbox(
            pace=options.pace,
            webhook_url=options.webhook_url or None,
            webhook_secret=options.webhook_secret or None,
            state=options.state,
        )
        asyncio.run(_run(sandbox, host=options.host, port=options.port))
    except (CannotStart, BadTarget) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0

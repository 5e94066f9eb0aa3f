"""Polls per second: our lookup beside the SDK's own `responses.retrieve`, in the same run.

    .venv/bin/python -m benchmarks.polling

Both ask the stand-in, in a process of its own, for one finished response, 16 in flight, in turn.
The ratio is what lasts; the figures are this machine's.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

os.environ.update(ENV_FILE="", SECRET_KEY="benchmark", DEBUG="true")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")

import django

django.setup()

from openai import AsyncOpenAI  # noqa: E402

from jobs.provider.client import Provider  # noqa: E402

IN_FLIGHT = 16
POLLS = 1_000
ROUNDS = 5


async def rate(poll: Callable[[], Awaitable[object]]) -> float:
    """Polls per second."""
    left = iter(range(POLLS))

    async def worker() -> None:
        for _poll in left:
            await poll()

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _worker in range(IN_FLIGHT)))
    return POLLS / (time.perf_counter() - start)


async def compare(base_url: str) -> list[tuple[float, float]]:
    provider = Provider(
        base_url=base_url, api_key="benchmark", create_timeout=30, lookup_timeout=30
    )
    sdk = AsyncOpenAI(base_url=base_url, api_key="benchmark")
    made = await provider.create(
        {"model": "gpt-5.6-terra", "input": "tides " * 200, "background": False}
    )
    rounds = []
    for number in range(ROUNDS + 1):
        ours = await rate(lambda: provider.retrieve(made.id))
        theirs = await rate(lambda: sdk.responses.retrieve(made.id))
        if number:  # the first round warms up
            rounds.append((ours, theirs))
    await provider.close()
    await sdk.close()
    return rounds


def main() -> None:
    command = [sys.executable, "-m", "jobsite.sandbox", "--port", "0", "--pace", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            found = re.search(r"http://\S+", sandbox.stdout.readline())
            assert found is not None
            rounds = asyncio.run(compare(found[0]))
        finally:
            sandbox.terminate()
    for ours, theirs in rounds:
        print(f"ours {ours:6.0f}/s   SDK {theirs:6.0f}/s   ratio {ours / theirs:.2f}")
    print(f"median ratio {statistics.median(ours / theirs for ours, theirs in rounds):.2f}")


if __name__ == "__main__":
    main()

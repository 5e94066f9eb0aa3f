from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from jobsite.sandbox.testing import RunningSandbox

from .parts import SECRET, Receiver, client_of


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    with RunningSandbox(pace=0.0) as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[openai.OpenAI]:
    with client_of(sandbox) as made:
        yield made


@pytest.fixture
def start(client: openai.OpenAI) -> Callable[..., Any]:
    def start(given: Any = "What is a webhook?", /, **options: Any) -> Any:
        return client.responses.create(
            **{"model": "gpt-6-sol", "input": given, "background": True, "store": True, **options}
        )

    return start


@pytest.fixture
def receiver(sandbox: RunningSandbox) -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    sandbox.set_webhook(made.url, SECRET)
    yield made
    sandbox.reset()
    made.server.shutdown()
    thread.join()
    made.server.server_close()

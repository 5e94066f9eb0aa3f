"""The sandbox: a stand-in for the OpenAI Responses API, over real HTTP, on this machine.

A separate program. It imports nothing of the project around it, and importing this package costs
nothing: the work is in its modules. Run it with ``python -m jobsite.sandbox``; tests start one in a
thread with :class:`jobsite.sandbox.testing.RunningSandbox`.

What it answers is real work on the input that it was given (an extract of the documents, a brief
from its own shelf of articles, passages found in uploaded files, a comparison of policies), never
invented text, unless a rule asks it to misbehave. It calls functions and remote tools over many
turns (:mod:`.turns`); which, and with what, follows from names, descriptions and schemas alone.

**Playing by hand.** If the text of a request has ``sandbox: {json}`` in it, that JSON shapes the
answer to this one request, as the ``do`` of a rule would (see :mod:`jobsite.sandbox.faults`)::

    sandbox: {"life": {"end": "failed"}}
    sandbox: {"status": 429, "error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}
    sandbox: {"invent_quotes": 2}

It may stand anywhere in the text, and other text may follow. Documents that are sent as files are
not searched for it, nor is what tools have put out. A rule that matches the request comes first.
"""

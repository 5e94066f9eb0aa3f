"""One turn of a longer thread: which tools are called now, or what is said in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .calls import next_calls, sends
from .digest import is_digest
from .documents import Document
from .intake import Request
from .mcp import mcp_items
from .replies import all_parts, follow_up, reply
from .sources import plain_text, section_asked, under
from .thread import Thread
from .tooling import Choice

Item = dict[str, Any]

BUILT_IN = ("web_search", "file_search", "code_interpreter")  # each makes one call


@dataclass(slots=True)
class Turn:
    """What a turn adds to an answer. ``waits``: it ends with calls, and there is no answer yet.

    ``text`` is the whole answer in plain words, ``documents`` what any other is to be made of;
    without them the work goes on as if there were no turns.
    """

    items: list[Item] = field(default_factory=list)
    waits: bool = False
    text: str | None = None
    documents: list[Document] = field(default_factory=list)


def take_turn(request: Request, past: list[Item], history: list[Document], choice: Choice) -> Turn:
    """``past`` are the items and ``history`` the documents of the turns before."""
    thread = Thread(past, request.items)
    limit = request.params.get("max_tool_calls")
    built_in = {tool["type"] for tool in choice.tools if tool["type"].startswith(BUILT_IN)}
    room = 100 if limit is None else limit - len(built_in)
    items, refused = mcp_items(thread, choice, room=room)
    parallel = request.params.get("parallel_tool_calls") is not False
    items += next_calls(thread, choice, parallel=parallel)
    thread.fetched += [item for item in items if item["type"] == "mcp_call"]
    if any(item["type"] in ("function_call", "mcp_approval_request") for item in items):
        return Turn(items, waits=True)

    plain = request.format["type"] == "text"
    if thread.fresh or thread.fetched or refused:
        senders = {tool["name"] for tool in choice.functions if sends(tool)}
        made = [call for call in thread.fresh if call.name in senders or _is_sending(call.name)]
        sent = made[-1] if made else None
        text = refused
        if thread.fresh or thread.fetched:
            answer = reply(thread, sent, could_send=bool(senders))
            text = f"{refused}\n\n{answer}".lstrip()
        if plain:
            return Turn(items, text=text)
        if is_digest(request.format.get("schema")):
            return Turn(items)
        outputs = [Document(call.name, call.output) for call in thread.fresh if call.output]
        return Turn(items, documents=[*request.documents, *history, *outputs])
    documents = [*request.documents, *history]
    name, rest = section_asked(thread.asked)
    if not past and not documents and name:
        documents = [Document("", rest)]  # what was said before stands in the message itself
    narrowed = under(all_parts(thread, documents), name) if name else []
    if not past and not narrowed:
        return Turn(items)
    if plain:
        said = None if built_in else follow_up(thread, documents)
        return Turn(items, text=said, documents=documents or _as_documents(thread))
    if narrowed:
        sentences = " ".join(sentence for part in narrowed for sentence in part.sentences)
        return Turn(items, documents=[Document(narrowed[0].heading, sentences)])
    return Turn(items, documents=documents or _as_documents(thread))


def _is_sending(name: str) -> bool:
    return sends({"type": "function", "name": name})


def _as_documents(thread: Thread) -> list[Document]:
    answer = plain_text(thread.answer)
    return [Document("the answer before", answer)] if answer.strip() else []

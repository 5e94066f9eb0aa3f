"""What is answered: honest, plain work on the input of a request."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .brief import brief, questions_in, search, shelf
from .containers import Made
from .counting import count
from .digest import digest, is_digest
from .documents import Document
from .file_search import Attributed, Found, look_up
from .files import File
from .gaps import gaps, is_gaps
from .intake import Request, new_id
from .passages import Scorer, collapse, condense, quotable, sections
from .structured import CannotFill, break_in_two_places, fill
from .thread import Thread, text_in
from .tooling import choice_of
from .turns import take_turn

CHARS_PER_TOKEN = 4

Item = dict[str, Any]


@dataclass(slots=True)
class Answer:
    """Output items as of a completed response; or ``error``, when the work could not be done."""

    output: list[Item]
    usage: dict[str, Any] | None = None
    tool_usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    made: list[Made] = field(default_factory=list)


def answer(
    request: Request,
    *,
    history: list[Document],
    shelf_url: str,
    past: Sequence[Item] = (),
    ready: Sequence[tuple[File, Attributed]] = (),
    invent_quotes: int = 0,
    break_schema: bool = False,
) -> Answer:
    """Do the work of a request.

    ``history`` are the documents of the turns before it, ``past`` all their items; ``ready`` are
    the files of the vector stores that it may search.
    """
    if request.unreadable:
        return Answer([], error={"code": "invalid_prompt", "message": request.unreadable})
    choice = choice_of(request.params)
    turn = take_turn(request, list(past), history, choice)
    said = Thread(list(past), request.items).said if past else request.text
    found_files: Found | None = None
    if not turn.waits and turn.text is None and (searcher := choice.first("file_search")):
        found_files = look_up(ready, queries_of(said), searcher)
    inside = found_files.documents if found_files else []
    inside = [document for document in inside if document not in request.documents]
    plain = Document("input", "\n\n".join([request.text, *request.images]))
    documents = [*request.documents, *inside] if inside else turn.documents or request.documents
    documents = documents or history or [plain]
    tool = next((t for t in choice.tools if _searches(t)), None)
    output: list[Item] = [*turn.items, *([found_files.item] if found_files else [])]
    annotations: list[Item] = []
    made_files: list[Made] = []
    try:
        if turn.waits:
            text = ""
        elif request.format["type"] == "json_schema":
            schema = request.format["schema"]
            made: Any
            if is_digest(schema):
                made = digest(schema, documents, focus=focus_of(said), invent_quotes=invent_quotes)
            elif is_gaps(schema):
                made = gaps(
                    schema,
                    documents,
                    baseline=labelled(f"{said}\n{request.instructions}", "baseline"),
                    focus=labelled(said, "focus"),
                    invent_quotes=invent_quotes,
                )
            elif found_files and (lines := found_files.sentences()):
                made = fill(schema, lines, link=f"{shelf_url}/about-the-sandbox")
            else:
                made = _instance(schema, request, documents, tool, shelf_url, output)
            if break_schema:
                made = break_in_two_places(schema, made)
            text = json.dumps(made, ensure_ascii=False)
        elif request.format["type"] == "json_object":
            text = json.dumps({"summary": key_sentences(documents, request.text)})
        elif turn.text is not None:
            text = turn.text
        elif tool is not None:
            found = brief(
                request.text, topic=topic_of(request.text), shelf_url=shelf_url, tool=tool
            )
            output.append(_search_item(found.queries, found.urls))
            text, annotations = found.text, found.annotations
        elif found_files:
            given = _told(request, request.documents) if request.documents else ""
            text, annotations = found_files.answer(given and f"{given}\n")
        else:
            text = _told(request, turn.documents or request.documents or history)
        if not turn.waits and (coder := choice.first("code_interpreter")):
            counted = count(documents, coder)
            output.append(counted.item)
            made_files.append(counted.made)
            text, notes = counted.cite(text, plain=request.format["type"] == "text")
            annotations = [*annotations, *notes]
    except CannotFill as error:
        message = f"The sandbox could not make an instance of this schema: {error}"
        return Answer([], error={"code": "server_error", "message": message})
    if request.params.get("reasoning"):
        output.insert(0, _reasoning_item(documents, request))
    if not turn.waits:
        output.append(message_item(text, annotations))
    passages = found_files.passages if found_files else []
    looked_at = [Document(passage.file.filename, passage.text) for passage in passages]
    usage = usage_of(request, [*history, *looked_at], past, output)
    return Answer(output, usage, _tool_usage(output), made=made_files)


def tool_of(request: Request, kind: str) -> Item | None:
    """The first tool of this type that a request offers."""
    tools = request.params.get("tools") or []
    return next((tool for tool in tools if tool["type"] == kind), None)


def queries_of(text: str) -> list[str]:
    """What to look for in files: what is asked, or else what the text begins with."""
    asked = questions_in(text)[:3]
    return asked or [labelled(text, "topic", "subject") or collapse(text)[:300]]


def message_item(text: str, annotations: list[Item] | None = None) -> Item:
    part = {"type": "output_text", "text": text, "annotations": annotations or [], "logprobs": []}
    return {
        "id": new_id("msg"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def _searches(tool: Item) -> bool:
    return str(tool.get("type")).startswith("web_search")


def _search_item(queries: list[str], urls: list[str]) -> Item:
    return {
        "id": new_id("ws"),
        "type": "web_search_call",
        "status": "completed",
        "action": {
            "type": "search",
            "query": queries[0],
            "queries": queries,
            "sources": [{"type": "url", "url": url} for url in urls],
        },
    }


def _reasoning_item(documents: list[Document], request: Request) -> Item:
    summary = []
    if (request.params.get("reasoning") or {}).get("summary"):
        names = ", ".join(document.name for document in documents)
        text = f"Weighed the sentences of {names} by the words they share, without a model."
        summary.append({"type": "summary_text", "text": text})
    return {"id": new_id("rs"), "type": "reasoning", "summary": summary}


def _instance(
    schema: Any,
    request: Request,
    documents: list[Document],
    tool: Item | None,
    shelf_url: str,
    output: list[Item],
) -> Any:
    """An instance filled from the documents; or from the shelf, when the web was to be searched."""
    link = f"{shelf_url}/about-the-sandbox"
    if tool is None:
        return fill(schema, key_sentences(documents, focus_of(request.text), 8), link=link)
    found = search(request.text, count=6)
    urls = [f"{shelf_url}/{passage.article.name}" for passage in found] or [link]
    output.append(_search_item([topic_of(request.text)], urls))
    about = list(shelf()["about-the-sandbox"].sentences[:3])
    return fill(schema, [passage.sentence for passage in found] or about, link=urls[0])


def key_sentences(documents: list[Document], focus: str, count: int = 3) -> list[str]:
    """The strongest sentences of all documents, in their order."""
    found = [
        sentence
        for document in documents
        for section in sections(document.text, table=document.is_table)
        for sentence in section.sentences
    ]
    good = [sentence for sentence in found if quotable(sentence)] or found
    return [condense(one, limit=300) for one in Scorer(found, focus=focus).best(good, count)]


def _told(request: Request, documents: list[Document]) -> str:
    """A summary of documents, or of the text if there are none, and a line on each image."""
    images = "".join(f"- {line}\n" for line in request.images)
    if images and not documents and not request.text.strip():
        return images
    text = _summary(documents or [Document("input", request.text)], focus_of(request.text))
    return f"{text}\n{images}" if images else text


def _summary(documents: list[Document], focus: str) -> str:
    """A short Markdown extract, a part for each document."""
    parts = []
    for document in documents:
        count = min(6, max(2, 2 + len(document.text) // 1500))
        lines = key_sentences([document], focus, count)
        title = "Summary" if document.name == "input" else document.name
        if not lines:
            parts.append(f"## {title}\n\nNo sentence was found in the input.")
            continue
        points = "\n".join(f"- {line}" for line in lines[1:])
        parts.append(f"## {title}\n\n{lines[0]}" + (f"\n\n{points}" if points else ""))
    parts.append("*Extracted by the sandbox from the input, without a model.*")
    return "\n\n".join(parts) + "\n"


def labelled(text: str, *names: str) -> str:
    """What stands behind one of these labels: ``Name: value`` on a line, or ``<name>value</name>``."""
    for name in names:
        tagged = re.search(rf"<{name}>(.*?)</{name}>", text, re.IGNORECASE | re.DOTALL)
        lined = re.search(
            rf"^[\s#*-]*{name}\b[^:\n]{{0,30}}:[ \t*]*(\S.*)$", text, re.IGNORECASE | re.MULTILINE
        )
        if match := tagged or lined:
            return collapse(match.group(1)).strip("* ")
    return ""


def focus_of(text: str) -> str:
    """What the reader cares for: a labelled focus, and any question that is asked."""
    return " ".join([labelled(text, "focus"), *questions_in(text)]).strip()


def topic_of(text: str) -> str:
    """The subject of a brief: labelled, or else the first line."""
    first = next((collapse(line) for line in text.splitlines() if line.strip()), "Untitled")
    topic = labelled(text, "topic", "subject", "title") or first.lstrip("#*- ").rstrip(":")
    topic = topic[:1].upper() + topic[1:]
    return topic if len(topic) <= 90 else topic[:89].rsplit(" ", 1)[0] + "…"


def tokens(characters: int) -> int:
    return max(1, round(characters / CHARS_PER_TOKEN)) if characters else 0


def input_tokens(request: Request, history: list[Document], past: Sequence[Item] = ()) -> int:
    """What is read: the request, the documents of the turns before, and what was said in them."""
    said = sum(map(_length, past))
    return tokens(request.length + said + sum(len(document.text) for document in history))


def _length(item: Item) -> int:
    """The characters of an item's text, output and arguments; its files not counted."""
    told = [item.get("content"), item.get("output"), item.get("arguments")]
    return sum(len(text_in(one)) for one in told)


def usage_of(
    request: Request, history: list[Document], past: Sequence[Item], output: list[Item]
) -> dict[str, Any]:
    """Token counts at about four characters each, reasoning counted as an eighth of the text."""
    written = tokens(
        sum(len(text_of(item)) + len(str(item.get("arguments", ""))) for item in output)
    )
    thought = written // 8 if request.params.get("reasoning") else 0
    read = input_tokens(request, history, past)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written + thought,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written + thought,
    }


def text_of(item: Item) -> str:
    """The text of a message item; "" for any other item."""
    if item.get("type") != "message":
        return ""
    parts = item.get("content")
    return "".join(
        str(part.get("text", ""))
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, dict)
    )


def _tool_usage(output: list[Item]) -> dict[str, Any] | None:
    searches = sum(item["type"] == "web_search_call" for item in output)
    if not searches:
        return None
    none = {"image_tokens": 0, "text_tokens": 0}
    images = {
        "input_tokens": 0,
        "input_tokens_details": none,
        "output_tokens": 0,
        "total_tokens": 0,
    }
    return {"image_gen": images, "web_search": {"num_requests": searches}}

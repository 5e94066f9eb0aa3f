"""Plain answers out of what is at hand: a draft to a customer, what became of it, a follow-up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .brief import questions_in
from .documents import Document
from .passages import Scorer, collapse, condense
from .sources import (
    Part,
    Quote,
    parts_of_document,
    parts_of_text,
    quotes,
    section_asked,
    under,
)
from .thread import Call, Thread, json_or_none, letter_in, without_addresses

QUOTED = 4  # sentences
NOTE = "*Put together by the sandbox from what was found, without a model.*"
_NO = re.compile(
    r"\b(?:not (?:sent|approved|allowed|delivered|posted|permitted)|refus|reject|declin|denied|"
    r"disapprov|forbid|fail|error|cancel|could not|cannot|was not)",
    re.IGNORECASE,
)
_FALSE = ("sent", "ok", "approved", "success", "delivered", "accepted")


@dataclass(frozen=True, slots=True)
class Draft:
    """A reply to the user's message that quotes the tools' outputs."""

    subject: str
    body: str

    @classmethod
    def of(cls, thread: Thread) -> Draft:
        letter = without_addresses(letter_in(thread.asked))
        found = quotes(found_parts(thread), letter, QUOTED)
        lines = ["Hello,", ""]
        if found:
            lines += ["thank you for your message. This is what our documents say about it:", ""]
            lines += [f"“{quote.sentence}”{_source(quote)}\n" for quote in found]
        else:
            lines += ["thank you for your message. Our documents do not answer it."]
            lines += ["A colleague will come back to you.", ""]
        lines += ["Please write to us again if a question is left open.", "", "Kind regards"]
        return cls(_subject(thread.asked, letter), "\n".join(lines))


def _source(quote: Quote) -> str:
    return f" ({quote.place})" if quote.place else ""


def _subject(asked: str, letter: str) -> str:
    named = re.search(r"^[\s#*-]*subject\b[^:\n]{0,20}:[ \t*]*(\S.*)$", asked, re.I | re.M)
    if named:
        return f"Re: {condense(collapse(named.group(1)), limit=100)}"
    question = next(iter(questions_in(letter)), "")
    return f"Re: {condense(question, limit=100)}" if question else "Re: Your message"


def found_parts(thread: Thread) -> list[Part]:
    """What tools have found since the last message; what they put out in error is left out."""
    parts: list[Part] = []
    for call in thread.fresh:
        if call.output and not went_wrong(call.output, brief=True):
            parts += parts_of_text(call.output, "")
    for item in thread.fetched:
        parts += parts_of_text(str(item.get("output") or ""), str(item.get("server_label") or ""))
    return parts


def went_wrong(output: str, *, brief: bool = False) -> bool:
    """Whether an output says that something was not done. ``brief``: prose does not count."""
    made = json_or_none(output)
    if isinstance(made, dict):
        if made.get("error") or any(made.get(key) is False for key in _FALSE):
            return True
        words = " ".join(
            str(made.get(key, "")) for key in ("status", "outcome", "state", "decision")
        )
        return bool(_NO.search(words))
    return not brief and bool(_NO.search(output))


def reply(thread: Thread, sent: Call | None, *, could_send: bool) -> str:
    """The last words of a thread with tools: the draft and what became of it, or what was found."""
    if sent is None and not could_send:
        letter = without_addresses(letter_in(thread.asked))
        found = quotes(found_parts(thread), letter, QUOTED)
        if not found:
            said = [f"`{call.name}` said: {_quoted(call)}" for call in thread.fresh if call.output]
            told = "\n\n".join(said) or "The tools put nothing out."
            return f"Nothing that was found answers this.\n\n{told}\n\n{NOTE}\n"
        lines = "\n".join(f"- “{quote.sentence}”{_source(quote)}" for quote in found)
        return f"This was found:\n\n{lines}\n\n{NOTE}\n"
    if sent is None:
        draft = Draft.of(thread)
        told = "A reply was drafted. It was not sent, because no address to send it to was given."
        return _told(told, draft.subject, draft.body)
    given = sent.given if isinstance(sent.given, dict) else {}
    texts = {key: value for key, value in given.items() if isinstance(value, str)}
    subject = texts.get("subject") or texts.get("title") or ""
    body = max(texts.values(), key=len, default="")
    to = next((value for value in texts.values() if re.fullmatch(r"\S+@\S+", value)), "")
    addressed = f" to {to}" if to else ""
    if went_wrong(sent.output or ""):
        told = f"A reply{addressed} was drafted, but it was not sent. "
    else:
        told = f"A reply{addressed} was drafted and sent. "
    return _told(f"{told}`{sent.name}` said: {_quoted(sent)}", subject, body)


def _quoted(call: Call) -> str:
    return f"“{condense(collapse(call.output or ''), limit=300)}”" if call.output else "nothing."


def _told(told: str, subject: str, body: str) -> str:
    head = f"Subject: {subject}\n\n" if subject else ""
    drafted = f"{head}{body}".strip()
    shown = "\n".join(f"> {line}".rstrip() for line in drafted.splitlines())
    return f"{told}\n\n{shown}\n\n{NOTE}\n" if shown else f"{told}\n\n{NOTE}\n"


def all_parts(thread: Thread, documents: list[Document]) -> list[Part]:
    """What a follow-up can look into: the documents, all outputs, and the answer before."""
    parts = [part for document in documents for part in parts_of_document(document)]
    for call in thread.calls:
        parts += parts_of_text(call.output or "", "")
    return parts + parts_of_text(thread.answer, "the answer before")


def follow_up(thread: Thread, documents: list[Document]) -> str | None:
    """An answer to a question about what was said before; None if this is not one."""
    name, question = section_asked(thread.asked)
    parts = all_parts(thread, documents)
    title = ""
    if name:
        there = under(parts, name)
        if not there:
            known = list(dict.fromkeys(part.heading for part in parts if part.heading))[:12]
            listed = "".join(f"\n- {heading}" for heading in known) or " none"
            return f"There is no section “{name}”. The sections are:{listed}\n\n{NOTE}\n"
        parts, title = there, f"## {there[0].heading}\n\n"
    found = quotes(parts, question, QUOTED)
    if not found and name:
        sentences = [sentence for part in parts for sentence in part.sentences]
        best = Scorer(sentences, focus=question).best(sentences, QUOTED)
        found = [Quote(condense(sentence, limit=300), parts[0].place) for sentence in best]
    if found:
        lines = "\n".join(f"- “{quote.sentence}”{_source(quote)}" for quote in found)
        return f"{title}{lines}\n\n{NOTE}\n"
    if not questions_in(question):
        return None
    return f"Neither the documents nor the answer before say anything about this.\n\n{NOTE}\n"

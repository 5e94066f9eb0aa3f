"""What a result rests on, as rows: each leads to its place, and can be ticked as seen."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.urls import reverse

from jobs.models import Citation, Gate, GateKind, Job, Result, ToolCall
from jobs.rendering import links, unseen
from jobs.rendering.results import QUOTE
from jobs.results import steps_so_far

#: Rows of each kind. What is over is one row more, which leads to the whole: so nothing that may
#: have to be seen is out of sight.
MOST_SHOWN = 200
#: Steps that are the model's own thoughts, and rest on nothing outside it.
_THOUGHTS = frozenset({"reasoning", "message"})
#: The code of warnings about quotes that are in no document.
_MISSING = "quote_not_found"

WARNINGS, QUOTES, SOURCES, STEPS = "Warnings", "Quotes", "Sources", "Tools"


@dataclass(frozen=True)
class Exhibit:
    """`group` is what it is listed under; `where` names its place; `url` leads there, and is on this
    site always; with `beside`, what is there can be read beside the result. `bad` says that it
    speaks against the result."""

    key: str
    group: str
    text: str
    where: str
    url: str
    beside: bool = False
    bad: bool = False


def at_gate(job: Job, gate: Gate) -> list[Exhibit]:
    """The evidence that is there for what is decided at `gate`. Before a run there is none."""
    if gate.kind == GateKind.TOOL_CALL and gate.attempt is not None:
        return list(_bounded(STEPS, _steps(steps_so_far(gate.attempt)), f"{_desk(job)}#steps"))
    return of_result(job, gate.result) if gate.result is not None else []


def of_result(job: Job, result: Result) -> list[Exhibit]:
    attempt = result.attempt.number
    cited = result.citations.select_related("document").defer("document__text", "raw")
    citations = list(cited.order_by("position"))
    whole = reverse("jobs:result_download", args=[job.ref]) + f"?format=json&attempt={attempt}"
    steps = result.tool_calls.defer("raw", "detail").order_by("position")
    return [
        *_bounded(WARNINGS, _warnings(result), whole),
        *_bounded(QUOTES, _quotes(job, attempt, citations), whole),
        *_bounded(SOURCES, _sources(attempt, citations), whole),
        *_bounded(STEPS, _steps(steps), whole),
    ]


def _bounded(group: str, rows: Iterable[Exhibit], whole: str) -> Iterator[Exhibit]:
    found = list(rows)
    yield from found[:MOST_SHOWN]
    if rest := found[MOST_SHOWN:]:
        text = f"{len(rest)} more, in the whole of the evidence"
        yield Exhibit(_key("rest", group, [row.key for row in rest]), group, text, "", whole)


def _warnings(result: Result) -> Iterator[Exhibit]:
    for number, warning in enumerate(result.warnings, 1):
        text, path = str(warning.get("text", "")), str(warning.get("path", ""))
        key = _key("warning", number, [text, path])
        what = "Quote not found" if warning.get("code") == _MISSING else ""
        place = unseen.line(path, 120)
        where = ", ".join(part for part in (what, place) if part)
        yield Exhibit(key, WARNINGS, unseen.line(text, 300), where, "#result", bad=True)


def _quotes(job: Job, attempt: int, citations: Iterable[Citation]) -> Iterator[Exhibit]:
    for citation in citations:
        if citation.kind != QUOTE or citation.document is None:
            continue
        page = reverse("jobs:document_detail", args=[job.ref, citation.document.position])
        told = [citation.quote, citation.document.position, citation.start, citation.end]
        yield Exhibit(
            _key("citation", citation.position, told),
            QUOTES,
            unseen.line(citation.quote, 200),
            unseen.line(citation.document.name, 120),
            f"{page}?quote={citation.position}&attempt={attempt}#quote",
            beside=True,
        )


def _sources(attempt: int, citations: Iterable[Citation]) -> Iterator[Exhibit]:
    """Each source once, however often it is cited: numbered as the result's own list is."""
    known: set[tuple[str, str]] = set()
    for citation in citations:
        if citation.kind == QUOTE:
            continue
        source = ("url", citation.url) if citation.url else (citation.kind, citation.title)
        if source in known:
            continue
        known.add(source)
        number = len(known)
        url = links.outward(citation.url)
        yield Exhibit(
            _key("source", number, [*source, citation.title]),
            SOURCES,
            unseen.line(citation.title or citation.url, 200),
            links.host(url) if url else "",
            f"#r{attempt}-source-{number}",
        )


def _steps(calls: Iterable[ToolCall]) -> Iterator[Exhibit]:
    for call in calls:
        if call.kind in _THOUGHTS:
            continue
        bad = call.status in ("failed", "incomplete")
        yield Exhibit(
            _key("step", call.position, [call.kind, call.title, call.summary, call.status]),
            STEPS,
            unseen.line(call.title or call.kind.replace("_", " "), 200),
            unseen.line(call.summary, 200),
            f"#step-{call.position}",
            bad=bad,
        )


def _desk(job: Job) -> str:
    return reverse("reviews:job_review", args=[job.ref])


def _key(kind: str, place: object, told: list[object] | list[str]) -> str:
    digest = hashlib.sha256("\x1f".join(map(str, told)).encode()).hexdigest()
    return f"{kind}:{place}:{digest[:12]}".lower()

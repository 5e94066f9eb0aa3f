"""A result as the pages show it: its document, its sources, its files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from django.urls import reverse
from django.utils.safestring import SafeString

from jobs.models import Citation, Job, Result, ResultFile
from jobs.rendering import links, markdown, structured, unseen
from jobs.rendering.outline import WHOLE, Limits, Quote, outline, quotes
from jobs.rendering.sanitizer import sanitized
from jobs.rendering.structured import Found

#: Characters of a text that are shown; what is over is cut at the end of a line.
LONGEST_TEXT = 150_000
MOST_SOURCES = 500
#: Citations of this kind are quotes from documents; every other is a source of the text.
QUOTE = "quote"


@dataclass(frozen=True)
class SourceView:
    """One source, however often it is cited. `url` is "" where it may not be linked to; `address`
    is then what was given."""

    number: int
    anchor: str
    title: str
    url: str
    host: str
    address: str
    cited: int


@dataclass(frozen=True)
class FileView:
    """`picture` is the address of a preview, or ""."""

    name: str
    size: int
    url: str
    picture: str


@dataclass(frozen=True)
class ResultView:
    """`html` is safe. `cut` says that it is not the whole, and `hidden` how many hidden characters
    it names."""

    html: SafeString
    cut: bool
    hidden: int
    sources: tuple[SourceView, ...]
    files: tuple[FileView, ...]
    quotes_found: int
    quotes_missing: int
    more_sources: int

    @property
    def quotes_checked(self) -> int:
        return self.quotes_found + self.quotes_missing


def result_view(
    job: Job,
    result: Result,
    *,
    citations: Iterable[Citation],
    files: Iterable[ResultFile] = (),
    level: int = 3,
) -> ResultView:
    """Headings begin at `<h{level}>`. Wants `result.attempt` and the citations' documents selected
    already, and asks the database for nothing else."""
    cited = list(citations)
    prefix = f"r{result.attempt.number}-"
    sources, numbers, more = _sources(cited, prefix)
    if result.structured is None:
        text = _first(result.text)
        places = [(c.end, numbers[c.position]) for c in cited if c.end and c.position in numbers]
        made = markdown.rendered(text, level=level, prefix=prefix, places=places)
        html, cut = made.html, made.cut or len(text) < len(result.text)
        states: list[str] = []
    else:
        document = outline(result.structured, Limits())
        find = partial(_find, places=_places(job, result, cited), missing=_missing(result))
        html, cut = structured.html(document.blocks, level=level, find=find), document.cut
        states = [find(quote).state for quote in quotes(document.blocks)]
    return ResultView(
        html=sanitized(html),
        cut=cut,
        hidden=unseen.count(html),
        sources=sources,
        files=tuple(_file(job, result, file) for file in files),
        quotes_found=states.count("found"),
        quotes_missing=states.count("missing"),
        more_sources=more,
    )


def result_markdown(result: Result) -> str:
    """The whole of a result, for a file."""
    if result.structured is None:
        return result.text
    return structured.as_markdown(outline(result.structured, WHOLE).blocks) + "\n"


def _first(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return text[: text.rfind("\n", LONGEST_TEXT // 2, LONGEST_TEXT) + 1 or LONGEST_TEXT]


def _sources(
    citations: Sequence[Citation], prefix: str
) -> tuple[tuple[SourceView, ...], dict[int, int], int]:
    """The sources, each once; by the position of a citation the number of its source; and how many
    sources are left out."""
    groups: dict[tuple[str, str], list[Citation]] = {}
    for citation in citations:
        if citation.kind != QUOTE:
            groups.setdefault(_source_key(citation), []).append(citation)
    views: list[SourceView] = []
    numbers: dict[int, int] = {}
    for number, group in enumerate(list(groups.values())[:MOST_SOURCES], 1):
        first = group[0]
        url = links.outward(first.url)
        address = unseen.line(first.url, 200)
        views.append(
            SourceView(
                number=number,
                anchor=f"{prefix}source-{number}",
                title=unseen.line(first.title, 300) or address or first.kind.replace("_", " "),
                url=url,
                host=links.host(url) if url else "",
                address="" if url else address,
                cited=len(group),
            )
        )
        numbers |= {citation.position: number for citation in group}
    return tuple(views), numbers, len(groups) - len(views)


def _source_key(citation: Citation) -> tuple[str, str]:
    return ("url", citation.url) if citation.url else (citation.kind, citation.title)


def _places(
    job: Job, result: Result, citations: Sequence[Citation]
) -> dict[tuple[str, str], Found]:
    """By path and text, the quotes that were found. Paths are stored cut."""
    places: dict[tuple[str, str], Found] = {}
    for citation in citations:
        if citation.kind != QUOTE or citation.document is None:
            continue
        page = reverse("jobs:document_detail", args=[job.ref, citation.document.position])
        query = f"?quote={citation.position}&attempt={result.attempt.number}#quote"
        found = Found("found", page + query, citation.document.name)
        places[citation.path, citation.quote] = found
    return places


def _missing(result: Result) -> frozenset[str]:
    """The paths of quotes that were looked up in vain."""
    return frozenset(
        warning.get("path", "")
        for warning in result.warnings
        if warning.get("code") == "quote_not_found"
    )


def _find(quote: Quote, *, places: dict[tuple[str, str], Found], missing: frozenset[str]) -> Found:
    # Keys with dots in them can make two paths read alike: then the worse is believed.
    if quote.path in missing:
        return Found("missing")
    return places.get((quote.path[:200], quote.text)) or Found("unchecked")


def _file(job: Job, result: Result, file: ResultFile) -> FileView:
    url = reverse("jobs:result_file", args=[job.ref, result.attempt.number, file.position])
    shown = file.content_type in ("image/gif", "image/jpeg", "image/png", "image/webp")
    return FileView(unseen.line(file.name, 200), file.size, url, f"{url}?inline=1" if shown else "")

"""A result as the pages show it: its document, its sources, its files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from django.urls import reverse
from django.utils.safestring import SafeString

from jobs.models import Citation, Job, Result, ResultFile
from jobs.rendering import links, markdown, structured, unseen
from jobs.rendering.headings import Headings, Section
from jobs.rendering.outline import WHOLE, Limits, Quote, outline, quotes
from jobs.rendering.sanitizer import sanitized
from jobs.rendering.structured import Found

#: Characters of a text that are shown; what is over is cut at the end of a line.
LONGEST_TEXT = 150_000
#: Characters of what is being written that are shown.
MOST_OF_DRAFT = 20_000
MOST_SOURCES = 500
#: Citations of this kind are quotes from documents; every other is a source of the text.
QUOTE = "quote"
#: Warnings with this code are listed with the result.
VIOLATION = "schema_violation"


@dataclass(frozen=True)
class SourceView:
    """One source, however often it is cited. `url` is "" where it may not be linked to; `address`
    is then what was given. `page` is where it is on this site, if it is a document or a file of
    the job."""

    number: int
    anchor: str
    title: str
    url: str
    host: str
    address: str
    cited: int
    page: str = ""


@dataclass(frozen=True)
class FileView:
    """`picture` is the address of a preview, or ""."""

    name: str
    size: int
    url: str
    picture: str


@dataclass(frozen=True)
class Violation:
    """A place of structured output that does not fit its schema. `path` is "" for what is not
    listed any more."""

    path: str
    text: str


@dataclass(frozen=True)
class ResultView:
    """`html` is safe. `cut` says that it is not the whole, and `hidden` how many hidden characters
    it names; `sections` is its list of contents, empty where it has less than two. `warnings` are
    those that are not among the `violations`."""

    html: SafeString
    cut: bool
    hidden: int
    sources: tuple[SourceView, ...]
    files: tuple[FileView, ...]
    quotes_found: int
    quotes_missing: int
    more_sources: int
    violations: tuple[Violation, ...]
    warnings: tuple[Mapping[str, str], ...]
    sections: tuple[Section, ...] = ()

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
    ask: str = "",
) -> ResultView:
    """Headings begin at `<h{level}>`; each section leads to the address `ask`, if there is one,
    where one can ask about it. Wants `result.attempt` and the citations' documents selected
    already, and asks the database for nothing else."""
    cited, views = list(citations), tuple(_file(job, result, file) for file in files)
    prefix = f"r{result.attempt.number}-"
    headings = Headings(prefix, ask)
    sources, numbers, more = _sources(cited, prefix, job, {view.name: view.url for view in views})
    if result.structured is None:
        text = _first(result.text)
        places = [(c.end, numbers[c.position]) for c in cited if c.end and c.position in numbers]
        if result.is_edited:
            # They are places in the text that the model wrote.
            places = []
        made = markdown.rendered(text, level=level, headings=headings, places=places)
        html, cut = made.html, made.cut or len(text) < len(result.text)
        states: list[str] = []
    else:
        document = outline(result.structured, Limits())
        find = partial(_find, places=_places(job, result, cited), missing=_missing(result))
        html, cut = (
            structured.html(document.blocks, level=level, find=find, headings=headings),
            document.cut,
        )
        states = [find(quote).state for quote in quotes(document.blocks)]
    return ResultView(
        html=sanitized(html),
        cut=cut,
        hidden=unseen.count(html),
        sources=sources,
        files=views,
        quotes_found=states.count("found"),
        quotes_missing=states.count("missing"),
        more_sources=more,
        violations=tuple(_violation(w) for w in result.warnings if w.get("code") == VIOLATION),
        warnings=tuple(w for w in result.warnings if w.get("code") != VIOLATION),
        sections=headings.contents() if len(headings.found) > 1 else (),
    )


def draft(text: str) -> SafeString:
    """The end of what is being written, as HTML: of a long text, its last paragraphs."""
    text = text.strip()
    if len(text) > MOST_OF_DRAFT:
        _cut, _break, text = text[-MOST_OF_DRAFT:].partition("\n\n")
    return sanitized(markdown.rendered(text, level=3).html)


def section_names(result: Result) -> list[str]:
    """What the sections of a result are called, in its order."""
    headings = Headings("r1-")
    if result.structured is None:
        markdown.rendered(_first(result.text), headings=headings)
    else:
        blocks = outline(result.structured, Limits()).blocks
        structured.html(blocks, level=3, find=lambda quote: Found("unchecked"), headings=headings)
    return list(dict.fromkeys(section.name for section in headings.found))


def result_markdown(result: Result) -> str:
    """The whole of a result, for a file."""
    if result.structured is None:
        return result.text
    return structured.as_markdown(outline(result.structured, WHOLE).blocks) + "\n"


def _first(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return text[: text.rfind("\n", LONGEST_TEXT // 2, LONGEST_TEXT) + 1 or LONGEST_TEXT]


def _violation(warning: Mapping[str, str]) -> Violation:
    path, text = warning.get("path", ""), warning.get("text", "")
    if not text.startswith(f"{path}: "):
        return Violation("", unseen.line(text, 300))
    return Violation(unseen.line(path, 200), unseen.line(text.removeprefix(f"{path}: "), 300))


def _sources(
    citations: Sequence[Citation], prefix: str, job: Job, files: Mapping[str, str]
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
                page=_page(first, job, files),
            )
        )
        numbers |= {citation.position: number for citation in group}
    return tuple(views), numbers, len(groups) - len(views)


def _page(citation: Citation, job: Job, files: Mapping[str, str]) -> str:
    """Where on this site a source is: a document of the job, or a file that came with the result."""
    if citation.document is not None:
        return reverse("jobs:document_detail", args=[job.ref, citation.document.position])
    return files.get(unseen.line(citation.title, 200), "") if not citation.url else ""


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
    """The paths of quotes that were looked up in vain. Those that a reviewer has edited were not
    looked up since."""
    missing = frozenset(
        warning.get("path", "")
        for warning in result.warnings
        if warning.get("code") == "quote_not_found"
    )
    if result.produced is None or not missing:
        return missing
    was, now = _quoted(result.produced), _quoted(result)
    return frozenset(path for path in missing if was.get(path) == now.get(path))


def _quoted(result: Result) -> dict[str, str]:
    return {quote.path: quote.text for quote in quotes(outline(result.structured, Limits()).blocks)}


def _find(quote: Quote, *, places: dict[tuple[str, str], Found], missing: frozenset[str]) -> Found:
    # Keys with dots in them can make two paths read alike: then the worse is believed.
    if quote.path in missing:
        return Found("missing")
    return places.get((quote.path[:200], quote.text)) or Found("unchecked")


def _file(job: Job, result: Result, file: ResultFile) -> FileView:
    url = reverse("jobs:result_file", args=[job.ref, result.attempt.number, file.position])
    shown = file.content_type in ("image/gif", "image/jpeg", "image/png", "image/webp")
    return FileView(unseen.line(file.name, 200), file.size, url, f"{url}?inline=1" if shown else "")

"""The library of a workspace: documents that were uploaded once, or kept from results, for any of
its jobs. Nothing here reaches from one workspace into another."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Q

from jobs import ranking, words
from jobs.access import Action, NotAllowed, NotNow, may_add_to_library, may_withdraw, require
from jobs.documents import ReadDocument, Unusable, Upload, read_each
from jobs.ids import read_ref
from jobs.models import (
    Job,
    LibraryDocument,
    LibraryPassage,
    LibrarySource,
    LibraryTerm,
    Result,
    Status,
    User,
    Workspace,
)
from jobs.models.library import new_library_ref
from jobs.rendering.results import result_markdown
from jobs.text import clean, clipped

#: Documents on a page.
PAGE = 25
#: How far documents are counted.
MOST_COUNTED = 10_000
#: Documents that a form offers, and that one may name.
OFFERED = 20
MOST_NAMED = 100
LONGEST_TITLE = 200


class NotThere(LookupError):
    """There is no such document in this library."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file. `document` holds its content: since now if `added`, else since
    before. It is None where the file was refused: `problem` says why, in a sentence."""

    name: str
    document: LibraryDocument | None = None
    added: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Hit:
    """A passage that has words of a search; `snippet` is the part of it that has most of them. The
    document comes without its text."""

    document: LibraryDocument
    passage: LibraryPassage
    score: float
    snippet: str


@dataclass(frozen=True)
class Page:
    """Documents, newest first. `newer` and `older` are the cursors of the pages beside it, and
    `count` says how many there are in all."""

    documents: Sequence[LibraryDocument]
    newer: str
    older: str
    count: str


def add(
    workspace: Workspace, uploads: Iterable[Upload], *, actor: User, now: datetime
) -> list[Outcome]:
    """Add files, each by itself: what is refused keeps no other one out. Raises `NotAllowed`."""
    if not may_add_to_library(actor, workspace):
        raise NotAllowed(f"Your role in {workspace} does not add to its library.")
    outcomes: list[Outcome] = []
    for name, read in read_each(uploads):
        if isinstance(read, Unusable):
            outcomes.append(Outcome(name, problem=str(read)))
            continue
        document, added = _same(workspace, read.sha256), False
        if document is None:
            title = words.title(read.text) or PurePath(read.name).stem
            row = _row(workspace, read, title=title, actor=actor, now=now)
            document, added = _inserted(row, *_cut(row))
        outcomes.append(Outcome(name, document, added))
    return outcomes


def keep_result(result: Result, title: str, *, actor: User, now: datetime) -> Outcome:
    """Add what a completed job produced, as Markdown, with where it came from.

    Raises `NotAllowed`, `NotNow`, and `Unusable` for a result without text.
    """
    job = result.attempt.job
    require(actor, job, Action.KEEP)
    title = clipped(clean(title), LONGEST_TITLE) or str(job.job_type)
    return _filed(result, _as_file(result), title, actor, now, Action.KEEP)


def file_result(
    result: Result, markdown: str, title: str, *, on_behalf_of: User, now: datetime
) -> Outcome:
    """As `keep_result`, of what a delivery sends: whoever let it out need not have the right to keep
    it still. Raises `NotNow`, and `Unusable` for a result without text."""
    title = clipped(clean(title), LONGEST_TITLE) or str(result.attempt.job.job_type)
    return _filed(result, markdown.encode(), title, on_behalf_of, now, None)


def _filed(
    result: Result, markdown: bytes, title: str, actor: User, now: datetime, needs: Action | None
) -> Outcome:
    job = result.attempt.job
    [(name, read)] = read_each([Upload(f"{job.ref}.md", markdown)])
    if isinstance(read, Unusable):
        raise read
    if known := _same(job.workspace, read.sha256):
        return Outcome(name, known)
    row = _row(job.workspace, read, title=title, actor=actor, now=now, result=result)
    parts = _cut(row)
    with transaction.atomic():
        # Reopened meanwhile, it is no longer a result that counts.
        held = Job.objects.select_for_update(of=("self",)).get(pk=job.pk)
        if needs:
            require(actor, held, needs)
        elif held.status != Status.COMPLETED:
            raise NotNow(f"{job.ref} is no longer completed.")
        if not Result.objects.filter(pk=result.pk, deliverable=True).exists():
            raise NotNow(f"This result of {job.ref} is kept as evidence only.")
        if needs and result_of(held).content_hash != result.content_hash:
            raise NotNow(f"{job.ref} has another version of its result now. Look at it again.")
        document, added = _inserted(row, *parts)
    return Outcome(name, document, added)


def withdraw(document: LibraryDocument, *, actor: User, now: datetime) -> None:
    """Take a document out of lists and searches. Jobs that used it keep their copies. Raises
    `NotAllowed`, and `NotNow` where somebody was first."""
    check_withdraw(document, actor=actor)
    with transaction.atomic():
        held = LibraryDocument.objects.held().filter(pk=document.pk)
        was_held = held.update(withdrawn_at=now, withdrawn_by=actor)
        LibraryTerm.objects.filter(document=document).delete()
    document.refresh_from_db(fields=["withdrawn_at", "withdrawn_by"])
    if not was_held:
        check_withdraw(document, actor=actor)


def check_withdraw(document: LibraryDocument, *, actor: User) -> None:
    """Whether `actor` may withdraw it now. Raises as `withdraw` does."""
    if not may_withdraw(actor, document):
        raise NotAllowed(
            f"{document.ref} is withdrawn by whoever added it, by a lead or by an admin."
        )
    if at := document.withdrawn_at:
        said = f"{at:%H:%M:%S} UTC on {at:%d %b %Y}"
        raise NotNow(f"{document.withdrawn_by} withdrew {document.ref} at {said} already.")


def read(workspace: Workspace, ref: str, *, withdrawn: bool = False) -> LibraryDocument:
    """The document of a reference, however it is written; one that was withdrawn only where that is
    asked for. Raises `NotThere`."""
    documents = LibraryDocument.objects.filter(workspace=workspace, ref=read_ref(clean(ref), "D"))
    if not withdrawn:
        documents = documents.held()
    document = documents.select_related("workspace", "added_by", "job", "withdrawn_by").first()
    if document is None:
        raise NotThere(f"There is no document {clipped(clean(ref), 40)} in the library.")
    return document


def search(workspace: Workspace, query: str, *, limit: int = 10) -> list[Hit]:
    """The passages that fit the words of `query` best, at most `ranking.PER_DOCUMENT` of one document.

    Takes any text, and finds whichever of its first `words.MOST_WORDS` telling words there are: rare
    ones count for more. Withdrawn documents are not found.
    """
    wanted = words.asked(query)
    if not wanted or limit < 1:
        return []
    best = ranking.best(workspace, wanted, limit)
    places = Q()
    for document, position in best:
        places |= Q(document=document, position=position)
    if not places:
        return []
    found = LibraryPassage.objects.filter(places, document__withdrawn_at=None)
    found = found.select_related("document__workspace").defer("document__text")
    hits = [
        Hit(
            passage.document,
            passage,
            best[passage.document_id, passage.position],
            words.snippet(passage.text, wanted),
        )
        for passage in found
    ]
    return sorted(hits, key=lambda hit: (-hit.score, -hit.document.pk, hit.passage.position))


def page(workspace: Workspace, *, before: str = "", after: str = "") -> Page:
    """The newest documents; those next older than the one of the reference `before`, or next newer
    than `after`. New ones move nothing between pages."""
    held = LibraryDocument.objects.filter(workspace=workspace).held()
    rows = held.select_related("workspace", "added_by", "job").defer("text")
    count = held.order_by()[: MOST_COUNTED + 1].count()
    said = f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else f"{count:,}"
    edge = _edge(workspace, after or before)
    if edge and after:
        found = list(rows.filter(pk__gt=edge).order_by("pk")[: PAGE + 1])
        if len(found) > PAGE:
            shown = found[:PAGE][::-1]
            return Page(shown, newer=shown[0].ref, older=shown[-1].ref, count=said)
        # They would not fill a page: the newest page shows them as well.
        edge = None
    if edge:
        rows = rows.filter(pk__lt=edge)
    found = list(rows.order_by("-pk")[: PAGE + 1])
    shown = found[:PAGE]
    newer = (shown[0].ref if shown else before) if edge else ""
    return Page(shown, newer, shown[-1].ref if len(found) > PAGE else "", count=said)


def named(workspace: Workspace, refs: Iterable[str]) -> list[LibraryDocument]:
    """Those of the references that are in the library now, in their order and each once."""
    wanted = list(dict.fromkeys(read_ref(clean(ref), "D") for ref in refs))[:MOST_NAMED]
    held = LibraryDocument.objects.filter(workspace=workspace, ref__in=wanted).held()
    rows = {row.ref: row for row in held.defer("text")}
    return [rows[ref] for ref in wanted if ref in rows]


def offered(workspace: Workspace, query: str) -> list[LibraryDocument]:
    """Documents to choose from: the newest `OFFERED`, or as many that fit the words of `query`, the
    best first."""
    if not query.strip():
        held = LibraryDocument.objects.filter(workspace=workspace).held()
        return list(held.order_by("-pk").defer("text")[:OFFERED])
    hits = search(workspace, query, limit=OFFERED * ranking.PER_DOCUMENT)
    return list(dict.fromkeys(hit.document for hit in hits))[:OFFERED]


def result_of(job: Job) -> Result:
    """The result that the job completed with, in the version that counts. Raises `NotNow` where there is none."""
    results = Result.objects.filter(attempt__job=job, deliverable=True)
    result = results.select_related("attempt__job", "edit").order_by("-attempt__number").first()
    if result is None:
        raise NotNow(f"{job.ref} has no result that can be kept.")
    return result.as_judged()


def kept_from(result: Result) -> LibraryDocument | None:
    """The document of the library that was kept from this result, in this version of it."""
    kept = LibraryDocument.objects.held().filter(result=result)
    document = kept.select_related("workspace").defer("text").order_by("-pk").first()
    if document is None or document.sha256 == hashlib.sha256(_as_file(result)).hexdigest():
        return document
    return None


def _as_file(result: Result) -> bytes:
    return bytes(clean(result_markdown(result)).encode())


def _edge(workspace: Workspace, ref: str) -> int | None:
    named = LibraryDocument.objects.filter(workspace=workspace, ref=read_ref(clean(ref), "D"))
    return named.values_list("pk", flat=True).first() if ref else None


def _same(workspace: Workspace, sha256: str) -> LibraryDocument | None:
    """The document that has this content already."""
    same = LibraryDocument.objects.filter(workspace=workspace, sha256=sha256).held()
    return same.select_related("workspace", "added_by").first()


def _row(
    workspace: Workspace,
    read: ReadDocument,
    *,
    title: str,
    actor: User,
    now: datetime,
    result: Result | None = None,
) -> LibraryDocument:
    """A new document whose file is stored now, outside the transaction."""
    return LibraryDocument(
        workspace=workspace,
        title=title[:LONGEST_TITLE],
        name=read.name,
        content_type=read.content_type,
        size=len(read.content),
        sha256=read.sha256,
        file=_stored(workspace, read),
        text=read.text,
        source=LibrarySource.RESULT if result else LibrarySource.UPLOAD,
        job=result.attempt.job if result else None,
        result=result,
        added_by=actor,
        added_at=now,
    )


def _path(workspace: Workspace, sha256: str) -> str:
    return f"library/{workspace.pk}/{sha256}"


def _stored(workspace: Workspace, read: ReadDocument) -> str:
    """Where the content is stored, which is once: a file that is there already is used. One that
    was left half-written is not, and not touched: somebody may be writing it."""
    path = _path(workspace, read.sha256)
    if default_storage.exists(path) and default_storage.size(path) == len(read.content):
        return path
    return default_storage.save(path, ContentFile(read.content))


def _cut(row: LibraryDocument) -> tuple[list[LibraryPassage], list[LibraryTerm]]:
    """What a document is found by. Takes seconds for a long one: not for within a transaction."""
    passages = [
        LibraryPassage(
            document=row,
            position=position,
            heading=cut.heading,
            text=row.text[cut.start : cut.end],
            start=cut.start,
            end=cut.end,
        )
        for position, cut in enumerate(words.passages(row.text) or [words.Cut(0, 0, "")], 1)
    ]
    named = f"{row.title} {PurePath(row.name).stem}"
    places = words.index(named, ((passage.heading, passage.text) for passage in passages))
    terms = [
        LibraryTerm(workspace=row.workspace, document=row, term=term, places=said)
        for term, said in places.items()
    ]
    return passages, terms


def _inserted(
    row: LibraryDocument, passages: list[LibraryPassage], terms: list[LibraryTerm]
) -> tuple[LibraryDocument, bool]:
    """The document with the content of `row`, and whether it is this one."""
    try:
        with transaction.atomic():
            row.ref = _free_ref()
            row.save(force_insert=True)
            LibraryPassage.objects.bulk_create(passages, batch_size=1_000)
            LibraryTerm.objects.bulk_create(terms, batch_size=1_000)
    except IntegrityError:
        # The same content came twice at once, and the other one was first.
        known = _same(row.workspace, row.sha256)
        if known is None:
            raise
        path = str(row.file.name)
        if path not in (known.file.name, _path(row.workspace, row.sha256)):
            default_storage.delete(path)
        return known, False
    return row, True


def _free_ref() -> str:
    ref = new_library_ref()
    while LibraryDocument.objects.filter(ref=ref).exists():
        ref = new_library_ref()
    return ref

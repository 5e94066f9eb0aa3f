import json
from copy import copy
from typing import Any, Self

from django.db import models

from jobs.ids import uuid7
from jobs.models.attempts import Attempt, Turn
from jobs.models.jobs import Document
from jobs.models.ordered import OrderedJSONField
from jobs.text import quoted

#: Codes of warnings that an edit mends: it fits its schema, or is not taken.
MENDED = frozenset({"not_json", "schema_violation", "schema_unusable"})
#: That of a quote which is in no document: gone with the quote.
NOT_FOUND = "quote_not_found"
#: Citations of this kind are quotes from documents; every other is a source of the text.
QUOTE = "quote"


class Result(models.Model):
    """What an attempt produced. Derived from its turns' payloads, and can be derived again.

    ``content_hash`` covers text, structured output and files: what a person approves.
    ``deliverable`` is false for the partial output of a canceled job: evidence, never delivered.
    ``edit`` is the reviewer's version that counts instead of this one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    attempt = models.OneToOneField(Attempt, models.PROTECT, related_name="result")
    text = models.TextField(blank=True)
    structured = OrderedJSONField(null=True, blank=True)
    warnings = models.JSONField(default=list)
    usage = models.JSONField(default=dict)
    model = models.CharField(max_length=100, blank=True)
    service_tier = models.CharField(max_length=40, blank=True)
    partial = models.BooleanField(default=False)
    deliverable = models.BooleanField(default=True)
    content_hash = models.CharField(max_length=64)
    edit = models.ForeignKey(
        "jobs.ResultEdit", models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField()

    #: Of a reviewer's version, as `as_judged` gives it: what the model had produced.
    produced: "Result | None" = None

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(content_hash=""), name="result_has_content_hash"
            ),
        ]

    def __str__(self) -> str:
        return f"result of {self.attempt_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.is_edited:
            raise TypeError("What a reviewer wrote never takes the place of what was produced.")
        super().save(*args, **kwargs)

    def as_judged(self) -> Self:
        """The version that counts, which is what is judged, read and delivered: itself, or itself
        with the words of its edit. The latter cannot be saved."""
        if self.edit is None or self.is_edited:
            return self
        version = copy(self)
        version.produced = self
        version.text, version.structured = self.edit.text, self.edit.structured
        version.content_hash = self.edit.content_hash
        version.warnings = [w for w in self.warnings if w.get("code") not in MENDED]
        if any(w.get("code") == NOT_FOUND for w in version.warnings):
            gone = self._without(version)
            version.warnings = [
                w
                for w in version.warnings
                if w.get("code") != NOT_FOUND or w.get("path") not in gone
            ]
        return version

    def _without(self, version: Self) -> set[str]:
        """The places here of quotes that are nowhere in `version`."""
        kept = {quote for _path, quote, _document in quoted(version.structured)}
        places = [(path, quote in kept) for path, quote, _document in quoted(self.structured)]
        return {path for path, _is in places} - {path for path, is_kept in places if is_kept}

    @property
    def is_edited(self) -> bool:
        return self.produced is not None


class Citation(models.Model):
    """A place that the result rests on: a quote found in a document, or a source on the web.

    ``start`` and ``end`` are character offsets into the document's text, or, for a source, into
    the result's text.
    """

    result = models.ForeignKey(Result, models.CASCADE, related_name="citations")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=40)
    quote = models.TextField(blank=True)
    document = models.ForeignKey(Document, models.PROTECT, null=True, blank=True)
    path = models.CharField(max_length=200, blank=True, help_text="Where in the structured output.")
    start = models.PositiveIntegerField(null=True, blank=True)
    end = models.PositiveIntegerField(null=True, blank=True)
    url = models.TextField(blank=True)
    title = models.TextField(blank=True)
    raw = OrderedJSONField(default=dict)
    turn = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering = ["result", "position"]
        constraints = [
            models.UniqueConstraint(fields=["result", "position"], name="citation_once"),
        ]

    def __str__(self) -> str:
        return self.quote[:60] or self.url

    def quote_in(self, version: Result) -> str:
        """What it quotes, as far as that is still in this version of its result: a reviewer may have
        taken it out."""
        if not version.is_edited:
            return self.quote
        said = json.dumps(self.quote, ensure_ascii=False)[1:-1]
        return self.quote if self.quote in version.text or said in version.text else ""

    def goes_with(self, version: Result) -> bool:
        """Whether this version of its result rests on it still."""
        return self.kind != QUOTE or bool(self.quote_in(version))


class ToolCall(models.Model):
    """A step of the model on its way: evidence, kept as it was reported.

    ``kind`` is the provider's word and ``title`` ours; ``detail`` is a list of
    `jobs.evidence.Part` as JSON. ``raw`` is the item without pictures and encrypted reasoning.
    """

    result = models.ForeignKey(Result, models.CASCADE, related_name="tool_calls")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=60)
    name = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=60, blank=True)
    summary = models.TextField(blank=True)
    raw = OrderedJSONField(default=dict)
    title = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=list)
    turn = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering = ["result", "position"]
        constraints = [
            models.UniqueConstraint(fields=["result", "position"], name="tool_call_once"),
        ]

    def __str__(self) -> str:
        return self.title or self.kind


class ResultFile(models.Model):
    """A file of the answer: inside it, such as a generated image, or fetched from the container
    that ``container_id`` names."""

    result = models.ForeignKey(Result, models.CASCADE, related_name="files")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    file = models.FileField(max_length=255)
    turn = models.PositiveSmallIntegerField(default=1)
    container_id = models.CharField(max_length=200, blank=True)
    file_id = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["result", "position"]
        constraints = [
            models.UniqueConstraint(fields=["result", "position"], name="result_file_once"),
        ]

    def __str__(self) -> str:
        return self.name


class FetchedFile(models.Model):
    """A file that a turn's answer named, fetched before the answer was written down: its container
    does not last. Either ``file`` holds it, or ``problem`` says why it is missing."""

    turn = models.ForeignKey(Turn, models.PROTECT, related_name="fetched_files")
    container_id = models.CharField(max_length=200)
    file_id = models.CharField(max_length=200)
    name = models.CharField(max_length=255)
    file = models.FileField(max_length=255, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["turn", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["turn", "container_id", "file_id"], name="fetched_file_once"
            ),
            models.CheckConstraint(
                condition=(models.Q(file="") & ~models.Q(problem=""))
                | (~models.Q(file="") & models.Q(problem="")),
                name="fetched_file_or_problem",
            ),
        ]

    def __str__(self) -> str:
        return self.name

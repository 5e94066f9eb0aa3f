from django.db import models

from jobs.ids import uuid7
from jobs.models.attempts import Attempt
from jobs.models.jobs import Document


class Result(models.Model):
    """What an attempt produced. Derived from its turns' payloads, and can be derived again.

    ``content_hash`` covers text, structured output and files: what a person approves.
    ``deliverable`` is false for the partial output of a canceled job: evidence, never delivered.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    attempt = models.OneToOneField(Attempt, models.PROTECT, related_name="result")
    text = models.TextField(blank=True)
    structured = models.JSONField(null=True, blank=True)
    warnings = models.JSONField(default=list)
    usage = models.JSONField(default=dict)
    model = models.CharField(max_length=100, blank=True)
    service_tier = models.CharField(max_length=40, blank=True)
    partial = models.BooleanField(default=False)
    deliverable = models.BooleanField(default=True)
    content_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(content_hash=""), name="result_has_content_hash"
            ),
        ]

    def __str__(self) -> str:
        return f"result of {self.attempt_id}"


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
    raw = models.JSONField(default=dict)

    class Meta:
        ordering = ["result", "position"]
        constraints = [
            models.UniqueConstraint(fields=["result", "position"], name="citation_once"),
        ]

    def __str__(self) -> str:
        return self.quote[:60] or self.url


class ToolCall(models.Model):
    """Something that the model did on its way: evidence, kept as it was reported."""

    result = models.ForeignKey(Result, models.CASCADE, related_name="tool_calls")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=60)
    name = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=60, blank=True)
    summary = models.TextField(blank=True)
    raw = models.JSONField(default=dict)

    class Meta:
        ordering = ["result", "position"]
        constraints = [
            models.UniqueConstraint(fields=["result", "position"], name="tool_call_once"),
        ]

    def __str__(self) -> str:
        return self.kind


class ResultFile(models.Model):
    """A file that came with the answer itself, such as a generated image."""

    result = models.ForeignKey(Result, models.CASCADE, related_name="files")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    file = models.FileField(max_length=255)

    class Meta:
        ordering = ["result", "position"]
        constraints = [
            models.UniqueConstraint(fields=["result", "position"], name="result_file_once"),
        ]

    def __str__(self) -> str:
        return self.name

"""What leaves of a completed job: its result as it was decided on, and what goes with it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from django.conf import settings

from jobs.models import Event, GateKind, Job, Result, ResultFile
from jobs.rendering.results import result_markdown
from jobs.results import Leaving
from jobs.text import clean, clipped
from reviews.models import Decision, Delivery, Extent, Ruling


@dataclass(frozen=True)
class Content:
    """All that a channel needs to send one delivery."""

    delivery: Delivery
    job: Job
    leaving: Leaving
    decision: Decision | None
    completed: Event

    @property
    def key(self) -> str:
        """What tells the receiver that two tries are one delivery."""
        return str(self.delivery.pk)

    @property
    def title(self) -> str:
        """On one line."""
        return clipped(self.job.input_summary or str(self.job.job_type), 150)

    @property
    def markdown(self) -> str:
        shown = Result(text=self.leaving.text, structured=self.leaving.data)
        return str(clean(result_markdown(shown)))

    @property
    def url(self) -> str:
        """The job's page, or "" where this site does not know its address."""
        return f"{settings.SITE_URL}{self.job.get_absolute_url()}" if settings.SITE_URL else ""

    @property
    def files(self) -> Sequence[ResultFile]:
        """Those that go along, as they stood when the try began."""
        return self.leaving.files if self.delivery.extent == Extent.WHOLE else ()

    def document(self, paths: Sequence[str] = ()) -> dict[str, Any]:
        """The same for each try of a delivery, unless the answer was read anew in between. `paths`
        say where its files lie, in their order."""
        job, decision = self.job, self.decision
        data: dict[str, Any] = {
            "id": self.key,
            "job": job.ref,
            "url": self.url,
            "workspace": job.workspace.slug,
            "type": job.job_type.slug,
            "title": self.title,
            "requester": job.requester.get_username(),
            "status": "completed",
            "completed_at": self.completed.at.isoformat(),
            "content_hash": self.leaving.content_hash,
            "cost_usd": self.delivery.facts.get("cost_usd"),
            "decision": decision
            and {
                "by": decision.actor.get_username(),
                "role": decision.role,
                "at": decision.at.isoformat(),
                "content_hash": decision.content_hash,
            },
        }
        if self.delivery.extent == Extent.WHOLE:
            data["result"] = self._result(paths)
        return {
            "type": "job.completed",
            "timestamp": self.completed.at.isoformat(),
            "data": data,
        }

    def body(self, paths: Sequence[str] = ()) -> bytes:
        return json.dumps(self.document(paths), ensure_ascii=False, sort_keys=True).encode()

    def _result(self, paths: Sequence[str]) -> dict[str, Any]:
        return {
            "text": self.leaving.text,
            "data": self.leaving.data,
            **self.leaving.evidence,
            "files": [
                {
                    "name": file.name,
                    "content_type": file.content_type,
                    "size": file.size,
                    "sha256": file.sha256,
                    **({"path": path} if path else {}),
                }
                for file, path in zip_longest(self.files, paths)
            ],
        }


def decision_on(leaving: Leaving) -> Decision | None:
    """The approval that closed the last review of this result."""
    approvals = Decision.objects.filter(
        ruling=Ruling.APPROVE,
        partial=False,
        gate__kind=GateKind.OUTPUT,
        gate__result=leaving.result,
        gate__closed_at__isnull=False,
    )
    return approvals.select_related("actor").order_by("-id").first()

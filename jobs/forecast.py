"""What the past says about the next check: measured durations, and whether webhooks arrive."""

import time
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median

from jobs.models import Attempt, Job, State, Status, WebhookReceipt
from jobs.policy import Typical

#: Seconds for which an answer is kept.
KEPT_FOR = 60.0
SAMPLE = 50
WEBHOOKS_SEEN_WITHIN = timedelta(minutes=30)


class Forecast:
    """Answers from the database, kept for a minute."""

    def __init__(self) -> None:
        self._typical: dict[int, tuple[float, Typical | None]] = {}
        self._webhooks: tuple[float, bool] | None = None

    def typical(self, job_type_id: int) -> Typical | None:
        """How long the last attempts of a type took. None before five have succeeded."""
        moment = time.monotonic()
        kept = self._typical.get(job_type_id)
        if kept is None or moment - kept[0] > KEPT_FOR:
            kept = self._typical[job_type_id] = (moment, typical(job_type_id))
        return kept[1]

    def webhooks_arrive(self, now: datetime) -> bool:
        """Whether verified webhooks about our responses have come lately."""
        moment = time.monotonic()
        if self._webhooks is None or moment - self._webhooks[0] > KEPT_FOR:
            recent = WebhookReceipt.objects.filter(
                received_at__gte=now - WEBHOOKS_SEEN_WITHIN, outcome__in=("known", "adopted")
            )
            self._webhooks = (moment, recent.exists())
        return self._webhooks[1]


def typical(job_type_id: int) -> Typical | None:
    ended = Attempt.objects.filter(
        job__job_type=job_type_id, state=State.SUCCEEDED, submitted_at__isnull=False
    ).order_by("-id")
    spans = ended.values_list("submitted_at", "ended_at")[:SAMPLE]
    seconds = sorted((end - start).total_seconds() for start, end in spans if start and end)
    if len(seconds) < 5:
        return None
    return Typical(median=seconds[len(seconds) // 2], most=seconds[int(len(seconds) * 0.9)])


def usual_cost(job_type_id: int) -> Decimal | None:
    """The middle cost in US dollars of the type's last completed jobs. None before five are known."""
    completed = Job.objects.filter(
        job_type=job_type_id, status=Status.COMPLETED, cost_usd__isnull=False
    )
    costs = list(completed.order_by("-id").values_list("cost_usd", flat=True)[:SAMPLE])
    return median(cost for cost in costs if cost is not None) if len(costs) >= 5 else None

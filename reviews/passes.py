"""A pass through what waits for somebody, one review after the other, in the order of the inbox.

Where one is in it stands in the address alone: nothing is written by looking, and two tabs are two
passes.
"""

from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from jobs.ids import is_ref, read_ref
from jobs.models import Job, Workspace
from jobs.text import clean
from reviews.inbox import Place, Sort, place_at

#: How far back leads, and how much of the inbox's own address goes along.
LONGEST_TRAIL = 20
LONGEST_QUEUE = 400


@dataclass(frozen=True)
class Way:
    """`queue` is the query of the inbox that one came from; `trail` the reviews that one has been
    at, the last one last; `at` the place that one goes on from, where it is said."""

    queue: str = ""
    trail: tuple[str, ...] = ()
    at: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> Self:
        """What is not an address of this kind is left out."""
        said = query.get("trail", "")[: LONGEST_TRAIL * 12].split(".")
        return cls(
            queue=QueryDict(clean(query.get("queue", ""))[:LONGEST_QUEUE]).urlencode(),
            trail=tuple(read_ref(ref) for ref in said if is_ref(ref)),
            at=str(Place.read(query.get("at", "")) or ""),
        )

    @property
    def query(self) -> str:
        """With its question mark, or ""."""
        parts = {"queue": self.queue, "trail": ".".join(self.trail), "at": self.at}
        said = urlencode({name: value for name, value in parts.items() if value})
        return f"?{said}" if said else ""

    def to(self, job: Job) -> str:
        """The review page of `job`."""
        return reverse("reviews:job_review", args=[job.ref]) + replace(self, at="").query

    def on_from(self, job: Job) -> str:
        """The door to the review after `job`."""
        gate = job.open_gate or job.gates.order_by("-id").first()
        asked = QueryDict(self.queue).get("sort", "")
        sort = Sort(asked) if asked in Sort.values else Sort.DUE
        way = replace(self, at=place_at(gate, sort) if gate else "")
        return reverse("reviews:job_next", args=[job.ref]) + way.query

    @property
    def back(self) -> str:
        """The review that one was at before, or ""."""
        if not self.trail:
            return ""
        way = replace(self, trail=self.trail[:-1], at="")
        return reverse("reviews:job_review", args=[self.trail[-1]]) + way.query

    def inbox(self, workspace: Workspace) -> str:
        url = reverse("reviews:inbox", args=[workspace.slug])
        return f"{url}?{self.queue}" if self.queue else url

    def over(self, workspace: Workspace) -> str:
        """The page at the end of the pass."""
        return reverse("reviews:pass_over", args=[workspace.slug]) + replace(self, at="").query

    def past(self, job: Job) -> "Way":
        """The same way, with `job` behind one."""
        trail = tuple(ref for ref in self.trail if ref != job.ref)
        return replace(self, trail=(*trail, job.ref)[-LONGEST_TRAIL:], at="")

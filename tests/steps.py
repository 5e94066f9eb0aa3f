"""What tests of the engine do and look at, in their own words."""

from collections.abc import Callable
from typing import Any

from jobs.models import Attempt, Job, Turn, WebhookReceipt
from jobsite.sandbox.testing import RunningSandbox
from reviews.actions import Ask, decide
from reviews.models import Decision, Ruling
from tests.driver import Driver


def refusal(
    status: int,
    code: str | None = None,
    *,
    type: str | None = None,
    headers: dict[str, str] | None = None,
    message: str = "No, said the provider.",
) -> dict[str, Any]:
    """A rule's "do": an HTTP error in the provider's envelope."""
    error = {"message": message, "type": type, "code": code}
    return {"status": status, "error": error, "headers": headers or {}}


def lives(sandbox: RunningSandbox, *, times: int | None = 1, **life: Any) -> None:
    """The next response lives like this."""
    sandbox.script({"on": "create", "do": {"life": life}, "times": times})


def now_of(job: Job) -> tuple[Job, Attempt, Turn]:
    """The job as it is stored, with its last attempt and that one's turn."""
    job.refresh_from_db()
    attempt = job.attempts.order_by("-number")[0]
    return job, attempt, attempt.turns.get()


def verbs(job: Job) -> list[str]:
    return list(job.events.order_by("seq").values_list("verb", flat=True))


def rules_on(job: Job, ruling: Ruling, clock: Callable[[], Any], **kwargs: Any) -> Decision:
    """The requester's ruling, or that of `actor`."""
    actor = kwargs.pop("actor", job.requester)
    return decide(job.pk, Ask(ruling, actor, clock(), **kwargs))


def webhook_names(response_id: str, clock: Callable[[], Any]) -> WebhookReceipt:
    """A genuine webhook about a response that no turn has, as its receipt."""
    return WebhookReceipt.objects.create(
        webhook_id=f"wh_{response_id}",
        event_type="response.completed",
        response_id=response_id,
        body=b"{}",
        received_at=clock(),
        next_check_at=clock(),
    )


def only_response(sandbox: RunningSandbox) -> str:
    (response,) = sandbox.responses()
    return str(response["id"])


def run_out(driver: Driver) -> None:
    """Work until nothing is due at any time any more."""
    for _step in range(100):
        if not driver.step():
            return
    raise AssertionError("there is always something due")

"""What is to leave the building: a row for each place, planned in the transaction that completes a
job, and stopped in the one that takes it back. `outbox` sends them."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from jobs import lifecycle
from jobs.lifecycle import Reason
from jobs.models import Event, Job, Status, Verb
from reviews.models import Channel, Delivery, DeliveryState, Extent, Route

#: How long after the first try is due, or after a person's retry, it is given up.
KEEPS_TRYING = timedelta(days=3)


def follow(job: Job, event: Event) -> None:
    """Plan what leaves a job that has completed, and stop what waits of one that no longer is."""
    if event.to_status == Status.COMPLETED:
        _plan(job, event)
    elif event.from_status == Status.COMPLETED and event.to_status:
        _stop(job, event)


def _plan(job: Job, event: Event) -> None:
    wanted = Q(job_type=job.job_type)
    if not job.job_type.follows:
        wanted |= Q(job_type=None)
    routes = Route.objects.filter(wanted, workspace=job.workspace_id, enabled=True)
    rows, folders = [], set[str]()
    for route in sorted(routes.select_related("endpoint").order_by("id"), key=_drops_a_link):
        due = event.at + timedelta(seconds=route.hold)
        for target in targets(job, route):
            if route.channel == Channel.FOLDER:
                if target in folders:
                    # Its files would have the names of those that are there.
                    continue
                folders.add(target)
            rows.append(
                Delivery(
                    job=job,
                    completion=event.seq,
                    route=route,
                    channel=route.channel,
                    endpoint=route.endpoint,
                    target=target,
                    extent=route.extent,
                    content_hash=event.data.get("content_hash") or "unknown",
                    unreviewed=event.verb != Verb.APPROVED,
                    facts={"cost_usd": None if job.cost_usd is None else str(job.cost_usd)},
                    created_at=event.at,
                    next_check_at=due,
                    give_up_at=due + KEEPS_TRYING,
                )
            )
    Delivery.objects.bulk_create(rows)


def _drops_a_link(route: Route) -> bool:
    """Whether it is a file drop that gives way to one of the whole result."""
    return route.channel == Channel.FOLDER and route.extent == Extent.LINK


def targets(job: Job, route: Route) -> list[str]:
    match route.channel:
        case Channel.EMAIL:
            requester = [job.requester.email] if route.to_requester else []
            return list(dict.fromkeys([*route.addresses(), *requester]))
        case Channel.WEBHOOK:
            assert route.endpoint is not None
            return [route.endpoint.url]
        case Channel.LIBRARY:
            return [job.workspace.slug]
        case _:
            return [f"{job.workspace.slug}/{job.job_type.slug}"]


def _stop(job: Job, event: Event) -> None:
    rows = Delivery.objects.filter(job=job, state__in=[DeliveryState.WAITING, DeliveryState.DEAD])
    text = f"{event.get_verb_display()} by {event.actor_name} before it left."
    stopped = rows.update(last_error=text, **over(DeliveryState.STOPPED, event.at))
    if stopped:
        said = "One delivery was stopped" if stopped == 1 else f"{stopped} deliveries were stopped"
        reason = Reason("delivery_stopped", f"{said} before anything had left.")
        lifecycle.record(job, Verb.DELIVERY_STOPPED, now=event.at, reason=reason)


def why_not_reopened(job: Job) -> str:
    """What keeps a completed job from going back to review, or ""."""
    left = Delivery.objects.filter(job=job).filter(
        Q(state__in=[DeliveryState.DELIVERED, DeliveryState.SENDING]) | Q(in_doubt=True)
    )
    first = left.order_by("ended_at", "id").first()
    if first is None:
        return ""
    where = said(first)
    if first.state == DeliveryState.DELIVERED and first.ended_at:
        at = f"{first.ended_at:%H:%M:%S} UTC on {first.ended_at:%d %b %Y}"
        return f"it has left the building already: {where}, at {at}."
    if first.state == DeliveryState.SENDING:
        return f"it is leaving the building just now: {where}."
    return f"it may have left the building: {where}. What became of that is not known."


def said(delivery: Delivery) -> str:
    """Where it goes, as far as everybody may know."""
    host = f" to {delivery.host}" if delivery.host else ""
    return f"{delivery.get_channel_display()}{host}"


def over(state: DeliveryState, now: datetime) -> dict[str, Any]:
    return {"state": state, "ended_at": now, "next_check_at": None, **lifecycle.LET_GO}


def record(job: Job, row: Delivery, verb: Verb, text: str, *, now: datetime) -> None:
    where = said(row)
    reason = Reason(verb.value, text if text.startswith(where) else f"{where}: {text}")
    lifecycle.record(job, verb, now=now, reason=reason, data=about(row))


def about(row: Delivery) -> dict[str, Any]:
    """What an event says of a delivery: no address, which the chain would keep for good."""
    return {
        "delivery": str(row.pk),
        "channel": row.channel,
        "host": row.host,
        "content_hash": row.content_hash,
    }

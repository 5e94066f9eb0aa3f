from reviews.views.bulk import bulk_detail, bulk_list, bulk_plan, bulk_start, bulk_stop
from reviews.views.claims import evidence_seen, job_claim, job_release
from reviews.views.decide import job_decide
from reviews.views.deliveries import deliveries, delivery_drop, delivery_retry, endpoint_retry
from reviews.views.desk import job_next, job_review, note_write, pass_over
from reviews.views.inbox import review_inbox
from reviews.views.notices import (
    notice_bell,
    notice_list,
    notice_open,
    notice_preferences,
    notices_read,
)
from reviews.views.saved import view_delete, view_edit, view_save

__all__ = [
    "bulk_detail",
    "bulk_list",
    "bulk_plan",
    "bulk_start",
    "bulk_stop",
    "deliveries",
    "delivery_drop",
    "delivery_retry",
    "endpoint_retry",
    "evidence_seen",
    "job_claim",
    "job_decide",
    "job_next",
    "job_release",
    "job_review",
    "note_write",
    "notice_bell",
    "notice_list",
    "notice_open",
    "notice_preferences",
    "notices_read",
    "pass_over",
    "review_inbox",
    "view_delete",
    "view_edit",
    "view_save",
]

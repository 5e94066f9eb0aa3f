from django.urls import path

from reviews import views
from reviews.models import Ruling

app_name = "reviews"
urlpatterns = [
    path("w/<slug:workspace>/reviews/", views.review_inbox, name="inbox"),
    path("w/<slug:workspace>/deliveries/", views.deliveries, name="deliveries"),
    path(
        "w/<slug:workspace>/deliveries/<uuid:delivery>/retry/",
        views.delivery_retry,
        name="delivery_retry",
    ),
    path(
        "w/<slug:workspace>/deliveries/<uuid:delivery>/drop/",
        views.delivery_drop,
        name="delivery_drop",
    ),
    path(
        "w/<slug:workspace>/endpoints/<uuid:endpoint>/retry/",
        views.endpoint_retry,
        name="endpoint_retry",
    ),
    path("w/<slug:workspace>/reviews/over/", views.pass_over, name="pass_over"),
    path("w/<slug:workspace>/reviews/views/", views.view_save, name="view_save"),
    path("w/<slug:workspace>/reviews/views/<int:view>/", views.view_edit, name="view_edit"),
    path(
        "w/<slug:workspace>/reviews/views/<int:view>/delete/", views.view_delete, name="view_delete"
    ),
    path("w/<slug:workspace>/reviews/bulk/", views.bulk_list, name="bulk_list"),
    path("w/<slug:workspace>/reviews/bulk/new/", views.bulk_plan, name="bulk_plan"),
    path("w/<slug:workspace>/reviews/bulk/<str:bulk>/", views.bulk_detail, name="bulk_detail"),
    path("w/<slug:workspace>/reviews/bulk/<str:bulk>/start/", views.bulk_start, name="bulk_start"),
    path("w/<slug:workspace>/reviews/bulk/<str:bulk>/stop/", views.bulk_stop, name="bulk_stop"),
    path("jobs/<str:ref>/review/", views.job_review, name="job_review"),
    path("jobs/<str:ref>/review/next/", views.job_next, name="job_next"),
    path("jobs/<str:ref>/review/claim/", views.job_claim, name="job_claim"),
    path("jobs/<str:ref>/review/release/", views.job_release, name="job_release"),
    path("jobs/<str:ref>/review/seen/", views.evidence_seen, name="evidence_seen"),
    path("jobs/<str:ref>/review/notes/", views.note_write, name="note_write"),
    path("notices/", views.notice_list, name="notices"),
    path("notices/bell/", views.notice_bell, name="notice_bell"),
    path("notices/read/", views.notices_read, name="notices_read"),
    path("notices/preferences/", views.notice_preferences, name="notice_preferences"),
    path("notices/<int:notice>/open/", views.notice_open, name="notice_open"),
    *(
        path(
            f"jobs/<str:ref>/{ruling.value.replace('_', '-')}/",
            views.job_decide,
            {"ruling": ruling},
            name=f"job_{ruling.value}",
        )
        for ruling in Ruling
    ),
]

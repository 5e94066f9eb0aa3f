from django.urls import path

from reviews import views
from reviews.models import Ruling

app_name = "reviews"
urlpatterns = [
    path("w/<slug:workspace>/reviews/", views.review_inbox, name="inbox"),
    path("jobs/<str:ref>/review/", views.job_review, name="job_review"),
    path("jobs/<str:ref>/review/notes/", views.note_write, name="note_write"),
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

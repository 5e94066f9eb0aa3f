from django.urls import path

from jobs.views.placeholders import soon
from reviews.models import Ruling

app_name = "reviews"
urlpatterns = [
    path("w/<slug:workspace>/reviews/", soon, name="inbox"),
    path("jobs/<str:ref>/review/", soon, name="job_review"),
    path("jobs/<str:ref>/review/notes/", soon, name="note_write"),
    *(
        path(f"jobs/<str:ref>/{ruling.value.replace('_', '-')}/", soon, name=f"job_{ruling.value}")
        for ruling in Ruling
    ),
]

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from jobs import webhooks
from jobs.views.placeholders import soon

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("", include("jobs.urls")),
    path("", include("reviews.urls")),
    path("x1", soon, name="account_change_password"),
    path("x2", soon, name="mfa_index"),
    path("x3", soon, name="account_logout"),
    path("admin/", admin.site.urls),
    path("webhooks/openai/", webhooks.openai, name="webhook_openai"),
]

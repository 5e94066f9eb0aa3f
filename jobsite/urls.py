from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from jobs import webhooks
from jobsite import health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("", include("jobs.urls")),
    path("", include("reviews.urls")),
    path("accounts/", include("jobsite.account_urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("webhooks/openai/", webhooks.openai, name="webhook_openai"),
]

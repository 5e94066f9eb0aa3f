from django.contrib import admin
from django.urls import include, path

from jobs import webhooks
from jobs.views import listing
from jobsite import health

urlpatterns = [
    path("", listing.home, name="home"),
    path("", include("jobs.urls")),
    path("", include("reviews.urls")),
    path("accounts/", include("jobsite.account_urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("webhooks/openai/", webhooks.openai, name="webhook_openai"),
]

"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

from townhall.views import healthz, media

admin.site.site_header = admin.site.site_title = "Town hall"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("media/<path:path>", media, name="media"),
    path("jobs/", include("jobs.urls")),
    path("", include("events.urls")),
]

from django.contrib import admin

from jobs.models import Job


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    list_display = ["id", "kind", "status", "attempts", "worker", "created_at", "finished_at"]
    list_filter = ["status", "kind"]
    readonly_fields = ["worker", "created_at", "started_at", "finished_at"]

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from events.models import Event, Registration, Topic, Venue


@admin.register(Venue)
class VenueAdmin(admin.ModelAdmin):
    list_display = ["name", "address", "seats", "step_free"]
    prepopulated_fields = {"slug": ["name"]}


@admin.register(Topic)
class TopicAdmin(admin.ModelAdmin):
    prepopulated_fields = {"slug": ["name"]}


class RegistrationInline(admin.TabularInline):
    model = Registration
    extra = 0


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):
    list_display = ["title", "starts_at", "venue", "seats", "published"]
    list_filter = ["published", "venue", "topics"]
    list_select_related = ["venue"]
    search_fields = ["title", "summary"]
    date_hierarchy = "starts_at"
    prepopulated_fields = {"slug": ["title"]}
    inlines = [RegistrationInline]
    actions = ["publish"]

    @admin.action(description="Publish selected events")
    def publish(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        self.message_user(request, f"{queryset.update(published=True)} events published.")

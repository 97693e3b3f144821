from django.urls import path

from events import numbers, views

urlpatterns = [
    path("", views.event_list, name="events"),
    path("events.csv", views.event_csv, name="events-csv"),
    path("events/propose/", views.propose, name="propose"),
    path("events/<slug:slug>/", views.event_detail, name="event"),
    path(
        "numbers/",
        numbers.numbers_without_asyncio if numbers.is_patched() else numbers.numbers,
        name="numbers",
    ),
]

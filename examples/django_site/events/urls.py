from django.urls import path

from events import views

urlpatterns = [
    path("", views.event_list, name="events"),
    path("events.csv", views.event_csv, name="events-csv"),
    path("events/propose/", views.propose, name="propose"),
    path("events/<slug:slug>/", views.event_detail, name="event"),
    path("numbers/", views.numbers, name="numbers"),
]

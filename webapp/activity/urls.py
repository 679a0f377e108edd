from __future__ import annotations

from django.urls import path

from webapp.activity import views

urlpatterns = [
    path("teams/<uuid:team>/activity/", views.activity, name="activity"),
    path("teams/<uuid:team>/activity/activity.csv", views.activity_file, name="activity-file"),
]

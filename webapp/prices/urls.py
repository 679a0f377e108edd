from __future__ import annotations

from django.urls import path

from webapp.prices import views

urlpatterns = [
    path("teams/<uuid:team>/prices/", views.prices, name="prices"),
    path("teams/<uuid:team>/prices/new/<slug:kind>/", views.add, name="price-add"),
    path("teams/<uuid:team>/prices/<uuid:price>/", views.change, name="price-change"),
    path("teams/<uuid:team>/prices/<uuid:price>/remove/", views.remove, name="price-remove"),
]

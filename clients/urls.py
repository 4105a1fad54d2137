"""CLIENTS and its page in SETTINGS."""

from django.urls import path

from clients import credit_pages, limit_pages, margin_pages, trial_pages, views

app_name = "clients"

urlpatterns = [
    path("clients/", views.client_list, name="list"),
    path("clients/add/", views.add_client, name="add"),
    path("clients/time-zones/", views.time_zones, name="time-zones"),
    path("clients/price-preview/", views.price_preview, name="price-preview"),
    path("clients/<slug:code>/", views.client_detail, name="detail"),
    path("clients/<slug:code>/edit/", views.edit_client, name="edit"),
    path("clients/<slug:code>/credits/", credit_pages.client_credits, name="credits"),
    path("clients/<slug:code>/margins/", margin_pages.client_margins, name="margins"),
    path("clients/<slug:code>/limits/", limit_pages.client_limits, name="limits"),
    path("clients/<slug:code>/trial/", trial_pages.client_trial, name="trial"),
    path("clients/<slug:code>/suspend/", views.suspend_client, name="suspend"),
    path("clients/<slug:code>/reactivate/", views.reactivate_client, name="reactivate"),
    path("settings/clients/", views.client_defaults, name="defaults"),
]

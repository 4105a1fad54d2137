"""NUMBERS."""

from django.urls import path

from virtual_numbers import handing_over, views

app_name = "numbers"

urlpatterns = [
    path("numbers/", views.number_list, name="list"),
    path("numbers/lease/", views.offers, name="offers"),
    path("numbers/lease/<slug:code>/", views.lease_number, name="lease"),
    path("numbers/<slug:code>/", views.detail, name="detail"),
    path("numbers/<slug:code>/label/", views.label, name="label"),
    path("numbers/<slug:code>/settings/", views.save_settings, name="settings"),
    path("numbers/<slug:code>/secret/", views.renew_secret, name="secret"),
    path("numbers/<slug:code>/allocate/", handing_over.allocate, name="allocate"),
    path("numbers/<slug:code>/take-back/", handing_over.take_back, name="take-back"),
    path("numbers/<slug:code>/release/", handing_over.release, name="release"),
]

"""BILLING, and the address at which Stripe tells of payments."""

from django.urls import path

from billing import trial_pages, views

app_name = "billing"

urlpatterns = [
    path("billing/", views.overview, name="overview"),
    path("billing/trial-expired/", trial_pages.trial_expired, name="trial-expired"),
    path("billing/add-credit/", views.add_credit, name="add-credit"),
    path("billing/topups/<slug:code>/", views.topup_detail, name="topup-detail"),
    path("billing/topups/<slug:code>/status/", views.topup_status, name="topup-status"),
    path("billing/topups/<slug:code>/cancel/", views.topup_cancel, name="topup-cancel"),
    path("billing/webhooks/stripe/", views.stripe_webhook, name="stripe-webhook"),
]

"""BILLING, and the address at which Stripe tells of payments."""

from django.urls import path

from billing import card_pages, forecast_pages, notice_pages, statement_pages, trial_pages, views

app_name = "billing"

urlpatterns = [
    path("billing/", views.overview, name="overview"),
    path("billing/statement.csv", statement_pages.statement_csv, name="statement-csv"),
    path("billing/statement.xlsx", statement_pages.statement_xlsx, name="statement-xlsx"),
    path("billing/statement.pdf", statement_pages.statement_pdf, name="statement-pdf"),
    path("credits/", views.credits_overview, name="credits"),
    path("credits.csv", statement_pages.credits_csv, name="credits-csv"),
    path("credits.xlsx", statement_pages.credits_xlsx, name="credits-xlsx"),
    path("credits.pdf", statement_pages.credits_pdf, name="credits-pdf"),
    path("billing/forecast/", forecast_pages.renewals, name="forecast"),
    path("settings/notices/", notice_pages.notices, name="notices"),
    path("billing/trial-expired/", trial_pages.trial_expired, name="trial-expired"),
    path("billing/add-credit/", views.add_credit, name="add-credit"),
    path("billing/cards/", card_pages.cards, name="cards"),
    path("billing/cards/<slug:code>/remove/", card_pages.card_remove, name="card-remove"),
    path("billing/recharge/", card_pages.recharge_save, name="recharge-save"),
    path("billing/recharge/stop/", card_pages.recharge_stop, name="recharge-stop"),
    path("billing/topups/<slug:code>/", views.topup_detail, name="topup-detail"),
    path("billing/topups/<slug:code>/status/", views.topup_status, name="topup-status"),
    path("billing/topups/<slug:code>/cancel/", views.topup_cancel, name="topup-cancel"),
    path("billing/webhooks/stripe/", views.stripe_webhook, name="stripe-webhook"),
]

"""SETTINGS and the log-in pages; of allauth only the pages that the portal uses are reachable."""

from allauth.account import views as allauth_views
from django.urls import path, re_path

from accounts import views

app_name = "accounts"

urlpatterns = [
    path("settings/", views.settings_profile, name="settings"),
]

# Routed by reseller/urls.py without a namespace: allauth itself looks for these names.
log_in_patterns = [
    path("login/", allauth_views.login, name="account_login"),
    path("logout/", allauth_views.logout, name="account_logout"),
    path("inactive/", allauth_views.account_inactive, name="account_inactive"),
    path("settings/password/", views.change_password, name="account_change_password"),
    path("password/reset/", allauth_views.password_reset, name="account_reset_password"),
    path("password/reset/done/", allauth_views.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        allauth_views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        allauth_views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
]

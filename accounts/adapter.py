"""How allauth behaves here: accounts are made by their parent, never by sign-up; mail goes through the outbox."""

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from accounts.services.users import request_password_reset, reset_password

WRONG_LOGIN = "No log-in matches this name and password. Check both; capital and small letters differ in the password."


class PortalAccountAdapter(DefaultAccountAdapter):
    """Named by the setting ACCOUNT_ADAPTER."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": WRONG_LOGIN,
        "username_password_mismatch": WRONG_LOGIN,
        "rate_limited": "Too many requests from your address; wait some minutes and try again.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def set_password(self, user: Any, password: str) -> None:
        """Called by the last step of a password reset."""
        reset_password(user=user, password=password)

    def send_password_reset_mail(self, user: Any, email: str, context: dict[str, Any]) -> None:
        # On the portal's own address, whatever host name the request came by.
        url = settings.SITE_URL + urlsplit(context["password_reset_url"]).path
        request_password_reset(user=user, email=user.email, url=url)

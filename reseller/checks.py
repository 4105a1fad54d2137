"""Combinations of settings that work in development and would hurt in production (`manage.py check --deploy`)."""

from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register(Tags.security, deploy=True)
def check_site_url(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Links in mails, cookies and HSTS follow SITE_URL."""
    site = urlsplit(settings.SITE_URL)
    if site.scheme == "https" and site.hostname not in (None, "localhost", "127.0.0.1"):
        return []
    return [
        Error(
            f"SITE_URL is {settings.SITE_URL!r}: links in mails would lead nowhere and cookies would go unencrypted.",
            hint="Set SITE_URL to the https:// address under which people reach the portal.",
            id="reseller.E001",
        )
    ]


@register(Tags.security, deploy=True)
def check_payments_reach_stripe(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The local double credits wallets for test cards; nobody may pay with it in earnest."""
    if not settings.STRIPE_API_BASE:
        return []
    return [
        Error(
            f"STRIPE_API_BASE is {settings.STRIPE_API_BASE!r}: payments would go to a stand-in instead of Stripe.",
            hint="Leave STRIPE_API_BASE empty in production.",
            id="reseller.E002",
        )
    ]


@register(Tags.security, deploy=True)
def check_mail_leaves_the_house(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Receipts and password resets are mails."""
    if settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend":
        return []
    return [
        Warning(
            f"Mails go to {settings.EMAIL_BACKEND.rsplit('.', 2)[1]}, not to people.",
            hint="Set EMAIL_URL, for example smtp+tls://user:password@mail.example:587.",
            id="reseller.W001",
        )
    ]


@register(Tags.security, deploy=True)
def check_webhooks_stay_outside(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Customers choose where inbound messages are posted to: never a server of the operator's own network."""
    if not settings.LOCAL_WEBHOOKS:
        return []
    return [
        Error(
            "LOCAL_WEBHOOKS is on: customers could have the portal post to servers of your own network.",
            hint="Leave LOCAL_WEBHOOKS off in production.",
            id="reseller.E003",
        )
    ]


@register()
def check_below_cost_sends(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A word that nobody reads would let messages go at a loss."""
    if settings.BELOW_COST_SENDS in ("flag", "refuse"):
        return []
    return [
        Error(
            f"BELOW_COST_SENDS is {settings.BELOW_COST_SENDS!r}.",
            hint="Set it to flag or refuse.",
            id="reseller.E004",
        )
    ]


@register()
def check_credential_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A key of another form would let nothing be saved."""
    for key in settings.CREDENTIAL_KEYS:
        try:
            Fernet(key)
        except ValueError:
            hint = "Make keys with cryptography's Fernet.generate_key(), see .env.example."
            return [Error("CREDENTIAL_KEYS has a key that is no Fernet key.", hint=hint, id="reseller.E005")]
    return []

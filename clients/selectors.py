"""Reads about one client: whose log-in it is, what its form starts with, what its page shows."""

import zoneinfo
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import Account, AuditEntry, Membership, User
from billing.models import BillingTerms, NoticeTerms
from billing.selectors import terms_of
from billing.statements import Period
from clients.allocation import allocation_of
from clients.models import ClientDefaults
from clients.payers import payer_of
from keywords.models import KeywordTerms
from messaging.margins import margins_by_client
from messaging.models import Batch
from messaging.reports import charged_by_client
from virtual_numbers.models import NumberTerms

SHOWN_BATCHES = 8
SHOWN_AUDIT_ENTRIES = 50


# --- The log-in --------------------------------------------------------------------------------------------------


def owner_of(client: Account) -> User | None:
    """The person whose log-in the form shows: the account's first owner."""
    owners = client.memberships.filter(role=Membership.Role.OWNER).select_related("user").order_by("pk")
    first = owners.first()
    return first.user if first else None


def may_change_login(user: User, client: Account) -> bool:
    """Whether the client's parent may change this log-in: not when it opens accounts outside the client's branch."""
    if user.is_staff or user.is_superuser:
        return False
    return not user.memberships.exclude(account__path__contains=[client.pk]).exists()


# --- What the form starts with -----------------------------------------------------------------------------------


def defaults_of(account: Account) -> ClientDefaults:
    """The reseller's defaults for new clients; unsaved, with its own country and time zone, when there are none."""
    found = ClientDefaults.objects.filter(account=account).first()
    return found or ClientDefaults(account=account, country=account.country, time_zone=account.time_zone)


def starting_values(parent: Account) -> dict[str, Any]:
    """Initial values of ADD CLIENT, by field name."""
    defaults = defaults_of(parent)
    return defaults_form_values(defaults) | {"trial": "no", "allocation": NumberTerms.Allocation.OWN}


def defaults_form_values(defaults: ClientDefaults) -> dict[str, Any]:
    """The defaults, by field name of the form."""
    return {
        "country": defaults.country,
        "time_zone": defaults.time_zone,
        "payer": payer_of(defaults.method),
        "method": defaults.method,
        "fixed_topup": defaults.fixed_topup,
        "minimum_topup": defaults.minimum_topup,
        "daily_topup_limit": defaults.daily_topup_limit,
        "sms_margin": defaults.sms_margin,
        "number_margin": defaults.number_margin,
        "keywords": "yes" if defaults.keywords_enabled else "no",
        "keyword_price": defaults.keyword_price,
        "keyword_limit": defaults.keyword_limit,
    }


def values_of(client: Account) -> dict[str, Any]:
    """Initial values of the client's form, by field name."""
    terms = terms_of(client) or BillingTerms(account=client, method=BillingTerms.Method.CARD_VARIABLE)
    numbers = NumberTerms.objects.filter(account=client).first() or NumberTerms(account=client)
    keywords = KeywordTerms.objects.filter(account=client).first() or KeywordTerms(account=client)
    notices = NoticeTerms.objects.filter(account=client).first() or NoticeTerms(account=client)
    user = owner_of(client)
    return {
        "contact_name": client.contact_name,
        "name": client.name,
        "mobile": client.mobile,
        "country": client.country,
        "time_zone": client.time_zone,
        "email": user.email if user else "",
        "payer": payer_of(terms.method),
        "method": terms.method,
        "fixed_topup": terms.fixed_topup,
        "minimum_topup": terms.minimum_topup,
        "daily_topup_limit": terms.daily_topup_limit,
        "sms_margin": terms.sms_margin,
        "accept_loss": terms.sms_margin < 0,
        "trial": "yes" if terms.on_trial else "no",
        "trial_ends_on": terms.trial_ends_on if terms.on_trial else None,
        "trial_credit": terms.trial_credit or None,
        "notification_limit": notices.limit,
        "notification_credits": notices.credits_limit,
        "notification_email": notices.email,
        "allocation": allocation_of(client),
        "number_margin": numbers.margin,
        "keywords": "yes" if keywords.is_enabled else "no",
        "keyword_price": keywords.price,
        "keyword_limit": keywords.limit,
    }


# --- Activity ----------------------------------------------------------------------------------------------------


def start_of_day(viewer: Account, now: datetime) -> datetime:
    """Midnight of the viewer's today."""
    zone = zoneinfo.ZoneInfo(viewer.time_zone)
    return datetime.combine(now.astimezone(zone).date(), time.min, tzinfo=zone)


def start_of_month(viewer: Account, now: datetime) -> datetime:
    """Midnight of the first of the viewer's month."""
    zone = zoneinfo.ZoneInfo(viewer.time_zone)
    return datetime.combine(now.astimezone(zone).date().replace(day=1), time.min, tzinfo=zone)


def _branch(viewer: Account, clients: list[int] | None) -> list[int]:
    """Every account below the viewer, or only those of these clients' branches."""
    below = Account.objects.below(viewer)
    if clients is not None:
        below = below.filter(path__overlap=clients)
    return list(below.values_list("pk", flat=True))


def sent_today(viewer: Account, clients: list[int] | None = None) -> dict[int, int]:
    """Messages that carriers took today (the viewer's day) from each client and all below it, by the client's id.

    A message counts when its price is taken, which is seconds after the carrier took it. ``clients`` None: of all the
    viewer's clients. Those without any are left out.
    """
    today = start_of_day(viewer, timezone.now()).date()
    return charged_by_client(viewer, _branch(viewer, clients), Period(today, today))


def margin_this_month(viewer: Account, clients: list[int] | None = None) -> dict[int, Decimal]:
    """What the viewer earned since the first of its month on messages of each client and all below it.

    On messages and on SMS credits, less those taken back, as in its report of margins. ``clients`` as in
    ``sent_today``.
    """
    now = timezone.now()
    period = Period(start_of_month(viewer, now).date(), start_of_day(viewer, now).date())
    return margins_by_client(viewer, _branch(viewer, clients), period)


@dataclass(frozen=True)
class Activity:
    """What a client's page says of it beside its terms."""

    sent_today: int
    margin: Decimal
    batches: list[Batch]
    members: list[Membership]
    entries: list[AuditEntry]
    sub_accounts: int


def activity_of(viewer: Account, client: Account) -> Activity:
    """The client's doings, for its parent."""
    entries = AuditEntry.objects.filter(account=client).order_by("-created_at", "-pk")
    return Activity(
        sent_today=sent_today(viewer, [client.pk]).get(client.pk, 0),
        margin=margin_this_month(viewer, [client.pk]).get(client.pk, Decimal(0)),
        batches=list(Batch.objects.filter(account=client).order_by("-pk")[:SHOWN_BATCHES]),
        members=list(client.memberships.select_related("user").order_by("pk")),
        entries=list(entries[:SHOWN_AUDIT_ENTRIES]),
        sub_accounts=Account.objects.below(client).count(),
    )

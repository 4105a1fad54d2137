"""Who lives in the demo: staff, a reseller with four clients that pay in four ways, and a reseller beside it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.hashers import make_password

from accounts.models import Account, Membership, User
from accounts.services import audit
from accounts.services.accounts import create_account, get_platform
from billing.models import BillingTerms
from billing.services.terms import create_terms
from clients.services.defaults import update_defaults
from keywords.services import terms as keyword_terms
from virtual_numbers.services import terms as number_terms

PASSWORD = "Demo-pass-2026"
STAFF_EMAIL = "admin@demo.example"
Method = BillingTerms.Method


@dataclass(frozen=True)
class Person:
    """An account of the demo and its owner."""

    account: Account
    user: User
    terms: BillingTerms


@dataclass(frozen=True)
class _Role:
    """One row of the cast; ``parent`` is the login (before @) of the account above, "" for the platform."""

    login: str
    parent: str
    company: str
    contact: str
    mobile: str
    country: str
    time_zone: str
    terms: dict[str, Any]
    currency: str = ""


_CAST = (
    _Role(
        "reseller", "", "Southern Cross Messaging", "Robin Hale", "+61491570156", "AU", "Australia/Sydney",
        currency="AUD",
        terms={"method": Method.CARD_VARIABLE, "minimum_topup": Decimal(50), "daily_topup_limit": Decimal(2000),
               "display_margin": Decimal("0.035")},
    ),
    _Role(
        "client", "reseller", "Harbourside Dental", "Casey Lund", "+61491570157", "AU", "Australia/Sydney",
        terms={"method": Method.CARD_VARIABLE, "minimum_topup": Decimal(10), "daily_topup_limit": Decimal(200),
               "sms_margin": Decimal("0.02")},
    ),
    _Role(
        "billed", "reseller", "Bayside Books", "Bo Tanner", "+64211234567", "NZ", "Pacific/Auckland",
        terms={"method": Method.BILL_TO_PARENT},
    ),
    _Role(
        "fixed", "reseller", "Coastal Couriers", "Frankie Doyle", "+61491570158", "AU", "Australia/Perth",
        terms={"method": Method.CARD_FIXED, "fixed_topup": Decimal(25), "daily_topup_limit": Decimal(250),
               "sms_margin": Decimal("0.015")},
    ),
    _Role(
        "credits", "reseller", "Harbour City Gym", "Gia Moretti", "+61491570159", "AU", "Australia/Brisbane",
        terms={"method": Method.SMS_CREDITS},
    ),
    _Role(
        "outsider", "", "Lakeshore Reach", "Ollie Grant", "+13125550142", "US", "America/Chicago",
        currency="USD",
        terms={"method": Method.INVOICE, "display_margin": Decimal("0.01")},
    ),
    _Role(
        "outsider-client", "outsider", "Prairie Fitness", "Pat Osei", "+13125550187", "US", "America/Chicago",
        terms={"method": Method.CARD_VARIABLE, "minimum_topup": Decimal(10), "daily_topup_limit": Decimal(100),
               "sms_margin": Decimal("0.006")},
    ),
)  # fmt: skip


# What the resellers' ADD CLIENT starts from.
_DEFAULTS: dict[str, Any] = {
    "method": Method.CARD_VARIABLE, "minimum_topup": Decimal(10), "daily_topup_limit": Decimal(100),
    "sms_margin": Decimal("0.02"), "number_margin": Decimal(5),
}  # fmt: skip


def is_loaded() -> bool:
    """Whether the demo's staff login, the first thing that is made, is there."""
    return User.objects.filter(username__iexact=STAFF_EMAIL).exists()


def load_people(since: datetime) -> dict[str, Person]:
    """Make everybody, as customers since ``since``; returned by login without ``@demo.example``."""
    # One slow hash for all: the password is public, and seven would double the time of loading.
    password = make_password(PASSWORD)
    User.objects.create(
        username=STAFF_EMAIL, email=STAFF_EMAIL, name="Alex Root", password=password, is_staff=True, is_superuser=True
    )
    people: dict[str, Person] = {}
    for role in _CAST:
        parent = people[role.parent].account if role.parent else get_platform()
        people[role.login] = _make(role, parent, password)
    Account.objects.filter(pk__in=[one.account.pk for one in people.values()]).update(created_at=since)
    return people


def _place(role: _Role) -> dict[str, str]:
    return {"country": role.country, "time_zone": role.time_zone}


def _make(role: _Role, parent: Account, password: str) -> Person:
    account = create_account(
        parent=parent, name=role.company, currency=role.currency, actor=None, contact_name=role.contact,
        mobile=role.mobile, country=role.country, time_zone=role.time_zone, can_have_children=not role.parent,
    )  # fmt: skip
    terms = create_terms(account=account, actor=None, **role.terms)
    email = f"{role.login}@demo.example"
    user = User.objects.create(username=email, email=email, name=role.contact, password=password)
    Membership.objects.create(user=user, account=account, role=Membership.Role.OWNER)
    audit.record(account=account, actor=None, action="user.created", subject=account.code, user=user.pk, role="owner")
    if role.parent:
        number_terms.create_terms(account=account, margin=Decimal(5), actor=None)
        keyword_terms.create_terms(account=account, is_enabled=True, price=Decimal(10), limit=3, actor=None)
    else:
        keyword_terms.create_terms(account=account, is_enabled=True, price=Decimal(8), actor=None)
        update_defaults(account=account, display_margin=None, actor=None, **_DEFAULTS, **_place(role))
    return Person(account, user, terms)

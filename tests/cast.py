"""The cast of the tests: a platform with prices, a reseller, its client, and an outsider (STYLE.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import Account, User
from accounts.services.accounts import create_account, get_platform
from accounts.services.users import create_member
from billing.models import BillingTerms, Rate, RateCard
from billing.services import ledger
from billing.services.terms import create_terms
from messaging.models import Route
from messaging.services.routing import set_rule

PASSWORD = "Test-pass-2026-x"
Method = BillingTerms.Method


@dataclass
class Member:
    """An account with its owner."""

    account: Account
    user: User


def make_member(
    parent: Account, name: str, *, login: str = "", currency: str = "", terms: dict[str, Any], **details: Any
) -> Member:
    """An account with terms, an empty wallet and an owner who logs in as ``<login>@test.example``."""
    details = {"country": "AU", "time_zone": "Australia/Sydney", "contact_name": name, **details}
    account = create_account(parent=parent, name=name, currency=currency, actor=None, **details)
    create_terms(account=account, actor=None, **terms)
    email = f"{login or name.lower().replace(' ', '.')}@test.example"
    user = create_member(account=account, email=email, name=name, password=PASSWORD, actor=None)
    return Member(account, user)


def make_rates(currency: str = "AUD") -> RateCard:
    """Australia 0.05 (a dearer block 614915: 0.08), United Kingdom 0.03, New Zealand 0.0123456 -> 6 places."""
    card = RateCard.objects.create(name=f"Standard {currency}", currency=currency, is_default=True)
    rates = [("61", "AU", "0.05"), ("614915", "AU", "0.08"), ("44", "GB", "0.03"), ("64", "NZ", "0.012345")]
    Rate.objects.bulk_create(Rate(rate_card=card, prefix=p, country=c, price=Decimal(m)) for p, c, m in rates)
    return card


def make_route(throughput: int = 1000) -> Route:
    """A route that takes every number."""
    route = Route.objects.create(code="test", name="Test carrier", throughput=throughput)
    set_rule(prefix="", routes=[route])
    return route


def make_reseller(name: str = "Reseller", currency: str = "AUD") -> Member:
    return make_member(
        get_platform(), name, currency=currency, can_have_children=True,
        terms={"method": Method.INVOICE, "display_margin": Decimal("0.04")},
    )  # fmt: skip


def make_client(parent: Member, name: str = "Client", **terms: Any) -> Member:
    """A client that pays by card (10.00 to 100.00), 0.02 a part above its parent's price."""
    values = {
        "method": Method.CARD_VARIABLE, "minimum_topup": Decimal(10), "daily_topup_limit": Decimal(100),
        "sms_margin": Decimal("0.02"),
    } | terms  # fmt: skip
    return make_member(parent.account, name, terms=values)


def fund(member: Member, amount: str, key: str = "") -> None:
    """Give the account money by a manual payment."""
    ledger.manual_payment(
        account=member.account, amount=Decimal(amount), key=key or f"fund-{member.account.code}-{amount}",
        reason="test money", actor=None,
    )  # fmt: skip


def check_now() -> None:
    """Run the deferred constraint triggers of the open transaction now."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def make_funded(member: Member, amount: str) -> Member:
    fund(member, amount)
    return member


# Who may stand on the stage, in the order in which they are made; each sees who was made before.
CAST: dict[str, Callable[[dict[str, Member]], Member]] = {
    "reseller": lambda made: make_funded(make_reseller(), "100"),
    "client_member": lambda made: make_funded(make_client(made["reseller"]), "10"),
    "billed_member": lambda made: make_client(
        made["reseller"], "Billed", method=Method.BILL_TO_PARENT, minimum_topup=None, daily_topup_limit=None,
        sms_margin=Decimal(0),
    ),
    "outsider": lambda made: make_reseller("Outsider"),
}  # fmt: skip


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> None:
    """A database with rates and a route: committed where the test asks for ``committed_db``, rolled back elsewhere."""
    request.getfixturevalue("committed_db" if "committed_db" in request.fixturenames else "db")


@pytest.fixture
def platform(stage: None) -> Account:
    return get_platform()


@pytest.fixture
def reseller(stage: None, cast: dict[str, Member]) -> Member:
    """A reseller in AUD, by invoice, that bills its clients at 0.04 above its own price; wallet 100.00."""
    return cast["reseller"]


@pytest.fixture
def client_member(reseller: Member, cast: dict[str, Member]) -> Member:
    """The reseller's client: pays by card, 0.02 a part above the reseller's price; wallet 10.00."""
    return cast["client_member"]


@pytest.fixture
def billed_member(reseller: Member, cast: dict[str, Member]) -> Member:
    """The reseller's client whose activity is billed to the reseller."""
    return cast["billed_member"]


@pytest.fixture
def outsider(stage: None, cast: dict[str, Member]) -> Member:
    """Another reseller, who must see nothing of the others."""
    return cast["outsider"]


LogIn = Callable[[User], Client]


@pytest.fixture
def log_in() -> LogIn:
    """``log_in(user)`` returns a test browser in which that user is logged in."""

    def open_browser(user: User) -> Client:
        browser = Client()
        browser.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return browser

    return open_browser

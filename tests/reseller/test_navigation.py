"""The top menu, the balance beside it, and what an account that sees no money is not shown."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.template import engines
from django.test import RequestFactory
from django.urls import resolve, reverse

from accounts.models import Account, Membership, User
from billing.services import ledger
from reseller.navigation import MENU, Viewer, menu_for
from tests.cast import LogIn, Member

Role = Membership.Role
RESELLER = Viewer(Account(can_have_children=True), Role.OWNER, sees_money=True)


def words(**different: Any) -> list[str]:
    return [link.label for link in menu_for(replace(RESELLER, **different), "")]


def marked(view_name: str, viewer: Viewer = RESELLER) -> list[str]:
    return [link.label for link in menu_for(viewer, view_name) if link.is_current]


def test_a_reseller_reads_these_words() -> None:
    assert words() == [
        "DASHBOARD",
        "SEND SMS",
        "INBOX",
        "CONTACTS",
        "NUMBERS",
        "REPORTS",
        "CLIENTS",
        "BILLING",
        "SETTINGS",
    ]


def test_a_client_without_the_right_to_have_clients_sees_no_clients() -> None:
    assert "CLIENTS" not in words(account=Account())


def test_an_account_that_sees_no_money_has_no_billing() -> None:
    assert "BILLING" not in words(sees_money=False)


def test_an_account_that_sends_with_credits_has_credits_in_the_place_of_billing() -> None:
    viewer = replace(RESELLER, account=Account(), sees_money=False, counts_credits=True)
    labels = [link.label for link in menu_for(viewer, "")]
    assert labels == ["DASHBOARD", "SEND SMS", "INBOX", "CONTACTS", "NUMBERS", "REPORTS", "CREDITS", "SETTINGS"]
    assert marked("messaging:movement", viewer) == marked("billing:credits", viewer) == ["CREDITS"]


def test_keywords_stand_there_for_whom_they_are_switched_on() -> None:
    assert "KEYWORDS" not in words()
    assert "KEYWORDS" in words(has_keywords=True)


@pytest.mark.parametrize(("role", "shown"), [(role, role in (Role.OWNER, Role.SENDER)) for role in Role])
def test_who_may_not_send_sees_no_send_sms(role: str, shown: bool) -> None:
    assert ("SEND SMS" in words(role=role)) is shown


@pytest.mark.parametrize(
    ("view_name", "word"),
    [
        ("dashboard", "DASHBOARD"),
        ("messaging:send", "SEND SMS"),
        ("messaging:batch-detail", "REPORTS"),
        ("messaging:conversation", "INBOX"),
        ("clients:add", "CLIENTS"),
        ("clients:defaults", "SETTINGS"),
        ("billing:topup-detail", "BILLING"),
        ("messaging:movement", "BILLING"),
        ("accounts:settings", "SETTINGS"),
        ("account_change_password", "SETTINGS"),
    ],
)
def test_the_word_of_the_page_is_marked(view_name: str, word: str) -> None:
    assert marked(view_name) == [word]


def test_a_page_outside_the_menu_marks_nothing() -> None:
    assert marked("account_logout") == []


def test_every_word_leads_to_a_page_that_marks_it() -> None:
    everything = replace(RESELLER, counts_credits=True, has_keywords=True)
    for entry in MENU:
        assert marked(resolve(reverse(entry.url_name)).view_name, everything) == [entry.label]


def test_the_top_bar_shows_what_the_account_can_spend(client_member: Member, log_in: LogIn) -> None:
    page = log_in(client_member.user).get("/settings/").content.decode()
    assert "AUD 10.00" in page
    ledger.manual_payment(
        account=client_member.account, amount=Decimal("2.345"), key="more", reason="test money", actor=None
    )
    assert "AUD 12.345" in log_in(client_member.user).get("/settings/").content.decode()


def test_an_account_billed_to_its_parent_reads_no_amount_and_no_billing(billed_member: Member, log_in: LogIn) -> None:
    page = log_in(billed_member.user).get("/settings/").content.decode()
    assert "AUD" not in page
    assert "Balance" not in page
    assert "BILLING" not in page


def test_a_page_without_a_top_bar_asks_nothing_of_the_database(
    reseller: Member, django_assert_num_queries: Any
) -> None:
    request = RequestFactory().get("/")
    request.membership = reseller.user.memberships.select_related("account").get()  # type: ignore[attr-defined]
    request.user = User()
    with django_assert_num_queries(0):
        assert engines["django"].from_string("{{ site_name }}").render({}, request) == "Relay"

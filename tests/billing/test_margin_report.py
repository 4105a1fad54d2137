"""The margin report adds up to the parent's capture entries, to the last place, over a mixed scene."""

import csv
import io
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from django.db.models import Sum
from django.urls import reverse

from billing.models import CountryMargin, CreditLot, LedgerEntry
from billing.statements import Period, wallet_id
from messaging.margins import margin_report
from messaging.models import Message
from messaging.services.settling import settle_waiting
from tests.billing.credits import give, make_credits_client, take
from tests.billing.services import in_days, lease_number, make_number, renew, set_margin
from tests.billing.test_statement import today
from tests.cast import LogIn, Member, fund, make_client
from tests.keywords.test_services import make as make_keyword
from tests.keywords.test_services import switch_on
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, settle_as, words

D = Decimal


def make_parent(member: Member) -> Member:
    member.account.can_have_children = True
    member.account.save(update_fields=["can_have_children"])
    return member


@pytest.fixture
def mixed(reseller: Member, client_member: Member, billed_member: Member) -> Member:
    """Three levels, a country's own margin, several prices and parts, refusals, and a client that the parent pays."""
    middle = make_parent(make_client(reseller, "Middle"))
    below = make_client(middle, "Below", sms_margin=D("0.031415"))
    CountryMargin.objects.create(account=middle.account, country="NZ", sms_margin=D("0.000007"))
    fund(below, "10")
    for member in (client_member, billed_member, below):
        batch = accept(member, [AU, AU_DEAR, NZ], text="a" * 200)
        settle_as(batch, "delivered")
        settle_as(accept(member, [AU]), "sent")
        settle_as(accept(member, [NZ]), "rejected")
    Message.objects.filter(recipient=AU_DEAR, account=below.account).update(state="failed", sent_at=None)
    settle_waiting(100)
    return middle


@pytest.fixture
def with_credits(mixed: Member) -> Member:
    """Besides: the middle one transfers 300 credits to a client at 0.07, takes 120 back, and that client sends."""
    fund(mixed, "50")
    child = make_credits_client(mixed, "Credits")
    give(child, 200)
    give(child, 100)
    settle_as(accept(child, [AU, AU_DEAR], text="a" * 200), "sent")
    settle_waiting(100)
    take(child, 120)
    return mixed


@pytest.fixture
def with_services(mixed: Member, reseller: Member, client_member: Member, billed_member: Member) -> Member:
    """Besides: numbers on two levels and of a client that the reseller pays, one renewed, and keywords on two."""
    account = mixed.account.children.get()
    below = Member(account, account.memberships.get().user)
    fund(client_member, "100")
    fund(below, "100")
    for member, margin in ((client_member, "5"), (mixed, "1.000001"), (below, "2.5")):
        set_margin(member, margin)
        switch_on(member, "0.01" if member == client_member else "9.999999")
    lease_number(billed_member, make_number("+61480000003"))
    lease_number(client_member, make_number("+61480000002", setup="3"), in_days(-32))
    renew(in_days(0))
    make_keyword(client_member, lease_number(client_member).number, now=in_days(0))
    make_keyword(below, lease_number(below, make_number("+61480000004")).number, now=in_days(0))
    return mixed


def captured(member: Member) -> Decimal:
    entries = LedgerEntry.objects.filter(ledger_account=wallet_id(member.account), transaction__kind="capture")
    return entries.aggregate(total=Sum("amount"))["total"] or D(0)


def test_the_report_equals_the_ledger_at_every_level(mixed: Member, reseller: Member, client_member: Member) -> None:
    for member in (reseller, mixed):
        report = margin_report(member.account, today())
        assert report.total.margin == captured(member) > 0
        for grouped in (report.by_client(), report.by_country(), report.by_day()):
            assert sum(earned.margin for _, earned in grouped) == captured(member)
            assert sum(earned.messages for _, earned in grouped) == report.total.messages
    assert margin_report(client_member.account, today()).rows == []


def earned_on_credits(member: Member) -> Decimal:
    """Its entries for credits that another account paid for."""
    entries = LedgerEntry.objects.filter(
        ledger_account=wallet_id(member.account), transaction__kind__in=["credits", "takeback"]
    )
    return sum((entry.amount for entry in entries if not paid_for(member, entry)), D(0))


def paid_for(member: Member, entry: LedgerEntry) -> bool:
    lots = CreditLot.objects.filter(transaction__reference=entry.transaction.reference)
    return lots.get().payer == member.account


def test_margins_on_credits_are_in_it_less_those_taken_back(with_credits: Member, reseller: Member) -> None:
    report = margin_report(reseller.account, today())
    # 300 transferred less 120 taken back, at 0.07 for the middle one and 0.05 for the reseller.
    earned = dict(report.by_client())["Middle"]
    assert (earned.credits, earned.messages, earned.parts) == (180, 3, 5)
    assert earned_on_credits(reseller) == D("3.60")
    assert earned.margin == D("0.060014") + D("3.60")
    assert report.total.margin == captured(reseller) + earned_on_credits(reseller)
    for grouped in (report.by_client(), report.by_country(), report.by_day()):
        assert sum(one.margin for _, one in grouped) == report.total.margin
        assert sum(one.credits for _, one in grouped) == 180
    # The middle one paid for the credits itself: no margin of its own.
    own = margin_report(with_credits.account, today())
    assert (own.total.credits, own.total.margin) == (0, captured(with_credits))


def test_credits_stand_in_the_files_and_on_the_page(with_credits: Member, reseller: Member, log_in: LogIn) -> None:
    browser: Any = log_in(reseller.user)
    text = b"".join(browser.get(reverse("messaging:margins-csv")).streaming_content).decode("utf-8-sig")
    *rows, total = csv.DictReader(io.StringIO(text))
    assert sum(int(row["SMS credits"]) for row in rows) == int(total["SMS credits"]) == 180
    assert sum(D(row["Your margin"]) for row in rows) == captured(reseller) + earned_on_credits(reseller)
    page = words(browser.get(reverse("messaging:margins")).content.decode())
    assert "SMS credits Client's price" in page
    assert "SMS credits to the day on which they were transferred or taken back" in page


def earned_on_services(member: Member) -> Decimal:
    """What numbers and keywords brought; what they cost itself is negative."""
    entries = LedgerEntry.objects.filter(
        ledger_account=wallet_id(member.account), transaction__kind__in=["number", "keyword"], amount__gt=0
    )
    return entries.aggregate(total=Sum("amount"))["total"] or D(0)


def test_margins_on_numbers_and_keywords_are_in_it_at_every_level(with_services: Member, reseller: Member) -> None:
    report = margin_report(reseller.account, today())
    sold = {name: (earned.months, earned.charged, earned.cost) for name, earned in report.by_sold()}
    # Three months of the client's at 24 and one of the middle one's at 20.000001, all for 19; a fifth of a keyword.
    assert sold["Numbers"] == (4, D("92.000001"), D("76"))
    assert sold["Keywords"] == (1, D("0.01"), D("0.002"))
    assert earned_on_services(reseller) == D("16.008001")
    assert report.total.margin == captured(reseller) + earned_on_services(reseller)
    middle = margin_report(with_services.account, today())
    sold = {name: (earned.months, earned.charged, earned.cost) for name, earned in middle.by_sold()}
    assert sold["Numbers"] == (1, D("22.500001"), D("20.000001"))
    assert sold["Keywords"] == (1, D("9.999999"), D("2"))
    assert middle.total.margin == captured(with_services) + earned_on_services(with_services)
    for one in (report, middle):
        for grouped in (one.by_sold(), one.by_client(), one.by_country(), one.by_day()):
            assert sum(earned.margin for _, earned in grouped) == one.total.margin
            assert sum(earned.months for _, earned in grouped) == one.total.months
    assert not {name for name, _ in report.by_client()} & {"Billed", "Below"}
    assert dict(report.by_country())["Australia"].months == 5


def test_numbers_and_keywords_stand_in_the_files_and_on_the_page(
    with_services: Member, reseller: Member, log_in: LogIn
) -> None:
    browser: Any = log_in(reseller.user)
    text = b"".join(browser.get(reverse("messaging:margins-csv")).streaming_content).decode("utf-8-sig")
    *rows, total = csv.DictReader(io.StringIO(text))
    margins = captured(reseller) + earned_on_services(reseller)
    assert sum(D(row["Your margin"]) for row in rows) == D(total["Your margin"]) == margins
    months = [(row["Client"], row["For"], row["Country"], row["Months"]) for row in rows if row["Months"] != "0"]
    assert months == [
        ("Client", "Keywords", "Australia", "1"), ("Client", "Numbers", "Australia", "3"),
        ("Middle", "Numbers", "Australia", "1"),
    ]  # fmt: skip
    content = b"".join(browser.get(reverse("messaging:margins-xlsx")).streaming_content)
    last = [*openpyxl.load_workbook(io.BytesIO(content))["Margins"].values][-1]
    assert (last[7], D(repr(last[10]))) == (5, margins)
    page = words(browser.get(reverse("messaging:margins")).content.decode())
    assert "Numbers 0 0 4 92.000001 76.0000 16.000001" in page
    assert "a month of a number or keyword to the day on which it was paid" in page


def test_each_client_and_country_has_its_own_sums(mixed: Member, reseller: Member) -> None:
    report = margin_report(reseller.account, today())
    clients = {name: (earned.messages, earned.parts, earned.margin) for name, earned in report.by_client()}
    # Client: 3 × 2 parts and one of 1, at 0.02. Middle (its own client's): one of them failed; to New Zealand 0.000007.
    assert clients == {"Client": (4, 7, D("0.140000")), "Middle": (3, 5, D("0.060014"))}
    countries = {name: earned.margin for name, earned in report.by_country()}
    assert countries == {"Australia": D("0.160000"), "New Zealand": D("0.040014")}


def test_nothing_is_counted_that_the_parent_pays_or_that_lies_outside(mixed: Member, reseller: Member) -> None:
    report = margin_report(reseller.account, today())
    assert "Billed" not in dict(report.by_client())
    long_ago = Period(today().first.replace(year=2020), today().first.replace(year=2020))
    assert margin_report(reseller.account, long_ago).rows == []


def test_files_add_up_to_the_ledger(mixed: Member, reseller: Member, log_in: LogIn) -> None:
    browser: Any = log_in(reseller.user)
    text = b"".join(browser.get(reverse("messaging:margins-csv")).streaming_content).decode("utf-8-sig")
    *rows, total = csv.DictReader(io.StringIO(text))
    assert sum(D(row["Your margin"]) for row in rows) == D(total["Your margin"]) == captured(reseller)
    content = b"".join(browser.get(reverse("messaging:margins-xlsx")).streaming_content)
    _, *cells, last = openpyxl.load_workbook(io.BytesIO(content))["Margins"].values
    assert sum(D(repr(row[10])) for row in cells) == D(repr(last[10])) == captured(reseller)


def test_the_page_shows_the_sums_and_is_for_parents_with_money(
    mixed: Member, reseller: Member, client_member: Member, log_in: LogIn
) -> None:
    page = log_in(reseller.user).get(reverse("messaging:margins")).content.decode()
    assert "AUD 0.200014" in page
    assert log_in(client_member.user).get(reverse("messaging:margins")).status_code == 404

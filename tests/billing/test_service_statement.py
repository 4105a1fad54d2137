"""Numbers and keywords on statements: each side's own words and sums, and why an amount is what it is."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import LedgerTransaction
from billing.services import subscriptions
from billing.services.service_prices import keyword_sale
from billing.statement_files import StatementFile
from billing.statements import Period, Statement, Sums
from tests.billing.services import at, lease_number, make_number, set_margin
from tests.cast import LogIn, Member, fund, make_client, make_member
from tests.keywords.test_services import make as make_keyword
from tests.keywords.test_services import switch_on
from tests.messaging.rows import words
from virtual_numbers.models import Lease

D = Decimal
NUMBER, KEYWORD = "+61480000001", "PIZZA on +61480000001"


def lately() -> Period:
    """Yesterday to tomorrow: a test may run at midnight."""
    now = timezone.now().date()
    return Period(now - timedelta(days=1), now + timedelta(days=1))


def buy_keyword(member: Member, price: str = "10") -> None:
    subscriptions.start(
        account=member.account, service="keyword", label=KEYWORD, setup=None, actor=member.user,
        first=keyword_sale(member.account, D(price)), now=at("2027-01-10"),
    )  # fmt: skip


def lines(member: Member, kind: str = "") -> list[tuple[str, str, str, Decimal]]:
    found = Statement(member.account, lately()).page(kind).lines
    return [(line.title, line.note, line.who, line.entry.amount) for line in found]


@pytest.fixture
def bought(reseller: Member, client_member: Member, billed_member: Member) -> None:
    """The client pays a number of 24.00 (set-up 3.00) and a keyword of 10.00, so does the reseller for another."""
    fund(client_member, "90", key="rich")
    set_margin(client_member, "5")
    lease_number(client_member, make_number(setup="3"), now=at("2027-01-10"))
    buy_keyword(client_member)
    lease_number(billed_member, make_number("+61480000002"), now=at("2027-01-10"))
    buy_keyword(billed_member)


def test_whoever_pays_reads_what_was_paid_for(bought: None, client_member: Member) -> None:
    assert lines(client_member)[:3] == [
        ("Keyword", f"{KEYWORD}, 10 Jan 2027 to 9 Feb 2027", "Client", D(-10)),
        ("Number rental", f"{NUMBER}, 10 Jan 2027 to 9 Feb 2027", "Client", D(-24)),
        ("Number rental", f"{NUMBER}, set-up", "Client", D(-3)),
    ]


def test_a_parent_reads_its_shares_and_what_it_pays_for_clients(bought: None, reseller: Member) -> None:
    assert lines(reseller)[:4] == [
        ("Keyword", f"Billed · {KEYWORD}, 10 Jan 2027 to 9 Feb 2027", "Billed", D(-2)),
        ("Number rental", "Billed · +61480000002, 10 Jan 2027 to 9 Feb 2027", "Billed", D(-19)),
        ("Share of a client's keyword", f"Client · {KEYWORD}, 10 Jan 2027 to 9 Feb 2027", "Client", D(8)),
        ("Margin on a client's number", f"Client · {NUMBER}, 10 Jan 2027 to 9 Feb 2027", "Client", D(5)),
    ]


def test_the_kind_finds_what_is_paid_and_what_is_earned_of_it(bought: None, reseller: Member) -> None:
    assert [amount for *_, amount in lines(reseller, "number")] == [D(-19), D(5)]
    assert [amount for *_, amount in lines(reseller, "keyword")] == [D(-2), D(8)]


def test_sums_tell_services_from_margins_and_payments(bought: None, reseller: Member, client_member: Member) -> None:
    own = Statement(client_member.account, lately()).sums()
    assert own == Sums(added=D(100), messages=D(0), margins=D(0), services=D(37))
    parents = Statement(reseller.account, lately()).sums()
    assert parents == Sums(added=D(100), messages=D(0), margins=D(13), services=D(21))


def test_the_billing_page_shows_what_services_cost_where_there_are_any(
    bought: None, client_member: Member, reseller: Member, log_in: LogIn
) -> None:
    page = words(log_in(client_member.user).get(reverse("billing:overview")).content.decode())
    assert "Numbers and keywords AUD 37.00" in page
    page = words(log_in(reseller.user).get(reverse("billing:overview")).content.decode())
    assert "Numbers and keywords AUD 21.00" in page
    assert "Margins earned AUD 13.00" in page
    other = make_client(reseller, "Other")
    page = words(log_in(other.user).get(reverse("billing:overview")).content.decode())
    assert "Numbers and keywords AUD" not in page


def test_files_have_the_same_words(bought: None, client_member: Member) -> None:
    rows = list(StatementFile(client_member.account, lately()).rows())
    assert rows[-1][2:6:3] == ["Keyword", f"{KEYWORD}, 10 Jan 2027 to 9 Feb 2027"]
    assert rows[-1][6] == D(-10)


def why(log_in: LogIn, member: Member, movement: LedgerTransaction) -> str:
    return words(log_in(member.user).get(reverse("messaging:movement", args=[movement.public_id])).content.decode())


def movement(kind: str, about: Member, words_: str = "2027") -> LedgerTransaction:
    return LedgerTransaction.objects.get(kind=kind, about=about.account, description__contains=words_)


def test_why_this_amount_names_the_price_to_the_payer(bought: None, client_member: Member, log_in: LogIn) -> None:
    text = why(log_in, client_member, movement("number", client_member))
    assert "Amount AUD −24.00" in text
    assert "Price of the month AUD 24.00 Movement" in text
    assert "You earn" not in text
    text = why(log_in, client_member, movement("number", client_member, "set-up"))
    assert "Set-up AUD 3.00 Movement" in text


def test_why_this_amount_names_the_share_to_who_earns_it(
    bought: None, reseller: Member, client_member: Member, log_in: LogIn
) -> None:
    text = why(log_in, reseller, movement("number", client_member))
    assert "You earn AUD 5.00 of this month" in text
    assert "24.00" not in text
    text = why(log_in, reseller, movement("keyword", client_member))
    assert "You earn AUD 8.00 of this month" in text


def test_why_this_amount_leads_to_the_number_or_keyword_and_its_month(
    reseller: Member, client_member: Member, log_in: LogIn
) -> None:
    fund(client_member, "90", key="rich")
    set_margin(client_member, "5")
    switch_on(client_member)
    lease = lease_number(client_member, now=at("2027-01-10"))
    keyword = make_keyword(client_member, lease.number, "PIZZA", now=at("2027-01-10"))
    pages = [reverse("numbers:detail", args=[lease.code]), reverse("keywords:detail", args=[keyword.code])]

    def links(member: Member, kind: str) -> list[str]:
        url = reverse("messaging:movement", args=[movement(kind, client_member).public_id])
        return [page for page in pages if page in log_in(member.user).get(url).content.decode()]

    assert links(client_member, "number") == pages[:1]
    assert links(client_member, "keyword") == pages
    text = why(log_in, client_member, movement("keyword", client_member))
    assert f"Keyword PIZZA Number {NUMBER} Month 10 Jan 2027 to 9 Feb 2027" in text
    # The parent earns of it, and has no page of its client's numbers.
    assert links(reseller, "number") == links(reseller, "keyword") == []
    text = why(log_in, reseller, movement("number", client_member))
    assert f"Client Client Number {NUMBER} Month 10 Jan 2027 to 9 Feb 2027 You earn AUD 5.00" in text
    Lease.objects.update(ended_at=at("2027-01-11"))
    assert links(client_member, "number") == []
    assert f"Number {NUMBER} Month" in why(log_in, client_member, movement("number", client_member))


def test_why_a_parent_that_pays_for_a_keyword_pays_less_than_its_price(
    bought: None, reseller: Member, billed_member: Member, log_in: LogIn
) -> None:
    text = why(log_in, reseller, movement("keyword", billed_member))
    assert "Amount AUD −2.00" in text
    assert "Price of the month AUD 10.00, less AUD 8.00 that you earn of it" in text


def test_a_movement_of_a_service_is_404_for_whoever_has_no_side_of_it(
    bought: None, outsider: Member, client_member: Member, billed_member: Member, log_in: LogIn
) -> None:
    for stranger, found in ((outsider, client_member), (billed_member, billed_member), (client_member, billed_member)):
        url = reverse("messaging:movement", args=[movement("number", found).public_id])
        assert log_in(stranger.user).get(url).status_code == 404


def test_nobody_reads_what_is_earned_above_or_below(reseller: Member, log_in: LogIn) -> None:
    middle = make_member(reseller.account, "Middle", can_have_children=True, terms={"method": "invoice"})
    client = make_client(middle, "Below")
    for member, margin in ((middle, "2"), (client, "5.5")):
        set_margin(member, margin)
    fund(client, "50")
    lease_number(client, now=at("2027-01-10"))
    found = LedgerTransaction.objects.get(kind="number")
    assert "You earn AUD 2.00 of this month" in why(log_in, reseller, found)
    assert "You earn AUD 5.50 of this month" in why(log_in, middle, found)
    assert "5.50" not in why(log_in, reseller, found)
    assert "AUD 26.50" not in why(log_in, middle, found)

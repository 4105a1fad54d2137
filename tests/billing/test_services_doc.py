"""The worked examples of docs/numbers-and-keywords.md: read from the page, done by the portal, and compared."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Account, OutgoingMail
from billing.models import LedgerTransaction, Subscription
from billing.services import subscriptions
from billing.services.renewal_notices import send_renewal_notices
from billing.services.service_prices import keyword_sale
from tests.billing.services import at, available, lease_number, make_number, renew, set_margin
from tests.billing.test_ledger_doc import cells, done, section, table
from tests.cast import Member, fund, make_client
from virtual_numbers.models import VirtualNumber
from virtual_numbers.services import leasing

D = Decimal
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "numbers-and-keywords.md").read_text()
BEGIN, LATER = at("2027-01-10"), at("2027-02-10")


@pytest.fixture
def client(reseller: Member) -> Member:
    member = make_client(reseller)
    fund(member, "60")
    set_margin(member, "5")
    make_number(setup="3")
    return member


def lease(member: Member) -> leasing.Lease:
    return lease_number(member, VirtualNumber.objects.get(), now=BEGIN)


def buy_keyword(member: Member) -> Subscription:
    return subscriptions.start(
        account=member.account, service="keyword", label="Keyword", first=keyword_sale(member.account, D(10)),
        setup=None, actor=None, now=BEGIN,
    )  # fmt: skip


def own_number(reseller: Member, client: Member, billed: Member) -> None:
    lease(client)
    renew(LATER)
    assert (available(client.account), available(reseller.account)) == (D(9), D(110))


def three_levels(reseller: Member, client: Member, billed: Member) -> None:
    Account.objects.filter(pk=client.account.pk).update(can_have_children=True)
    client.account.refresh_from_db()
    below = make_client(client, "Below")
    set_margin(below, "2.50")
    fund(below, "50")
    lease(below)


def billed_number(reseller: Member, client: Member, billed: Member) -> None:
    lease(billed)


def given_number(reseller: Member, client: Member, billed: Member) -> None:
    leasing.allocate(lease=lease(reseller), child=client.account, actor=None)
    renew(LATER)


def keyword(reseller: Member, client: Member, billed: Member) -> None:
    buy_keyword(client)
    cheap = keyword_sale(client.account, D("0.01"))
    subscriptions.renew_due("keyword", price_of=lambda one: cheap, on_end=lambda one: None, now=LATER)


def billed_keyword(reseller: Member, client: Member, billed: Member) -> None:
    buy_keyword(billed)


EXAMPLES: dict[str, Callable[[Member, Member, Member], None]] = {
    "A client leases a number": own_number,
    "A tree of three levels": three_levels,
    "A client whose activity is billed": billed_number,
    "A number that the parent gives to its client": given_number,
    "A keyword": keyword,
    "A keyword that the parent pays for": billed_keyword,
}
STORY = "Too little money"


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_portal_moves_what_the_page_says(
    platform: Account, reseller: Member, client: Member, billed_member: Member, title: str
) -> None:
    since = LedgerTransaction.objects.latest("pk").pk
    EXAMPLES[title](reseller, client, billed_member)
    people = {one.pk: one.name.lower() for one in Account.objects.all()} | {platform.pk: "platform"}
    moved = [row for row in done(people, since) if row[0] in ("setup", "renewal")]
    assert moved == table(title, PAGE)


def test_every_example_of_the_page_is_checked() -> None:
    assert set(re.findall(r"^### (.*)$", PAGE, re.MULTILINE)) == {*EXAMPLES, STORY}


def mail_of(day: datetime) -> str:
    found = OutgoingMail.objects.filter(key__startswith="renewals:", key__endswith=f"{day:%Y-%m-%d}").first()
    return found.text if found else ""


def test_too_little_money_goes_the_way_of_the_page(client: Member) -> None:
    leased = lease(client)
    _, rows = cells(STORY, PAGE)
    told = {datetime.strptime(f"{day} 2027", "%d %B %Y").date(): rest for day, *rest in rows}  # noqa: DTZ007
    day, last = BEGIN.astimezone(ZoneInfo("Australia/Sydney")), max(told)
    while day.date() <= last:
        renew(day)
        send_renewal_notices(day)
        if day.date() in told:
            state, wallet, mail = told[day.date()]
            leased.subscription.refresh_from_db()
            assert (leased.subscription.state, available(client.account)) == (state, D(wallet))
            assert bool(mail_of(day)) == bool(mail)
            assert mail in mail_of(day)
        day += timedelta(days=1)


def test_paid_while_suspended_it_works_again_as_the_page_says(client: Member) -> None:
    leased = lease(client)
    for day in ("2027-02-10", "2027-03-10", "2027-03-17"):
        renew(at(day))
    found = re.search(r"Had ([\d.]+) come in on 20 March, .* until 9 April", section(STORY, PAGE), re.DOTALL)
    assert found
    fund(client, found[1], key="at last")
    renew(at("2027-03-20"))
    leased.subscription.refresh_from_db()
    assert (leased.subscription.state, f"{leased.subscription.next_renewal_on}") == ("active", "2027-04-10")
    assert available(client.account) == D(0)


def test_the_settings_have_the_days_that_the_page_names(settings) -> None:
    for name in ("RENEWAL_GRACE_DAYS", "RENEWAL_SUSPENDED_DAYS", "NUMBER_QUARANTINE_DAYS", "KEYWORD_PLATFORM_SHARE"):
        assert f"`{name}` ({getattr(settings, name)})" in PAGE

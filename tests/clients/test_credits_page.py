"""CLIENTS, a client, CREDITS: the parent's page, and what the client itself sees of its credits."""

import re
from decimal import Decimal
from html import unescape

import pytest
from django.test import Client

from accounts.models import Account, Membership
from accounts.services.users import create_member
from billing.exceptions import CreditPriceChanged
from billing.models import CreditLot, NoticeTerms
from billing.selectors import balance_of, credits_of
from messaging.models import Batch, Message
from tests.billing.credits import give, make_credits_client, take
from tests.cast import PASSWORD, LogIn, Member, fund
from tests.messaging.rows import accept, settle_as, words

D = Decimal
NUMBERS = [f"+614{10_000_000 + index}" for index in range(50)]


@pytest.fixture
def child(reseller: Member) -> Member:
    return make_credits_client(reseller, "Credit Shop")


@pytest.fixture
def web(reseller: Member, log_in: LogIn) -> Client:
    return log_in(reseller.user)


@pytest.fixture
def shop(child: Member, log_in: LogIn) -> Client:
    return log_in(child.user)


def page_of(account: Account) -> str:
    return f"/clients/{account.code}/credits/"


def hidden(page: str) -> dict[str, str]:
    """The hidden fields with which the shown proposal is confirmed."""
    return dict(re.findall(r'<input type="hidden" name="(quantity|key|amount)" value="([^"]+)"', page))


def test_a_transfer_shows_its_price_first_and_happens_once_however_often_it_is_confirmed(
    web: Client, child: Member, reseller: Member
):
    url = page_of(child.account)
    shown = web.post(url, {"deed": "price", "quantity": "500"}).content.decode()

    assert "500 credits × AUD 0.0500 AUD 25.00" in words(shown)
    assert "Your balance after AUD 75.00" in words(shown)
    assert not CreditLot.objects.exists()
    proposal = hidden(shown)
    assert (proposal["quantity"], D(proposal["amount"])) == ("500", D(25))

    for _ in range(2):
        answer = web.post(url, proposal | {"deed": "transfer"}, follow=True)

    assert "Credit Shop got 500 credits." in words(answer.content.decode())
    assert CreditLot.objects.count() == 1
    assert (balance_of(reseller.account).available, credits_of(child.account).available) == (D(75), D(500))


def test_a_transfer_above_the_balance_names_the_shortfall_and_offers_no_button(web: Client, child: Member):
    shown = web.post(page_of(child.account), {"deed": "price", "quantity": "5000"}).content.decode()

    assert "AUD 150.00 are missing." in words(shown)
    assert 'value="transfer"' not in shown


def test_a_forced_transfer_above_the_balance_is_refused_at_the_field(web: Client, child: Member):
    forced = {"deed": "transfer", "quantity": "5000", "amount": "250", "key": "forced"}
    shown = web.post(page_of(child.account), forced).content.decode()

    assert "AUD 150.00 are missing. Nothing was transferred." in words(shown)
    assert credits_of(child.account).available == D(0)


def test_a_price_that_changed_meanwhile_is_refused(web: Client, child: Member):
    stale = {"deed": "transfer", "quantity": "10", "amount": "0.40", "key": "stale"}
    shown = web.post(page_of(child.account), stale).content.decode()

    assert "The price has changed from AUD 0.40 to AUD 0.50" in words(shown)
    assert credits_of(child.account).available == D(0)


def test_a_transfer_without_the_price_that_was_shown_only_shows_it(web: Client, child: Member):
    shown = web.post(page_of(child.account), {"deed": "transfer", "quantity": "10"}).content.decode()

    assert hidden(shown)["quantity"] == "10"
    assert credits_of(child.account).available == D(0)


@pytest.mark.parametrize("quantity", ["", "0", "-3", "1.5", "many", "10000001"])
def test_a_wrong_number_is_named_at_the_field(web: Client, child: Member, quantity: str):
    for deed in ("price", "back"):
        answer = web.post(page_of(child.account), {"deed": deed, "quantity": quantity})
        form = answer.context["transfer_form" if deed == "price" else "back_form"]
        assert list(form.errors) == ["quantity"]


def test_taking_back_shows_lot_by_lot_what_comes_back(web: Client, child: Member, reseller: Member):
    give(child, 100)
    settle_as(accept(child, NUMBERS[:10]), "sent")
    url = page_of(child.account)

    shown = web.post(url, {"deed": "back", "quantity": "60"}).content.decode()
    assert "60 credits × AUD 0.0500 AUD 3.00" in words(shown)
    assert "Comes back to you AUD 3.00" in words(shown)

    for _ in range(2):
        answer = web.post(url, hidden(shown) | {"deed": "take-back"}, follow=True)

    assert "60 credits taken back from Credit Shop. AUD 3.00 came back." in words(answer.content.decode())
    assert (credits_of(child.account).available, balance_of(reseller.account).available) == (D(30), D(98))
    too_many = web.post(url, {"deed": "back", "quantity": "31"})
    assert "Credit Shop has 30 credits unused; 31 cannot be taken back." in words(too_many.content.decode())


def test_the_page_lists_lots_and_history(web: Client, child: Member):
    give(child, 100)
    batch = accept(child, NUMBERS[:10])
    text = words(web.get(page_of(child.account)).content.decode())

    assert "90 credits and 10 credits set aside" in text
    assert "100 0 90 AUD 0.0500 AUD 4.50" in text
    assert f"Set aside for messages {batch.code} Credit Shop \u221210 credits 90 credits" in text
    assert "Transferred" in text


def test_the_parent_sets_when_it_hears_of_low_credits(web: Client, child: Member):
    give(child, 100)
    answer = web.post(page_of(child.account), {"deed": "notice", "credits_limit": "25"}, follow=True)

    assert "when fewer than 25 credits are left" in words(answer.content.decode())
    assert NoticeTerms.objects.get(account=child.account).credits_limit == 25


def test_only_the_owner_of_the_parent_opens_the_page(web: Client, child: Member, reseller: Member, log_in: LogIn):
    viewer = create_member(
        account=reseller.account, email="viewer@test.example", name="Viewer", password=PASSWORD, actor=None,
        role=Membership.Role.VIEWER,
    )  # fmt: skip
    assert log_in(viewer).get(page_of(child.account)).status_code == 403
    assert log_in(child.user).get(page_of(child.account)).status_code == 404


def test_a_client_that_never_had_credits_has_no_such_page(web: Client, client_member: Member):
    assert web.get(page_of(client_member.account)).status_code == 404


def test_the_clients_list_and_page_show_credits_in_place_of_money(web: Client, child: Member):
    give(child, 70)

    assert "70 credits" in words(web.get("/clients/").content.decode())
    page = words(web.get(f"/clients/{child.account.code}/").content.decode())
    assert "SMS credits 70 credits" in page
    assert "coming release; until then this client" not in page


# --- What the client sees --------------------------------------------------------------------------------------------


def amounts(page: str) -> list[str]:
    """Whatever on a page looks like an amount of money."""
    return re.findall(r"AUD|SMS \d|\d\.\d\d", words(re.sub(r"<time.*?</time>", "", page, flags=re.DOTALL)))


def test_the_clients_pages_count_credits_and_never_money(shop: Client, child: Member):
    give(child, 100)
    batch = accept(child, [*NUMBERS[:5], "+64211234567"])
    message = Message.objects.get(batch=batch, recipient=NUMBERS[0])
    settle_as(batch, "sent")
    urls = [
        "/", "/send/", "/batches/", f"/batches/{batch.code}/", "/messages/", "/reports/",
        f"/messages/{message.pk}/",
    ]  # fmt: skip
    for url in urls:
        answer = shop.get(url)
        page = answer.content.decode()
        assert answer.status_code == 200, url
        assert amounts(page) == [], url
        assert "95 credits" in words(page), url
        assert "/billing/" not in page, url
    assert "5 credits" in words(shop.get(f"/batches/{batch.code}/").content.decode())


def test_the_clients_export_has_no_columns_of_money(shop: Client, child: Member):
    give(child, 100)
    settle_as(accept(child, NUMBERS[:5]), "sent")
    export = b"".join(shop.get("/reports/messages.csv").streaming_content).decode()

    assert "Price" not in export
    assert "Currency" not in export
    assert len(export.splitlines()) == 6


def preview(shop: Client, recipients: list[str]) -> str:
    data = {"step": "preview", "sender": "Shop", "text": "Hello", "recipients": "\n".join(recipients)}
    return shop.post("/send/", data).content.decode()


def test_the_preview_counts_credits_and_lists_foreign_recipients(shop: Client, child: Member):
    give(child, 10)
    page = preview(shop, [*NUMBERS[:3], "+64211234567"])

    assert amounts(page) == []
    text = words(page)
    assert "Now 10 credits This sending 3 credits After 7 credits" in text
    assert "SMS credits send to numbers of Australia only." in text
    assert "SEND 3 MESSAGES" in text


def test_the_preview_names_missing_credits(shop: Client, child: Member):
    give(child, 2)
    page = preview(shop, NUMBERS[:5])

    assert "Your credits do not cover this: 3 credits are missing." in words(page)
    assert amounts(page) == []
    assert not Batch.objects.exists()


def test_a_parent_that_sees_no_money_transfers_without_seeing_any(
    reseller: Member, log_in: LogIn, billed_member: Member
):
    Account.objects.filter(pk=billed_member.account.pk).update(can_have_children=True)
    billed_member.account.refresh_from_db()
    child = make_credits_client(billed_member, "Below")
    web = log_in(billed_member.user)
    shown = web.post(page_of(child.account), {"deed": "price", "quantity": "50"}).content.decode()
    assert amounts(shown) == []

    answer = web.post(page_of(child.account), hidden(shown) | {"deed": "transfer"}, follow=True)

    assert amounts(answer.content.decode()) == []
    assert (credits_of(child.account).available, balance_of(reseller.account).available) == (D(50), D("97.50"))
    fund(reseller, "-97", key="empty")
    refused = {"deed": "transfer", "quantity": "50", "key": "more"}
    page = unescape(words(web.post(page_of(child.account), refused).content.decode()))
    assert "Your provider's balance does not cover this transfer." in page


def test_a_country_stays_while_credits_that_were_bought_for_it_are_left(web: Client, child: Member, reseller: Member):
    """A part to New Zealand is bought for a quarter of what one to Australia costs: 20 credits for 0.24690."""
    Account.objects.filter(pk=child.account.pk).update(country="NZ")
    child.account.refresh_from_db()
    give(child, 20)
    form = web.get(f"/clients/{child.account.code}/edit/").context["form"]
    typed = {name: form[name].value() or "" for name in form.fields}
    typed |= {"country": "AU", "name": "Another name", "mobile": "+61412345678"}

    answer = web.post(f"/clients/{child.account.code}/edit/", typed)

    assert answer.context["form"].errors["country"] == [
        "Credit Shop has SMS credits that were bought for New Zealand. Take them back, or let them be used up, before "
        "its country changes."
    ]
    assert Account.objects.get(pk=child.account.pk).name == "Credit Shop"
    take(child, 20)
    assert web.post(f"/clients/{child.account.code}/edit/", typed).status_code == 302
    child.account.refresh_from_db()
    assert (child.account.country, child.account.name) == ("AU", "Another name")
    give(Member(Account.objects.get(pk=child.account.pk), child.user), 1)
    assert balance_of(reseller.account).available == D("99.95")


def test_credits_are_bought_for_the_country_that_the_client_has_when_they_are(child: Member, reseller: Member):
    """Somebody changed it since the page of the transfer was opened."""
    Account.objects.filter(pk=child.account.pk).update(country="NZ")
    assert child.account.country == "AU"

    with pytest.raises(CreditPriceChanged):
        give(child, 20, expected=D("1.00"))

    assert give(child, 20).unit_price == D("0.012345")

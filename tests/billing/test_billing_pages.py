import zoneinfo
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Membership
from accounts.services.users import create_member
from billing.models import LedgerTransaction, TopUp
from billing.selectors import balance_of
from billing.services.topups import Payment, settle_payment, start_topup
from tests.cast import PASSWORD, LogIn, Member, make_client
from tests.stripe_double import Double

D = Decimal
OVERVIEW, ADD = "/billing/", "/billing/add-credit/"


def start(member: Member, amount: str = "50") -> TopUp:
    return start_topup(account=member.account, amount=D(amount), actor=member.user)


def settle(topup: TopUp) -> None:
    assert settle_payment(Payment(topup.code, topup.amount, topup.currency, "pi_1", timezone.now())) == ""


def colleague(member: Member, role: Membership.Role) -> Member:
    user = create_member(
        account=member.account, email=f"{role}@test.example", name=role.label, password=PASSWORD, actor=None, role=role
    )
    return Member(member.account, user)


def text_of(response) -> str:  # type: ignore[no-untyped-def]
    return " ".join(response.content.decode().split())


def test_adding_credit_goes_on_to_the_payment_page(double: Double, client_member: Member, log_in: LogIn) -> None:
    response = log_in(client_member.user).post(ADD, {"amount": "50"})
    topup = TopUp.objects.get()
    assert (response.status_code, response["Location"]) == (303, topup.checkout_url)
    assert (topup.amount, topup.created_by) == (D(50), client_member.user)
    assert balance_of(client_member.account).available == D(10)


def test_the_page_offers_the_amounts_and_says_what_is_left(
    double: Double, client_member: Member, log_in: LogIn
) -> None:
    start(client_member, "50")
    text = text_of(log_in(client_member.user).get(ADD))
    assert 'value="15"' in text
    assert '<span class="money">AUD 100.00</span>, of which <strong class="money">AUD 50.00</strong> is left' in text
    assert text.count("disabled") == 2  # 75 and 100
    assert "is not finished" in text


def test_a_price_made_in_the_browser_is_refused(double: Double, client_member: Member, log_in: LogIn) -> None:
    response = log_in(client_member.user).post(ADD, {"amount": "11"})
    assert response.status_code == 200
    assert "11 is not one of the amounts of this account; choose one of the list." in text_of(response)
    assert not TopUp.objects.exists()


@pytest.mark.parametrize("other", ["10", "33.33", "50"])
def test_another_amount_within_the_limits_can_be_entered_and_goes_before_the_list(
    double: Double, client_member: Member, log_in: LogIn, other: str
) -> None:
    start(client_member, "50")
    assert log_in(client_member.user).post(ADD, {"amount": "15", "other": other}).status_code == 303
    assert TopUp.objects.latest("pk").amount == D(other)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("9.99", "AUD 9.99 is below what can be added now; enter AUD 10.00 to AUD 50.00."),
        ("50.01", "AUD 50.01 is above what can be added now; enter AUD 10.00 to AUD 50.00."),
        ("20.005", "20.005 AUD cannot be charged to a card: amounts go in steps of 0.01 AUD."),
        ("-20", "AUD -20.00 is below what can be added now; enter AUD 10.00 to AUD 50.00."),
        ("twenty", "Enter an amount in figures, such as 35 or 35.50."),
        ("NaN", "Enter an amount in figures, such as 35 or 35.50."),
    ],
)
def test_another_amount_outside_the_limits_is_refused_at_its_field(
    double: Double, client_member: Member, log_in: LogIn, other: str, words: str
) -> None:
    start(client_member, "50")
    response = log_in(client_member.user).post(ADD, {"amount": "15", "other": other})
    assert response.context["form"].errors == {"other": [words]}
    assert f'id="id_other_error"> <p>{words}</p>' in text_of(response)
    assert TopUp.objects.count() == 1


def test_a_link_may_ask_for_an_amount(client_member: Member, log_in: LogIn) -> None:
    assert 'name="other" id="id_other" value="35"' in text_of(log_in(client_member.user).get(f"{ADD}?amount=35"))


def test_no_amount_chosen_is_said(client_member: Member, log_in: LogIn) -> None:
    assert "Choose an amount." in text_of(log_in(client_member.user).post(ADD, {}))


def test_the_fixed_amount_is_made_by_the_server(double: Double, reseller: Member, log_in: LogIn) -> None:
    fixed = make_client(
        reseller, "Fixed", method="card_fixed", fixed_topup=D(25), minimum_topup=None, daily_topup_limit=None
    )
    browser = log_in(fixed.user)
    assert "AUD 25.00" in text_of(browser.get(ADD))
    assert browser.post(ADD, {"amount": "1"}).status_code == 303
    assert TopUp.objects.get().amount == D(25)


def test_a_refusal_over_the_limit_is_shown_and_changes_nothing(
    double: Double, client_member: Member, log_in: LogIn
) -> None:
    start(client_member, "50")
    response = log_in(client_member.user).post(ADD, {"amount": "75"})
    assert "would pass the limit of AUD 100.00 in 24 hours: AUD 50.00 is left." in text_of(response)
    assert TopUp.objects.count() == 1


def test_a_gateway_that_is_away_is_said_in_plain_words(
    client_member: Member, log_in: LogIn, settings: Settings
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    response = log_in(client_member.user).post(ADD, {"amount": "50"})
    assert "cannot be reached just now. Nothing was charged" in text_of(response)
    assert TopUp.objects.get().state == "failed"


def test_the_page_after_payment_waits_then_is_the_receipt(double: Double, client_member: Member, log_in: LogIn) -> None:
    topup, browser = start(client_member), log_in(client_member.user)
    page, status = (reverse(f"billing:topup-{name}", args=[topup.code]) for name in ("detail", "status"))
    waiting = text_of(browser.get(f"{page}?returned=paid"))
    assert "Waiting for your payment" in waiting
    assert f'hx-get="{status}?since=' in waiting
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in waiting
    poll = browser.get(status, headers={"HX-Request": "true"})
    assert "Waiting for your payment" in text_of(poll)
    settle(topup)
    poll = browser.get(status, headers={"HX-Request": "true"})
    assert (poll.status_code, poll["HX-Redirect"]) == (200, page)
    assert browser.get(status)["Location"] == page
    receipt = text_of(browser.get(page))
    assert f"Receipt {topup.code}" in receipt
    assert '<dt>New balance</dt><dd class="money">AUD 60.00</dd>' in receipt
    assert "http-equiv" not in text_of(browser.get(f"{page}?returned=paid"))


def test_a_long_wait_says_that_leaving_is_safe(double: Double, client_member: Member, log_in: LogIn) -> None:
    topup, browser = start(client_member), log_in(client_member.user)
    status = reverse("billing:topup-status", args=[topup.code])
    long_ago = int(timezone.now().timestamp()) - 61
    late = browser.get(f"{status}?since={long_ago}", headers={"HX-Request": "true"})
    assert "You may leave this page" in text_of(late)
    odd = browser.get(f"{status}?since=zzz", headers={"HX-Request": "true"})
    assert "You may leave this page" not in text_of(odd)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("cancelled", "This top-up was cancelled. Nothing was charged."),
        ("expired", "The payment page expired before a payment was made."),
        ("failed", "The payment did not go through. The bank said no."),
        ("disputed", "does not match this top-up, so it was not credited"),
    ],
)
def test_each_end_of_a_topup_has_its_words(
    double: Double, client_member: Member, log_in: LogIn, state: str, words: str
) -> None:
    topup = start(client_member)
    TopUp.objects.filter(pk=topup.pk).update(state=state, error="The bank said no." if state == "failed" else "")
    assert words in text_of(log_in(client_member.user).get(reverse("billing:topup-detail", args=[topup.code])))


def test_leaving_the_payment_page_offers_to_go_on_or_cancel(
    double: Double, client_member: Member, log_in: LogIn
) -> None:
    topup, browser = start(client_member), log_in(client_member.user)
    page = text_of(browser.get(reverse("billing:topup-detail", args=[topup.code]) + "?returned=left"))
    assert f'href="{topup.checkout_url}"' in page
    response = browser.post(reverse("billing:topup-cancel", args=[topup.code]), follow=True)
    assert "This top-up was cancelled." in text_of(response)
    topup.refresh_from_db()
    assert topup.state == "cancelled"


def test_looking_at_a_topup_changes_nothing(double: Double, client_member: Member, log_in: LogIn) -> None:
    topup, browser = start(client_member), log_in(client_member.user)
    for name in ("detail", "status"):
        browser.get(reverse(f"billing:topup-{name}", args=[topup.code]) + "?returned=left")
    assert browser.get(reverse("billing:topup-cancel", args=[topup.code])).status_code == 405
    topup.refresh_from_db()
    assert topup.state == "pending"


@pytest.mark.parametrize("name", ["detail", "status", "cancel"])
def test_another_tenants_topup_is_not_found(
    double: Double, reseller: Member, client_member: Member, log_in: LogIn, name: str
) -> None:
    topup = start(client_member)
    sibling = make_client(reseller, "Sibling")
    url = reverse(f"billing:topup-{name}", args=[topup.code])
    for stranger in (sibling, reseller):
        browser = log_in(stranger.user)
        answer = browser.post(url) if name == "cancel" else browser.get(url)
        assert answer.status_code == 404
    topup.refresh_from_db()
    assert topup.state == "pending"


def test_billing_does_not_exist_where_the_parent_pays(billed_member: Member, log_in: LogIn) -> None:
    browser = log_in(billed_member.user)
    for url in (OVERVIEW, ADD, "/billing/topups/ABC/", "/billing/topups/ABC/status/"):
        assert browser.get(url).status_code == 404
    assert browser.post(ADD, {"amount": "50"}).status_code == 404
    assert not TopUp.objects.exists()


def test_an_account_by_invoice_has_a_statement_and_no_card(reseller: Member, log_in: LogIn) -> None:
    browser = log_in(reseller.user)
    page = text_of(browser.get(OVERVIEW))
    assert "Payment received" in page
    assert "ADD CREDIT" not in page
    assert browser.get(ADD).status_code == 404


@pytest.mark.parametrize("role", [Membership.Role.SENDER, Membership.Role.VIEWER])
def test_senders_and_viewers_read_the_statement_but_add_no_credit(
    double: Double, client_member: Member, log_in: LogIn, role: Membership.Role
) -> None:
    topup = start(client_member)
    browser = log_in(colleague(client_member, role).user)
    assert "ADD CREDIT" not in text_of(browser.get(OVERVIEW))
    assert browser.get(ADD).status_code == 403
    assert browser.post(ADD, {"amount": "50"}).status_code == 403
    assert browser.get(reverse("billing:topup-detail", args=[topup.code])).status_code == 403
    assert browser.post(reverse("billing:topup-cancel", args=[topup.code])).status_code == 403
    assert TopUp.objects.get().state == "pending"


def test_the_billing_role_adds_credit(double: Double, client_member: Member, log_in: LogIn) -> None:
    browser = log_in(colleague(client_member, Membership.Role.BILLING).user)
    assert browser.post(ADD, {"amount": "50"}).status_code == 303


def test_anonymous_people_are_asked_to_log_in(client, db: None) -> None:  # type: ignore[no-untyped-def]
    for url in (OVERVIEW, ADD, "/billing/topups/ABC/"):
        assert client.get(url)["Location"] == f"/login/?next={url}"


def test_the_statement_shows_times_in_the_accounts_zone(client_member: Member, log_in: LogIn) -> None:
    made_at = LedgerTransaction.objects.get(about=client_member.account).created_at
    local = made_at.astimezone(zoneinfo.ZoneInfo("Australia/Sydney"))
    page = text_of(log_in(client_member.user).get(OVERVIEW))
    assert f"{local.day} {local:%b %Y, %H:%M}</time>" in page


def test_a_period_that_is_none_is_explained(client_member: Member, log_in: LogIn) -> None:
    browser = log_in(client_member.user)
    page = text_of(browser.get(OVERVIEW + "?first=2026-11-10&last=2026-11-01"))
    assert "From (2026-11-10) is after To (2026-11-01); choose an earlier day. Shown are the last 30 days." in page
    assert 'value="2026-11-10"' in page
    assert 'value="2026-11-01"' in page
    page = text_of(browser.get(OVERVIEW + "?first=2020-01-01&last=2026-11-01"))
    assert "has 2497 days; choose at most 366." in page
    assert browser.get(OVERVIEW + "?first=nonsense&kind=nonsense&before=zzz").status_code == 200


def test_an_empty_statement_says_what_will_stand_there(reseller: Member, log_in: LogIn) -> None:
    fresh = make_client(reseller, "Fresh")
    page = text_of(log_in(fresh.user).get(OVERVIEW))
    assert "No movements in the last 30 days" in page
    page = text_of(log_in(fresh.user).get(OVERVIEW + "?kind=topup"))
    assert "No movements found" in page

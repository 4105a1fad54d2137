"""A trial in the browser: the parent's form and page, the client's banner, the expired page, what stays readable."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import Account
from billing.models import BillingTerms, LedgerTransaction, NoticeTerms, TopUp
from billing.selectors import balance_of
from billing.services import card_movements, trials
from messaging.models import Batch
from tests.cast import PASSWORD, LogIn, Member, fund, make_client
from tests.clients.forms import filled
from tests.messaging.rows import accept
from tests.reading import text_of

Method = BillingTerms.Method
EXPIRED = "/billing/trial-expired/"


@pytest.fixture(autouse=True)
def _today() -> Iterator[None]:
    with time_machine.travel(datetime(2026, 11, 21, 12, tzinfo=UTC), tick=True):
        yield


@pytest.fixture
def trial_member(reseller: Member) -> Member:
    member = make_client(reseller, "Trial", trial_ends_on=date(2026, 11, 30))
    trials.grant_trial_credit(account=member.account, total=D(5), actor=None)
    return member


@pytest.fixture
def expired_member(trial_member: Member) -> Member:
    trials.end_trial(account=trial_member.account, actor=None)
    return trial_member


def terms(account: Account) -> BillingTerms:
    return BillingTerms.objects.get(pk=account.pk)


# --- The form ----------------------------------------------------------------------------------------------------


def test_a_new_client_s_trial_credit_is_taken_from_the_parent_with_the_form(reseller: Member, log_in: LogIn) -> None:
    response = log_in(reseller.user).post("/clients/add/", filled(trial_credit="12.50"))
    assert response.status_code == 302
    client = Account.objects.get(name="Jones & Co")
    assert (balance_of(client).available, balance_of(reseller.account).available) == (D("12.50"), D("87.50"))
    assert terms(client).trial_credit == D("12.50")


def test_a_client_that_has_paid_is_refused_another_trial_at_the_question_for_it(
    reseller: Member, client_member: Member, log_in: LogIn
) -> None:
    paid = card_movements.credit_card_payment(account=client_member.account, amount=D(10), topup_code="T", actor=None)
    TopUp.objects.create(
        account=client_member.account, amount=D(10), currency="AUD", state="paid", transaction=paid,
        expires_at=paid.created_at,
    )  # fmt: skip
    page = f"/clients/{client_member.account.code}/edit/"

    response: Any = log_in(reseller.user).post(page, filled(email="client@test.example", password=""))

    (sentence,) = response.context["form"].errors["trial"]
    assert sentence == "Client has added credit already, so it is live; set Trial Period to No."


def test_trial_credit_that_the_wallet_does_not_cover_adds_no_client(reseller: Member, log_in: LogIn) -> None:
    response: Any = log_in(reseller.user).post("/clients/add/", filled(trial_credit="100.01"))
    (sentence,) = response.context["form"].errors["trial_credit"]
    assert sentence == (
        "This takes AUD 100.01 out of your wallet, which has AUD 100.00; lower the trial credit or add credit first."
    )
    assert not Account.objects.filter(name="Jones & Co").exists()
    assert balance_of(reseller.account).available == 100


@pytest.mark.parametrize("changes", [{"trial": "no"}, {"payer": "parent", "method": "bill_to_parent"}])
def test_trial_fields_are_ignored_without_a_trial_and_where_the_parent_pays(
    reseller: Member, log_in: LogIn, changes: dict[str, str]
) -> None:
    assert log_in(reseller.user).post("/clients/add/", filled(trial_credit="50", **changes)).status_code == 302
    client = Account.objects.get(name="Jones & Co")
    assert (terms(client).trial_ends_on, terms(client).trial_credit) == (None, D(0))
    assert not LedgerTransaction.objects.filter(kind="trial").exists()


def test_the_edit_form_gives_more_once_however_often_it_is_sent(
    reseller: Member, trial_member: Member, log_in: LogIn
) -> None:
    browser, path = log_in(reseller.user), f"/clients/{trial_member.account.code}/edit/"
    page = browser.get(path).content.decode()
    assert 'value="5.00"' in page
    assert "coming release" not in page.split('id="section-4"')[1].split('id="section-5"')[0].split("Trial Period")[1]
    data = filled(
        email="trial@test.example", password="", trial_ends_on="2026-12-24", trial_credit="8", name="Trial",
        time_zone="Australia/Sydney",
    )  # fmt: skip
    for _ in range(2):
        assert browser.post(path, data).status_code == 302
    assert balance_of(trial_member.account).available == 8
    assert balance_of(reseller.account).available == 92
    assert terms(trial_member.account).trial_ends_on == date(2026, 12, 24)


def test_the_form_s_notification_limit_and_e_mail_are_stored(reseller: Member, log_in: LogIn) -> None:
    wanted = {"notification_limit": "7.75", "notification_email": "money@jones.example"}
    log_in(reseller.user).post("/clients/add/", filled(**wanted))
    notices = NoticeTerms.objects.get(account__name="Jones & Co")
    assert (notices.limit, notices.email) == (D("7.75"), "money@jones.example")


def test_a_client_with_credits_gets_its_limit_in_credits(reseller: Member, log_in: LogIn) -> None:
    wanted = {"notification_limit": "7.75", "notification_credits": "50", "payer": "parent", "method": "sms_credits"}
    browser = log_in(reseller.user)
    assert browser.post("/clients/add/", filled(**wanted)).status_code == 302
    notices = NoticeTerms.objects.get(account__name="Jones & Co")
    assert (notices.limit, notices.credits_limit) == (None, 50)
    page = browser.get(f"/clients/{notices.account.code}/edit/").content.decode()
    assert 'name="notification_credits" value="50"' in page


# --- The parent's page ---------------------------------------------------------------------------------------------


def test_the_parent_sees_where_the_trial_stands(reseller: Member, trial_member: Member, log_in: LogIn) -> None:
    html = log_in(reseller.user).get(f"/clients/{trial_member.account.code}/").content.decode()
    page = text_of(html)
    assert "10 days left, until 30 Nov 2026" in page
    assert "5.00" in page
    assert f"/clients/{trial_member.account.code}/trial/" in html


def test_the_parent_extends_ends_and_makes_live_from_the_client_s_page(
    reseller: Member, trial_member: Member, log_in: LogIn
) -> None:
    browser, path = log_in(reseller.user), f"/clients/{trial_member.account.code}/trial/"
    page = browser.post(path, {"deed": "extend", "ends_on": "2026-12-24"}, follow=True).content.decode()
    assert "lasts until the end of 2026-12-24" in page
    page = browser.post(path, {"deed": "end"}, follow=True).content.decode()
    assert "Expired: the last day was 20 Nov 2026" in text_of(page)
    page = browser.post(path, {"deed": "live"}, follow=True).content.decode()
    assert "Trial is live." in page
    assert "Live since" in page
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"ends_on": ""}, "Choose the new last day."),
        ({"ends_on": "soon"}, "Enter a date, such as 2027-01-31."),
        ({"ends_on": "2026-11-21"}, "2026-11-21 is not in the future"),
    ],
)
def test_a_wrong_day_is_refused_at_its_field(
    reseller: Member, trial_member: Member, log_in: LogIn, data: dict[str, str], sentence: str
) -> None:
    path = f"/clients/{trial_member.account.code}/trial/"
    page = log_in(reseller.user).post(path, {"deed": "extend", **data}).content.decode()
    assert sentence in page
    assert terms(trial_member.account).trial_ends_on == date(2026, 11, 30)


def test_nobody_but_the_parent_reaches_a_client_s_trial(trial_member: Member, outsider: Member, log_in: LogIn) -> None:
    path = f"/clients/{trial_member.account.code}/trial/"
    for user in (trial_member.user, outsider.user):
        assert log_in(user).post(path, {"deed": "live"}).status_code == 404
    assert terms(trial_member.account).on_trial


# --- The client ----------------------------------------------------------------------------------------------------


def test_every_page_counts_the_days_down(trial_member: Member, client_member: Member, log_in: LogIn) -> None:
    for path in ("/", "/send/", "/billing/", "/settings/"):
        assert "Trial: 10 days left." in log_in(trial_member.user).get(path).content.decode(), path
        assert "Trial:" not in log_in(client_member.user).get(path).content.decode(), path
    with time_machine.travel(datetime(2026, 11, 30, 12, 59, tzinfo=UTC)):
        assert "Trial: last day." in log_in(trial_member.user).get("/").content.decode()


def test_log_in_after_the_end_leads_to_the_expired_page_wherever_it_was_going(expired_member: Member) -> None:
    for target in ("/login/", "/login/?next=/reports/"):
        answer = Client().post(target, {"login": "trial@test.example", "password": PASSWORD})
        assert (answer.status_code, answer["Location"]) == (303, EXPIRED)


def test_the_expired_page_offers_add_credit_and_says_what_stays(expired_member: Member, log_in: LogIn) -> None:
    page = log_in(expired_member.user).get(EXPIRED).content.decode()
    assert "Your trial has expired" in page
    assert "Its last day was 20 Nov 2026" in text_of(page)
    assert 'href="/billing/add-credit/"' in page
    assert "5.00" in page


@pytest.mark.parametrize("path", ["/", "/send/", "/send/preview/"])
def test_pages_that_act_lead_to_the_expired_page(expired_member: Member, log_in: LogIn, path: str) -> None:
    browser = log_in(expired_member.user)
    answer = browser.get(path)
    assert (answer.status_code, answer.headers.get("Location")) in ((302, EXPIRED), (404, None))
    posted = browser.post("/send/", {"sender": "Shop", "text": "Hi", "recipients": "0412345678", "confirm": "yes"})
    assert (posted.status_code, posted["Location"]) == (303, EXPIRED)
    assert Batch.objects.count() == 0


@pytest.mark.parametrize(
    "path", ["/billing/", "/billing/add-credit/", "/settings/", "/reports/", "/batches/", "/messages/"]
)
def test_everything_else_can_be_read(trial_member: Member, log_in: LogIn, path: str) -> None:
    batch = accept(trial_member)
    trials.end_trial(account=trial_member.account, actor=None)
    browser = log_in(trial_member.user)
    response = browser.get(path)
    assert response.status_code == 200
    assert "Trial expired" in response.content.decode()
    assert browser.get(f"/batches/{batch.code}/").status_code == 200


def test_an_account_that_is_live_again_is_not_held_back(expired_member: Member, log_in: LogIn) -> None:
    trials.make_live(account=expired_member.account, actor=None)
    browser = log_in(expired_member.user)
    answer = browser.get(EXPIRED)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert browser.get("/").status_code == 200
    assert "Trial" not in browser.get("/send/").content.decode().replace(">Trial<", "")


def test_a_parent_s_client_page_does_not_show_a_trial_where_there_is_none(
    reseller: Member, client_member: Member, log_in: LogIn
) -> None:
    fund(client_member, "1")
    page = log_in(reseller.user).get(f"/clients/{client_member.account.code}/").content.decode()
    assert "<dt>Trial</dt>" not in page

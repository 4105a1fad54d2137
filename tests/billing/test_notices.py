"""Low-balance notices: once per crossing, to the right address, and never to accounts that see no money."""

from datetime import timedelta
from decimal import Decimal as D
from itertools import count
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, OutgoingMail
from accounts.services.accounts import suspend_account
from accounts.services.users import create_member
from billing.models import BillingTerms, LedgerAccount, NoticeTerms
from billing.services import ledger, notices
from reseller.dashboards.figures import clients_low_on_balance
from tests.cast import PASSWORD, LogIn, Member, fund, make_client

_keys = count()


@pytest.fixture
def watched(client_member: Member) -> Member:
    """The client with 10.00, to be told below 5.00."""
    notices.set_notices(account=client_member.account, actor=None, limit=D(5))
    return client_member


def run() -> int:
    return notices.send_notices(timezone.now() + timedelta(milliseconds=next(_keys)))


def move(member: Member, amount: str) -> None:
    fund(member, amount, key=f"move-{next(_keys)}")


def mails(prefix: str) -> list[OutgoingMail]:
    return list(OutgoingMail.objects.filter(key__startswith=prefix).order_by("pk"))


def is_low(member: Member) -> bool:
    return NoticeTerms.objects.get(account=member.account).is_low


def test_one_mail_per_crossing_and_again_only_after_the_balance_rose(watched: Member) -> None:
    assert run() == 0
    move(watched, "-5")  # exactly at the limit: not below it
    assert run() == 0
    move(watched, "-0.000001")
    assert [run(), run(), run()] == [1, 0, 0]
    move(watched, "-1")
    assert run() == 0
    move(watched, "20")
    assert run() == 0
    move(watched, "-20")
    assert run() == 1
    sent = mails("low-balance:")
    assert [mail.to for mail in sent] == ["client@test.example"] * 2
    assert sent[0].subject == "Client: AUD 4.999999 left"
    assert "you asked to be told below AUD 5.00" in sent[0].text


def test_the_mail_goes_to_the_notification_e_mail(watched: Member) -> None:
    notices.set_notices(account=watched.account, actor=None, email="money@client.example")
    move(watched, "-6")
    run()
    assert [mail.to for mail in mails("low-balance:")] == ["money@client.example"]


def test_credit_counts_as_what_can_be_spent(reseller: Member) -> None:
    notices.set_notices(account=reseller.account, actor=None, limit=D(50))
    ledger.set_credit_limits(account=reseller.account, credit=D(100), overdraft=D(0))
    move(reseller, "-149")  # -49 of 100 credit: 51 can be spent
    assert run() == 0
    move(reseller, "-2")
    assert run() == 1


def test_a_limit_above_the_balance_counts_as_crossed_already(watched: Member) -> None:
    notices.set_notices(account=watched.account, actor=None, limit=D(50))
    assert is_low(watched)
    assert run() == 0
    move(watched, "45")
    run()
    assert not is_low(watched)
    move(watched, "-10")
    assert run() == 1


def test_an_account_without_a_limit_and_a_suspended_one_hear_nothing(watched: Member, reseller: Member) -> None:
    suspend_account(account=watched.account, actor=None)
    for member in (watched, reseller):
        move(member, "-10")
    assert run() == 0
    assert mails("low-") == []


def test_an_account_that_sees_no_money_never_gets_a_notice(billed_member: Member) -> None:
    NoticeTerms.objects.create(account=billed_member.account, limit=D(5), credits_limit=5)
    assert run() == 0
    assert mails("low-") == []


def test_credits_are_counted_for_an_account_that_sends_with_them_and_no_money_is_named(reseller: Member) -> None:
    member = make_client(
        reseller, "Counted", method=BillingTerms.Method.SMS_CREDITS, minimum_topup=None, daily_topup_limit=None,
        sms_margin=D(0),
    )  # fmt: skip
    wallet = ledger.open_account(member.account, LedgerAccount.Kind.WALLET, "SMS")
    issued = ledger.platform_account(LedgerAccount.Kind.ISSUED, "SMS")

    def credits(amount: int) -> None:
        ledger.post(
            kind="credits", key=f"c{next(_keys)}", currency="SMS", about=member.account,
            postings=[ledger.Posting(issued.pk, D(-amount)), ledger.Posting(wallet.pk, D(amount))],
        )  # fmt: skip

    credits(100)
    notices.set_notices(account=member.account, actor=None, credits_limit=20, limit=D(5000))
    assert run() == 0
    credits(-81)
    assert run() == 1
    (mail,) = mails("low-balance:")
    assert mail.subject == "Counted: 19 SMS credits left"
    assert "AUD" not in mail.subject + mail.text + mail.html


def test_the_parent_hears_of_all_clients_that_fell_in_one_mail(reseller: Member, watched: Member) -> None:
    other = make_client(reseller, "Other")
    move(other, "10")
    notices.set_notices(account=other.account, actor=None, limit=D(9))
    move(other, "-2.50")
    move(watched, "-7")
    assert run() == 2
    (mail,) = mails("low-clients:")
    assert (mail.to, mail.subject) == ("reseller@test.example", "2 clients are low on balance")
    assert "Client: AUD 3.00 (limit AUD 5.00)" in mail.text
    assert "Other: AUD 7.50 (limit AUD 9.00)" in mail.text


def test_a_parent_that_switched_it_off_hears_nothing(reseller: Member, watched: Member) -> None:
    notices.set_notices(account=reseller.account, actor=None, tells_of_clients=False)
    move(watched, "-7")
    assert run() == 1
    assert mails("low-clients:") == []
    assert len(mails("low-balance:")) == 1


def test_the_parent_s_dashboard_lists_a_client_below_its_limit(reseller: Member, client_member: Member) -> None:
    assert clients_low_on_balance(reseller.account) == []  # 10.00 is not below a tenth of 100.00
    notices.set_notices(account=client_member.account, actor=None, limit=D("10.01"))
    (low,) = clients_low_on_balance(reseller.account)
    assert (low.account, low.available, low.threshold) == (client_member.account, D(10), D("10.01"))


def test_workers_side_by_side_send_one_mail(committed_db: Any, watched: Member, run_together: Any) -> None:
    move(watched, "-7")
    assert sorted(run_together(6, lambda _: run())) == [0, 0, 0, 0, 0, 1]
    assert len(mails("low-balance:")) == 1


def test_thousands_of_quiet_accounts_cost_no_statement_each(
    watched: Member, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(6):
        assert run() == 0


# --- SETTINGS --------------------------------------------------------------------------------------------------------


def test_an_owner_sets_limit_and_e_mail_in_settings(client_member: Member, log_in: LogIn) -> None:
    browser = log_in(client_member.user)
    page = browser.get("/settings/notices/").content.decode()
    assert "client@test.example" in page
    assert "tells_of_clients" not in page
    response = browser.post("/settings/notices/", {"limit": "12.5", "email": "money@client.example"}, follow=True)
    assert "Your notices are saved." in response.content.decode()
    assert 'value="12.5"' in response.content.decode()
    stored = NoticeTerms.objects.get(account=client_member.account)
    assert (stored.limit, stored.email) == (D("12.5"), "money@client.example")


@pytest.mark.parametrize("wrong", ["-1", "ten", "1.0000001"])
def test_a_wrong_limit_is_refused_and_nothing_is_stored(client_member: Member, log_in: LogIn, wrong: str) -> None:
    response = log_in(client_member.user).post("/settings/notices/", {"limit": wrong, "email": ""})
    assert response.status_code == 200
    assert response.context["form"].errors["limit"]
    assert not NoticeTerms.objects.exists()


def test_a_reseller_switches_the_mails_about_clients_off(reseller: Member, log_in: LogIn) -> None:
    log_in(reseller.user).post("/settings/notices/", {"limit": "", "email": ""})
    assert NoticeTerms.objects.get(account=reseller.account).tells_of_clients is False


def test_the_page_is_not_there_for_accounts_without_money_nor_for_senders(
    billed_member: Member, client_member: Member, log_in: LogIn
) -> None:
    assert log_in(billed_member.user).get("/settings/notices/").status_code == 404
    assert "Notices" not in log_in(billed_member.user).get("/settings/").content.decode()
    sender = create_member(
        account=client_member.account, email="s@test.example", name="Sam", password=PASSWORD, actor=None,
        role=Membership.Role.SENDER,
    )  # fmt: skip
    assert log_in(sender).get("/settings/notices/").status_code == 403

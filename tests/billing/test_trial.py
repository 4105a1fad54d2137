"""Trials: what the parent gives, until when, what is refused afterwards, and what makes an account live."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine

from accounts.models import AuditEntry, OutgoingMail
from accounts.services.accounts import get_platform
from billing.exceptions import TrialRefused
from billing.models import BillingTerms, LedgerAccount, LedgerTransaction, TopUp
from billing.proof import run_proofs
from billing.selectors import balance_of
from billing.services import trials
from billing.services.manual_payments import book_payment
from billing.services.terms import update_terms
from billing.services.topups import Payment, settle_payment
from billing.trial import trial_is_over, trial_of
from messaging.exceptions import TrialExpired
from messaging.models import Message
from messaging.proof import PROOFS
from messaging.services.planning import plan_batch
from tests.cast import Member, check_now, fund, make_client, make_member
from tests.messaging.rows import accept

Method = BillingTerms.Method
TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _today() -> Iterator[None]:
    with time_machine.travel(TODAY, tick=True):
        yield


@pytest.fixture
def trial_member(reseller: Member) -> Member:
    """A client of the reseller on trial until 30 November 2026 (Sydney)."""
    return make_client(reseller, "Trial", trial_ends_on=date(2026, 11, 30))


def terms_of(member: Member) -> BillingTerms:
    return BillingTerms.objects.select_related("account").get(pk=member.account.pk)


def available(member: Member) -> D:
    return balance_of(member.account).available


def plan(member: Member) -> Any:
    return plan_batch(account=member.account, sender="Shop", text="Hi", recipients=["+61412345678"])


def expire(member: Member) -> None:
    trials.end_trial(account=member.account, actor=None)


def pay(member: Member, amount: str = "20", intent: str = "pi_1", reference: str = "") -> TopUp:
    topup = TopUp.objects.filter(code=reference).first() or TopUp.objects.create(
        account=member.account, amount=D(amount), currency="AUD", created_by=member.user,
        expires_at=datetime(2026, 12, 31, tzinfo=UTC),
    )  # fmt: skip
    problem = settle_payment(
        Payment(reference=topup.code, amount=D(amount), currency="AUD", payment_intent=intent, paid_at=TODAY, card=None)
    )
    assert problem == ""
    return topup


def books_are_right() -> bool:
    check_now()
    return [verdict.name for verdict in run_proofs(PROOFS) if verdict.count] == []


# --- Credit ----------------------------------------------------------------------------------------------------------


def test_trial_credit_comes_out_of_the_parent_s_wallet(reseller: Member, trial_member: Member) -> None:
    trials.grant_trial_credit(account=trial_member.account, total=D("5.25"), actor=reseller.user)
    assert (available(reseller), available(trial_member)) == (D("94.75"), D("5.25"))
    movement = LedgerTransaction.objects.get(kind="trial")
    assert {e.ledger_account.owner.name: e.amount for e in movement.entries.all()} == {
        "Reseller": D("-5.25"), "Trial": D("5.25"),
    }  # fmt: skip
    assert (movement.about, movement.actor) == (trial_member.account, reseller.user)
    assert AuditEntry.objects.get(action="trial.credit_given").data == {"amount": "5.250000", "total": "5.250000"}
    assert books_are_right()


def test_the_same_total_again_moves_nothing_and_a_larger_one_only_the_rest(
    reseller: Member, trial_member: Member
) -> None:
    for total in ("5", "5", "8", "8"):
        trials.grant_trial_credit(account=trial_member.account, total=D(total), actor=None)
    assert (available(reseller), available(trial_member)) == (D(92), D(8))
    assert LedgerTransaction.objects.filter(kind="trial").count() == 2


def test_a_smaller_total_is_refused(reseller: Member, trial_member: Member) -> None:
    trials.grant_trial_credit(account=trial_member.account, total=D(5), actor=None)
    with pytest.raises(TrialRefused, match=r"AUD 5\.00 of trial credit was given already; enter AUD 5\.00 or more"):
        trials.grant_trial_credit(account=trial_member.account, total=D(4), actor=None)
    assert available(trial_member) == 5


def test_more_than_the_parent_has_is_refused_whole(reseller: Member, trial_member: Member) -> None:
    with pytest.raises(TrialRefused, match=r"takes AUD 100\.01 out of your wallet, which has AUD 100\.00"):
        trials.grant_trial_credit(account=trial_member.account, total=D("100.01"), actor=None)
    assert (available(reseller), available(trial_member)) == (D(100), D(0))
    assert terms_of(trial_member).trial_credit == 0


def test_an_account_without_a_trial_gets_no_trial_credit(client_member: Member, billed_member: Member) -> None:
    for member in (client_member, billed_member):
        with pytest.raises(TrialRefused, match="is on no trial"):
            trials.grant_trial_credit(account=member.account, total=D(1), actor=None)


def test_the_platform_gives_its_own_clients_trial_credit_out_of_its_revenue(platform: Any) -> None:
    direct = make_member(
        get_platform(), "Direct", currency="AUD",
        terms={"method": Method.CARD_FIXED, "fixed_topup": D(50), "trial_ends_on": date(2026, 12, 1)},
    )  # fmt: skip
    trials.grant_trial_credit(account=direct.account, total=D(3), actor=None)
    assert available(direct) == 3
    assert LedgerAccount.objects.get(owner=platform, kind="revenue", currency="AUD").balance == -3
    assert books_are_right()


def test_many_grants_at_once_move_the_total_once(committed_db: Any, trial_member: Member, run_together: Any) -> None:
    def grant(_: int) -> None:
        trials.grant_trial_credit(account=trial_member.account, total=D(6), actor=None)

    assert run_together(8, grant) == [None] * 8
    assert available(trial_member) == 6
    assert LedgerTransaction.objects.filter(kind="trial").count() == 1


# --- Days ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "last_moment"),
    [
        ("Pacific/Auckland", datetime(2026, 11, 30, 10, 59, 59, tzinfo=UTC)),  # UTC+13 in summer
        ("America/Los_Angeles", datetime(2026, 12, 1, 7, 59, 59, tzinfo=UTC)),  # UTC-8 in winter
    ],
)
def test_a_trial_ends_at_midnight_of_the_client_s_zone(
    reseller: Member, trial_member: Member, zone: str, last_moment: datetime
) -> None:
    trial_member.account.time_zone = zone
    trial_member.account.save(update_fields=["time_zone"])
    fund(trial_member, "5")
    with time_machine.travel(last_moment, tick=False) as clock:
        trial = trial_of(terms_of(trial_member))
        assert trial is not None
        assert (trial.days_left, trial.is_over) == (1, False)
        assert plan(trial_member).total == D("0.07")
        clock.shift(1)
        assert trial_is_over(terms_of(trial_member))
        with pytest.raises(TrialExpired, match="ended on 2026-11-30"):
            plan(trial_member)


def test_days_left_count_today(trial_member: Member) -> None:
    trial = trial_of(terms_of(trial_member))  # 21 November, 23:00 in Sydney
    assert trial is not None
    assert trial.days_left == 10


# --- What is refused afterwards --------------------------------------------------------------------------------------


def test_an_expired_trial_sends_nothing_and_holds_nothing(trial_member: Member) -> None:
    fund(trial_member, "5")
    expire(trial_member)
    with pytest.raises(TrialExpired, match=r"The trial of this account ended on 2026-11-20.*Add credit to go on"):
        accept(trial_member)
    assert (Message.objects.count(), available(trial_member)) == (0, D(5))


def test_what_was_accepted_before_the_end_still_goes(trial_member: Member) -> None:
    fund(trial_member, "5")
    batch = accept(trial_member)
    expire(trial_member)
    assert list(Message.objects.filter(batch=batch).values_list("state", flat=True)) == ["queued"]


def test_an_account_that_an_expired_one_pays_for_cannot_send_either_and_learns_no_reason(
    reseller: Member, trial_member: Member
) -> None:
    trial_member.account.can_have_children = True
    trial_member.account.save(update_fields=["can_have_children"])
    child = make_member(trial_member.account, "Child", terms={"method": Method.BILL_TO_PARENT})
    fund(trial_member, "5")
    assert plan(child).message_count == 1
    expire(trial_member)
    with pytest.raises(TrialExpired) as refused:
        plan(child)
    assert str(refused.value) == "Sending is stopped for this account. Ask whoever manages it."


# --- Live ------------------------------------------------------------------------------------------------------------


def test_the_first_payment_makes_the_account_live_and_tells_the_parent(reseller: Member, trial_member: Member) -> None:
    trials.grant_trial_credit(account=trial_member.account, total=D(2), actor=None)
    expire(trial_member)
    topup = pay(trial_member)
    assert terms_of(trial_member).trial_closed_at is not None
    assert not terms_of(trial_member).on_trial
    assert available(trial_member) == 22  # what was left of the trial credit can be spent again
    assert plan(trial_member).message_count == 1
    mail = OutgoingMail.objects.get(key=f"trial-live:{trial_member.account.code}:{topup.code}")
    assert (mail.to, mail.subject) == ("reseller@test.example", "Trial has added credit and is live")
    assert "AUD 20.00" in mail.text
    assert books_are_right()


def test_word_of_a_payment_that_comes_twice_or_of_a_second_payment_tells_the_parent_once(trial_member: Member) -> None:
    topup = pay(trial_member)
    closed = terms_of(trial_member).trial_closed_at
    pay(trial_member, reference=topup.code)
    pay(trial_member, intent="pi_2")
    assert terms_of(trial_member).trial_closed_at == closed
    assert OutgoingMail.objects.filter(key__startswith="trial-live:").count() == 1
    assert available(trial_member) == 40


def test_a_payment_that_is_not_credited_leaves_the_trial_as_it_is(trial_member: Member) -> None:
    topup = TopUp.objects.create(
        account=trial_member.account, amount=D(20), currency="AUD", created_by=trial_member.user,
        expires_at=datetime(2026, 12, 31, tzinfo=UTC),
    )  # fmt: skip
    wrong = Payment(reference=topup.code, amount=D(19), currency="AUD", payment_intent="p", paid_at=TODAY, card=None)
    assert settle_payment(wrong) != ""
    assert terms_of(trial_member).on_trial


def test_a_payment_and_the_parent_ending_the_trial_at_once_leave_the_account_live(
    committed_db: Any, trial_member: Member, run_together: Any
) -> None:
    def act(index: int) -> None:
        if index % 2:
            pay(trial_member, intent=f"pi_{index}")
        else:
            expire(trial_member)

    outcomes = run_together(6, act)
    assert all(outcome is None or isinstance(outcome, TrialRefused) for outcome in outcomes), outcomes
    assert not terms_of(trial_member).on_trial
    assert available(trial_member) == 60


def test_a_payment_that_staff_book_makes_live_and_a_correction_does_not(reseller: Member, trial_member: Member) -> None:
    who = {"account": trial_member.account, "actor": reseller.user}
    fund(trial_member, "5")
    book_payment(amount=D(-1), key="correction-000001", reason="mistake", **who)
    assert terms_of(trial_member).on_trial
    book_payment(amount=D(10), key="transfer-00000001", reason="bank transfer", **who)
    assert not terms_of(trial_member).on_trial


# --- The parent ------------------------------------------------------------------------------------------------------


def test_the_parent_extends_also_what_ran_out(reseller: Member, trial_member: Member) -> None:
    expire(trial_member)
    trials.extend_trial(account=trial_member.account, ends_on=date(2026, 12, 24), actor=reseller.user)
    assert trial_of(terms_of(trial_member)).days_left == 34  # type: ignore[union-attr]
    entry = AuditEntry.objects.get(action="trial.extended")
    assert (entry.data["before"], entry.data["after"]) == (
        {"trial_ends_on": "2026-11-20"}, {"trial_ends_on": "2026-12-24"},
    )  # fmt: skip


def test_a_trial_cannot_be_extended_into_the_past(trial_member: Member) -> None:
    with pytest.raises(TrialRefused, match=r"2026-11-21 is not in the future: today is 2026-11-21 in Australia/Sydney"):
        trials.extend_trial(account=trial_member.account, ends_on=date(2026, 11, 21), actor=None)
    assert terms_of(trial_member).trial_ends_on == date(2026, 11, 30)


def test_the_parent_makes_live_without_a_payment(reseller: Member, trial_member: Member) -> None:
    expire(trial_member)
    trials.make_live(account=trial_member.account, actor=reseller.user)
    assert trial_of(terms_of(trial_member)) is None
    for deed in (trials.make_live, trials.end_trial):
        with pytest.raises(TrialRefused, match="on no trial any more"):
            deed(account=trial_member.account, actor=None)


def test_a_live_account_that_has_paid_is_never_put_on_trial_again(trial_member: Member) -> None:
    pay(trial_member)
    with pytest.raises(TrialRefused, match="has added credit already"):
        update_terms(terms=terms_of(trial_member), actor=None, trial_ends_on=date(2027, 1, 31))
    update_terms(terms=terms_of(trial_member), actor=None, trial_ends_on=None)
    assert terms_of(trial_member).trial_ends_on == date(2026, 11, 30)  # the closed trial stays on record


def test_nor_is_one_whose_payment_staff_booked(trial_member: Member) -> None:
    """Else its parent could keep it from spending its own money until it pays once more."""
    book_payment(account=trial_member.account, amount=D(5), key="transfer", reason="Bank", actor=trial_member.user)
    with pytest.raises(TrialRefused, match="has added credit already"):
        update_terms(terms=terms_of(trial_member), actor=None, trial_ends_on=date(2027, 1, 31))


def test_an_account_that_was_made_live_unpaid_can_go_on_trial_again(trial_member: Member) -> None:
    trials.make_live(account=trial_member.account, actor=None)
    update_terms(terms=terms_of(trial_member), actor=None, trial_ends_on=date(2027, 1, 31))
    assert terms_of(trial_member).on_trial

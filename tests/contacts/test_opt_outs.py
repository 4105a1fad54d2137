"""Opt-outs: whose they are, that they happen once, and that a batch is before or after them (contacts/services)."""

import threading

import pytest
from django.db import connection, transaction

from accounts.models import AuditEntry
from contacts.exceptions import BadNumber
from contacts.models import OptOut
from contacts.selectors import opted_out_among
from contacts.services.opt_outs import hold_still, opt_in, opt_out
from tests.cast import Member

ANNA, BEN, CLEO = "+61412345678", "+61412345679", "+61412345680"


def test_an_opt_out_is_the_accounts_own(client_member: Member, reseller: Member):
    assert opt_out(account=client_member.account, number=ANNA, source="reply", detail="Stop please")

    assert opted_out_among(client_member.account, [ANNA, BEN]) == {ANNA}
    assert opted_out_among(reseller.account, [ANNA, BEN]) == set()
    found = OptOut.objects.get()
    assert (found.number, found.source, found.detail, found.ended_at) == (ANNA, "reply", "Stop please", None)
    entry = AuditEntry.objects.get(action="contact.opted_out")
    assert (entry.account, entry.subject, entry.data) == (client_member.account, ANNA, {"source": "reply"})


def test_opting_out_twice_is_one_opt_out(client_member: Member):
    assert opt_out(account=client_member.account, number=ANNA, source="reply")
    assert not opt_out(account=client_member.account, number=ANNA, source="person")
    assert OptOut.objects.get().source == "reply"


def test_an_opt_in_ends_it_and_keeps_it_as_history(client_member: Member):
    account, user = client_member.account, client_member.user
    assert not opt_in(account=account, number=ANNA, reason="never out", actor=user)
    opt_out(account=account, number=ANNA, source="reply")
    opt_out(account=account, number=BEN, source="reply")
    assert opt_in(account=account, number=ANNA, reason="asked on the phone", actor=user)

    assert opted_out_among(account, [ANNA, BEN]) == {BEN}
    ended = OptOut.objects.get(number=ANNA)
    assert (ended.end_reason, ended.ended_by) == ("asked on the phone", user)
    assert ended.ended_at is not None
    assert opt_out(account=account, number=ANNA, source="keyword", detail="STOP")
    assert OptOut.objects.filter(number=ANNA).count() == 2


@pytest.mark.parametrize("number", ["", "12345", "Shop", "+12", "+1234567890123456", "0412345678"])
def test_what_is_no_number_cannot_opt_out(client_member: Member, number: str):
    with pytest.raises(BadNumber, match="write \\+ and the country code"):
        opt_out(account=client_member.account, number=number, source="reply")
    assert not OptOut.objects.exists()


def test_many_numbers_are_asked_in_one_query(client_member: Member, django_assert_num_queries):
    opt_out(account=client_member.account, number=CLEO, source="api")
    numbers = [f"+614{10_000_000 + index}" for index in range(20_000)]
    with django_assert_num_queries(1):
        assert opted_out_among(client_member.account, [*numbers, CLEO]) == {CLEO}
    with django_assert_num_queries(0):
        assert opted_out_among(client_member.account, []) == set()


def test_ten_opt_outs_of_one_number_at_once_are_one(committed_db, client_member: Member, run_together):
    outcomes = run_together(10, lambda _: opt_out(account=client_member.account, number=ANNA, source="reply"))
    assert sorted(outcomes) == [False] * 9 + [True]
    assert OptOut.objects.count() == 1


def test_an_opt_out_waits_for_whoever_holds_still(committed_db, client_member: Member, run_together):
    """What was read of opt-outs under the lock is still true when that transaction commits."""
    held, order = threading.Event(), []

    def work(index: int) -> None:
        if index == 0:
            with transaction.atomic():
                hold_still(client_member.account)
                held.set()
                with connection.cursor() as cursor:  # until the other waits for the lock
                    while not _is_anyone_waiting(cursor):
                        cursor.execute("SELECT pg_sleep(0.01)")
                order.append("batch")
        else:
            held.wait(10)
            opt_out(account=client_member.account, number=ANNA, source="reply")
            order.append("opt-out")

    assert run_together(2, work) == [None, None]
    assert order == ["batch", "opt-out"]


def _is_anyone_waiting(cursor) -> bool:
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    return cursor.fetchone()[0]

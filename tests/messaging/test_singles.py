"""Single messages accepted together: each answer is what accept_batch alone would give."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.services.accounts import suspend_account
from billing.models import Hold, LedgerEntry, LedgerTransaction
from billing.selectors import balance_of
from billing.statements import wallet_id
from messaging import movements
from messaging.exceptions import (
    BadSender,
    BadText,
    NotEnoughMoney,
    NothingToSend,
    SendingError,
    SendingNotAllowed,
)
from messaging.keyset import Cursor
from messaging.models import Batch, Message
from messaging.services import acceptance
from messaging.services.acceptance import Single, accept_batch, accept_singles
from tests.cast import Member, fund, make_client

D = Decimal
RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


def single(member: Member, recipient: str = "0412345678", text: str = "Hello", **more: Any) -> Single:
    values = {"sender": "Shop", "door": "rest"} | more
    return Single(account=member.account, actor=member.user, text=text, recipient=recipient, **values)


def kinds(answers: list[Batch | SendingError]) -> list[str]:
    return [type(answer).__name__ for answer in answers]


def test_what_is_answered_is_the_batch_as_it_is_read(client_member: Member, django_assert_num_queries) -> None:
    [answer] = accept_singles([single(client_member)])
    assert isinstance(answer, Batch)
    read = Batch.objects.select_related("account", "payer", "created_by").get(pk=answer.pk)
    fields = [field.name for field in Batch._meta.concrete_fields]
    with django_assert_num_queries(0):
        assert {name: getattr(answer, name) for name in fields} == {name: getattr(read, name) for name in fields}
    answer.refusal = "none"
    answer.save(update_fields=["refusal"])
    assert Batch.objects.get().refusal == "none"


def test_each_message_is_a_batch_with_a_hold_of_its_own_and_a_payers_are_one_movement(
    committed_db: object, client_member: Member, billed_member: Member, reseller: Member
) -> None:
    singles = [
        single(client_member), single(billed_member), single(client_member, "+61491570156", "a" * 161),
    ]  # fmt: skip
    batches = [one for one in accept_singles(singles) if isinstance(one, Batch)]

    assert [(one.account, one.payer, one.price, one.part_count, one.sender) for one in batches] == [
        (client_member.account, client_member.account, D("0.07"), 1, "Shop"),
        (billed_member.account, reseller.account, D("0.05"), 1, "Shop"),
        (client_member.account, client_member.account, D("0.20"), 2, "Shop"),
    ]
    for one in batches:
        message = Message.objects.get(batch=one)
        assert (message.price, message.payer, message.state) == (one.price, one.payer, "released")
        assert Hold.objects.get(batch_id=one.pk).amount == one.price
    first, billed, last = batches
    together, alone = (Hold.objects.get(batch_id=one.pk).movement for one in (last, billed))
    assert together
    assert alone
    assert (together.idempotency_key, together.reference, together.quantity, together.about) == (
        f"hold:{first.pk}:{last.pk}", "", 2, client_member.account,
    )  # fmt: skip
    assert (alone.idempotency_key, alone.reference, alone.quantity, alone.about) == (
        f"hold:{billed.pk}", billed.code, 1, billed_member.account,
    )  # fmt: skip
    assert LedgerTransaction.objects.filter(kind="hold").count() == 2
    entry = LedgerEntry.objects.get(transaction=together, ledger_account=wallet_id(client_member.account))
    assert entry.amount == D("-0.27")
    explained = movements.explain(client_member.account, entry)
    assert [(group.messages, group.parts, group.total) for group in explained.groups] == [
        (1, 2, D("0.20")),
        (1, 1, D("0.07")),
    ]
    listed = movements.page_of(client_member.account, together, Cursor()).rows
    assert [message.batch_id for message in listed] == [last.pk, first.pk]
    assert (balance_of(client_member.account).held, balance_of(reseller.account).held) == (D("0.27"), D("0.05"))
    call_command("verify_ledger")


def test_what_one_is_refused_for_touches_no_other(client_member: Member, reseller: Member) -> None:
    suspended = make_client(reseller, "Suspended")
    suspend_account(account=suspended.account, actor=reseller.user)
    singles = [
        single(client_member), single(client_member, "nobody"), single(client_member, text=" "),
        single(client_member, sender="Much too long a name"), single(suspended), single(client_member, "0412345679"),
    ]  # fmt: skip
    answers = accept_singles(singles)

    assert kinds(answers) == ["Batch", "NothingToSend", "BadText", "BadSender", "AccountSuspended", "Batch"]
    assert Batch.objects.count() == 2
    assert balance_of(client_member.account).held == D("0.14")


def test_the_answers_are_those_of_accept_batch(client_member: Member) -> None:
    """Word for word, whatever is wrong."""
    wrong = [single(client_member, "nobody"), single(client_member, text=""), single(client_member, sender="?")]
    for answer, one in zip(accept_singles(wrong), wrong, strict=True):
        with pytest.raises((NothingToSend, BadText, BadSender)) as alone:
            accept_batch(
                account=one.account, actor=one.actor, door=one.door, sender=one.sender, text=one.text,
                recipients=[one.recipient],
            )  # fmt: skip
        assert str(answer) == str(alone.value)


def test_a_wallet_pays_as_many_as_it_covers_and_others_are_accepted(client_member: Member, reseller: Member) -> None:
    poor = make_client(reseller, "Poor")
    fund(poor, "0.15")
    answers = accept_singles(
        [single(poor), single(client_member), single(poor, "0412345679"), single(poor, "0412345670")]
    )

    assert kinds(answers) == ["Batch", "Batch", "Batch", "NotEnoughMoney"]
    assert isinstance(answers[3], NotEnoughMoney)
    assert answers[3].shortfall == D("0.06")
    assert (balance_of(poor.account).available, balance_of(poor.account).held) == (D("0.01"), D("0.14"))


def test_who_has_no_money_makes_nobody_wait(
    client_member: Member, reseller: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others' messages are held for once, not tried again in halves."""
    poor, held = make_client(reseller, "Poor"), list[int]()
    fund(poor, "0.05")
    real = acceptance.ledger.hold_all

    def counting(orders: Any, **options: Any) -> int:
        held.append(len(orders))
        return real(orders, **options)

    monkeypatch.setattr(acceptance.ledger, "hold_all", counting)
    answers = accept_singles(
        [single(member, f"04123456{n}") for n in range(10, 14) for member in (poor, client_member)]
    )

    assert kinds(answers) == ["NotEnoughMoney", "Batch"] * 4
    assert held == [4]
    with pytest.raises(NotEnoughMoney) as alone:
        accept_batch(
            account=poor.account, actor=None, door="rest", sender="Shop", text="Hello", recipients=["0412345678"]
        )
    assert {str(answer) for answer in answers[::2]} == {str(alone.value)}
    assert balance_of(poor.account).held == 0


def test_money_that_does_not_cover_all_goes_to_those_that_came_first_whatever_their_keys(reseller: Member) -> None:
    poor = make_client(reseller, "Poor")
    fund(poor, "0.15")
    keys = ["k9", "k10", "k1"]
    answers = accept_singles([single(poor, f"04123456{n}", idempotency_key=key) for n, key in enumerate(keys, 10)])

    assert kinds(answers) == ["Batch", "Batch", "NotEnoughMoney"]
    sent = Message.objects.filter(batch__account=poor.account).order_by("pk")
    assert [message.batch.idempotency_key for message in sent] == keys[:2]


def test_a_frozen_wallet_stops_its_own_messages_only(client_member: Member, reseller: Member) -> None:
    frozen = make_client(reseller, "Frozen")
    fund(frozen, "1")
    acceptance.ledger.set_frozen(frozen.account, lambda: True)
    answers = accept_singles([single(frozen), single(client_member)])

    assert isinstance(answers[0], SendingNotAllowed)
    assert isinstance(answers[1], Batch)


def test_a_key_is_used_once_in_a_group_and_after_it(client_member: Member) -> None:
    keyed = single(client_member, idempotency_key="k1")
    first, again, other = accept_singles([keyed, keyed, single(client_member)])
    (later,) = accept_singles([keyed])
    both = accept_singles([keyed, single(client_member, idempotency_key="k2")])

    assert first == again == later == both[0]
    assert len({first, other, both[1]}) == 3
    assert balance_of(client_member.account).held == D("0.21")


def test_two_groups_with_the_same_keys_at_once_make_each_batch_once(
    committed_db: object, client_member: Member, run_together: RunTogether
) -> None:
    singles = [single(client_member, f"0412345{n}", idempotency_key=f"k{n}") for n in range(100, 220)]
    forth, back = run_together(2, lambda index: accept_singles(singles[:: -1 if index else 1]))

    assert [one.pk for one in forth] == [one.pk for one in reversed(back)]
    assert Batch.objects.count() == 120
    assert balance_of(client_member.account).held == D("8.40")
    call_command("verify_ledger")


def test_a_group_asks_the_database_as_often_as_a_pair(client_member: Member) -> None:
    counts = []
    for size in (2, 2, 40):  # the first time opens ledger accounts and stores the quote
        with CaptureQueriesContext(connection) as queries:
            accept_singles([single(client_member, f"04123456{n}") for n in range(10, 10 + size)])
        counts.append(len(queries))
    assert counts[1] == counts[2]


@pytest.mark.parametrize("statement", [
    """INSERT INTO messaging_batch (id, code, account_id, payer_id, door, state, sender, text, encoding, message_class,
        idempotency_key, message_count, excluded_count, part_count, currency, price, refusal, created_at)
    SELECT uuidv7(), substr(md5(random()::text), 1, 10), account_id, payer, door, state, sender, text, encoding,
        message_class, '', 1, 0, 1, currency, price, '', now()
    FROM messaging_batch, unnest(ARRAY[payer_id, {account}]) AS payer""",
    "UPDATE messaging_batch SET account_id = {account}",
    "UPDATE messaging_batch SET payer_id = {account}",
    """INSERT INTO accounts_auditentry (account_id, action, subject, data, created_at)
    SELECT unnest(ARRAY[account_id, {account}]), 'batch.accepted', '', '{{}}', now() FROM messaging_batch""",
    "UPDATE accounts_auditentry SET account_id = {account}",
])  # fmt: skip
def test_no_batch_and_no_audit_entry_is_of_an_account_that_there_is_not(client_member: Member, statement: str) -> None:
    accept_singles([single(client_member)])
    with connection.cursor() as cursor:
        cursor.execute(statement.format(account=client_member.account.pk))
        assert cursor.rowcount
        with pytest.raises(IntegrityError, match="which there"), transaction.atomic():
            cursor.execute(statement.format(account=2_000_000_000))

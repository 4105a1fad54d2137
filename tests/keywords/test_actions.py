"""What a message sets off: a keyword's actions, else the number's settings, and what reserved words change."""

from datetime import UTC, datetime

import pytest

from contacts.models import Contact, ContactList
from keywords.actions import InboundText, PlannedAction, plan_actions, plan_many, signing_secret
from keywords.matching import match
from keywords.models import Keyword
from messaging.models import InboundAction
from tests.cast import Member
from tests.keywords.scene import (
    NUMBER,
    OTHER_NUMBER,
    OTHER_PHONE,
    PHONE,
    hold_number,
    put_keyword,
    set_number,
)
from virtual_numbers.models import Lease, VirtualNumber

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
EVERYTHING = {
    "first_reply": "Hello {first_name|friend}!",
    "later_reply": "Welcome back.",
    "forward_emails": ["shop@client.example", "boss@client.example"],
    "forward_mobiles": [OTHER_PHONE],
    "forward_url": "https://client.example/sms",
    "webhook_secret": "s" * 43,
}


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    return hold_number(client_member)


@pytest.fixture
def members(client_member: Member) -> ContactList:
    return ContactList.objects.create(account=client_member.account, name="Members")


def plan(member: Member, number: VirtualNumber, text: str, *, sender: str = PHONE, is_first: bool = True):
    return plan_actions(
        holder=member.account, number=number, text=text, sender=sender, is_first=is_first, now=NOW
    )  # fmt: skip


def kinds(actions: list[PlannedAction]) -> list[str]:
    return [action.kind for action in actions]


FORWARDS = ["forward_email", "forward_email", "forward_mobile", "forward_url"]


def test_a_keyword_adds_replies_and_forwards_in_that_order(client_member, number, members):
    put_keyword(client_member, number, "JOIN", contact_list=members, **EVERYTHING)
    assert plan(client_member, number, "join me") == [
        PlannedAction("add_to_list", members.code, {"source": "keyword JOIN"}),
        PlannedAction("reply", payload={"text": "Hello friend!"}),
        PlannedAction("forward_email", "shop@client.example"),
        PlannedAction("forward_email", "boss@client.example"),
        PlannedAction("forward_mobile", OTHER_PHONE, {"text": f"{PHONE} to keyword JOIN: join me"}),
        PlannedAction("forward_url", "https://client.example/sms"),
    ]


def test_a_returning_sender_gets_the_other_reply(client_member, number):
    put_keyword(client_member, number, "JOIN", **EVERYTHING)
    assert plan(client_member, number, "join", is_first=False)[0].payload == {"text": "Welcome back."}


def test_an_empty_reply_is_none(client_member, number):
    put_keyword(client_member, number, "JOIN", first_reply="Hello", later_reply="")
    assert plan(client_member, number, "join", is_first=False) == []


def test_merge_fields_are_the_senders_own(client_member, outsider, number):
    Contact.objects.create(account=outsider.account, number=PHONE, first_name="Wrong")
    Contact.objects.create(account=client_member.account, number=PHONE, first_name="Ann", fields={"size": "42"})
    put_keyword(client_member, number, "JOIN", first_reply="Hi {first_name}, size {size}, {number}")
    assert plan(client_member, number, "join")[0].payload["text"] == f"Hi Ann, size 42, {PHONE}"
    stranger = plan(client_member, number, "join", sender=OTHER_PHONE)
    assert stranger[0].payload["text"] == f"Hi , size , {OTHER_PHONE}"


def test_a_reply_of_empty_fields_alone_is_not_sent(client_member, number):
    put_keyword(client_member, number, "JOIN", first_reply=" {first_name} ")
    assert plan(client_member, number, "join") == []


def test_the_number_decides_where_no_keyword_takes_the_message(client_member, number, members):
    put_keyword(client_member, number, "JOIN", first_reply="From the keyword")
    set_number(number, contact_list=members, **EVERYTHING)
    found = plan(client_member, number, "hello")
    assert kinds(found) == ["add_to_list", "reply", *FORWARDS]
    assert found[0].payload == {"source": NUMBER}
    assert found[1].payload == {"text": "Hello friend!"}
    assert plan(client_member, number, "join")[0].payload == {"text": "From the keyword"}


def test_a_number_without_settings_does_nothing(client_member, number):
    assert plan(client_member, number, "hello") == []


def test_a_closed_keyword_leaves_the_message_to_the_number(client_member, number):
    put_keyword(client_member, number, "JOIN", status="closed", first_reply="From the keyword")
    set_number(number, first_reply="From the number")
    assert plan(client_member, number, "join")[0].payload == {"text": "From the number"}


def test_stop_opts_out_and_is_forwarded_but_never_answered(client_member, number, members):
    set_number(number, contact_list=members, **EVERYTHING)
    found = plan(client_member, number, "Stop it")
    assert found[0] == PlannedAction("opt_out", payload={"source": "reply", "detail": "Stop it"})
    assert kinds(found[1:]) == FORWARDS


def test_stop_opts_out_where_nothing_is_set(client_member, number):
    assert kinds(plan(client_member, number, "STOP")) == ["opt_out"]


def test_start_opts_in_before_anything_else(client_member, number, members):
    set_number(number, contact_list=members, **EVERYTHING)
    found = plan(client_member, number, "START")
    assert found[0] == PlannedAction("opt_in", payload={"reason": "START"})
    assert kinds(found[1:]) == ["add_to_list", "reply", *FORWARDS]


def test_who_asks_for_help_is_answered_and_put_on_no_list(client_member, number, members):
    set_number(number, contact_list=members, **EVERYTHING)
    assert kinds(plan(client_member, number, "help")) == ["reply", *FORWARDS]


def test_a_keyword_that_opts_out_answers_nobody(client_member, number, members):
    put_keyword(client_member, number, "LEAVE", opt_out_behaviour="opt_out", contact_list=members, **EVERYTHING)
    found = plan(client_member, number, "leave now")
    assert found[0] == PlannedAction("opt_out", payload={"source": "keyword", "detail": "leave now"})
    assert kinds(found[1:]) == FORWARDS


def test_a_keyword_that_opts_in_does_so_before_it_answers(client_member, number):
    put_keyword(client_member, number, "BACK", opt_out_behaviour="opt_in", first_reply="Good")
    assert kinds(plan(client_member, number, "back")) == ["opt_in", "reply"]


@pytest.mark.parametrize("sender", ["Shop", "19991", "+", "+61 491", "+١٢٣٤٥٦", ""])
def test_senders_that_are_no_number_are_forwarded_alone(client_member, number, members, sender):
    put_keyword(client_member, number, "JOIN", contact_list=members, opt_out_behaviour="opt_in", **EVERYTHING)
    assert kinds(plan(client_member, number, "join", sender=sender)) == FORWARDS
    assert plan(client_member, number, "STOP", sender=sender) == []


def test_a_message_is_not_forwarded_to_whom_it_came_from_or_to(client_member, number):
    put_keyword(client_member, number, "JOIN", forward_mobiles=[PHONE, NUMBER, OTHER_PHONE, OTHER_PHONE])
    assert [action.target for action in plan(client_member, number, "join")] == [OTHER_PHONE]


def test_long_texts_fit_where_they_are_noted(client_member, number):
    found = plan(client_member, number, "STOP " + "x" * 500)
    assert len(found[0].payload["detail"]) == 160


def test_settings_of_who_held_the_number_before_do_not_count(client_member, reseller, number):
    set_number(number, first_reply="Old")
    assert plan(reseller, number, "hello") == []
    Lease.objects.filter(number=number).update(ended_at=NOW)
    assert plan(client_member, number, "hello") == []


def test_every_kind_is_one_that_the_pipeline_knows(client_member, number, members):
    put_keyword(client_member, number, "JOIN", contact_list=members, opt_out_behaviour="opt_in", **EVERYTHING)
    found = kinds(plan(client_member, number, "join")) + kinds(plan(client_member, number, "stop"))
    assert set(found) == set(InboundAction.Kind.values)


def test_many_messages_are_planned_in_a_few_queries(client_member, number, members, django_assert_num_queries):
    put_keyword(client_member, number, "JOIN", contact_list=members, **EVERYTHING)
    set_number(number, contact_list=members, later_reply="Again")
    texts = [InboundText(client_member.account, number, PHONE, text, False, match(number, text, NOW))
             for text in ("join", "hello", "stop") * 30]  # fmt: skip
    with django_assert_num_queries(2):
        found = plan_many(texts)
    assert [kinds(one) for one in found[:3]] == [
        ["add_to_list", "reply", *FORWARDS], ["add_to_list", "reply"], ["opt_out"]
    ]  # fmt: skip
    assert plan_many([]) == []


def test_a_webhook_is_signed_with_the_secret_of_now(client_member, number):
    keyword = put_keyword(client_member, number, "JOIN", webhook_secret="of the keyword")
    other = hold_number(client_member, OTHER_NUMBER)
    set_number(number, webhook_secret="of the number")
    assert signing_secret(keyword=Keyword.objects.get(pk=keyword.pk), number=number) == "of the keyword"
    assert signing_secret(keyword=None, number=number) == "of the number"
    assert signing_secret(keyword=None, number=other) == ""

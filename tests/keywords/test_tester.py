"""The tester: what a message would set off and cost, in words, and nothing of it done."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.models import LedgerTransaction
from contacts.models import Contact, ContactList, ListMember, OptOut
from contacts.services.opt_outs import opt_out
from keywords.tester import Trial, try_message
from messaging.models import Batch, InboundAction
from tests.billing.credits import give, make_credits_client
from tests.cast import Member
from tests.keywords.scene import set_number
from tests.keywords.test_services import make, own_number, switch_on
from tests.messaging.rows import amounts_in, words
from virtual_numbers.models import VirtualNumber

D = Decimal
PHONE, DEAR = "+61412345678", "+61491570156"  # 0.07 and 0.10 a part for the client (tests/cast.py)


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    switch_on(client_member, "0")
    return own_number(client_member)


def trial(member: Member, number: VirtualNumber, text: str, sender: str = PHONE, *, is_first: bool = True) -> Trial:
    return try_message(
        account=member.account, number=number, text=text, sender=sender, is_first=is_first, now=timezone.now()
    )  # fmt: skip


def ask(browser, number: VirtualNumber, text: str, **more: str):
    return browser.get("/keywords/tester/", {"number": number.code, "text": text, "sender": PHONE} | more)


def test_a_keywords_deeds_are_shown_with_their_price_and_none_is_done(client_member, number, log_in):
    members = ContactList.objects.create(account=client_member.account, name="Members")
    Contact.objects.create(account=client_member.account, number=PHONE, first_name="Ann")
    make(
        client_member, number, "Café", contact_list=members, first_reply="Hi {first_name}!", later_reply="x" * 161,
        forward_emails=("a@b.example",), forward_mobiles=(DEAR,), forward_url="https://b.example/",
    )  # fmt: skip
    money = LedgerTransaction.objects.count()
    answer = ask(log_in(client_member.user), number, "CAFE latte")
    page = words(answer.content.decode())
    assert "The keyword Café takes it. The message comes from +61 412 345 678." in page
    assert "Add to list Members" in page
    assert "Reply +61 412 345 678 1 part, AUD 0.07 Hi Ann!" in page
    assert "Forward by e-mail a@b.example" in page
    assert f"Forward to mobile +61 491 570 156 1 part, AUD 0.10 {PHONE} to keyword Café: CAFE latte" in page
    assert "Forward to URL https://b.example/" in page
    assert "In all 2 parts AUD 0.17" in page
    again = words(ask(log_in(client_member.user), number, "CAFE", visit="later").content.decode())
    assert "Reply +61 412 345 678 2 parts, AUD 0.14" in again
    assert "In all 3 parts AUD 0.24" in again
    assert LedgerTransaction.objects.count() == money
    for model in (Batch, InboundAction, ListMember, OptOut):
        assert not model.objects.exists()


def test_stop_would_opt_out_and_nothing_else(client_member, number, log_in):
    set_number(number, first_reply="Hi")
    page = words(ask(log_in(client_member.user), number, "stop it").content.decode())
    assert "“stop” is a reserved word that stops messages" in page
    assert "Opt out +61 412 345 678" in page
    assert "In all" not in page
    assert not OptOut.objects.exists()


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("hello", "No keyword of +61480000001 begins with “hello”; the settings of +61480000001 decide."),
        ("🎉", "There is no word in it, so no keyword takes it; the settings of +61480000001 decide."),
        ("join", "“join” leads to the keyword JOIN, but it is closed; the settings of +61480000001 decide."),
        ("start", "“start” is a reserved word that starts messages again; then the number’s own settings decide."),
        ("info", "“info” is a reserved word that asks for help; the number’s own settings decide, and nobody goes on a "
         "list."),
    ],
)  # fmt: skip
def test_the_verdict_says_who_takes_it_or_why_nobody_does(client_member, number, text, verdict):
    keyword = make(client_member, number)
    keyword.status = "closed"
    keyword.save(update_fields=["status"])
    assert trial(client_member, number, text).verdict == verdict


def test_a_keyword_that_starts_later_is_named_with_its_day(client_member, number):
    day = timezone.localdate() + timedelta(days=5)
    make(client_member, number, starts_on=day)
    assert f"it starts on {day};" in trial(client_member, number, "join").verdict


def test_what_would_be_left_out_says_why_and_costs_nothing(client_member, number):
    make(client_member, number, first_reply="Hi", forward_mobiles=(DEAR,))
    opt_out(account=client_member.account, number=PHONE, source="reply")
    reply, forward = trial(client_member, number, "join").steps
    assert (reply.problem, reply.cost) == (f"{PHONE} has opted out of your messages.", None)
    assert (forward.problem, forward.cost) == ("", D("0.10"))
    found = trial(client_member, number, "join", "+33612345678")
    assert found.steps[0].problem.startswith("No price for this destination")
    assert found.total == D("0.10")
    ours = own_number(client_member, "+61480000007")
    assert "a number of this portal" in trial(client_member, number, "join", ours.number).steps[0].problem
    VirtualNumber.objects.filter(pk=number.pk).update(capabilities=["sms_in"])
    steps = trial(client_member, VirtualNumber.objects.get(pk=number.pk), "join").steps
    assert steps[1].problem == "+61480000001 cannot send."


def test_a_sender_that_opts_in_is_answered(client_member, number):
    make(client_member, number, "back", opt_out_behaviour="opt_in", first_reply="Hi")
    opt_out(account=client_member.account, number=PHONE, source="reply")
    assert [step.problem for step in trial(client_member, number, "back").steps] == ["", ""]


def test_without_a_sender_an_ordinary_mobile_of_the_country_is_taken(client_member, number, log_in):
    make(client_member, number, first_reply="Hi {number}")
    answer = ask(log_in(client_member.user), number, "join", sender="")
    assert answer.context["trial"].sender == "+61412345678"
    assert answer.context["trial"].total == D("0.07")


def test_an_account_that_pays_nothing_itself_sees_parts_alone(billed_member, log_in):
    switch_on(billed_member, "0")
    number = own_number(billed_member)
    make(billed_member, number, first_reply="Hi")
    page = ask(log_in(billed_member.user), number, "join").content.decode()
    assert "In all 1 part" in words(page)
    assert amounts_in(page) == []


def test_an_account_with_credits_sees_credits(reseller, log_in):
    member = make_credits_client(reseller)
    give(member, 5)
    switch_on(member, "0")
    number = own_number(member)
    make(member, number, first_reply="x" * 161)
    page = words(ask(log_in(member.user), number, "join").content.decode())
    assert "2 parts, 2 credits" in page
    assert "In all 2 parts 2 credits" in page


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"text": ""}, "text", "Enter the text of a message."),
        ({"text": "x" * 1601}, "text", "The message has 1601 characters; at most 1600 are possible."),
        ({"sender": "12"}, "sender", "“12”"),
        ({"number": "NOSUCH"}, "number", "This number is not yours any more"),
    ],
)
def test_what_cannot_be_tested_is_said_at_its_field(client_member, number, log_in, more, field, said):
    asked = {"number": number.code, "text": "join", "sender": PHONE} | more
    form = log_in(client_member.user).get("/keywords/tester/", asked).context["form"]
    assert any(said in error for error in form.errors[field])


def test_another_tenants_number_cannot_be_tested(reseller, client_member, number, log_in):
    switch_on(reseller)
    own_number(reseller, "+61480000009")
    form = ask(log_in(reseller.user), number, "join").context["form"]
    assert set(form.errors) == {"number"}


def test_without_a_number_there_is_nothing_to_test(client_member, log_in):
    switch_on(client_member)
    page = words(log_in(client_member.user).get("/keywords/tester/").content.decode())
    assert "No number to text to" in page

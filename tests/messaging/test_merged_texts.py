"""Sending to lists with merge fields: each text, its parts and its price are exact, from the preview to the proof."""

from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from billing.models import Hold
from billing.selectors import balance_of
from contacts.models import ContactList
from contacts.services.lists import add_to_list, create_list
from messaging.exceptions import BadText, NothingToSend, TextTooLong, TooManyRecipients
from messaging.models import Batch, Exclusion, Message
from messaging.services.cancelling import cancel_batch
from messaging.services.planning import plan_batch
from messaging.services.settling import settle_waiting
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, words

D = Decimal
LONG = "a" * 150
HI = "Hi {first_name|there}, "


@pytest.fixture
def team(client_member: Member) -> ContactList:
    """Anna (AU), Ben with a long name (the dear block) and Zoë, whose letter is not GSM (NZ)."""
    made = create_list(account=client_member.account, name="Team", actor=None)
    for number, name in [(AU, "Anna"), (AU_DEAR, "Ben" * 10), (NZ, "Zoł")]:
        add_to_list(contact_list=made, number=number, source="by hand", fields={"first_name": name})
    return made


def plan(member: Member, text: str, recipients: list[str] | None = None, **more: Any):
    return plan_batch(
        account=member.account, sender="Shop", text=text, recipients=recipients or [], merges=True, **more
    )


def test_each_recipient_has_its_own_text_parts_and_price(client_member: Member, team: ContactList):
    found = plan(client_member, HI + "a" * 140, ["+61412000001"], lists=[team])

    assert [(row.number, row.parts, row.text) for row in found.recipients] == [
        (AU, 1, "Hi Anna, " + "a" * 140),
        (AU_DEAR, 2, f"Hi {'Ben' * 10}, " + "a" * 140),
        (NZ, 3, "Hi Zoł, " + "a" * 140),
        ("+61412000001", 1, "Hi there, " + "a" * 140),
    ]
    # The client pays the rate + 0.02 a part: 0.07, 0.10 and 0.032345.
    assert [(row.prefix, row.count, row.parts, row.total) for row in found.destinations] == [
        ("61", 2, 2, D("0.14")),
        ("614915", 1, 2, D("0.20")),
        ("64", 1, 3, D("0.097035")),
    ]
    assert (found.part_count, found.parts, found.fewest_parts, found.total) == (7, 3, 1, D("0.437035"))
    assert (found.encoding, found.has_own_texts, found.example) == ("mixed", True, "Hi Anna, " + "a" * 140)


def test_a_text_without_fields_is_stored_once(client_member: Member, team: ContactList):
    found = plan(client_member, "Hi { first_name }", lists=[team])
    assert {row.text for row in found.recipients} == {None}
    assert (found.has_own_texts, found.encoding, found.parts) == (False, "GSM-7", 1)


def test_braces_are_text_where_nobody_asked_to_merge(client_member: Member, team: ContactList):
    found = plan_batch(account=client_member.account, sender="Shop", text=HI, recipients=[AU])
    assert [row.text for row in found.recipients] == [None]
    batch = accept(client_member, [AU], text=HI)
    assert (batch.text, Message.objects.get().text) == (HI, None)


def test_members_come_once_whatever_lists_and_numbers_name_them(client_member: Member, team: ContactList):
    other = create_list(account=client_member.account, name="Other", actor=None)
    add_to_list(contact_list=other, number=AU, source="")
    found = plan(client_member, "Hi", ["0412 345 678", "0412000001"], lists=[other, team])
    assert [row.number for row in found.recipients] == [AU, AU_DEAR, NZ, "+61412000001"]
    assert [(row.value, row.reason) for row in found.exclusions] == [("0412 345 678", "duplicate")]


def test_texts_that_cannot_be_sent_are_left_out_with_the_reason(client_member: Member, team: ContactList):
    found = plan(client_member, "{first_name}" + "a" * 1520, lists=[team])
    assert [row.number for row in found.recipients] == [AU]
    assert [(row.value, row.reason, row.detail) for row in found.exclusions] == [
        (AU_DEAR, "text", "With this contact’s fields the text needs 11 parts; at most 10."),
        (NZ, "text", "With this contact’s fields the text needs 23 parts; at most 10."),
    ]
    nothing = plan(client_member, "{last_name}", lists=[team])
    assert nothing.recipients == []
    assert {row.detail for row in nothing.exclusions} == {
        "Nothing is left of the text: the contact has none of its merge fields."
    }
    with pytest.raises(TextTooLong, match="The text has 1,531 characters"):
        plan(client_member, "{first_name}" + "a" * 1531, lists=[team])
    with pytest.raises(BadText):
        plan(client_member, " ", lists=[team])


def test_lists_obey_the_limit_and_must_have_somebody(client_member: Member, team: ContactList):
    with pytest.raises(TooManyRecipients, match="together are more than 3 recipients"):
        plan(client_member, "Hi", ["0412000001"], lists=[team], limit=3)
    with pytest.raises(TooManyRecipients, match="together are more than 2"):
        plan(client_member, "Hi", lists=[team], limit=2)
    empty = create_list(account=client_member.account, name="Empty", actor=None)
    with pytest.raises(NothingToSend, match="Nobody is on what you chose"):
        plan(client_member, "Hi", lists=[empty])


def test_another_accounts_list_sends_to_nobody(client_member: Member, reseller: Member, team: ContactList):
    with pytest.raises(NothingToSend):
        plan(reseller, "Hi", lists=[team])


def test_an_accepted_batch_holds_and_writes_each_text_exactly(client_member: Member, team: ContactList):
    batch = accept(client_member, ["+61412000001"], text=HI + "a" * 140, lists=[team], merges=True)

    assert (batch.text, batch.encoding) == (HI + "a" * 140, "mixed")
    assert (batch.message_count, batch.part_count, batch.price) == (4, 7, D("0.437035"))
    assert Hold.objects.get(batch_id=batch.pk).amount == D("0.437035")
    rows = Message.objects.order_by("pk").values_list("recipient", "parts", "price", "text")
    assert [(recipient, parts, price, text[:7]) for recipient, parts, price, text in rows] == [
        (AU, 1, D("0.07"), "Hi Anna"),
        (AU_DEAR, 2, D("0.20"), "Hi BenB"),
        (NZ, 3, D("0.097035"), "Hi Zoł,"),
        ("+61412000001", 1, D("0.07"), "Hi ther"),
    ]


def test_the_ledger_proves_a_batch_of_different_texts(client_member: Member, reseller: Member, team: ContactList):
    batch = accept(client_member, text=LONG + "{first_name}", recipients=[AU], lists=[team], merges=True)
    Message.objects.filter(recipient=AU_DEAR).update(state="cancelled")
    Message.objects.filter(recipient__in=[AU, NZ]).update(state="sent", sent_at=batch.accepted_at)
    settle_waiting(100)
    call_command("verify_ledger", stdout=StringIO())
    captured = D("0.07") + D("0.032345") * 3
    assert balance_of(client_member.account).available == D(10) - captured
    # 0.02 a part of two messages of 1 and 3 parts; the reseller began with 100.
    assert balance_of(reseller.account).available == D("100.08")


def test_a_billed_accounts_display_price_counts_its_own_parts(billed_member: Member):
    made = create_list(account=billed_member.account, name="Team", actor=None)
    for number, name in [(AU, "Anna"), ("+61412000001", "Ben" * 10)]:
        add_to_list(contact_list=made, number=number, source="", fields={"first_name": name})
    accept(billed_member, text=LONG + "{first_name}", recipients=[AU], lists=[made], merges=True)
    rows = Message.objects.order_by("pk").values_list("parts", "price", "display_price")
    assert list(rows) == [(1, D("0.05"), D("0.09")), (2, D("0.10"), D("0.18"))]


def test_cancelling_gives_back_every_price(client_member: Member, team: ContactList):
    batch = accept(client_member, text=LONG + "{first_name}", recipients=[AU], lists=[team], merges=True)
    cancel_batch(batch=batch, actor=None)
    settle_waiting(100)
    assert balance_of(client_member.account).available == D(10)


# --- The page ------------------------------------------------------------------------------------------------------


def form_of(team: ContactList, **changes: Any) -> dict[str, Any]:
    return {"recipients": "", "lists": [team.code], "sender": "Shop", "text": HI + "a" * 140} | changes


def test_a_list_is_chosen_previewed_and_sent_to(client_member: Member, team: ContactList, log_in: LogIn):
    browser = log_in(client_member.user)
    assert "Team (3)" in browser.get("/send/").content.decode()
    page = browser.post("/send/", form_of(team) | {"step": "preview"})
    shown = words(page.content.decode())
    assert "Valid 3 Duplicate 0 Left out 0" in shown
    assert "Australia +614915 1 2 0.1000 0.20" in shown
    assert "All 3 6 AUD 0.367035" in shown
    assert "As +61 412 345 678 gets it." in shown
    assert "Hi Anna, aaa" in shown
    assert "Encoding mixed Parts per message 1 to 3" in shown
    assert "Not in the GSM alphabet, so one part has room for 70 characters instead of 160: ł " in shown

    hidden = {"key": page.context["key"], "price": page.context["expected_price"]}
    answer = browser.post("/send/", form_of(team) | hidden | {"step": "send"}, follow=True)
    batch = Batch.objects.get()
    assert batch.price == D("0.367035")
    shown = words(answer.content.decode())
    assert "Hi {first_name|there}, aaa" in shown
    assert "Each recipient got its own values in place of the merge fields" in shown
    message = Message.objects.get(recipient=AU)
    assert "Hi Anna, aaa" in browser.get(f"/messages/{message.pk}/").content.decode()
    assert "Hi Anna, aaa" in b"".join(browser.get("/reports/messages.csv").streaming_content).decode()


def test_a_contact_that_changes_after_the_preview_changes_nothing_unseen(
    client_member: Member, team: ContactList, log_in: LogIn
):
    browser = log_in(client_member.user)
    page = browser.post("/send/", form_of(team) | {"step": "preview"})
    team.contacts.filter(number=AU).update(first_name="A" * 30)
    hidden = {"key": page.context["key"], "price": page.context["expected_price"]}
    answer = browser.post("/send/", form_of(team) | hidden | {"step": "send"})
    assert "The price has changed from AUD 0.367035 to AUD 0.437035" in answer.content.decode()
    assert not Batch.objects.exists()


def test_editing_keeps_the_chosen_lists(client_member: Member, team: ContactList, log_in: LogIn):
    browser = log_in(client_member.user)
    form = browser.post("/send/", form_of(team) | {"step": "edit"}).context["form"]
    assert form["lists"].value() == [team.code]
    preview = browser.post("/send/", form_of(team) | {"step": "preview"}).content.decode()
    assert f'name="lists" value="{team.code}"' in preview
    assert browser.get("/send/", {"list": team.code}).context["form"]["lists"].value() == [team.code]
    assert browser.get("/send/", {"to": AU}).context["form"]["recipients"].value() == AU


def test_another_accounts_list_cannot_be_chosen(reseller: Member, team: ContactList, log_in: LogIn):
    browser = log_in(reseller.user)
    assert "Team" not in browser.get("/send/").content.decode()
    answer = browser.post("/send/", form_of(team) | {"step": "preview"})
    assert answer.context["form"].errors["lists"] == ["One of the lists is gone; choose among those that are left."]
    assert not Exclusion.objects.exists()


def test_a_field_that_no_contact_has_is_refused_with_those_that_there_are(
    client_member: Member, team: ContactList, log_in: LogIn
):
    team.contacts.filter(number=AU).update(fields={"city": "Ulm"})
    browser = log_in(client_member.user)
    answer = browser.post("/send/", form_of(team, text="Hi {fist_name}, {city}") | {"step": "preview"})
    assert answer.context["form"].errors["text"] == [
        "{fist_name} is no merge field of your contacts; there are {first_name}, {last_name}, {number}, {city}."
        " To send braces as they are, put a space after the first."
    ]
    assert answer.context["form"]["text"].value() == "Hi {fist_name}, {city}"
    assert browser.post("/send/", form_of(team, text="Hi { fist_name}") | {"step": "preview"}).context["preview"]


def test_neither_numbers_nor_a_list_is_said_at_the_recipients(client_member: Member, team: ContactList, log_in: LogIn):
    answer = log_in(client_member.user).post("/send/", form_of(team, lists=[], text="") | {"step": "preview"})
    assert answer.context["form"].errors["recipients"] == ["Enter at least one recipient, or choose a list."]
    assert "text" in answer.context["form"].errors

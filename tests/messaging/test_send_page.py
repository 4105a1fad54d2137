"""SEND SMS: what the form, the preview and the sending say and do, without JavaScript."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership
from billing.models import BillingTerms, Hold
from billing.selectors import balance_of
from billing.services.terms import update_terms
from messaging.models import Batch, Message
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, amounts_in, words

LIST = f"0412 345 678, {AU_DEAR}\n{NZ} 0412345678; 0299998888, nobody"
FORM = {"recipients": LIST, "sender": "Shop", "text": "Hello"}


def preview(browser: Client, **changes: str) -> str:
    response = browser.post("/send/", FORM | {"step": "preview"} | changes)
    assert response.status_code == 200
    return response.content.decode()


def hidden(page: str, name: str) -> str:
    found = re.search(f'type="hidden" name="{name}" value="([^"]*)"', page)
    assert found, f"no hidden {name}"
    return found[1]


def confirm(page: str, **changes: str) -> dict[str, str]:
    return FORM | {"step": "send", "key": hidden(page, "key"), "price": hidden(page, "price")} | changes


def test_only_owners_and_senders_may_send(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    for role, status in [("owner", 200), ("sender", 200), ("billing", 403), ("viewer", 403)]:
        Membership.objects.filter(user=client_member.user).update(role=role)
        assert browser.get("/send/").status_code == status, role
        assert browser.post("/send/", FORM | {"step": "preview"}).status_code == status, role
    assert Client().get("/send/").status_code == 302


def test_the_preview_counts_names_reasons_and_prices_exactly(client_member: Member, log_in: LogIn):
    text = words(preview(log_in(client_member.user)))

    assert "Valid 3" in text
    assert "Duplicate 1" in text
    assert "Left out 2" in text
    # Whole rows: country, prefix, messages, parts, price of a part, total. The reseller's margin is 0.02.
    assert "Australia +61 1 1 0.0700 0.07" in text
    assert "Australia +614915 1 1 0.1000 0.10" in text
    assert "New Zealand +64 1 1 0.032345 0.032345" in text
    assert "All 3 3 AUD 0.202345" in text
    assert "Now AUD 10.00 This sending AUD 0.202345 After AUD 9.797655" in text
    assert "Contains letters; a number has digits only." in text
    assert "0299998888 Not a valid mobile number This is a fixed line, not a mobile number." in text
    assert not Batch.objects.exists()


def test_the_preview_says_which_characters_force_ucs_2(client_member: Member, log_in: LogIn):
    text = words(preview(log_in(client_member.user), text="“Hi” it’s 😀" + "a" * 70))
    assert "Encoding UCS-2 Characters 81 Parts per message 2" in text
    assert "Not in the GSM alphabet, so one part has room for 70 characters instead of 160: “ ” ’ 😀 " in text

    text = words(preview(log_in(client_member.user), text="a" * 200))
    assert "Encoding GSM-7 Characters 200 Parts per message 2 Left in the last part 106" in text
    assert "Not in the GSM alphabet" not in text


def test_line_ends_of_a_form_count_as_one_character(client_member: Member, log_in: LogIn):
    assert "Characters 3 Parts per message 1 Left in the last part 157" in words(
        preview(log_in(client_member.user), text="a\r\nb")
    )


def test_editing_brings_back_everything_typed(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    typed = FORM | {"text": "  Two\nlines & <b>“more”</b> "}
    page = browser.post("/send/", typed | {"step": "preview"}).content.decode()
    assert "&lt;b&gt;" in page
    assert "<b>“more”" not in page

    form = browser.post("/send/", typed | {"step": "edit"}).context["form"]
    assert {name: form[name].value() for name in typed} == typed


def test_sending_holds_the_price_and_opens_the_batch(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    page = preview(browser)
    response = browser.post("/send/", confirm(page))

    batch = Batch.objects.get()
    assert response.headers["Location"] == f"/batches/{batch.code}/"
    assert (batch.price, batch.created_by, batch.door) == (Decimal("0.202345"), client_member.user, "web")
    assert Hold.objects.get(batch_id=batch.pk).amount == Decimal("0.202345")
    assert balance_of(client_member.account).available == Decimal("9.797655")
    assert Message.objects.filter(batch=batch).count() == 3


def test_sending_twice_from_one_preview_sends_once(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    data = confirm(preview(browser))
    first, second = browser.post("/send/", data), browser.post("/send/", data)
    assert first.headers["Location"] == second.headers["Location"]
    assert Batch.objects.count() == 1

    browser.post("/send/", confirm(preview(browser)))
    assert Batch.objects.count() == 2  # another preview is another sending


def test_a_price_that_changed_since_the_preview_sends_nothing(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    data = confirm(preview(browser))
    update_terms(terms=BillingTerms.objects.get(account=client_member.account), actor=None, sms_margin=Decimal("0.03"))
    response = browser.post("/send/", data)

    assert "The price has changed from AUD 0.202345 to AUD 0.232345" in response.content.decode()
    assert response.context["form"]["recipients"].value() == LIST
    assert not Batch.objects.exists()


def test_too_little_money_is_said_before_and_when_sending(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    many = ",".join(f"+614{10_000_000 + number}" for number in range(200))
    page = preview(browser, recipients=many)
    assert "The balance does not cover this: AUD 4.00 are missing." in words(page)
    assert 'href="/billing/add-credit/"' in page
    assert 'value="send"' not in page

    response = browser.post("/send/", confirm(page, recipients=many))
    shown = words(response.content.decode())
    assert "This batch costs AUD 14.00 and AUD 10.00 are available: AUD 4.00 are missing." in shown
    assert 'href="/billing/add-credit/"' in response.content.decode()
    assert response.context["form"]["recipients"].value() == many
    assert not Batch.objects.exists()
    assert balance_of(client_member.account).held == Decimal(0)


def test_sending_without_a_preview_shows_the_preview(client_member: Member, log_in: LogIn):
    response = log_in(client_member.user).post("/send/", FORM | {"step": "send"})
    assert "messaging/send_preview.html" in [template.name for template in response.templates]
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("recipients", "", "Enter at least one recipient"),
        ("recipients", " , ", "Enter at least one recipient"),
        ("sender", "TwelveLetter", "The sender TwelveLetter has 12 characters; a name has at most 11."),
        ("text", " \n", "Enter the text of the message."),
        ("text", "a" * 1531, "The text has 1,531 characters and would need 11 parts; at most 10 are possible."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    client_member: Member, log_in: LogIn, field: str, value: str, sentence: str
):
    response = log_in(client_member.user).post("/send/", FORM | {"step": "preview", field: value})
    form = response.context["form"]
    assert sentence in " ".join(form.errors[field])
    others = set(FORM) - {field}
    assert {name: form[name].value() for name in others} == {name: FORM[name] for name in others}


def test_as_many_recipients_as_the_limit_fit_and_one_more_is_refused(
    client_member: Member, log_in: LogIn, settings: Any
):
    settings.MAX_WEB_RECIPIENTS = 1_000
    browser = log_in(client_member.user)
    numbers = [f"+614{10_000_000 + number}" for number in range(1_001)]
    assert "Valid 1,000" in words(preview(browser, recipients="\n".join(numbers[:-1])))

    form = browser.post("/send/", FORM | {"recipients": "\n".join(numbers)}).context["form"]
    assert form.errors["recipients"] == ["There are 1,001 recipients; at most 1,000 can be sent to at once."]


def test_only_the_first_two_hundred_left_out_are_listed(client_member: Member, log_in: LogIn):
    page = preview(log_in(client_member.user), recipients=AU + "," + ",".join(f"x{number}" for number in range(250)))
    assert "x199<" in page
    assert "x200<" not in page
    assert "The first 200 of 250." in words(page)


def test_a_client_billed_to_its_parent_sends_without_seeing_any_amount(
    billed_member: Member, reseller: Member, log_in: LogIn
):
    browser = log_in(billed_member.user)
    form = browser.get("/send/").content.decode()
    page = preview(browser)
    assert amounts_in(form) == []
    assert amounts_in(page) == []

    data = FORM | {"step": "send", "key": hidden(page, "key")}
    assert browser.post("/send/", data).status_code == 302
    assert Batch.objects.get().price == Decimal("0.142345")
    assert balance_of(reseller.account).held == Decimal("0.142345")


def test_the_form_offers_the_last_senders(client_member: Member, log_in: LogIn):
    accept(client_member, sender="First")
    accept(client_member, sender="Second")
    response = log_in(client_member.user).get("/send/")
    assert response.context["recent_senders"] == ["Second", "First"]
    assert response.context["form"]["sender"].value() == "Second"

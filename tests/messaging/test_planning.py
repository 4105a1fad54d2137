"""Preparing a batch: cutting, reading, excluding, pricing (messaging/services/planning.py)."""

from decimal import Decimal

import phonenumbers
import pytest

from accounts import phones as numbers
from accounts.phones import NotMobile, read_mobile
from accounts.services.accounts import suspend_account
from messaging.exceptions import (
    AccountSuspended,
    BadSender,
    BadText,
    NothingToSend,
    TextTooLong,
    TooManyRecipients,
)
from messaging.models import Route, RouteRule
from messaging.services.planning import check_sender, check_text, plan_batch, split_recipients
from messaging.services.routing import set_rule
from tests.cast import Member


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0412345678", ["0412345678"]),
        ("0412 345 678", ["0412 345 678"]),
        ("0412345678 0412345679", ["0412345678", "0412345679"]),
        ("0412 345 678 0412 345 679", ["0412 345 678", "0412 345 679"]),
        ("+61 412 345 678 +61 412 345 679", ["+61 412 345 678", "+61 412 345 679"]),
        ("0061 412 345 678 +44 7400 123456", ["0061 412 345 678", "+44 7400 123456"]),
        ("0412 045 678", ["0412 045 678"]),
        ("0412 340 001 0412 340 002", ["0412 340 001", "0412 340 002"]),
        ("+61 412 345 078 61 412 345 079", ["+61 412 345 078", "61 412 345 079"]),
        ("+33 6 12 34 05 06", ["+33 6 12 34 05 06"]),
        ("0412345678 0061 412 345 679 +61412340000", ["0412345678", "0061 412 345 679", "+61412340000"]),
        ("02 9876 0123 0412 340 001", ["02 9876 0123", "0412 340 001"]),
        ("12345 0412 345 678", ["12345 0412 345 678"]),
        ("0412345678, 0412 345 679;\n0412345670\r\n\n", ["0412345678", "0412 345 679", "0412345670"]),
        ("+44 (0)7400 123456", ["+44 (0)7400 123456"]),
        (" , ;\n", []),
    ],
)
def test_pasted_numbers_are_cut_where_a_number_is_complete(text, expected):
    assert split_recipients(text, "AU") == expected


@pytest.mark.parametrize(
    ("value", "region", "expected"),
    [
        ("0412 345 678", "AU", "+61412345678"),
        ("+61 412-345-678", "AU", "+61412345678"),
        ("61412345678", "AU", "+61412345678"),
        ("0061412345678", "GB", "+61412345678"),
        ("+44 (0)7400 123456", "AU", "+447400123456"),
        ("07400 123456", "GB", "+447400123456"),
        ("+1 (212) 555-0123", "AU", "+12125550123"),
        ("\u202a+61412345678\u202c", "AU", "+61412345678"),
    ],
)
def test_numbers_become_international(value, region, expected):
    assert read_mobile(value, region) == expected


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("041234567", "Too short for a mobile number of Australia."),
        ("04123456789", "Too long for a mobile number of Australia."),
        ("02 9374 4000", "This is a fixed line, not a mobile number."),
        ("1800 123 456", "This is a toll-free number, not a mobile number."),
        ("+999123456789", "Begins with no country's code."),
        ("0312345678", "This is a fixed line, not a mobile number."),
        ("+61 999 999 999", "Australia has no such mobile numbers."),
        ("call me", "Contains letters; a number has digits only."),
        ("--", "Contains no digits."),
        ("12", "Too short for a mobile number of Australia."),
    ],
)
def test_a_reason_is_given_in_plain_words(value, detail):
    assert read_mobile(value, "AU") == NotMobile(detail)


def test_a_local_number_without_a_country_is_explained():
    assert read_mobile("0412345678", "") == NotMobile(
        "A local number, but the account has no country; write it as + and the country code."
    )


def test_the_fast_reading_agrees_with_the_library_for_every_region():
    checked = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in range(11):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            international = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            local = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
            for value in (international, numbers._PUNCTUATION.sub("", local)):
                fast = numbers._read_fast(value, region)
                if fast is not None:
                    checked += 1
                    assert fast == numbers._read_slowly(value, value, region), (region, value)
    assert checked > 300


def test_a_plan_counts_parts_and_prices_exactly(client_member: Member):
    plan = plan_batch(
        account=client_member.account,
        sender="Shop",
        text="a" * 161,
        recipients=["0412345678", "+614915 70156", "+64211234567", "0412345678", "02 9374 4000", "+33612345678"],
    )

    assert (plan.encoding, plan.characters, plan.parts, plan.part_count) == ("GSM-7", 161, 2, 6)
    assert [recipient.number for recipient in plan.recipients] == ["+61412345678", "+61491570156", "+64211234567"]
    # The client pays the rate + 0.02 a part: 0.07, 0.10 and 0.032345, twice each.
    assert [(row.prefix, row.count, row.unit_price, row.total) for row in plan.destinations] == [
        ("61", 1, Decimal("0.070000"), Decimal("0.140000")),
        ("614915", 1, Decimal("0.100000"), Decimal("0.200000")),
        ("64", 1, Decimal("0.032345"), Decimal("0.064690")),
    ]
    assert plan.total == Decimal("0.404690")
    assert (plan.payer, plan.shows_money, plan.currency) == (client_member.account, True, "AUD")
    assert [(row.value, row.reason) for row in plan.exclusions] == [
        ("0412345678", "duplicate"),
        ("02 9374 4000", "invalid"),
        ("+33612345678", "no_price"),
    ]


def test_a_number_without_a_route_is_left_out(client_member: Member):
    RouteRule.objects.update(prefix="64")

    plan = plan_batch(
        account=client_member.account, sender="Shop", text="Hi", recipients=["0412345678", "+64211234567"]
    )

    assert [recipient.number for recipient in plan.recipients] == ["+64211234567"]
    assert [(row.value, row.reason) for row in plan.exclusions] == [("0412345678", "no_route")]


def test_the_longest_prefix_chooses_the_route(client_member: Member):
    other = Route.objects.create(code="nz", name="NZ", throughput=10)
    set_rule(prefix="64", routes=[other])

    plan = plan_batch(
        account=client_member.account, sender="Shop", text="Hi", recipients=["0412345678", "+64211234567"]
    )

    assert plan.recipients[0].route_id != other.pk
    assert plan.recipients[1].route_id == other.pk


def test_an_account_whose_parent_pays_sees_no_money(billed_member: Member, reseller: Member):
    plan = plan_batch(account=billed_member.account, sender="Shop", text="Hi", recipients=["0412345678"])

    assert (plan.payer, plan.shows_money, plan.total) == (reseller.account, False, Decimal("0.05"))


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("Shop", "Shop"),
        ("  My  Shop ", "My Shop"),
        ("A&B_c.d-e'f", "A&B_c.d-e'f"),
        ("0412 345 678", "+61412345678"),
        ("+61412345678", "+61412345678"),
        ("61412345678", "+61412345678"),
        ("12345", "12345"),
    ],
)
def test_good_senders(sender, expected):
    assert check_sender(sender, "AU") == expected


@pytest.mark.parametrize(
    ("sender", "words"),
    [
        ("", "Enter a sender"),
        ("TwelveLetter", "has 12 characters; a name has at most 11"),
        ("Café", "contains “é”; allowed are letters A–Z, digits, space and & . _ ' -"),
        ("+1234567890123456", "up to 15 digits"),
        ("&.", "needs at least one letter"),
    ],
)
def test_bad_senders_say_what_is_allowed(sender, words):
    with pytest.raises(BadSender) as caught:
        check_sender(sender, "AU")
    assert words in str(caught.value)


def test_texts_are_checked():
    assert check_text("a\r\nb\0") == "a\nb"
    assert check_text("x\ud83d\ude00 \ud83d") == "x😀 \ufffd"
    with pytest.raises(BadText, match="Enter the text"):
        check_text(" \n")
    with pytest.raises(TextTooLong, match=r"1,531 characters and would need 11 parts; at most 10"):
        check_text("a" * 1531)
    assert check_text("a" * 1530) == "a" * 1530


def test_a_plan_refuses_none_too_many_and_a_suspended_line(client_member: Member, reseller: Member):
    def plan(recipients):
        return plan_batch(account=client_member.account, sender="Shop", text="Hi", recipients=recipients, limit=2)

    with pytest.raises(NothingToSend):
        plan([])
    with pytest.raises(TooManyRecipients, match="There are 3 recipients; at most 2"):
        plan(["1", "2", "3"])
    suspend_account(account=reseller.account, actor=None)
    with pytest.raises(AccountSuspended) as caught:
        plan(["0412345678"])
    assert reseller.account.name not in str(caught.value)

"""NUMBERS: what is shown to whom, leasing with a confirmed price, settings, handing over and releasing."""

import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Account, AuditEntry, Membership
from accounts.services.users import create_member
from billing.models import BillingTerms, LedgerTransaction
from contacts.models import ContactList
from keywords.models import Keyword, KeywordTerms
from keywords.services.keywords import KeywordValues, create_keyword
from messaging.services.texts import MAX_PARTS
from tests.billing.services import available, lease_number, make_number, set_margin
from tests.cast import PASSWORD, LogIn, Member, fund, make_client, make_member
from tests.messaging.rows import amounts_in, words
from virtual_numbers.action_forms import MOST_REPLY_PARTS
from virtual_numbers.models import Lease, NumberPrice, NumberSettings, NumberTerms, VirtualNumber
from virtual_numbers.services import leasing
from virtual_numbers.services.inventory import reserve_number

D = Decimal


@pytest.fixture
def web(client_member: Member, log_in: LogIn) -> Client:
    return log_in(client_member.user)


def text_of(answer: Any) -> str:
    """What a person reads on a page."""
    return unescape(words(answer.content.decode()))


def filled(**changes: Any) -> dict[str, Any]:
    """The settings form, with nothing set but what is given."""
    names = ("first_reply", "later_reply", "contact_list", "forward_emails", "forward_mobiles", "forward_url")
    return dict.fromkeys(names, "") | changes


def expected_on(page: Any) -> str:
    found = re.search(r'name="expected" value="([^"]+)"', page.content.decode())
    assert found is not None
    return found[1]


# --- The list on offer -------------------------------------------------------------------------------------------


def test_the_price_is_base_plus_margins_down_to_this_account(
    web: Client, client_member: Member, reseller: Member, log_in: LogIn
) -> None:
    set_margin(client_member, "5")
    make_number(monthly="19", setup="3")
    assert "+61 480 000 001 Australia Long number receive and send SMS AUD 3.00 AUD 24.00" in text_of(
        web.get("/numbers/lease/")
    )
    assert "AUD 19.00" in text_of(log_in(reseller.user).get("/numbers/lease/"))


def test_offers_are_narrowed_by_country_type_and_digits(web: Client) -> None:
    make_number("+61480000001")
    make_number("+61480000777")
    VirtualNumber.objects.filter(number="+61480000777").update(kind="toll_free")
    foreign = make_number("+64211234567")
    VirtualNumber.objects.filter(pk=foreign.pk).update(country="NZ")

    def shown(**query: str) -> list[str]:
        return re.findall(r"\+6\d [\d ]+\d", text_of(web.get("/numbers/lease/", query)))

    assert shown() == ["+61 480 000 001", "+61 480 000 777", "+64 21 123 4567"]
    assert shown(country="NZ") == ["+64 21 123 4567"]
    assert shown(type="toll_free") == ["+61 480 000 777"]
    assert shown(digits="0 77") == ["+61 480 000 777"]
    assert shown(digits="999") == []
    assert "No number matches" in text_of(web.get("/numbers/lease/", {"digits": "999"}))
    assert shown(country="ZZZ", type="nonsense") == []
    assert shown(type="nonsense", page="99") == shown()


def test_what_is_taken_reserved_for_others_or_without_a_price_is_not_offered(
    web: Client, client_member: Member, reseller: Member
) -> None:
    for last, state in enumerate(("leased", "ported_out", "reserved"), start=1):
        VirtualNumber.objects.filter(pk=make_number(f"+6148000000{last}").pk).update(state=state)
    make_number("+61480000004", currency="USD")
    reserve_number(number=make_number("+61480000005"), reserved_for=reseller.account, actor=None)
    reserve_number(number=make_number("+61480000006"), reserved_for=client_member.account, actor=None)
    page = text_of(web.get("/numbers/lease/"))
    assert re.findall(r"\+61 480 000 \d+", page) == ["+61 480 000 006"]


def test_a_client_that_is_given_its_numbers_sees_no_list(web: Client, client_member: Member) -> None:
    NumberTerms.objects.create(account=client_member.account, allocation="parent")
    number = make_number()
    assert web.get("/numbers/lease/").status_code == 404
    assert web.post(f"/numbers/lease/{number.code}/", {"expected": "19"}).status_code == 404
    page = text_of(web.get("/numbers/"))
    assert "Your provider gives you your numbers" in page
    assert "LEASE A NUMBER" not in page
    assert not Lease.objects.exists()


# --- Leasing -----------------------------------------------------------------------------------------------------


def test_leasing_shows_what_is_paid_now_and_next_and_takes_exactly_that(
    client_member: Member, reseller: Member, log_in: LogIn
) -> None:
    fund(client_member, "40")
    set_margin(client_member, "5")
    number = make_number(monthly="19", setup="3.5")
    with time_machine.travel("2027-01-31T02:00:00+00:00", tick=False):
        web = log_in(client_member.user)
        page = web.get(f"/numbers/lease/{number.code}/")
        shown = text_of(page)
        assert "Set-up, once AUD 3.50 First month, from 31 Jan 2027 AUD 24.00 To pay now AUD 27.50" in shown
        assert "Your balance AUD 50.00 Your balance afterwards AUD 22.50" in shown
        assert "Next charge: AUD 24.00 on 28 Feb 2027" in shown
        done = web.post(f"/numbers/lease/{number.code}/", {"expected": expected_on(page), "label": "  Book  ings "})
    lease = Lease.objects.get()
    assert done.url == f"/numbers/{lease.code}/"
    assert (lease.account, lease.label) == (client_member.account, "Book ings")
    assert (available(client_member.account), available(reseller.account)) == (D("22.5"), D(105))


def test_too_little_money_is_named_before_and_refused_when_forced(web: Client, client_member: Member) -> None:
    number = make_number(monthly="19")
    page = web.get(f"/numbers/lease/{number.code}/")
    assert "AUD 9.00 are missing. Add credit first" in text_of(page)
    assert ">LEASE<" not in page.content.decode()
    forced = text_of(web.post(f"/numbers/lease/{number.code}/", {"expected": "19", "label": "Mine"}))
    assert "This costs AUD 19.00 now and your balance is AUD 10.00: AUD 9.00 are missing." in forced
    assert not Lease.objects.exists()
    assert available(client_member.account) == D(10)


def test_a_price_that_changed_since_is_shown_anew_and_nothing_is_charged(web: Client, client_member: Member) -> None:
    number = make_number(monthly="5")
    page = web.get(f"/numbers/lease/{number.code}/")
    NumberPrice.objects.update(monthly=6)
    again = web.post(f"/numbers/lease/{number.code}/", {"expected": expected_on(page), "label": "Kept words"})
    assert "costs AUD 6.00 now, not AUD 5.00 as shown before. Nothing was charged" in text_of(again)
    assert 'value="Kept words"' in again.content.decode()
    assert expected_on(again) == "6.000000"
    assert available(client_member.account) == D(10)
    assert web.post(f"/numbers/lease/{number.code}/", {"expected": expected_on(again)}).status_code == 302
    assert available(client_member.account) == D(4)


def test_without_the_price_that_was_shown_nothing_is_leased(web: Client) -> None:
    number = make_number(monthly="5")
    assert "Look at the price below" in text_of(web.post(f"/numbers/lease/{number.code}/"))
    assert "Enter a number" in text_of(web.post(f"/numbers/lease/{number.code}/", {"expected": "x"}))
    assert not Lease.objects.exists()


def test_who_is_slower_reads_that_somebody_was_faster(web: Client, reseller: Member) -> None:
    number = make_number(monthly="5")
    page = web.get(f"/numbers/lease/{number.code}/")
    lease_number(reseller, number)
    late = web.post(f"/numbers/lease/{number.code}/", {"expected": expected_on(page)}, follow=True)
    assert late.redirect_chain == [("/numbers/lease/", 302)]
    assert "somebody else was faster. Choose another one." in text_of(late)
    assert Lease.objects.count() == 1
    assert web.get("/numbers/lease/NOSUCHCODE/", follow=True).status_code == 200


@pytest.mark.parametrize("role", [Membership.Role.BILLING, Membership.Role.SENDER, Membership.Role.VIEWER])
def test_only_owners_lease_and_release(client_member: Member, log_in: LogIn, role: str) -> None:
    user = create_member(
        account=client_member.account, email="b@test.example", name="Bo", password=PASSWORD, actor=None, role=role
    )
    browser, lease, free = (
        log_in(user),
        lease_number(client_member, make_number(monthly="1")),
        make_number("+61480000002"),
    )
    page = text_of(browser.get("/numbers/"))
    assert "+61 480 000 001" in page
    assert "LEASE A NUMBER" not in page
    assert "RELEASE" not in text_of(browser.get(f"/numbers/{lease.code}/"))
    for path in ("/numbers/lease/", f"/numbers/lease/{free.code}/", f"/numbers/{lease.code}/release/"):
        assert browser.get(path).status_code == 403
        assert browser.post(path).status_code in (403, 405)
    assert Lease.objects.filter(ended_at=None).count() == 1


# --- Accounts without money --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [BillingTerms.Method.BILL_TO_PARENT, BillingTerms.Method.SMS_CREDITS])
def test_whose_provider_pays_leases_without_seeing_any_price(reseller: Member, log_in: LogIn, method: str) -> None:
    child = make_member(reseller.account, "Billed", terms={"method": method})
    browser = log_in(child.user)
    number = make_number(monthly="19", setup="2")
    seen = [browser.get("/numbers/lease/"), browser.get(f"/numbers/lease/{number.code}/")]
    assert "Your provider pays for the numbers that you lease here." in text_of(seen[0])
    assert "Your provider pays for it, now and on" in text_of(seen[1])
    done = browser.post(f"/numbers/lease/{number.code}/", {"label": ""}, follow=True)
    lease = Lease.objects.get()
    assert (lease.account, available(reseller.account)) == (child.account, D(79))
    seen += [done, browser.get("/numbers/"), browser.get(f"/numbers/{lease.code}/release/")]
    for page in seen:
        assert page.status_code == 200
        assert "AUD" not in text_of(page)
        if method == BillingTerms.Method.BILL_TO_PARENT:  # whose pages count no credits either
            assert amounts_in(page.content.decode()) == []
    assert browser.get("/billing/forecast/").status_code == 404


def test_a_payer_that_cannot_pay_is_not_named(reseller: Member, log_in: LogIn) -> None:
    child = make_member(reseller.account, "Billed", terms={"method": BillingTerms.Method.BILL_TO_PARENT})
    number = make_number(monthly="500")
    page = text_of(log_in(child.user).post(f"/numbers/lease/{number.code}/", {"label": ""}))
    assert "This cannot be paid for at the moment. Ask whoever manages the account." in page
    assert amounts_in(page) == []
    assert not Lease.objects.exists()


# --- A number's page ---------------------------------------------------------------------------------------------


@pytest.fixture
def lease(client_member: Member) -> Lease:
    return lease_number(client_member, make_number(monthly="4"))


def test_the_list_names_price_renewal_and_state(web: Client, lease: Lease) -> None:
    page = text_of(web.get("/numbers/"))
    assert "+61 480 000 001 Australia Long number you AUD 4.00" in page
    assert f"{lease.subscription.next_renewal_on:%b %Y} Active" in page


def test_the_label_is_kept_on_the_page(web: Client, lease: Lease) -> None:
    web.post(f"/numbers/{lease.code}/label/", {"label": "Bookings"})
    assert "Bookings" in text_of(web.get("/numbers/"))
    too_long = web.post(f"/numbers/{lease.code}/label/", {"label": "x" * 61})
    assert "at most 60 characters" in text_of(too_long)
    lease.refresh_from_db()
    assert lease.label == "Bookings"


def test_settings_are_saved_as_they_are_typed_and_shown_again(web: Client, lease: Lease, client_member: Member) -> None:
    team = ContactList.objects.create(account=client_member.account, name="Team")
    values = filled(
        first_reply="Hello {first_name|there}", later_reply="Hello again", contact_list=team.code,
        forward_emails="a@b.example, A@b.example\nc@d.example", forward_mobiles="0412 345 678",
        forward_url="https://example.com/sms",
    )  # fmt: skip
    web.post(f"/numbers/{lease.code}/settings/", values)
    stored = NumberSettings.objects.get()
    assert (stored.first_reply, stored.later_reply) == ("Hello {first_name|there}", "Hello again")
    assert (stored.contact_list, stored.forward_mobiles) == (team, ["+61412345678"])
    assert stored.forward_emails == ["A@b.example", "c@d.example"]
    page = web.get(f"/numbers/{lease.code}/").content.decode()
    assert "Hello {first_name|there}" in page
    assert f'value="{team.code}" selected' in page
    entry = AuditEntry.objects.get(action="number.settings_changed")
    assert entry.account == client_member.account
    assert stored.webhook_secret not in str(entry.data)


def test_the_secret_of_the_url_is_shown_once(web: Client, lease: Lease) -> None:
    saved = web.post(f"/numbers/{lease.code}/settings/", filled(forward_url="https://example.com/sms"))
    secret = NumberSettings.objects.get().webhook_secret
    assert len(secret) == 43
    assert secret in saved.content.decode()
    assert saved["Cache-Control"].startswith("max-age=0")
    assert secret not in web.get(f"/numbers/{lease.code}/").content.decode()
    again = web.post(f"/numbers/{lease.code}/settings/", filled(forward_url="https://example.com/other"))
    assert again.status_code == 302, "the same secret is not shown twice"
    renewed = web.post(f"/numbers/{lease.code}/secret/")
    changed = NumberSettings.objects.get().webhook_secret
    assert changed != secret
    assert changed in renewed.content.decode()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"forward_emails": "me@here.example\nnot one"}, "“not” is not an e-mail address; write it as name@company"),
        ({"forward_emails": " ".join(f"a{n}@b.example" for n in range(11))}, "There are 11; at most 10 are possible."),
        ({"forward_mobiles": "0412 345 678\n123"}, "123: "),
        ({"forward_url": "ftp://example.com"}, "“ftp://example.com” is not an address; enter one such as https://"),
        ({"forward_url": "https://me:secret@example.com"}, "Leave name and password out of the address"),
        ({"forward_url": "https://example.com/" + "x" * 400}, "at most 400 characters"),
        ({"first_reply": "Hi {nickname}"}, "{nickname} is no merge field of your contacts; there are {first_name}"),
        ({"later_reply": "x" * 1531}, "The text would need 11 parts; at most 10 are possible. Shorten it."),
        ({"contact_list": "NOSUCHLIST"}, "This list is gone; choose another one."),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_at_their_field_and_nothing_typed_is_lost(
    web: Client, lease: Lease, values: dict[str, str], sentence: str
) -> None:
    page = web.post(f"/numbers/{lease.code}/settings/", filled(**{"first_reply": "Kept words"} | values))
    assert sentence in text_of(page)
    (name,) = values
    assert list(page.context["form"].errors) == [name]
    typed = values[name] if name != "contact_list" else "Kept words"
    assert typed in unescape(page.content.decode())
    assert not NumberSettings.objects.exists()


def test_another_accounts_list_cannot_be_chosen(web: Client, lease: Lease, reseller: Member) -> None:
    theirs = ContactList.objects.create(account=reseller.account, name="Theirs")
    page = web.post(f"/numbers/{lease.code}/settings/", filled(contact_list=theirs.code))
    assert "This list is gone" in text_of(page)


def test_a_reply_is_as_long_as_any_message_may_be() -> None:
    assert MOST_REPLY_PARTS == MAX_PARTS


@pytest.mark.parametrize(
    ("state", "days", "words_for_payer"),
    [
        ("grace", {"due_since": "2027-01-05"}, "Add credit , or the number stands still from 12 Jan 2027 on."),
        (
            "suspended",
            {"due_since": "2026-12-29", "suspended_since": "2027-01-05"},
            "and it works again. On 12 Jan 2027 it is released.",
        ),
    ],
)
def test_an_unpaid_number_says_until_when_it_works(
    web: Client, lease: Lease, state: str, days: dict[str, str], words_for_payer: str
) -> None:
    type(lease.subscription).objects.update(state=state, **days)
    assert words_for_payer in text_of(web.get(f"/numbers/{lease.code}/"))


# --- Handing over ------------------------------------------------------------------------------------------------


@pytest.fixture
def parents(reseller: Member) -> Lease:
    """A number that the reseller leases."""
    return lease_number(reseller, make_number("+61480000009"))


def add_keyword(member: Member, lease: Lease, word: str = "JOIN") -> Keyword:
    KeywordTerms.objects.update_or_create(account=member.account, defaults={"is_enabled": True, "price": 0})
    return create_keyword(
        account=member.account, number=lease.number, word=word, values=KeywordValues(), expected=None,
        actor=member.user, now=timezone.now(),
    )  # fmt: skip


def test_a_number_is_given_to_a_client_and_taken_back_with_what_the_client_set(
    reseller: Member, client_member: Member, parents: Lease, log_in: LogIn
) -> None:
    owner, user = log_in(reseller.user), log_in(client_member.user)
    page = f"/numbers/{parents.code}/"
    assert user.get(page).status_code == 404
    owner.post(f"{page}settings/", filled(first_reply="The reseller's words"))
    asked = text_of(owner.get(f"{page}allocate/"))
    assert "With it ends for good: your settings of the number" in asked
    owner.post(f"{page}allocate/", {"client": client_member.account.code})
    parents.refresh_from_db()
    assert (parents.allocated_to, parents.holder) == (client_member.account, client_member.account)
    assert not NumberSettings.objects.exists()

    seen = text_of(user.get(page))
    assert "your provider, who gave it to you" in seen
    assert "19.00" not in seen, "what it costs is between its provider and the platform"
    user.post(f"{page}settings/", filled(first_reply="The client's words"))
    assert "The client's words" not in text_of(owner.get(page))
    assert owner.post(f"{page}settings/", filled()).status_code == 404
    add_keyword(client_member, parents)

    asked = text_of(owner.get(f"{page}take-back/"))
    assert "Client’s settings of the number: replies, list, forwards" in asked
    assert "Client’s keyword JOIN" in asked
    owner.post(f"{page}take-back/")
    parents.refresh_from_db()
    assert (parents.allocated_to, parents.holder) == (None, reseller.account)
    assert not NumberSettings.objects.exists()
    assert Keyword.objects.get().ended_at is not None
    assert user.get(page).status_code == 404


def test_a_number_goes_to_direct_clients_only(
    reseller: Member, outsider: Member, parents: Lease, log_in: LogIn
) -> None:
    page = log_in(reseller.user).post(f"/numbers/{parents.code}/allocate/", {"client": outsider.account.code})
    assert "There is no such client" in text_of(page)
    parents.refresh_from_db()
    assert parents.allocated_to is None


def test_a_number_that_a_client_has_is_taken_back_before_another_gets_it(
    reseller: Member, client_member: Member, parents: Lease, log_in: LogIn
) -> None:
    other = make_client(reseller, "Other")
    leasing.allocate(lease=parents, child=client_member.account, actor=None)
    page = log_in(reseller.user).post(f"/numbers/{parents.code}/allocate/", {"client": other.account.code}, follow=True)
    assert "is with Client; take it back first." in text_of(page)
    parents.refresh_from_db()
    assert parents.allocated_to == client_member.account


def test_taking_back_what_nobody_has_says_so(reseller: Member, parents: Lease, log_in: LogIn) -> None:
    page = log_in(reseller.user).post(f"/numbers/{parents.code}/take-back/", follow=True)
    assert "is with no client" in text_of(page)


def test_releasing_names_what_ends_and_the_quarantine(web: Client, client_member: Member, lease: Lease) -> None:
    keyword = add_keyword(client_member, lease)
    asked = web.get(f"/numbers/{lease.code}/release/")
    assert "rests 30 days" in text_of(asked)
    assert "your keyword JOIN" in text_of(asked)
    assert Lease.objects.filter(ended_at=None).exists(), "nothing happened yet"
    assert web.post(f"/numbers/{lease.code}/release/").url == "/numbers/"
    lease.number.refresh_from_db()
    keyword.refresh_from_db()
    assert (lease.number.state, keyword.ended_at is not None) == ("quarantined", True)
    assert web.get(f"/numbers/{lease.code}/").status_code == 404
    assert LedgerTransaction.objects.filter(kind="number").count() == 1, "what is paid stays paid"


def test_a_client_does_not_release_what_its_parent_pays(client_member: Member, parents: Lease, web: Client) -> None:
    leasing.allocate(lease=parents, child=client_member.account, actor=None)
    for deed in ("release", "take-back", "allocate", "label"):
        assert web.post(f"/numbers/{parents.code}/{deed}/").status_code == 404
    assert Lease.objects.get(ended_at=None).holder == client_member.account


# --- Renewals in BILLING -----------------------------------------------------------------------------------------


def test_renewals_are_foreseen_against_the_balance(client_member: Member, log_in: LogIn) -> None:
    with time_machine.travel("2027-01-10T02:00:00+00:00", tick=False):
        lease_number(client_member, make_number(monthly="4"))
        page = text_of(log_in(client_member.user).get("/billing/forecast/"))
    assert "AUD 2.00 are missing, from 10 Mar 2027 on." in page
    assert "10 Feb 2027 +61480000001 Number rental AUD 4.00 AUD 2.00" in page
    assert "10 Mar 2027 +61480000001 Number rental AUD 4.00 AUD −2.00" in page
    assert "not covered" in page


def test_who_pays_for_clients_reads_whose_renewal_it_is(reseller: Member, log_in: LogIn) -> None:
    child = make_member(reseller.account, "Billed", terms={"method": BillingTerms.Method.BILL_TO_PARENT})
    lease_number(child)
    assert "Number rental of Billed AUD 19.00" in text_of(log_in(reseller.user).get("/billing/forecast/"))


def test_without_numbers_there_is_nothing_to_foresee(web: Client) -> None:
    assert "No renewals in the next 60 days" in text_of(web.get("/billing/forecast/"))


def test_an_account_below_sees_nothing_of_its_parents_numbers(web: Client, parents: Lease) -> None:
    assert Account.objects.filter(parent=parents.account).exists()
    assert "No numbers yet" in text_of(web.get("/numbers/"))

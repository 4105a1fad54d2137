"""The pages of KEYWORDS: the list, the form with its price and errors, one keyword, ending it, who may what."""

import re
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Membership
from accounts.services.users import create_member
from contacts.models import ContactList
from keywords.models import Keyword
from keywords.services.keywords import end_keyword
from tests.billing.services import available
from tests.cast import PASSWORD, LogIn, Member, make_client
from tests.keywords.test_services import make, own_number, switch_on
from tests.messaging.rows import amounts_in, words
from virtual_numbers.models import VirtualNumber

D = Decimal
LISTS, ADD = "/keywords/", "/keywords/add/"


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    switch_on(client_member)
    return own_number(client_member)


def entry(number: VirtualNumber, **changes: str) -> dict[str, str]:
    """The form as a person sends it."""
    return {
        "number": number.code, "word": "JOIN", "aliases": "", "starts_on": "", "ends_on": "", "first_reply": "",
        "later_reply": "", "contact_list": "", "opt_out_behaviour": "none", "forward_emails": "",
        "forward_mobiles": "", "forward_url": "", "price": "5.000000",
    } | changes  # fmt: skip


def page_of(answer) -> str:
    return words(answer.content.decode())


# --- List ----------------------------------------------------------------------------------------------------------


def test_the_page_is_for_accounts_with_keywords(client_member, reseller, log_in):
    browser = log_in(client_member.user)
    assert browser.get(LISTS).status_code == 404
    assert "KEYWORDS" not in page_of(browser.get("/settings/"))
    switch_on(client_member)
    assert browser.get(LISTS).status_code == 200
    assert "KEYWORDS" in page_of(browser.get("/settings/"))
    assert log_in(reseller.user).get(LISTS).status_code == 404
    switch_on(reseller)
    assert log_in(reseller.user).get(LISTS).status_code == 200


def test_without_a_number_the_page_says_what_comes_first(client_member, log_in):
    switch_on(client_member)
    page = log_in(client_member.user).get(LISTS).content.decode()
    assert "Keywords need a number" in page
    assert 'href="/numbers/"' in page
    assert "ADD KEYWORD" not in page
    assert log_in(client_member.user).get(ADD).status_code == 302


def test_the_list_shows_word_number_deeds_renewal_and_status(client_member, number, log_in):
    members = ContactList.objects.create(account=client_member.account, name="Members")
    make(
        client_member, number, "Café", aliases=("coffee",), first_reply="Hi", contact_list=members,
        forward_emails=("a@b.example",), forward_url="https://b.example/",
    )  # fmt: skip
    switch_on(client_member, "5", limit=3)
    page = page_of(log_in(client_member.user).get(LISTS))
    assert "1 of 3 keywords in use, AUD 5.00 a month each." in page
    assert "Café also coffee" in page
    assert "+61 480 000 001" in page
    assert "replies, adds to Members, forwards to 2" in page
    assert "22 Dec 2026" in page
    assert "Open" in page


def test_the_list_is_searched_by_word_alias_and_number_and_shows_the_ended(client_member, number, log_in):
    switch_on(client_member, "0")
    make(client_member, number, "cafe", aliases=("espresso",))
    make(client_member, number, "tea")
    end_keyword(keyword=make(client_member, number, "milk"), actor=None, now=timezone.now())
    browser = log_in(client_member.user)

    def found(query: str) -> set[str]:
        return {row.keyword.word for row in browser.get(f"{LISTS}?{query}").context["rows"]}

    assert found("") == {"cafe", "tea"}
    assert found("q=ESPR") == {"cafe"}
    assert found("q=0480") == set()
    assert found("q=80000001") == {"cafe", "tea"}
    assert found("show=ended") == {"milk"}
    assert "No keyword matches" in page_of(browser.get(f"{LISTS}?q=nothing"))


def test_a_full_account_is_told_what_to_do(client_member, number, log_in):
    make(client_member, number)
    switch_on(client_member, "5", limit=1)
    page = page_of(log_in(client_member.user).get(LISTS))
    assert "1 of 1 keyword in use" in page
    assert "To add another, end one that you do not need" in page
    assert "ADD KEYWORD" not in page


# --- Add -----------------------------------------------------------------------------------------------------------


def test_adding_a_keyword_charges_the_price_that_the_page_shows(client_member, number, log_in):
    browser = log_in(client_member.user)
    shown = browser.get(ADD).content.decode()
    assert "ADD FOR AUD 5.00" in shown
    assert 'name="price" value="5.000000"' in shown
    assert "STOPALL" in shown
    members = ContactList.objects.create(account=client_member.account, name="Members")
    answer = browser.post(
        ADD,
        entry(
            number, word="Join", aliases="enter, Entrée\nin", starts_on="2026-11-01", ends_on="2999-01-01",
            first_reply="Hi {first_name|you}", later_reply="Again", contact_list=members.code,
            forward_emails="a@b.example, c@d.example", forward_mobiles="0491 570 156", forward_url="https://b.example/",
        ),
    )  # fmt: skip
    keyword = Keyword.objects.get()
    assert answer["Location"] == f"/keywords/{keyword.code}/"
    assert available(client_member.account) == D(5)
    page = page_of(browser.get(answer["Location"]))
    for shown in (
        "Join Open", "enter, Entrée, in", "1 Nov 2026", "1 Jan 2999", "Hi {first_name|you}", "Members", "a@b.example",
        "c@d.example", "+61 491 570 156", "https://b.example/", keyword.webhook_secret, "AUD 5.00",
    ):  # fmt: skip
        assert shown in page
    assert keyword.webhook_secret not in page_of(browser.get(answer["Location"]))
    assert (keyword.word, keyword.forward_mobiles) == ("Join", ["+61491570156"])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("word", "", "Enter a word."),
        ("word", "STOP", "“STOP” is reserved"),
        ("word", "🎉", "“🎉” contains 🎉"),
        ("word", "x" * 200, "has 200 characters; a word has at most 40"),
        ("word", "join now", "“join now” is more than one word"),
        ("word", "TAKEN", "“TAKEN” already leads to the keyword taken"),
        ("aliases", "join, Jöin", "“Jöin” and “join” are the same word"),
        ("aliases", "a b", "“a b” is more than one word"),
        ("starts_on", "tomorrow", "Enter a date"),
        ("ends_on", "2020-01-01", "2020-01-01 is over; choose today"),
        ("forward_emails", "nobody", "“nobody” is not an e-mail address"),
        ("forward_mobiles", "12", "12"),
        ("forward_url", "ftp://b.example", "enter one such as https://example.com/sms"),
        ("first_reply", "x" * 1600, "The text would need 11 parts; at most 10 are possible."),
        ("later_reply", "{shoe}", "{shoe} is no merge field"),
        ("number", "NOSUCH", "This number is not yours any more"),
        ("contact_list", "NOSUCH", "This list is gone"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(client_member, number, log_in, field, value, said):
    make(client_member, number, "taken")
    before = available(client_member.account)
    typed = entry(number, later_reply="kept as typed") | {field: value}
    answer = log_in(client_member.user).post(ADD, typed)
    assert answer.status_code == 200
    assert any(said in error for error in answer.context["form"].errors[field])
    html = answer.content.decode()
    assert field == "later_reply" or "kept as typed" in html
    assert 'aria-invalid="true"' in re.search(rf'<[^>]*id="id_{field}"[^>]*>', html)[0]
    assert available(client_member.account) == before
    assert Keyword.objects.count() == 1


def test_an_end_before_the_start_is_refused(client_member, number, log_in):
    days = {"starts_on": "2999-02-01", "ends_on": "2999-01-31"}
    answer = log_in(client_member.user).post(ADD, entry(number, **days))
    assert answer.context["form"].errors["ends_on"] == [
        "2999-01-31 is before the start date, 2999-02-01; choose that day or a later one."
    ]


def test_a_keyword_that_opts_out_neither_answers_nor_lists(client_member, number, log_in):
    members = ContactList.objects.create(account=client_member.account, name="Members")
    typed = entry(number, opt_out_behaviour="opt_out", first_reply="Bye", contact_list=members.code)
    errors = log_in(client_member.user).post(ADD, typed).context["form"].errors
    assert set(errors) == {"first_reply", "contact_list"}
    assert "Whoever was opted out is never sent to." in errors["first_reply"][0]


def test_a_number_that_only_receives_takes_no_replies(client_member, number, log_in):
    VirtualNumber.objects.filter(pk=number.pk).update(capabilities=["sms_in"])
    typed = entry(number, first_reply="Hi", forward_mobiles="0491 570 156", forward_emails="a@b.example")
    errors = log_in(client_member.user).post(ADD, typed).context["form"].errors
    assert set(errors) == {"first_reply", "forward_mobiles"}
    assert "+61480000001 cannot send, so no replies are possible." in errors["first_reply"][0]


def test_too_little_money_is_said_with_the_way_to_more(client_member, number, log_in):
    switch_on(client_member, "10.01")
    answer = log_in(client_member.user).post(ADD, entry(number, price="10.010000"))
    page = page_of(answer)
    assert "This costs AUD 10.01 now and your balance is AUD 10.00: AUD 0.01 are missing." in page
    assert "ADD CREDIT and come back" in page
    assert not Keyword.objects.exists()


def test_a_price_that_changed_meanwhile_is_shown_anew_and_not_charged(client_member, number, log_in):
    switch_on(client_member, "6")
    answer = log_in(client_member.user).post(ADD, entry(number))
    page = page_of(answer)
    assert "A keyword costs AUD 6.00 a month now, not AUD 5.00." in page
    assert "ADD FOR AUD 6.00" in page
    assert available(client_member.account) == D(10)


def test_an_account_billed_to_its_parent_reads_no_amount(reseller, billed_member, log_in):
    switch_on(billed_member, "5")
    number = own_number(billed_member)
    browser = log_in(billed_member.user)
    assert amounts_in(browser.get(ADD).content.decode()) == []
    answer = browser.post(ADD, {name: value for name, value in entry(number).items() if name != "price"})
    assert answer.status_code == 302
    assert available(reseller.account) == D(99)
    for path in (LISTS, answer["Location"], f"{answer['Location']}edit/", f"{answer['Location']}end/"):
        assert amounts_in(browser.get(path).content.decode()) == []


def test_a_parent_without_money_is_not_named_to_the_client(reseller, log_in):
    poor = make_client(
        reseller, "Poor", method="bill_to_parent", minimum_topup=None, daily_topup_limit=None, sms_margin=D(0)
    )  # fmt: skip
    switch_on(poor, "1000")
    number = own_number(poor)
    page = log_in(poor.user).post(ADD, entry(number, price="")).content.decode()
    assert "This cannot be paid for at the moment." in page
    assert amounts_in(page) == []


# --- Change, close, end --------------------------------------------------------------------------------------------


def test_the_form_of_a_keyword_starts_with_what_it_has(client_member, number, log_in):
    keyword = make(
        client_member, number, aliases=("enter", "in"), later_reply="Again", forward_emails=("a@b.example",),
        opt_out_behaviour="opt_in",
    )  # fmt: skip
    browser, path = log_in(client_member.user), f"/keywords/{keyword.code}/edit/"
    form = browser.get(path).context["form"]
    assert {name: form[name].value() for name in ("aliases", "later_reply", "forward_emails", "opt_out_behaviour")} == {
        "aliases": "enter, in", "later_reply": "Again", "forward_emails": "a@b.example", "opt_out_behaviour": "opt_in",
    }  # fmt: skip
    answer = browser.post(path, entry(number, aliases="enter, inside", forward_url="https://b.example/"))
    assert answer["Location"] == f"/keywords/{keyword.code}/"
    page = page_of(browser.get(answer["Location"]))
    assert "enter, inside" in page
    assert Keyword.objects.get().webhook_secret in page
    assert available(client_member.account) == D(5)
    assert "“STOP” is reserved" in page_of(browser.post(path, entry(number, aliases="STOP")))


def test_a_past_end_date_stays_editable(client_member, number, log_in):
    keyword = make(client_member, number)
    Keyword.objects.filter(pk=keyword.pk).update(ends_on="2026-01-01")
    browser = log_in(client_member.user)
    assert "Its last day is over" in page_of(browser.get(f"/keywords/{keyword.code}/"))
    assert browser.post(f"/keywords/{keyword.code}/edit/", entry(number, ends_on="2026-01-01")).status_code == 302


def test_close_open_and_end(client_member, number, log_in):
    keyword = make(client_member, number)
    browser, path = log_in(client_member.user), f"/keywords/{keyword.code}/"
    assert "JOIN is closed: it answers nobody" in page_of(browser.post(f"{path}close/", follow=True))
    assert "JOIN is open again" in page_of(browser.post(f"{path}open/", follow=True))
    assert "It is not renewed on 22 Dec 2026" in page_of(browser.get(f"{path}end/"))
    assert Keyword.objects.get().ended_at is None
    assert "JOIN has ended; its words are free again" in page_of(browser.post(f"{path}end/", follow=True))
    for name in ("close", "open", "secret"):
        assert "has ended; nothing about it can be changed" in page_of(browser.post(f"{path}{name}/", follow=True))
    for name in ("end", "edit"):
        assert "has ended; nothing about it can be changed" in page_of(browser.get(f"{path}{name}/", follow=True))
    assert "CLOSE" not in page_of(browser.get(path))


def test_a_new_secret_is_shown_once(client_member, number, log_in):
    keyword = make(client_member, number, forward_url="https://b.example/")
    browser = log_in(client_member.user)
    page = page_of(browser.post(f"/keywords/{keyword.code}/secret/", follow=True))
    new = Keyword.objects.get().webhook_secret
    assert new != keyword.webhook_secret
    assert new in page
    assert new not in page_of(browser.get(f"/keywords/{keyword.code}/"))


# --- Who may what --------------------------------------------------------------------------------------------------


def test_another_tenants_keyword_does_not_exist(reseller, client_member, number, log_in):
    keyword = make(client_member, number)
    switch_on(reseller)
    browser = log_in(reseller.user)
    for name in ("", "edit/", "end/"):
        assert browser.get(f"/keywords/{keyword.code}/{name}").status_code == 404
    for name in ("edit/", "end/", "close/", "open/", "secret/"):
        assert browser.post(f"/keywords/{keyword.code}/{name}", entry(number)).status_code == 404
    answer = browser.post(ADD, entry(number))
    assert answer.status_code == 302  # the reseller holds no number
    own_number(reseller, "+61480000009")
    refused = browser.post(ADD, entry(number)).context["form"].errors["number"]
    assert refused == ["This number is not yours any more; choose another one."]
    assert Keyword.objects.get().ended_at is None
    assert list(AuditEntry.objects.filter(action__startswith="keyword.").values_list("action", flat=True)) == [
        "keyword.started"
    ]


@pytest.mark.parametrize("role", [role for role in Membership.Role if role != Membership.Role.OWNER])
def test_roles_below_owner(client_member, number, log_in: LogIn, role):
    keyword = make(client_member, number, forward_url="https://b.example/")
    person = create_member(
        account=client_member.account, email=f"{role}@test.example", name="P", password=PASSWORD, actor=None, role=role
    )
    browser, path = log_in(person), f"/keywords/{keyword.code}/"
    may_edit = role == Membership.Role.SENDER
    assert browser.get(LISTS).status_code == browser.get(path).status_code == 200
    assert browser.get("/keywords/tester/").status_code == 200
    assert (browser.get(f"{path}edit/").status_code == 200) is may_edit
    assert (browser.post(f"{path}close/").status_code == 302) is may_edit
    for refused in (ADD, f"{path}end/"):
        assert browser.get(refused).status_code == 403
        assert browser.post(refused, entry(number, word="other")).status_code == 403
    assert browser.post(f"{path}secret/").status_code == 403
    assert Keyword.objects.get().webhook_secret == keyword.webhook_secret
    assert f'href="{path}end/"' not in browser.get(path).content.decode()

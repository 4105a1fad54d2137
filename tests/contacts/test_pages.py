"""CONTACTS in the browser's eyes, without JavaScript (contacts/views)."""

import re
from datetime import UTC, datetime

import pytest

from accounts.models import Membership
from contacts.models import Contact, ContactList, ListMember, OptOut
from contacts.selectors import opted_out_among
from contacts.services.lists import Person, add_people, create_list
from contacts.services.opt_outs import opt_in, opt_out
from tests.cast import LogIn, Member
from tests.messaging.rows import words

CHANGES = re.compile(r'(?:href|action)="/contacts/[^"]*(?:add|numbers|rename|remove|delete|edit|opt-in)/')
ANNA, BEN, CLEO = "+61412345678", "+61412345679", "+61412345680"


@pytest.fixture
def team(client_member: Member) -> ContactList:
    """A list with Anna and Ben."""
    made = create_list(account=client_member.account, name="Team", actor=client_member.user)
    people = [Person(ANNA, "Anna", "Smith"), Person(BEN, "Ben")]
    add_people(contact_list=made, people=people, source="by hand", actor=client_member.user)
    return made


def contact(number: str) -> Contact:
    return Contact.objects.get(number=number)


def test_a_list_is_made_filled_renamed_and_deleted(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    assert "No lists yet" in browser.get("/contacts/").content.decode()
    made = browser.post("/contacts/lists/add/", {"name": "  My   team "})
    team = ContactList.objects.get()
    assert (team.name, made["Location"]) == ("My team", f"/contacts/lists/{team.code}/numbers/")

    filled = browser.post(made["Location"], {"people": "0412 345 678, Anna\n0412345679"}, follow=True)
    assert "2 added to My team." in filled.content.decode()
    again = browser.post(made["Location"], {"people": "0412 345 678"}, follow=True)
    assert "0 added to My team. 1 was on it already." in again.content.decode()

    browser.post(f"/contacts/lists/{team.code}/rename/", {"name": "Crew"})
    assert "Crew 2 " in words(browser.get("/contacts/").content.decode())
    asked = words(browser.get(f"/contacts/lists/{team.code}/delete/").content.decode())
    assert "who is on it: 2 contacts. They stay among your contacts" in asked
    assert ContactList.objects.exists()
    browser.post(f"/contacts/lists/{team.code}/delete/")
    assert not ContactList.objects.exists()
    assert Contact.objects.count() == 2


def test_lines_with_a_problem_come_back_while_the_others_are_added(
    client_member: Member, team: ContactList, log_in: LogIn
):
    pasted = "0412345680, Cleo\nnobody\n\n02 9374 4000 <b>\n0412345678"
    response = log_in(client_member.user).post(f"/contacts/lists/{team.code}/numbers/", {"people": pasted})

    assert response.status_code == 200
    assert response.context["form"]["people"].value() == "nobody\n02 9374 4000 <b>"
    page = words(response.content.decode())
    assert "2 lines could not be added They are still in the box." in page
    assert "Line 2, nobody : Contains letters; a number has digits only." in page
    assert "1 added to Team. 1 was on it already." in page
    assert "Line 4, 02 9374 4000 &lt;b&gt; : Contains letters" in page
    assert "<b>" not in response.content.decode()
    assert contact(CLEO).first_name == "Cleo"


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ("", "Enter at least one number."),
        (" , ;\n", "Enter at least one number."),
        ("0412345678\n" * 10_001, "There are 10,001 lines; at most 10,000 can be added at once."),
    ],
)
def test_what_cannot_be_pasted_is_said_at_the_field(
    client_member: Member, team: ContactList, log_in: LogIn, people: str, sentence: str
):
    response = log_in(client_member.user).post(f"/contacts/lists/{team.code}/numbers/", {"people": people})
    assert sentence in " ".join(response.context["form"].errors["people"])
    assert ListMember.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "Enter a name for the list, such as Customers."),
        ("Team", "There is another list named Team; choose a name that no other list has."),
        ("x" * 61, "The name has 61 characters; at most 60 are possible. Shorten it."),
    ],
)
def test_a_lists_name_is_refused_with_words(
    client_member: Member, team: ContactList, log_in: LogIn, name: str, sentence: str
):
    browser = log_in(client_member.user)
    other = create_list(account=client_member.account, name="Other", actor=None)
    for path in ("/contacts/lists/add/", f"/contacts/lists/{other.code}/rename/"):
        response = browser.post(path, {"name": name})
        assert response.context["form"].errors["name"] == [sentence]
        assert response.context["form"]["name"].value() == name
    assert "Rename Other" in response.content.decode()
    assert sorted(ContactList.objects.values_list("name", flat=True)) == ["Other", "Team"]


def test_members_are_paged_and_searched(client_member: Member, team: ContactList, log_in: LogIn):
    numbers = [f"+614{20_000_000 + index}" for index in range(118)]
    add_people(contact_list=team, people=[Person(one) for one in numbers], source="", actor=None)
    browser, path = log_in(client_member.user), f"/contacts/lists/{team.code}/"
    seen, address = [], path
    while address:
        response = browser.get(address)
        seen += [member.contact.number for member in response.context["page"].rows]
        older = response.context["page"].older
        address = f"{path}?before={older}" if older else ""
    assert seen == [*reversed(numbers), BEN, ANNA]

    last = response.context["page"]
    assert [len(last.rows), last.newer is not None] == [20, True]
    back = browser.get(f"{path}?after={last.newer}").context["page"]
    assert [member.contact.number for member in back.rows] == seen[50:100]

    def found(search: str) -> list[str]:
        page = browser.get(path, {"q": search}).context["page"]
        return [member.contact.number for member in page.rows]

    assert found("0412 345 678") == [ANNA]
    assert found("345679") == [BEN]
    assert found("smith ann") == [ANNA]
    assert found("nobody") == []
    assert "Nobody on this list has such a number or name." in browser.get(path, {"q": "nobody"}).content.decode()
    assert len(browser.get(path, {"before": "x' OR 1=1", "after": "-5"}).context["page"].rows) == 50
    assert len(browser.get(path, {"before": "9" * 19}).context["page"].rows) == 50


def test_a_page_of_a_long_list_asks_a_fixed_number_of_queries(
    client_member: Member, team: ContactList, log_in: LogIn, django_assert_max_num_queries
):
    browser, path = log_in(client_member.user), f"/contacts/lists/{team.code}/"
    with django_assert_max_num_queries(30) as few:
        browser.get(path)
    add_people(
        contact_list=team, people=[Person(f"+614{20_000_000 + index}") for index in range(60)], source="", actor=None
    )
    with django_assert_max_num_queries(len(few)):
        assert len(browser.get(path).context["page"].rows) == 50


def test_removing_takes_a_contact_off_one_list(client_member: Member, team: ContactList, log_in: LogIn):
    browser = log_in(client_member.user)
    browser.post(f"/contacts/lists/{team.code}/remove/{contact(BEN).code}/")
    assert [member.contact.number for member in ListMember.objects.all()] == [ANNA]
    assert BEN in [row.number for row in browser.get("/contacts/people/").context["page"].rows]


def test_a_contacts_page_tells_its_fields_lists_and_history(client_member: Member, team: ContactList, log_in: LogIn):
    browser, path = log_in(client_member.user), f"/contacts/people/{contact(ANNA).code}/"
    edited = browser.post(
        f"{path}edit/",
        {"first_name": "Anna", "last_name": "Jones", "fields_text": "City: Ulm\n\nsize = L"},
        follow=True,
    )
    assert contact(ANNA).fields == {"city": "Ulm", "size": "L"}
    page = words(edited.content.decode())
    assert "Last name Jones city Ulm size L" in page
    assert "Yes: this number has not opted out." in page

    opt_out(account=client_member.account, number=ANNA, source="reply", detail="Stop it")
    OptOut.objects.update(created_at=datetime(2026, 11, 20, 3, 5, tzinfo=UTC))
    page = words(browser.get(path).content.decode())
    assert "No. Opted out 20 Nov 2026, 14:05 , reply from the phone: “Stop it”." in page
    opt_in(account=client_member.account, number=ANNA, reason="asked by mail", actor=client_member.user)
    events = [(event.what, event.detail) for event in browser.get(path).context["history"]]
    assert events == [
        ("Opted in again by Client", "asked by mail"),
        ("Added to Team", "by hand"),
        ("Became a contact", ""),
        ("Opted out: reply from the phone", "Stop it"),
    ]


def test_bad_fields_are_named_by_line_and_nothing_is_lost(client_member: Member, team: ContactList, log_in: LogIn):
    typed = f"Sydney\nfirst_name: x\ncity: a\ncity: b\nnote: {'x' * 161}"
    path = f"/contacts/people/{contact(ANNA).code}/edit/"
    response = log_in(client_member.user).post(path, {"first_name": "A", "fields_text": typed})
    form = response.context["form"]
    assert form.errors["fields_text"] == [
        "Line 1: “Sydney” is no name and value; write it as city: Sydney.",
        "Line 2: first_name is a field that every contact has; choose another name.",
        "Line 4: city stands there twice; keep one of them.",
        "Line 5: The value of note has 161 characters; at most 160 are possible.",
    ]
    assert form["fields_text"].value() == typed
    assert (contact(ANNA).first_name, contact(ANNA).fields) == ("Anna", {})


def test_deleting_a_contact_asks_first(client_member: Member, team: ContactList, log_in: LogIn):
    browser, path = log_in(client_member.user), f"/contacts/people/{contact(ANNA).code}/delete/"
    opt_out(account=client_member.account, number=ANNA, source="reply")
    assert "This person opted out. That stays" in browser.get(path).content.decode()
    assert Contact.objects.count() == 2
    browser.post(path)
    assert [one.number for one in Contact.objects.all()] == [BEN]
    assert opted_out_among(client_member.account, [ANNA]) == {ANNA}


def test_an_opt_out_is_added_by_hand_and_found_again(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    assert "Nobody has opted out" in browser.get("/contacts/opt-outs/").content.decode()
    answer = browser.post("/contacts/opt-outs/add/", {"number": "0412 345 678", "detail": ""}, follow=True)
    assert "+61412345678 is opted out: nothing is sent to it any more." in answer.content.decode()
    found = OptOut.objects.get()
    assert (found.number, found.source, found.detail) == (ANNA, "person", "Entered by Client")
    again = browser.post("/contacts/opt-outs/add/", {"number": ANNA}, follow=True)
    assert "+61412345678 was opted out already." in again.content.decode()

    assert browser.get("/contacts/opt-outs/", {"q": "0412345678"}).context["page"].rows == [found]
    assert browser.get("/contacts/opt-outs/", {"q": "99999"}).context["page"].rows == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("", "Enter the number that opted out."),
        ("nobody", "nobody: Contains letters; a number has digits only."),
        ("02 9374 4000", "02 9374 4000: This is a fixed line, not a mobile number."),
    ],
)
def test_a_bad_number_opts_nobody_out(client_member: Member, log_in: LogIn, number: str, sentence: str):
    response = log_in(client_member.user).post("/contacts/opt-outs/add/", {"number": number, "detail": "By mail"})
    assert response.context["form"].errors["number"] == [sentence]
    assert response.context["form"]["detail"].value() == "By mail"
    assert not OptOut.objects.exists()


def test_an_opt_in_says_what_it_means_and_asks_for_the_persons_word(
    client_member: Member, team: ContactList, log_in: LogIn
):
    opt_out(account=client_member.account, number=ANNA, source="reply", detail="Stop it")
    opt_out(account=client_member.account, number=BEN, source="reply")
    browser, path = log_in(client_member.user), f"/contacts/opt-outs/{OptOut.objects.get(number=ANNA).code}/opt-in/"
    page = words(browser.get(path).content.decode())
    assert "Anna Smith opted out" in page
    assert "messages to this one number are sent again, from every list that it is on" in page

    refused = browser.post(path, {"reason": ""})
    assert set(refused.context["form"].errors) == {"reason", "is_confirmed"}
    assert opted_out_among(client_member.account, [ANNA, BEN]) == {ANNA, BEN}
    browser.post(path, {"reason": "signed at the counter", "is_confirmed": "on"})
    assert opted_out_among(client_member.account, [ANNA, BEN]) == {BEN}
    ended = browser.get("/contacts/opt-outs/", {"all": "1"})
    assert "signed at the counter" in ended.content.decode()
    assert [row.number for row in browser.get("/contacts/opt-outs/").context["page"].rows] == [BEN]
    assert browser.get(path)["Location"] == "/contacts/opt-outs/"


def test_viewers_look_and_change_nothing(client_member: Member, team: ContactList, log_in: LogIn):
    opt_out(account=client_member.account, number=ANNA, source="reply")
    browser, person = log_in(client_member.user), contact(ANNA).code
    lists, people, opt_outs = f"/contacts/lists/{team.code}/", f"/contacts/people/{person}/", "/contacts/opt-outs/"
    for path in ("/contacts/", lists, people, opt_outs):
        assert CHANGES.search(browser.get(path).content.decode()), path
    Membership.objects.filter(user=client_member.user).update(role="viewer")
    for path in ("/contacts/", lists, "/contacts/people/", people, opt_outs):
        page = browser.get(path)
        assert page.status_code == 200
        assert not CHANGES.search(page.content.decode()), path
    code = OptOut.objects.get().code
    for path, data in [
        ("/contacts/lists/add/", {"name": "New"}),
        (f"{lists}numbers/", {"people": CLEO}),
        (f"{lists}rename/", {"name": "New"}),
        (f"{lists}delete/", {}),
        (f"{lists}remove/{person}/", {}),
        (f"{people}edit/", {"first_name": "X"}),
        (f"{people}delete/", {}),
        (f"{opt_outs}add/", {"number": BEN}),
        (f"{opt_outs}{code}/opt-in/", {"reason": "x", "is_confirmed": "on"}),
    ]:
        assert browser.post(path, data).status_code == 403, path
    assert [team.name for team in ContactList.objects.all()] == ["Team"]
    assert (Contact.objects.count(), ListMember.objects.count(), contact(ANNA).first_name) == (2, 2, "Anna")
    assert opted_out_among(client_member.account, [ANNA, BEN]) == {ANNA}


def test_nobody_else_reaches_or_changes_them(client_member: Member, reseller: Member, team: ContactList, log_in: LogIn):
    opt_out(account=client_member.account, number=ANNA, source="reply")
    browser, person = log_in(reseller.user), contact(ANNA).code
    own = create_list(account=reseller.account, name="Own", actor=None)
    for path, data in [
        (f"/contacts/lists/{team.code}/numbers/", {"people": CLEO}),
        (f"/contacts/lists/{team.code}/rename/", {"name": "Mine"}),
        (f"/contacts/lists/{team.code}/delete/", {}),
        (f"/contacts/lists/{team.code}/remove/{person}/", {}),
        (f"/contacts/lists/{own.code}/remove/{person}/", {}),
        (f"/contacts/people/{person}/edit/", {"first_name": "X"}),
        (f"/contacts/people/{person}/delete/", {}),
        (f"/contacts/opt-outs/{OptOut.objects.get().code}/opt-in/", {"reason": "x", "is_confirmed": "on"}),
    ]:
        assert browser.post(path, data).status_code == 404, path
    assert browser.get("/contacts/people/").context["page"].rows == []
    assert browser.get("/contacts/opt-outs/").context["page"].rows == []
    assert (ListMember.objects.count(), contact(ANNA).first_name) == (2, "Anna")
    assert opted_out_among(client_member.account, [ANNA]) == {ANNA}

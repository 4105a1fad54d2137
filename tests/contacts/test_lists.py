"""Lists: making, filling, renaming, deleting them (contacts/services/lists.py)."""

import pytest

from accounts.models import AuditEntry
from contacts.exceptions import BadNumber, NameTaken
from contacts.models import Contact, ContactList, ListMember
from contacts.selectors import field_names, lists_of, members_of, numbers_on
from contacts.services.contacts import delete_contact, update_contact
from contacts.services.lists import (
    Person,
    add_people,
    add_to_list,
    create_list,
    delete_list,
    remove_from_list,
    rename_list,
)
from contacts.services.opt_outs import opt_out
from tests.cast import Member

ANNA, BEN, CLEO = "+61412345678", "+61412345679", "+61412345680"


def make_list(member: Member, name: str = "Team", *numbers: str) -> ContactList:
    made = create_list(account=member.account, name=name, actor=member.user)
    add_people(contact_list=made, people=[Person(number) for number in numbers], source="by hand", actor=member.user)
    return made


def names_of(member: Member) -> list[tuple[str, str, str]]:
    rows = Contact.objects.filter(account=member.account).order_by("number")
    return list(rows.values_list("number", "first_name", "last_name"))


def test_adding_makes_the_contact_once_and_puts_it_on_the_list_once(client_member: Member):
    team = make_list(client_member)
    assert add_to_list(contact_list=team, number=ANNA, source="keyword JOIN", fields={"first_name": "Anna"})
    assert not add_to_list(
        contact_list=team, number=ANNA, source="by hand", fields={"first_name": "Ann", "city": "Ulm"}
    )

    contact = Contact.objects.get()
    assert (contact.account, contact.number, contact.first_name) == (client_member.account, ANNA, "Anna")
    assert contact.fields == {"city": "Ulm"}
    assert ListMember.objects.get().source == "keyword JOIN"
    assert add_to_list(contact_list=make_list(client_member, "Other"), number=ANNA, source="by hand")
    assert Contact.objects.count() == 1


def test_what_a_keyword_brings_overwrites_nothing(client_member: Member):
    team = make_list(client_member)
    add_to_list(contact_list=team, number=ANNA, source="", fields={"last_name": "Smith", "city": "Ulm"})
    add_to_list(contact_list=team, number=ANNA, source="", fields={"last_name": "Jones", "city": "Bonn", "size": "L"})
    contact = Contact.objects.get()
    assert (contact.last_name, contact.fields) == ("Smith", {"city": "Ulm", "size": "L"})


def test_many_are_added_at_once_with_names_where_none_are_known(client_member: Member):
    team = make_list(client_member, "Team", ANNA)
    people = [Person(ANNA, "Anna"), Person(BEN, "Ben", "Jones"), Person(BEN, "Benjamin"), Person(CLEO)]
    assert add_people(contact_list=team, people=people, source="by hand", actor=client_member.user) == 2
    assert add_people(contact_list=team, people=[Person(ANNA, "Ann", "Smith")], source="", actor=None) == 0

    assert names_of(client_member) == [(ANNA, "Anna", "Smith"), (BEN, "Ben", "Jones"), (CLEO, "", "")]
    assert lists_of(client_member.account).get().size == 3
    entry = AuditEntry.objects.filter(action="list.members_added").order_by("pk")[1]
    assert (entry.subject, entry.data) == (team.code, {"members": 2})


def test_ten_thousand_are_added_in_few_statements(client_member: Member, django_assert_max_num_queries):
    team = make_list(client_member)
    people = [Person(f"+614{10_000_000 + index}", f"Name {index}") for index in range(10_000)]
    with django_assert_max_num_queries(14):
        assert add_people(contact_list=team, people=people, source="by hand", actor=None) == 10_000
    assert len(numbers_on(client_member.account, [team], 20_000)) == 10_000


@pytest.mark.parametrize("number", ["12345", "Shop", ""])
def test_a_number_that_is_none_is_refused_and_nobody_is_added(client_member: Member, number: str):
    team = make_list(client_member)
    with pytest.raises(BadNumber):
        add_to_list(contact_list=team, number=number, source="by hand")
    with pytest.raises(BadNumber):
        add_people(contact_list=team, people=[Person(ANNA), Person(number)], source="by hand", actor=None)
    assert not Contact.objects.exists()


def test_the_same_numbers_pasted_at_once_are_added_once(committed_db, client_member: Member, run_together):
    team, other = make_list(client_member, "Team"), make_list(client_member, "Other")
    people = [Person(f"+614{10_000_000 + index}") for index in range(500)]

    def paste(index: int) -> int:
        mixed = people if index % 2 else people[::-1]
        return add_people(contact_list=other if index % 3 else team, people=mixed, source="", actor=None)

    added = run_together(6, paste)
    assert [one for one in added if isinstance(one, Exception)] == []
    assert sum(added) == 1000
    assert (Contact.objects.count(), ListMember.objects.count()) == (500, 1000)


def test_one_name_is_one_list(client_member: Member, reseller: Member):
    team = make_list(client_member, "Team")
    other = make_list(client_member, "Other")
    with pytest.raises(NameTaken, match="another list named Team; choose a name"):
        create_list(account=client_member.account, name="Team", actor=None)
    with pytest.raises(NameTaken):
        rename_list(contact_list=other, name="Team", actor=None)
    assert other.name == "Other"
    rename_list(contact_list=other, name="Friends", actor=client_member.user)
    create_list(account=reseller.account, name="Team", actor=None)
    assert [one.name for one in lists_of(client_member.account)] == ["Friends", "Team"]
    assert AuditEntry.objects.get(action="list.renamed").data == {"before": "Other", "after": "Friends"}
    assert team.name == "Team"


def test_a_deleted_list_leaves_its_contacts_and_opt_outs(client_member: Member):
    team = make_list(client_member, "Team", ANNA, BEN)
    opt_out(account=client_member.account, number=ANNA, source="reply")
    delete_list(contact_list=team, actor=client_member.user)

    assert not ContactList.objects.exists()
    assert not ListMember.objects.exists()
    assert Contact.objects.count() == 2
    assert AuditEntry.objects.get(action="list.deleted").data == {"name": "Team", "members": 2}
    again = make_list(client_member, "Team", ANNA)
    assert [member.is_opted_out for member in members_of(again)] == [True]


def test_leaving_a_list_is_no_opt_out_and_no_loss(client_member: Member):
    team, contact = make_list(client_member, "Team", ANNA), Contact.objects.get()
    assert remove_from_list(contact_list=team, contact=contact, actor=client_member.user)
    assert not remove_from_list(contact_list=team, contact=contact, actor=client_member.user)
    assert (ListMember.objects.count(), Contact.objects.count()) == (0, 1)
    assert AuditEntry.objects.filter(action="list.member_removed").count() == 1


def test_numbers_on_several_lists_come_once_and_only_the_accounts_own(client_member: Member, reseller: Member):
    team, friends = make_list(client_member, "Team", ANNA, BEN), make_list(client_member, "Friends", BEN, CLEO)
    theirs = make_list(reseller, "Theirs", "+61412000000")
    account = client_member.account
    assert numbers_on(account, [team, friends], 10) == [ANNA, BEN, CLEO]
    assert numbers_on(account, [team, friends], 2) == [ANNA, BEN]
    assert numbers_on(account, [theirs], 10) == []
    assert numbers_on(account, [], 10) == []


def test_a_changed_contact_keeps_the_trail_free_of_its_data(client_member: Member):
    make_list(client_member, "Team", ANNA)
    contact = Contact.objects.get()
    values = {"first_name": "Anna", "last_name": "", "fields": {"city": "Ulm"}}
    update_contact(contact=contact, actor=client_member.user, **values)
    update_contact(contact=contact, actor=client_member.user, **values)

    assert field_names(client_member.account) == ["city"]
    entry = AuditEntry.objects.get(action="contact.updated")
    assert (entry.subject, entry.data) == (contact.code, {"changed": ["first_name", "fields"]})


def test_a_deleted_contact_stays_opted_out(client_member: Member):
    team = make_list(client_member, "Team", ANNA)
    opt_out(account=client_member.account, number=ANNA, source="reply")
    delete_contact(contact=Contact.objects.get(), actor=client_member.user)
    add_to_list(contact_list=team, number=ANNA, source="by hand")
    assert members_of(team).get().is_opted_out

"""Lists and who is on them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from contacts.exceptions import NameTaken
from contacts.models import Contact, ContactList, ListMember
from contacts.services.opt_outs import check_number

NAME_FIELDS = ("first_name", "last_name")
MAX_VALUE = 160  # characters of one merge field's value: what one SMS can hold
MAX_NAME = 60

_ADD_MEMBERS = """
    INSERT INTO contacts_listmember (contact_list_id, contact_id, source, added_at)
    SELECT %s, id, %s, %s FROM contacts_contact WHERE account_id = %s AND number = ANY(%s) ORDER BY id
    ON CONFLICT (contact_list_id, contact_id) DO NOTHING
"""
# Fills names only where the contact has none: whoever typed one before knew the person.
_NAME_CONTACTS = """
    UPDATE contacts_contact c
    SET first_name = coalesce(nullif(c.first_name, ''), given.first),
        last_name = coalesce(nullif(c.last_name, ''), given.last)
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS given(number, first, last)
    WHERE c.account_id = %s AND c.number = given.number AND (c.first_name = '' OR c.last_name = '')
"""


# --- The lists themselves ------------------------------------------------------------------------------------------


def create_list(*, account: Account, name: str, actor: User | None) -> ContactList:
    """Make an empty list. Raises NameTaken."""
    try:
        with transaction.atomic():
            made = ContactList.objects.create(account=account, name=name)
            audit.record(account=account, actor=actor, action="list.created", subject=made.code, name=name)
    except IntegrityError as error:
        raise _taken(name, error) from error
    return made


def rename_list(*, contact_list: ContactList, name: str, actor: User | None) -> None:
    """Give a list another name. Raises NameTaken."""
    before, contact_list.name = contact_list.name, name
    try:
        with transaction.atomic():
            contact_list.save(update_fields=["name"])
            audit.record(
                account=contact_list.account, actor=actor, action="list.renamed", subject=contact_list.code,
                before=before, after=name,
            )  # fmt: skip
    except IntegrityError as error:
        contact_list.name = before
        raise _taken(name, error) from error


@transaction.atomic
def delete_list(*, contact_list: ContactList, actor: User | None) -> None:
    """Delete a list. Its contacts stay contacts, and whoever opted out stays opted out."""
    audit.record(
        account=contact_list.account, actor=actor, action="list.deleted", subject=contact_list.code,
        name=contact_list.name, members=contact_list.members.count(),
    )  # fmt: skip
    contact_list.delete()


def _taken(name: str, error: IntegrityError) -> Exception:
    if "one_list_a_name" not in str(error):
        return error
    return NameTaken(f"There is another list named {name}; choose a name that no other list has.")


# --- Members -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """Someone to put on a list: a number (E.164) and a name, each part of which may be empty."""

    number: str
    first_name: str = ""
    last_name: str = ""


@transaction.atomic
def add_to_list(*, contact_list: ContactList, number: str, source: str, fields: dict[str, str] | None = None) -> bool:
    """Put ``number`` (E.164) on a list; False when it was on it already. The contact is made when the account has none.

    ``source`` says how it came there ("by hand", "keyword JOIN"). ``fields`` are merge fields: first_name, last_name
    or any other; they fill what the contact does not have yet and overwrite nothing. Raises BadNumber.
    """
    check_number(number)
    contact, _ = Contact.objects.get_or_create(account_id=contact_list.account_id, number=number)
    if fields:
        _fill(contact, fields)
    _, is_new = ListMember.objects.get_or_create(
        contact_list=contact_list, contact=contact, defaults={"source": source[:60]}
    )
    return is_new


def _fill(contact: Contact, fields: dict[str, str]) -> None:
    names = {name: value[:MAX_NAME] for name, value in fields.items() if name in NAME_FIELDS}
    missing = {name: value for name, value in names.items() if not getattr(contact, name)}
    for name, value in missing.items():
        setattr(contact, name, value)
    others = {name: value[:MAX_VALUE] for name, value in fields.items() if name not in NAME_FIELDS}
    contact.fields = others | contact.fields
    contact.save(update_fields=[*missing, "fields"])


@transaction.atomic
def add_people(*, contact_list: ContactList, people: Collection[Person], source: str, actor: User | None) -> int:
    """Put many on a list in a few statements; returns how many were not on it before. Raises BadNumber for the first.

    Contacts are made where the account has none, and get the name where they have none.
    """
    known: dict[str, Person] = {}
    for person in people:
        check_number(person.number)
        known.setdefault(person.number, person)
    account = contact_list.account
    # In one order for everybody: two that add the same new numbers must not wait for each other.
    made = [
        Contact(account=account, number=one.number, first_name=one.first_name, last_name=one.last_name)
        for one in sorted(known.values(), key=lambda one: one.number)
    ]
    Contact.objects.bulk_create(made, ignore_conflicts=True, batch_size=2000)
    with connection.cursor() as cursor:
        _name(cursor, account, known.values())
        cursor.execute(_ADD_MEMBERS, [contact_list.pk, source[:60], timezone.now(), account.pk, list(known)])
        added: int = cursor.rowcount
    audit.record(account=account, actor=actor, action="list.members_added", subject=contact_list.code, members=added)
    return added


def _name(cursor: CursorWrapper, account: Account, people: Iterable[Person]) -> None:
    named = [person for person in people if person.first_name or person.last_name]
    if named:
        numbers, first, last = zip(*((one.number, one.first_name, one.last_name) for one in named), strict=True)
        cursor.execute(_NAME_CONTACTS, [list(numbers), list(first), list(last), account.pk])


@transaction.atomic
def remove_from_list(*, contact_list: ContactList, contact: Contact, actor: User | None) -> bool:
    """Take a contact off a list; False when it is not on it. It stays a contact."""
    count, _ = ListMember.objects.filter(contact_list=contact_list, contact=contact).delete()
    if count:
        audit.record(
            account=contact_list.account, actor=actor, action="list.member_removed", subject=contact_list.code,
            contact=contact.code,
        )  # fmt: skip
    return bool(count)

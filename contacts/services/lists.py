"""Lists and who is on them."""

from django.db import transaction

from contacts.models import Contact, ContactList, ListMember
from contacts.services.opt_outs import check_number

NAME_FIELDS = ("first_name", "last_name")


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
    names = {name: value[:60] for name, value in fields.items() if name in NAME_FIELDS and not getattr(contact, name)}
    others = {name: value for name, value in fields.items() if name not in NAME_FIELDS}
    for name, value in names.items():
        setattr(contact, name, value)
    contact.fields = others | contact.fields
    contact.save(update_fields=[*names, "fields"])

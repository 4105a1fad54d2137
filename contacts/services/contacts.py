"""One contact: changing and deleting it."""

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from contacts.models import Contact


@transaction.atomic
def update_contact(
    *, contact: Contact, first_name: str, last_name: str, fields: dict[str, str], actor: User | None
) -> Contact:
    """Change a contact's name and merge fields; ``fields`` replace the ones that it had. Notes which changed."""
    locked = Contact.objects.select_for_update().get(pk=contact.pk)
    wanted = {"first_name": first_name, "last_name": last_name, "fields": fields}
    changed = [name for name, value in wanted.items() if getattr(locked, name) != value]
    if not changed:
        return locked
    for name in changed:
        setattr(locked, name, wanted[name])
    locked.save(update_fields=changed)
    audit.record(
        account=locked.account, actor=actor, action="contact.updated", subject=locked.code, changed=changed
    )  # the names only: a person's data is not kept in the trail
    return locked


@transaction.atomic
def delete_contact(*, contact: Contact, actor: User | None) -> None:
    """Delete a contact and its memberships. An opt-out of its number stays in force, messages stay in the reports."""
    audit.record(account=contact.account, actor=actor, action="contact.deleted", subject=contact.code)
    contact.delete()

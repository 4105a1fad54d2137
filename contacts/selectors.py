"""Reads of contacts, lists and opt-outs; every one is of a single account."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Lower
from django.shortcuts import get_object_or_404

from accounts.models import Account
from accounts.phones import read_mobile
from accounts.prepared import fetch_prepared
from contacts.merge import Person
from contacts.models import Contact, ContactList, ListMember, OptOut

_OPTED_OUT = "SELECT number FROM contacts_optout WHERE account_id = %s AND ended_at IS NULL AND number = ANY(%s)"
_OPTED_OUT_PAIRS = """
    SELECT o.account_id, o.number FROM unnest(%(accounts)s::bigint[], %(numbers)s::text[]) AS p(account_id, number)
    JOIN contacts_optout o ON o.account_id = p.account_id AND o.number = p.number AND o.ended_at IS NULL
"""
_BY_NUMBER = "SELECT * FROM contacts_contact WHERE account_id = %s AND number = ANY(%s)"
_MERGED = _BY_NUMBER.replace("*", "number, first_name, last_name, fields::text")
# Each once, whatever number of lists it is on, oldest contact first.
_ON_LISTS = """
    SELECT number FROM contacts_contact c
    WHERE account_id = %s
      AND id IN (SELECT contact_id FROM contacts_listmember WHERE contact_list_id = ANY(%s))
    ORDER BY id LIMIT %s
"""
_FIELD_NAMES = """
    SELECT DISTINCT jsonb_object_keys(fields) FROM contacts_contact
    WHERE account_id = %s AND fields <> '{}'::jsonb ORDER BY 1
"""
_NOT_DIGITS = re.compile(r"\D+")
_IN_FORCE = Q(ended_at=None)


# --- What sending asks ---------------------------------------------------------------------------------------------


def opted_out_among(account: Account, numbers: Collection[str]) -> set[str]:
    """Which of ``numbers`` (E.164) the account must not send to now; one query for any count of them."""
    if not numbers:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_OPTED_OUT, [account.pk, list(numbers)])
        return {row[0] for row in cursor.fetchall()}


def opted_out_pairs(pairs: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Which (account's id, E.164 number) must not be sent to now: opted_out_among for many accounts at once."""
    accounts, numbers = [account for account, _ in pairs], [number for _, number in pairs]
    return set(fetch_prepared(_OPTED_OUT_PAIRS, {"accounts": accounts, "numbers": numbers})) if pairs else set()


def numbers_on(account: Account, lists: Collection[ContactList], limit: int) -> list[str]:
    """At most ``limit`` numbers (E.164) on any of the account's ``lists``, each once."""
    if not lists:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_ON_LISTS, [account.pk, [one.pk for one in lists], limit])
        return [row[0] for row in cursor.fetchall()]


def contacts_by_number(account: Account, numbers: Collection[str]) -> dict[str, Contact]:
    """The account's contacts among ``numbers`` (E.164); one query."""
    return {contact.number: contact for contact in Contact.objects.raw(_BY_NUMBER, [account.pk, list(numbers)])}


def people_by_number(account: Account, numbers: Collection[str]) -> dict[str, Person]:
    """What merge fields take of the account's contacts among ``numbers`` (E.164): in a third of the contacts' time."""
    with connection.cursor() as cursor:
        cursor.execute(_MERGED, [account.pk, list(numbers)])
        return {
            number: Person(number, first_name, last_name, json.loads(fields))
            for number, first_name, last_name, fields in cursor.fetchall()
        }


def field_names(account: Account) -> list[str]:
    """The merge fields that any of the account's contacts has beside the standard ones, in alphabetical order."""
    with connection.cursor() as cursor:
        cursor.execute(_FIELD_NAMES, [account.pk])
        return [row[0] for row in cursor.fetchall()]


# --- What the pages show -------------------------------------------------------------------------------------------


def lists_of(account: Account) -> QuerySet[ContactList]:
    """The account's lists by name, each with its ``size`` in members."""
    members = ListMember.objects.filter(contact_list=OuterRef("pk")).order_by()
    size = Subquery(members.values("contact_list").annotate(count=Count("pk")).values("count"))
    return ContactList.objects.filter(account=account).annotate(size=Coalesce(size, 0)).order_by(Lower("name"))


def get_list_for(account: Account, code: str) -> ContactList:
    """The account's list, with its ``size``. Raises Http404."""
    return get_object_or_404(lists_of(account), code=code)


def get_contact_for(account: Account, code: str) -> Contact:
    """The account's contact. Raises Http404."""
    return get_object_or_404(Contact.objects.filter(account=account), code=code)


def get_opt_out_for(account: Account, code: str) -> OptOut:
    """The account's opt-out, in force or ended. Raises Http404."""
    return get_object_or_404(OptOut.objects.filter(account=account), code=code)


def members_of(contact_list: ContactList, search: str = "") -> QuerySet[ListMember]:
    """Who is on the list, with ``contact`` and whether it ``is_opted_out``; narrowed to a number or a name."""
    members = ListMember.objects.filter(contact_list=contact_list).select_related("contact")
    members = members.annotate(is_opted_out=_opted_out("contact__account", "contact__number"))
    return members.filter(_matches(search, contact_list.account, "contact__"))


def contacts_of(account: Account, search: str = "") -> QuerySet[Contact]:
    """All contacts of the account, each with whether it ``is_opted_out``; narrowed to a number or a name."""
    found = Contact.objects.filter(account=account).annotate(is_opted_out=_opted_out("account", "number"))
    return found.filter(_matches(search, account, ""))


def opt_outs_of(account: Account, search: str = "", *, with_ended: bool = False) -> QuerySet[OptOut]:
    """The account's opt-outs in force, or all of them with ``with_ended``; narrowed to a number."""
    found = OptOut.objects.filter(account=account).select_related("ended_by")
    return found.filter(_number_matches(search, account, "") if search else Q(), *([] if with_ended else [_IN_FORCE]))


def _opted_out(account: str, number: str) -> Exists:
    return Exists(OptOut.objects.filter(_IN_FORCE, account=OuterRef(account), number=OuterRef(number)))


def _matches(search: str, account: Account, prefix: str) -> Q:
    if any(character.isdigit() for character in search):
        return _number_matches(search, account, prefix)
    wanted = Q()
    for word in search.split():
        wanted &= Q(**{f"{prefix}first_name__icontains": word}) | Q(**{f"{prefix}last_name__icontains": word})
    return wanted


def _number_matches(search: str, account: Account, prefix: str) -> Q:
    """A whole number, also in local form, is looked up; anything else is digits that the number contains."""
    number = read_mobile(search, account.country)
    if isinstance(number, str):
        return Q(**{f"{prefix}number": number})
    digits = _NOT_DIGITS.sub("", search).lstrip("0")
    return Q(**{f"{prefix}number__contains": digits}) if digits else Q(pk__in=[])


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a contact: when, what (a sentence) and a detail in the words of whoever caused it."""

    at: datetime
    what: str
    detail: str = ""


def history_of(contact: Contact) -> list[Event]:
    """When a contact came, went on its lists, opted out and in again; newest first."""
    events = [Event(contact.created_at, "Became a contact")]
    for member in contact.memberships.select_related("contact_list"):
        events.append(Event(member.added_at, f"Added to {member.contact_list.name}", member.source))
    for one in OptOut.objects.filter(account=contact.account_id, number=contact.number).select_related("ended_by"):
        events.append(Event(one.created_at, f"Opted out: {one.get_source_display().lower()}", one.detail))
        if one.ended_at is not None:
            who = f" by {one.ended_by}" if one.ended_by else ""
            events.append(Event(one.ended_at, f"Opted in again{who}", one.end_reason))
    return sorted(events, key=lambda event: event.at, reverse=True)


def opt_out_in_force(contact: Contact) -> OptOut | None:
    """Why the account must not send to the contact now; None = it may."""
    return OptOut.objects.filter(_IN_FORCE, account=contact.account_id, number=contact.number).first()

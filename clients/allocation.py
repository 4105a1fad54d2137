"""Section 5 of the form: the client buys its own numbers, or its parent gives it one (seed 1, step 5)."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Q

from accounts.countries import country_name
from accounts.models import Account, User
from virtual_numbers.exceptions import NotAllocatable
from virtual_numbers.models import Lease, NumberSettings, NumberTerms
from virtual_numbers.selectors import may_lease
from virtual_numbers.services.leasing import allocate, take_back

Allocation = NumberTerms.Allocation
_NOT_FREE = "This number is no longer free to give; it was released, or another client has it. Choose again."


class AllocationField(forms.ChoiceField):
    """“Client buys their own”, the client's number, and every number that the parent leases and nobody has."""

    def __init__(self) -> None:
        super().__init__(
            label="Number Allocation",
            choices=[(Allocation.OWN.value, Allocation.OWN.label)],
            help_text="“Client buys their own”: the client picks numbers from the list and leases them. Or give it one "
            "of yours, which you go on paying for; NUMBERS has the numbers that you lease.",
            error_messages={"invalid_choice": _NOT_FREE},
        )

    def offer(self, parent: Account, client: Account | None) -> None:
        """Set the choices; ``client`` None for one that is being added."""
        chosen = allocation_of(client) if client else ""
        choices = [(Allocation.OWN.value, Allocation.OWN.label)]
        if chosen == Allocation.PARENT:
            choices.append((Allocation.PARENT.value, "No number at the moment; only you give it numbers"))
        self.choices = choices + [(lease.code, _words(lease)) for lease in _to_give(parent, client)]
        if client:
            self.help_text += " Another choice takes the number back at once, and what the client set on it ends."


def _to_give(parent: Account, client: Account | None) -> list[Lease]:
    """What the client has of the parent, then what the parent can give it, by number."""
    mine = Lease.objects.filter(account=parent, ended_at=None).select_related("number", "subscription")
    leases = mine.filter(Q(allocated_to=None) | Q(allocated_to=client) if client else Q(allocated_to=None))
    return sorted(leases, key=lambda lease: (lease.allocated_to_id is None, lease.number.number))


def _words(lease: Lease) -> str:
    state = "" if lease.subscription.works else ", suspended"
    label = f", {lease.label}" if lease.label else ""
    return f"{lease.number} ({country_name(lease.number.country)}{label}{state})"


def allocation_of(client: Account) -> str:
    """The form's value: "own", the code of the lease that the client was given, or "parent" when it has none now."""
    if may_lease(client):
        return Allocation.OWN
    given = Lease.objects.filter(allocated_to=client, ended_at=None).order_by("pk").first()
    return given.code if given else Allocation.PARENT


def terms_for(value: str) -> str:
    """The NumberTerms.Allocation that a value of the form stands for."""
    return Allocation.OWN if value == Allocation.OWN else Allocation.PARENT


@transaction.atomic
def change_allocation(*, client: Account, value: str, actor: User | None) -> None:
    """Take back the number that the form showed and give the one that it names: both or neither.

    Call it before the client's number terms are changed. Raises NotAllocatable.
    """
    before = allocation_of(client)
    if value == before:
        return
    codes = [code for code in (before, value) if code not in Allocation.values]
    # Both locked at once, in one order, as a form elsewhere may swap them the other way round.
    mine = Lease.objects.filter(account=client.parent_id, ended_at=None, code__in=codes).order_by("pk")
    leases = {lease.code: lease for lease in mine.select_for_update(of=("self",))}
    if before in leases:
        take_back(lease=leases[before], actor=actor)
    if value in leases:
        allocate(lease=leases[value], child=client, actor=actor)
    elif value not in Allocation.values:
        raise NotAllocatable(_NOT_FREE)


# --- Before it is done -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """What the client loses with a number that is taken back; ``token`` comes back with the form and names it."""

    number: str
    sentences: list[str]
    token: str


def confirm_loss(client: Account, value: str, token: str) -> Loss | None:
    """What is to be confirmed before another allocation; None when nothing ends with it, or it has been read."""
    before = allocation_of(client)
    if value == before or before in Allocation.values:
        return None
    lease: Any = Lease.objects.select_related("number").get(code=before)
    keywords = list(lease.number.keywords.filter(account=client, ended_at=None).order_by("word"))
    sentences = [f"The keyword {keyword.word} ends." for keyword in keywords]
    if NumberSettings.objects.filter(lease=lease).exists():
        sentences.append("The replies, list and forwards that the client set on the number are deleted.")
    wanted = f"{lease.code}:{','.join(keyword.code for keyword in keywords)}"
    if not sentences or token == wanted:
        return None
    return Loss(str(lease.number), sentences, wanted)

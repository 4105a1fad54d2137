"""The platform's numbers: adding and changing them, and holding them back from being leased."""

from typing import Any

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from accounts.services.accounts import get_platform
from virtual_numbers.exceptions import NumberBusy
from virtual_numbers.models import Lease, VirtualNumber

State = VirtualNumber.State
EDITABLE = frozenset({"number", "country", "kind", "capabilities", "route", "route_id"})
# What a lease is about: whoever leased the number knows it by these.
_LEASED_AS = frozenset({"number", "country", "kind"})


@transaction.atomic
def add_number(*, actor: User | None, **values: Any) -> VirtualNumber:
    """Put a free number into the inventory; ``values``: keys of EDITABLE, the number as read_number gives it."""
    _check_names(values)
    number = VirtualNumber.objects.create(**values)
    _record(number, actor, "number.added", country=number.country, kind=number.kind)
    return number


@transaction.atomic
def change_number(*, existing: VirtualNumber, actor: User | None, **values: Any) -> VirtualNumber:
    """Change ``values`` (keys of EDITABLE) and note which.

    Raises NumberBusy where somebody has the number and would suddenly have another one.
    """
    _check_names(values)
    current = _locked(existing)
    changed = {key: value for key, value in values.items() if getattr(current, key) != value}
    fixed = sorted(_LEASED_AS & changed.keys())
    if fixed and Lease.objects.filter(number=current).exists():
        raise NumberBusy(f"{current} has been leased, so its number, country and type stay as they are.")
    if changed:
        before = {key: str(getattr(current, key)) for key in changed}
        for key, value in changed.items():
            setattr(current, key, value)
        current.save(update_fields=list(changed))
        after = {key: str(value) for key, value in changed.items()}
        _record(current, actor, "number.changed", before=before, after=after)
    return current


def reserve_number(*, number: VirtualNumber, reserved_for: Account | None = None, actor: User | None) -> None:
    """Let only ``reserved_for`` lease it, or nobody. Raises NumberBusy unless it is free or reserved."""
    allowed = (State.FREE, State.RESERVED)
    _change_state(number, State.RESERVED, allowed, "reserved", actor, reserved_for=reserved_for)


def free_number(*, number: VirtualNumber, actor: User | None) -> None:
    """Offer it to everybody: ends a reservation, a quarantine or the absence of a ported number. Raises NumberBusy."""
    allowed = (State.FREE, State.RESERVED, State.QUARANTINED, State.PORTED_OUT)
    _change_state(number, State.FREE, allowed, "set free", actor)


def port_out(*, number: VirtualNumber, actor: User | None) -> None:
    """Note that it went to another provider; nobody can lease it any more. Raises NumberBusy while it is leased."""
    allowed = (State.FREE, State.RESERVED, State.QUARANTINED, State.PORTED_OUT)
    _change_state(number, State.PORTED_OUT, allowed, "ported out", actor)


@transaction.atomic
def _change_state(
    number: VirtualNumber, wanted: str, allowed: tuple[str, ...], words: str, actor: User | None,
    reserved_for: Account | None = None,
) -> None:  # fmt: skip
    current = _locked(number)
    if current.state not in allowed:
        raise NumberBusy(f"{current} cannot be {words}: {_why(current)}")
    if (current.state, current.reserved_for) == (wanted, reserved_for):
        return
    before = current.state
    current.state, current.reserved_for, current.quarantined_until = wanted, reserved_for, None
    current.save(update_fields=["state", "reserved_for", "quarantined_until"])
    kept = {"reserved_for": reserved_for.code} if reserved_for else {}
    _record(current, actor, f"number.{wanted}", was=before, **kept)


def _why(number: VirtualNumber) -> str:
    lease = Lease.objects.filter(number=number, ended_at=None).select_related("account").first()
    if lease is not None:
        return f"{lease.account.name} leases it and has to release it first."
    if number.state == State.QUARANTINED:
        return "it is in quarantine; set it free first."
    return f"it is {number.get_state_display().lower()}; set it free first."


def _locked(number: VirtualNumber) -> VirtualNumber:
    return VirtualNumber.objects.select_for_update(of=("self",)).select_related("reserved_for").get(pk=number.pk)


def _check_names(values: dict[str, Any]) -> None:
    unknown = values.keys() - EDITABLE
    if unknown:
        raise TypeError(f"unknown facts of a number: {sorted(unknown)}")


def _record(number: VirtualNumber, actor: User | None, action: str, **data: Any) -> None:
    audit.record(
        account=get_platform(), actor=actor, action=action, subject=number.code, number=number.number, **data
    )  # fmt: skip

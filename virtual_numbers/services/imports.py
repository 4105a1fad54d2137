"""Taking an uploaded list of numbers into the inventory: first what it would do, then, confirmed, all of it."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from accounts.services.accounts import get_platform
from virtual_numbers.exceptions import ImportRefused
from virtual_numbers.import_files import Row, read_rows
from virtual_numbers.import_lines import CHANGED, ERROR, NEW, UNCHANGED, Line, Values, judge
from virtual_numbers.models import NumberImport, NumberPrice, VirtualNumber

_Route: Any = VirtualNumber._meta.get_field("route").related_model
_ROWS_A_STATEMENT = 2_000


def prepare_import(*, file_name: str, content: bytes, actor: User | None) -> NumberImport:
    """Keep what each line of a CSV or XLSX file would do; the inventory stays as it is. Raises UnreadableFile."""
    prepared = NumberImport(file_name=file_name[:120], created_by=actor)
    _note(prepared, judge(read_rows(content)))
    prepared.save()
    return prepared


@transaction.atomic
def _apply(prepared: NumberImport, actor: User | None) -> NumberImport | None:
    """The import, done; None when its lines would by now do something else, which is noted."""
    current = NumberImport.objects.select_for_update().filter(pk=prepared.pk).first()
    if current is None:
        raise ImportRefused(f"{prepared.file_name} is not kept any more. Upload it again.")
    if current.applied_at is not None:
        raise ImportRefused(f"{current.file_name} has been taken in already; nothing was done twice.")
    shown = current.lines
    lines = judge(Row(line["line"], line["cells"]) for line in shown)
    _note(current, lines)
    if current.lines != shown:
        current.save()
        return None
    if current.error_count:
        raise ImportRefused(
            f"{current.error_count:,} of {len(lines):,} lines have errors, and a list is taken in as a whole or not at "
            "all. Correct the file and upload it again."
        )
    _write([line.values for line in lines if line.values and line.verdict in (NEW, CHANGED)])
    current.applied_at = timezone.now()
    current.save(update_fields=["applied_at"])
    audit.record(
        account=get_platform(), actor=actor, action="numbers.imported", subject=current.code, file=current.file_name,
        new=current.new_count, changed=current.changed_count,
    )  # fmt: skip
    return current


def apply_import(*, prepared: NumberImport, actor: User | None) -> NumberImport:
    """Do what was shown, all of it in one transaction.

    Raises ImportRefused, with nothing changed, when a line has an error, when it has been done before, and when the
    inventory has changed since: then the import is judged anew, to be looked at again.
    """
    done = _apply(prepared, actor)
    if done is None:
        raise ImportRefused(
            "The inventory has changed since this page was made. Look at the lines again, then confirm."
        )
    return done


def remove_unconfirmed(now: datetime) -> int:
    """Forget lists that nobody confirmed within NUMBER_IMPORT_DAYS; returns how many. Confirmed ones are history."""
    before = now - timedelta(days=settings.NUMBER_IMPORT_DAYS)
    count, _ = NumberImport.objects.filter(applied_at=None, created_at__lt=before).delete()
    return count


def _note(prepared: NumberImport, lines: list[Line]) -> None:
    counts = Counter(line.verdict for line in lines)
    prepared.lines = [line.as_json() for line in lines]
    prepared.new_count, prepared.changed_count = counts[NEW], counts[CHANGED]
    prepared.unchanged_count, prepared.error_count = counts[UNCHANGED], counts[ERROR]


def _write(wanted: list[Values]) -> None:
    """Numbers and prices in a few statements; a number of several lines is written once."""
    routes = dict(_Route.objects.values_list("code", "pk"))
    numbers = {
        values.key: VirtualNumber(
            number=values.number, country=values.country, kind=values.kind, capabilities=list(values.capabilities),
            route_id=routes.get(values.route),
        )
        for values in wanted
    }  # fmt: skip
    VirtualNumber.objects.bulk_create(
        numbers.values(), batch_size=_ROWS_A_STATEMENT, update_conflicts=True, unique_fields=["country", "number"],
        update_fields=["kind", "capabilities", "route"],
    )  # fmt: skip
    NumberPrice.objects.bulk_create(
        (
            NumberPrice(
                number=numbers[values.key], currency=values.currency, monthly=values.monthly, setup=values.setup
            )
            for values in wanted
        ),
        batch_size=_ROWS_A_STATEMENT, update_conflicts=True, unique_fields=["number", "currency"],
        update_fields=["monthly", "setup"],
    )  # fmt: skip

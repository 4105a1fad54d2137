"""What a parent adds for one country in place of its general margin for a client (PRODUCT.md, money rule 2)."""

from decimal import Decimal

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from billing.models import CountryMargin


@transaction.atomic
def set_country_margin(*, account: Account, country: str, margin: Decimal, actor: User | None) -> CountryMargin:
    """Set the margin a part, 0 or more, that the account pays for messages to a country (ISO 3166 code)."""
    found, made = CountryMargin.objects.select_for_update().get_or_create(
        account=account, country=country, defaults={"sms_margin": margin}
    )
    before = "" if made else f"{found.sms_margin:.6f}"
    if not made and found.sms_margin == margin:
        return found
    CountryMargin.objects.filter(pk=found.pk).update(sms_margin=margin)
    _record(account, actor, country, before, f"{margin:.6f}")
    found.sms_margin = margin
    return found


@transaction.atomic
def remove_country_margin(*, account: Account, country: str, actor: User | None) -> bool:
    """Let the general margin hold for the country again; False when it does already."""
    found = CountryMargin.objects.select_for_update().filter(account=account, country=country).first()
    if found is None:
        return False
    found.delete()
    _record(account, actor, country, f"{found.sms_margin:.6f}", "")
    return True


def _record(account: Account, actor: User | None, country: str, before: str, after: str) -> None:
    audit.record(
        account=account, actor=actor, action="country_margin.changed", subject=country, before={country: before},
        after={country: after},
    )  # fmt: skip

"""Number terms of accounts: making and changing them."""

from decimal import Decimal

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from virtual_numbers.models import NumberTerms


@transaction.atomic
def create_terms(
    *,
    account: Account,
    allocation: str = NumberTerms.Allocation.OWN,
    margin: Decimal = Decimal(0),
    actor: User | None,
) -> NumberTerms:
    """Give a new account its number terms; ``margin`` in the account's currency, per number and month, not negative."""
    terms = NumberTerms.objects.create(account=account, allocation=allocation, margin=margin)
    audit.record(
        account=account, actor=actor, action="number_terms.created", subject=account.code,
        allocation=allocation, margin=str(margin),
    )  # fmt: skip
    return terms


@transaction.atomic
def update_terms(*, account: Account, allocation: str, margin: Decimal, actor: User | None) -> NumberTerms:
    """Change number terms (made when missing) and note the old and new values."""
    terms, _ = NumberTerms.objects.select_for_update().get_or_create(account=account)
    wanted = {"allocation": allocation, "margin": margin}
    before = {key: str(getattr(terms, key)) for key, value in wanted.items() if getattr(terms, key) != value}
    if not before:
        return terms
    terms.allocation, terms.margin = allocation, margin
    terms.save(update_fields=list(before))
    audit.record(
        account=account, actor=actor, action="number_terms.updated", subject=account.code,
        before=before, after={key: str(wanted[key]) for key in before},
    )  # fmt: skip
    return terms

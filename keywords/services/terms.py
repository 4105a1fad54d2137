"""Keyword terms of accounts: making and changing them."""

from decimal import Decimal

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from keywords.models import KeywordTerms


@transaction.atomic
def create_terms(
    *, account: Account, is_enabled: bool = False, price: Decimal = Decimal(0), limit: int = 0, actor: User | None
) -> KeywordTerms:
    """Give a new account its keyword terms; ``price`` per keyword and month, ``limit`` keywords, 0 = unlimited."""
    terms = KeywordTerms.objects.create(account=account, is_enabled=is_enabled, price=price, limit=limit)
    audit.record(
        account=account, actor=actor, action="keyword_terms.created", subject=account.code,
        is_enabled=is_enabled, price=str(price), limit=limit,
    )  # fmt: skip
    return terms


@transaction.atomic
def update_terms(*, account: Account, is_enabled: bool, price: Decimal, limit: int, actor: User | None) -> KeywordTerms:
    """Change keyword terms (made when missing) and note the old and new values."""
    terms, _ = KeywordTerms.objects.select_for_update().get_or_create(account=account)
    wanted = {"is_enabled": is_enabled, "price": price, "limit": limit}
    before = {key: str(getattr(terms, key)) for key, value in wanted.items() if getattr(terms, key) != value}
    if not before:
        return terms
    terms.is_enabled, terms.price, terms.limit = is_enabled, price, limit
    terms.save(update_fields=list(before))
    audit.record(
        account=account, actor=actor, action="keyword_terms.updated", subject=account.code,
        before=before, after={key: str(wanted[key]) for key in before},
    )  # fmt: skip
    return terms

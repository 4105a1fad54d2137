"""Reads of money, scoped to accounts."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q
from django.http import Http404

from accounts.models import Account
from accounts.prepared import fetch_prepared
from billing.models import CREDITS, BillingTerms, CountryMargin, LedgerAccount, LedgerEntry, SavedCard, TopUp


@dataclass(frozen=True)
class Balance:
    """``available`` can be spent now (credit included, negative = a debt); ``held`` is set aside for messages, the
    account's own and those that it sells below its own price.

    ``credit_limit``: permanent and temporary credit. ``is_frozen``: a payment is disputed, nothing can be spent.
    """

    available: Decimal
    held: Decimal
    credit_limit: Decimal
    currency: str
    is_frozen: bool = False

    @property
    def counts_credits(self) -> bool:
        """Whether these are SMS credits, not money."""
        return self.currency == CREDITS


def terms_of(account: Account) -> BillingTerms | None:
    """The account's terms; None for the platform and for accounts without terms."""
    return BillingTerms.objects.filter(account=account).select_related("account", "rate_card").first()


def shows_money(account: Account | None) -> bool:
    """Whether pages for ``account`` may show prices and balances (PRODUCT.md, money rule 3)."""
    terms = terms_of(account) if account else None
    return terms is not None and terms.shows_money


def margin_in(terms: BillingTerms, country: str) -> Decimal:
    """What the parent adds for messages to a country: its margin for that country, else its general one."""
    own = CountryMargin.objects.filter(account=terms.account_id, country=country).first()
    return own.sms_margin if own else terms.sms_margin


def balance_of(account: Account) -> Balance:
    """The account's own money; zeros when it never had any."""
    return _balance(account, account.currency)


def credits_of(account: Account) -> Balance:
    """The SMS credits that the account can send with; zeros when it never had any."""
    return _balance(account, CREDITS)


def _balance(account: Account, currency: str) -> Balance:
    kinds = [LedgerAccount.Kind.WALLET, LedgerAccount.Kind.HELD, LedgerAccount.Kind.SUBSIDY]
    found = LedgerAccount.objects.filter(owner=account, kind__in=kinds, currency=currency)
    rows = {row.kind: row for row in found}
    wallet = rows.pop(LedgerAccount.Kind.WALLET, None)
    credit = wallet.credit_limit + wallet.overdraft_limit if wallet else Decimal(0)
    return Balance(
        available=(wallet.balance if wallet else Decimal(0)) + credit,
        held=sum((row.balance for row in rows.values()), Decimal(0)),
        credit_limit=credit,
        currency=currency,
        is_frozen=wallet.is_frozen if wallet else False,
    )


_SPENDABLE = """
    SELECT a.owner_id, a.currency, a.balance + a.credit_limit + a.overdraft_limit
    FROM unnest(%(owners)s::bigint[], %(currencies)s::text[]) AS w(owner_id, currency)
    JOIN billing_ledgeraccount a ON a.owner_id = w.owner_id AND a.kind = 'wallet' AND a.currency = w.currency
    WHERE NOT a.is_frozen
"""


def spendable_of(wallets: Collection[tuple[int, str]]) -> dict[tuple[int, str], Decimal]:
    """What can be spent at this moment of the wallets of (owner's id, currency); negative = a debt.

    Frozen wallets and such as were never opened are missing. This is a look: what may be spent is decided by spending.
    """
    owners, currencies = (list(column) for column in zip(*wallets, strict=True))
    rows = fetch_prepared(_SPENDABLE, {"owners": owners, "currencies": currencies})
    return {(owner, currency): amount for owner, currency, amount in rows}


_DEALINGS = """
    SELECT EXISTS (SELECT FROM billing_savedcard WHERE account_id = %(account)s::bigint AND removed_at IS NULL),
           EXISTS (SELECT FROM billing_topup WHERE account_id = %(account)s::bigint AND state = 'pending'),
           EXISTS (SELECT FROM billing_invoiceterms WHERE account_id = %(account)s::bigint)
"""


@dataclass(frozen=True)
class Dealings:
    """What an account has beside its wallet, so that a page asks for it only where there is any."""

    has_cards: bool
    has_pending_topups: bool
    has_invoice_terms: bool


def dealings_of(account: Account) -> Dealings:
    """Kept cards, payments under way and an invoice client's credit, all in one statement."""
    (row,) = fetch_prepared(_DEALINGS, {"account": account.pk})
    return Dealings(*row)


def frozen_accounts(account: Account) -> list[Account]:
    """The account and its direct clients, those whose wallet is frozen by a dispute; by name."""
    frozen = LedgerAccount.objects.filter(is_frozen=True, kind=LedgerAccount.Kind.WALLET)
    owners = frozen.filter(Q(owner=account) | Q(owner__parent=account)).values("owner")
    return list(Account.objects.filter(pk__in=owners).order_by("name"))


def cards_of(account: Account) -> list[SavedCard]:
    """The account's kept cards, newest first."""
    kept = SavedCard.objects.filter(account=account, removed_at=None).select_related("consent_by")
    return list(kept.order_by("-pk"))


def get_card_for(account: Account, code: str) -> SavedCard:
    """The account's kept or removed card with that code; anything else is 404."""
    found = SavedCard.objects.filter(account=account, code=code).first()
    if found is None:
        raise Http404("No such card.")
    return found


def get_topup_for(account: Account, code: str) -> TopUp:
    """The account's top-up with that code; anything else is 404, as if it did not exist."""
    found = TopUp.objects.filter(account=account, code=code).select_related("account", "created_by").first()
    if found is None:
        raise Http404("No such top-up.")
    return found


def open_topups_of(account: Account, now: datetime) -> list[TopUp]:
    """Payments that may still come, newest first: pages that can be paid, and those that a bank is processing."""
    pending = TopUp.objects.filter(account=account, state=TopUp.State.PENDING).exclude(session_id="", payment_intent="")
    return list(pending.filter(Q(expires_at__gt=now) | Q(is_processing=True)).order_by("-created_at"))


def balance_after(topup: TopUp) -> Decimal | None:
    """The wallet's balance right after the top-up was credited; None before."""
    if topup.transaction_id is None:
        return None
    entry = LedgerEntry.objects.filter(
        transaction=topup.transaction_id,
        ledger_account__owner=topup.account_id,
        ledger_account__kind=LedgerAccount.Kind.WALLET,
    ).first()
    return entry.balance_after if entry else None

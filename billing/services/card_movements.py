"""The ledger's movements of card payments: in, given back, disputed (docs/card-payments.md)."""

from decimal import Decimal

from accounts.models import Account, User
from billing.models import LedgerTransaction
from billing.services.ledger import Kind, Posting, TxKind, open_account, platform_account, post


def credit_card_payment(*, account: Account, amount: Decimal, topup_code: str, actor: User | None) -> LedgerTransaction:
    """Credit a card payment that the gateway confirmed; once per top-up. Raises DuplicateMovement."""
    return _card_movement(TxKind.TOPUP, f"topup:{topup_code}", account, amount, topup_code, actor=actor)


def card_refund(
    *, account: Account, amount: Decimal, key: str, topup_code: str, reason: str, actor: User | None
) -> LedgerTransaction:
    """Take what was given back to the card out of the wallet, below its floor if need be; once per ``key``."""
    return _card_movement(TxKind.REFUND, f"refund:{key}", account, -amount, topup_code, description=reason, actor=actor)


def card_refund_failed(*, account: Account, amount: Decimal, key: str, topup_code: str) -> LedgerTransaction:
    """Put back what a refund took that the bank did not accept; once per ``key``."""
    return _card_movement(
        TxKind.REFUND, f"refund-failed:{key}", account, amount, topup_code, description="The refund did not go through"
    )


def card_dispute(*, account: Account, amount: Decimal, dispute_id: str, topup_code: str) -> LedgerTransaction:
    """Take a disputed payment out of the wallet, below its floor if need be; once per dispute."""
    return _card_movement(TxKind.DISPUTE, f"dispute:{dispute_id}", account, -amount, topup_code)


def card_dispute_won(*, account: Account, amount: Decimal, dispute_id: str, topup_code: str) -> LedgerTransaction:
    """Give back what a dispute took; once per dispute."""
    return _card_movement(TxKind.DISPUTE_WON, f"dispute-won:{dispute_id}", account, amount, topup_code)


def _card_movement(
    kind: str, key: str, account: Account, amount: Decimal, topup_code: str, *, description: str = "",
    actor: User | None = None,
) -> LedgerTransaction:  # fmt: skip
    """Move ``amount`` between card and wallet; positive = into the wallet."""
    return post(
        kind=kind, key=key, currency=account.currency, about=account, actor=actor, reference=topup_code,
        description=description,
        postings=[
            Posting(platform_account(Kind.CARD, account.currency).pk, -amount),
            Posting(open_account(account, Kind.WALLET).pk, amount),
        ],
    )  # fmt: skip

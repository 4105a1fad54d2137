"""The ledger's movements of numbers and keywords: out of the payer's wallet, to parents and the platform at once."""

from accounts.models import Account, User
from billing.models import LedgerTransaction
from billing.services.ledger import Kind, Posting, open_account, platform_account, post
from billing.services.service_prices import ServicePrice


def charge(
    *, kind: str, key: str, account: Account, price: ServicePrice, reference: str, description: str,
    actor: User | None,
) -> LedgerTransaction | None:  # fmt: skip
    """Charge one month of a service, or its set-up, to its payer; once per ``key``, and ``account`` is whose it is.

    None, with nothing written, when no money moves: it costs nothing, or all of it is the payer's own share. Raises
    InsufficientFunds, WalletFrozen and DuplicateMovement.
    """
    moved = {price.payer.pk: -price.net} | {pk: share for pk, share in price.earnings.items() if pk != price.payer.pk}
    if not any(moved.values()):
        return None
    owners = Account.objects.in_bulk(list(moved))
    postings = [Posting(open_account(owners[pk], Kind.WALLET).pk, amount) for pk, amount in sorted(moved.items())]
    postings.append(Posting(platform_account(Kind.REVENUE, price.currency).pk, price.revenue))
    return post(
        kind=kind, key=key, currency=price.currency, about=account, reference=reference, description=description,
        actor=actor, postings=postings,
    )  # fmt: skip

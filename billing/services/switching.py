"""Changing who pays for an account, or how: what becomes of balance, credits and open holds (PRODUCT.md, money rule 3).

A switch and a batch are put in one order by the wallet that paid until now: the switch locks it first of all, and
accepting a batch looks at the terms again once it has its hold (pricing.check_payers). So a batch either was accepted
before and is settled as it was accepted, or is refused.
"""

from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Account, User
from billing.exceptions import BillingError, MoneyStranded
from billing.models import BillingTerms, Dispute, LedgerAccount, Refund, Subscription, TopUp
from billing.selectors import Balance, balance_of, credits_of
from billing.services import ledger
from billing.services.credits import TakeBack, plan_take_back, take_back_unused
from billing.services.pricing import PriceList
from billing.wording import credits_text, money_text

Method = BillingTerms.Method
Kind = LedgerAccount.Kind


@dataclass(frozen=True)
class Switch:
    """What changing an account's method would do now. ``refusal``: why it cannot be done, "" when it can.

    ``services``: how many numbers and keywords of its own renew by the month.
    """

    account: Account
    old: str
    new: str
    balance: Balance
    credits: Balance
    credits_back: TakeBack
    services: int = 0
    refusal: str = ""

    @property
    def refund(self) -> Decimal:
        """What unused credits bring back to those who paid for them."""
        return self.credits_back.refund

    @property
    def leaves_credits(self) -> bool:
        return self.old == Method.SMS_CREDITS

    @property
    def parent_pays_now(self) -> bool:
        return self.old in BillingTerms.PARENT_PAYS

    @property
    def parent_pays_then(self) -> bool:
        return self.new in BillingTerms.PARENT_PAYS


def plan_switch(terms: BillingTerms, method: str) -> Switch:
    """What a change to ``method`` would do, as the books are now; writes nothing."""
    account = terms.account
    running = Subscription.objects.filter(account=account).exclude(state=Subscription.State.ENDED)
    return Switch(
        account=account, old=terms.method, new=method, balance=balance_of(account), credits=credits_of(account),
        credits_back=plan_take_back(account), services=running.count(),
        refusal=_refusal(terms, method),
    )  # fmt: skip


def _refusal(terms: BillingTerms, method: str) -> str:
    """Why the change would leave money where its owner could neither see nor spend it; "" where it would not."""
    if method not in BillingTerms.PARENT_PAYS:
        return _of_the_parent(terms.account)
    return _of_own_money(terms) or _of_clients(terms) if terms.shows_money else ""


def check_parent(account: Account, method: str) -> None:
    """Raise MoneyStranded where a new client's money would go to a parent that sees none; inside the transaction that
    makes the client, for which a change of who pays for the parent waits."""
    BillingTerms.objects.select_for_update().filter(account=account.parent_id).values_list("pk").first()
    refusal = "" if method in BillingTerms.PARENT_PAYS else _of_the_parent(account)
    if refusal:
        raise MoneyStranded(refusal)


def _of_the_parent(account: Account) -> str:
    parent = account.parent
    above = BillingTerms.objects.filter(account=account.parent_id).first()
    if parent is None or above is None or above.shows_money:
        return ""
    return (
        f"{parent.name}, whose client {account.name} is, sees no money, so it could neither see nor spend what it "
        f"earns of it. {account.name} can only be billed to {parent.name}'s account."
    )


def _of_clients(terms: BillingTerms) -> str:
    account = terms.account
    paying = BillingTerms.objects.filter(account__parent=account).exclude(method=Method.BILL_TO_PARENT).count()
    if not paying:
        return ""
    which, them = (
        ("1 client of its own that is", "it") if paying == 1 else (f"{paying} clients of its own that are", "them")
    )
    return (
        f"{account.name} has {which} not billed to its account, and could neither see nor spend what it earns of "
        f"{them}. {account.name} has to bill {them} to its account before you pay."
    )


def _of_own_money(terms: BillingTerms) -> str:
    """The account's own; its parent cannot take it, and nobody else could."""
    account, balance = terms.account, balance_of(terms.account)
    wallet = balance.available - balance.credit_limit
    if wallet < 0:
        return (
            f"{account.name} owes {money_text(-wallet, account.currency)}, which somebody has to cover before you pay: "
            "the client by adding credit, or the portal's operator by a correction."
        )
    if wallet or balance.held:
        return (
            f"{account.name} still has {money_text(wallet, account.currency)} in its wallet and "
            f"{money_text(balance.held, account.currency)} set aside for messages; both must be 0.00 before you pay. "
            "It is the client's own money: let it be used up, or ask the portal's operator to pay it back."
        )
    if TopUp.objects.filter(account=account, state=TopUp.State.PENDING).exists():
        return f"{account.name} has a card payment under way; wait for its end before you pay."
    if Dispute.objects.filter(topup__account=account, state=Dispute.State.OPEN).exists():
        return f"{account.name} has a disputed card payment; wait for the bank's decision before you pay."
    if Refund.objects.filter(topup__account=account, state=Refund.State.WAITING).exists():
        return f"{account.name} has a refund under way; wait for its end before you pay."
    return ""


def prepare_switch(
    *, terms: BillingTerms, method: str, actor: User | None, expected_refund: Decimal | None = None
) -> None:
    """Inside the transaction that changes the method, with the terms locked: settle what the old one leaves.

    Unused credits are taken back at what they were bought for. ``expected_refund``: what the person saw of it. Raises
    MoneyStranded when money of the account's own is left, and CreditPriceChanged for another refund.
    """
    _lock_paying_wallet(terms.account)
    refusal = _refusal(terms, method)
    if refusal:
        raise MoneyStranded(refusal)
    if terms.method == Method.SMS_CREDITS:
        take_back_unused(client=terms.account, actor=actor, expected_refund=expected_refund)


def _lock_paying_wallet(account: Account) -> None:
    """Wait for every batch that is being accepted by the account or below it, and let the next ones wait."""
    try:
        prices = PriceList(account)
    except BillingError:
        return  # nobody pays for it, so nothing can be under way
    if prices.uses_credits and prices.payer == account:
        return  # its wallet of credits is locked together with those that taking back moves
    kinds = (Kind.WALLET, Kind.HELD)
    ledger.lock_accounts([ledger.open_account(prices.payer, kind, prices.currency).pk for kind in kinds])


def switch_sentences(switch: Switch, *, sees_money: bool = True) -> list[str]:
    """What the switch does to balance, credits and messages on their way; for the parent.

    Without ``sees_money`` no amount of money is named (PRODUCT.md, money rule 3).
    """
    name, currency = switch.account.name, switch.account.currency
    said = []
    if switch.leaves_credits:
        back = switch.credits_back
        go = f"{credits_text(back.quantity)} unused {'goes' if back.quantity == 1 else 'go'} back"
        returned = f": {money_text(back.refund, currency)} is returned at the price that was paid"
        if back.quantity:
            said.append(f"{go}{returned if sees_money else ''}.")
        else:
            said.append(f"{name} has no unused credits; nothing comes back.")
        if switch.credits.held:
            stay = "stays" if switch.credits.held == 1 else "stay"
            said.append(
                f"{credits_text(switch.credits.held)} set aside for messages on their way {stay} for these. "
                "What is not sent after all is taken back within minutes, at the price that was paid."
            )
    elif switch.parent_pays_now:
        said.append("Messages on their way stay charged to you at the price that they were accepted at.")
    else:
        said.append(_of_the_wallet(switch))
    if switch.old == Method.INVOICE and switch.balance.credit_limit:
        said.append(f"Its credit of {money_text(switch.balance.credit_limit, currency)} ends.")
    said.append(_from_then_on(switch))
    if switch.services and switch.parent_pays_now != switch.parent_pays_then:
        said.append(_of_services(switch))
    return said


def _of_services(switch: Switch) -> str:
    which = (
        "Its number or keyword renews" if switch.services == 1 else f"Its {switch.services} numbers and keywords renew"
    )
    if switch.parent_pays_then:
        return f"{which} on your balance from then on."
    return f"{which} on its own balance from then on."


def _of_the_wallet(switch: Switch) -> str:
    name, balance = switch.account.name, switch.balance
    if switch.parent_pays_then:
        return f"{name} has nothing in its wallet and nothing set aside, so no money is left behind."
    own = money_text(balance.available - balance.credit_limit, balance.currency)
    held = money_text(balance.held, balance.currency)
    return f"{name} keeps its balance of {own}, and {held} set aside for messages on their way."


def _from_then_on(switch: Switch) -> str:
    if switch.new == Method.BILL_TO_PARENT:
        return "From then on every message is charged to you, and the client sees no prices and no balance."
    if switch.new == Method.SMS_CREDITS:
        return "From then on the client sends with SMS credits only; it has none until you transfer some."
    if switch.parent_pays_now:
        return "From then on the client pays: it cannot send until it has added credit."
    return "From then on it tops up the new way."

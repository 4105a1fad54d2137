"""The step before UPDATE when the way of paying changes: what it does to balance, credits and open holds."""

from dataclasses import dataclass

from accounts.models import Account
from billing.models import BillingTerms
from billing.selectors import terms_of
from billing.services.switching import Switch, plan_switch, switch_sentences


@dataclass(frozen=True)
class Confirmation:
    """What the person is shown; ``token`` comes back with the form and names exactly this."""

    old: str
    new: str
    sentences: list[str]
    token: str


def switch_of(client: Account, method: str) -> Switch | None:
    """The change of method that the form asks for; None when the method stays."""
    terms = terms_of(client)
    return plan_switch(terms, method) if terms is not None and terms.method != method else None


def confirm_switch(switch: Switch | None, token: str, sees_money: bool) -> Confirmation | None:
    """What is still to be confirmed; None when nothing is, or when the service will refuse the change anyway."""
    if switch is None or switch.refusal:
        return None
    label = dict(BillingTerms.Method.choices)
    wanted = f"{switch.old}>{switch.new}:{switch.credits_back.quantity}"
    if sees_money:  # where it does not, no amount may stand on the page
        wanted += f":{switch.refund:.6f}"
    if token == wanted:
        return None
    return Confirmation(
        str(label[switch.old]), str(label[switch.new]), switch_sentences(switch, sees_money=sees_money), wanted
    )

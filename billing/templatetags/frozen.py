"""Who cannot send because a card payment is disputed."""

from typing import Any

from django import template

from billing.selectors import frozen_accounts, shows_money

register = template.Library()


@register.simple_tag(takes_context=True)
def frozen_wallets(context: dict[str, Any]) -> dict[str, Any]:
    """``own``: the visitor's account is frozen; ``clients``: the frozen ones of its direct clients."""
    account = getattr(context.get("request"), "account", None)
    if account is None:
        return {"own": False, "clients": []}
    found = frozen_accounts(account)
    clients = [one for one in found if one.pk != account.pk]
    return {"own": len(found) > len(clients) and shows_money(account), "clients": clients}

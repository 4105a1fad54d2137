"""What numbers and keywords should cost whom, written down once more from PRODUCT.md; as money_model.py."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from tests.billing.money_model import MONEY, PLATFORM, Books, Node, Refused

D = Decimal


def purse(node: Node) -> Node:
    """Whose money is meant where the account has none."""
    return purse(node.parent) if node.method in ("bill_to_parent", "sms_credits") and node.parent else node


@dataclass
class Service:
    """A number with its base price, or a keyword with its price, and the months of it that are paid."""

    node: Node
    kind: str
    price: Decimal
    number: int
    paid_until: int


class ServiceBooks(Books):
    def __init__(self) -> None:
        super().__init__()
        self.margins: defaultdict[int, Decimal] = defaultdict(Decimal)
        self.services: list[Service] = []

    def start(self, node: Node, kind: str, price: Decimal, setup: Decimal, month: int) -> Service:
        service = Service(node, kind, price, len(self.services), month + 1)
        payer, amount, shares = self._cost(service)
        self._take(payer, setup + amount - shares[payer])
        self._pay(payer, setup, {})
        self._pay(payer, amount, shares)
        self.services.append(service)
        return service

    def renew(self, kind: str, month: int) -> int:
        """Every month that has begun, the oldest first; whoever lacks the money waits. Returns how many were paid."""
        paid = 0
        due = [one for one in self.services if one.kind == kind and one.paid_until <= month]
        for service in sorted(due, key=lambda one: (one.paid_until, one.number)):
            with suppress(Refused):
                while service.paid_until <= month:
                    payer, amount, shares = self._cost(service)
                    self._take(payer, amount - shares[payer])
                    self._pay(payer, amount, shares)
                    service.paid_until += 1
                    paid += 1
        return paid

    def _cost(self, service: Service) -> tuple[Node, Decimal, defaultdict[Node, Decimal]]:
        payer, shares = purse(service.node), defaultdict[Node, Decimal](Decimal)
        if service.kind == "keyword":
            if service.node.parent:
                platforms = (service.price / 5).quantize(D("0.000001"), ROUND_HALF_UP)
                shares[purse(service.node.parent)] += service.price - platforms
            return payer, service.price, shares
        amount = service.price
        for node in payer.line:
            amount += self.margins[node.id]
            if node.parent:
                shares[purse(node.parent)] += self.margins[node.id]
        return payer, amount, shares

    def _pay(self, payer: Node, amount: Decimal, shares: dict[Node, Decimal]) -> None:
        revenue = amount - sum(shares.values(), D(0))
        sides = [((node.id, "wallet", MONEY), share) for node, share in shares.items()]
        self._move(((payer.id, "wallet", MONEY), -amount), ((PLATFORM, "revenue", MONEY), revenue), *sides)

"""What the portal's money should be, in a few plain dictionaries: the model that the state machine compares with.

It shares no code with the portal. Prices, floors and movements are written down once more from PRODUCT.md, as simply
as possible: nothing is concurrent here, nothing is stored, and a movement is a list of sums.
"""

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

D = Decimal
NOTHING = D(0)
MONEY, CREDITS = "AUD", "SMS"
PLATFORM = 0
# As tests/cast.py makes them: the longest prefix wins.
RATES = {"61": D("0.05"), "614915": D("0.08"), "44": D("0.03"), "64": D("0.012345")}
COUNTRIES = {"61": "AU", "614915": "AU", "44": "GB", "64": "NZ"}
HOME = "AU"

Account = tuple[int, str, str]  # (owner or PLATFORM, kind, currency)


class Refused(Exception):
    """The portal must refuse this, and nothing may change."""


@dataclass(eq=False)
class Node:
    """An account of the tree."""

    id: int
    parent: "Node | None"  # None: directly under the platform
    method: str
    margin: Decimal
    country_margins: dict[str, Decimal] = field(default_factory=dict)
    credit: Decimal = NOTHING
    open_disputes: set[str] = field(default_factory=set)

    @property
    def is_frozen(self) -> bool:
        """Nothing can be spent while a payment is contested."""
        return bool(self.open_disputes)

    @property
    def line(self) -> "list[Node]":
        """From the platform's direct client down to this one."""
        return [*(self.parent.line if self.parent else []), self]

    @property
    def payer(self) -> "Node":
        """Whose wallet or credits its messages are charged to."""
        return self.parent.payer if self.method == "bill_to_parent" and self.parent else self

    def chain(self, prefix: str) -> "list[tuple[Node, Decimal]]":
        """Everybody's price of one part in money, down to the payer; a margin below zero sells nothing for nothing."""
        price, chain = RATES[prefix], []
        for node in self.line:
            if node.parent:
                margin = node.country_margins.get(COUNTRIES[prefix], node.margin)
                price += margin
                if margin < 0 and price <= 0:
                    raise Refused("free")
            chain.append((node, price))
            if node is self.payer:
                break
        return chain


@dataclass
class Message:
    """One recipient of a batch."""

    number: str
    price: Decimal  # what is held for it
    gains: dict[Account, Decimal]  # who gets it once it is sent
    subsidies: dict["Node", Decimal] = field(default_factory=dict)  # who adds how much, selling below its own price
    state: str = "queued"
    settled: bool = False

    ENDED = ("sent", "delivered", "undelivered", "rejected", "failed", "cancelled")
    TAKEN = ("sent", "delivered", "undelivered")


@dataclass
class Batch:
    """What one send wrote."""

    payer: int
    currency: str
    messages: list[Message]

    @property
    def total(self) -> Decimal:
        return sum((message.price for message in self.messages), D(0))

    @property
    def subsidies(self) -> dict[Node, Decimal]:
        found: defaultdict[Node, Decimal] = defaultdict(Decimal)
        for message in self.messages:
            for seller, amount in message.subsidies.items():
                found[seller] += amount
        return found

    def waiting(self, *states: str) -> list[Message]:
        return [message for message in self.messages if message.state in states]


@dataclass
class Lot:
    """Credits bought at one price."""

    quantity: int
    chain: list[tuple[int, Decimal]]


class Books:
    """Every balance, and the only ways in which one may change."""

    def __init__(self) -> None:
        self.balances: defaultdict[Account, Decimal] = defaultdict(Decimal)
        self.batches: list[Batch] = []

    # --- Reading ---------------------------------------------------------------------------------------------------

    def can_spend(self, node: Node, currency: str = MONEY) -> Decimal:
        """What is available, credit included; below zero is a debt."""
        return self.balances[node.id, "wallet", currency] + (node.credit if currency == MONEY else 0)

    def known(self) -> dict[Account, Decimal]:
        """All balances that are not zero."""
        return {account: balance for account, balance in self.balances.items() if balance}

    def _move(self, *sides: tuple[Account, Decimal]) -> None:
        assert sum(amount for _, amount in sides) == 0
        for account, amount in sides:
            self.balances[account] += amount

    def _take(self, node: Node, amount: Decimal, currency: str = MONEY) -> None:
        """Spending: never of a frozen wallet, never below the floor."""
        if amount > 0 and ((node.is_frozen and currency == MONEY) or self.can_spend(node, currency) < amount):
            raise Refused(f"{amount} {currency} of {self.can_spend(node, currency)}")

    # --- Money in and out ------------------------------------------------------------------------------------------

    def pay_manually(self, node: Node, amount: Decimal) -> None:
        if amount < 0 and self.can_spend(node) < -amount:
            raise Refused("a correction is no reversal")
        self._move(((PLATFORM, "manual", MONEY), -amount), ((node.id, "wallet", MONEY), amount))

    def pay_by_card(self, node: Node, amount: Decimal) -> None:
        self._move(((PLATFORM, "card", MONEY), -amount), ((node.id, "wallet", MONEY), amount))

    def give_back(self, node: Node, amount: Decimal, left: Decimal) -> None:
        if amount > left:
            raise Refused(f"{amount} of {left} that were paid")
        self.reverse_card(node, amount)

    def reverse_card(self, node: Node, amount: Decimal) -> None:
        """A refund or a dispute takes what it must, whatever is there."""
        self.pay_by_card(node, -amount)

    # --- Sending ---------------------------------------------------------------------------------------------------

    def accept(self, node: Node, numbers: list[str], parts: int) -> Batch:
        payer = node.payer
        in_credits = payer.method == "sms_credits"
        messages = []
        for number in dict.fromkeys(numbers):
            prefix = max((p for p in RATES if number[1:].startswith(p)), key=len, default="")
            if not prefix or (in_credits and COUNTRIES[prefix] != HOME):
                continue
            with suppress(Refused):
                messages.append(self._message(node, number, prefix, parts, in_credits))
        if not messages:
            raise Refused("nobody is left")
        batch = Batch(payer.id, CREDITS if in_credits else MONEY, messages)
        sides = [(payer, "held", batch.total)]
        sides += [(seller, "subsidy", amount) for seller, amount in batch.subsidies.items()]
        for owner, _, amount in sides:
            self._take(owner, amount, batch.currency)
        for owner, kind, amount in sides:
            self._move(((owner.id, "wallet", batch.currency), -amount), ((owner.id, kind, batch.currency), amount))
        self.batches.append(batch)
        return batch

    def _message(self, node: Node, number: str, prefix: str, parts: int, in_credits: bool) -> Message:
        chain = node.chain(prefix)
        if in_credits:
            return Message(number, D(parts), {(PLATFORM, "revenue", CREDITS): D(parts)})
        message = Message(number, chain[-1][1] * parts, {(PLATFORM, "revenue", MONEY): chain[0][1] * parts})
        for (above, own), (_, below) in pairwise(chain):
            kind = "wallet" if below > own else "subsidy"
            message.gains[above.id, kind, MONEY] = (below - own) * parts
            if below < own:
                message.subsidies[above] = (own - below) * parts
        return message

    def settle(self) -> int:
        """Everything that ended is taken or given back, once."""
        count = 0
        for batch in self.batches:
            wallet, held = ((batch.payer, kind, batch.currency) for kind in ("wallet", "held"))
            for message in batch.messages:
                if message.settled or message.state not in Message.ENDED:
                    continue
                if message.state in Message.TAKEN:
                    self._move((held, -message.price), *message.gains.items())
                else:
                    self._move((held, -message.price), (wallet, message.price))
                    for seller, amount in message.subsidies.items():
                        self._move(((seller.id, "subsidy", MONEY), -amount), ((seller.id, "wallet", MONEY), amount))
                message.settled = True
                count += 1
        return count

    # --- SMS credits -----------------------------------------------------------------------------------------------

    def buy_credits(self, client: Node, quantity: int) -> Lot:
        parent = client.parent
        assert parent
        if parent.payer.method == "sms_credits":
            raise Refused("credits are bought with money")
        chain = parent.chain("61")
        price = chain[-1][1]
        self._take(chain[-1][0], price * quantity)
        for (above, own), (_, below) in pairwise(chain):
            self._take(above, (own - below) * quantity)
        lot = Lot(quantity, [(node.id, own) for node, own in chain])
        self._pay_chain(lot.chain, quantity)
        self._issue(client, quantity)
        return lot

    def return_credits(self, client: Node, lots: list[Lot], quantity: int) -> None:
        """The oldest lot was used first, and of what is left the oldest goes back first, at its own price."""
        unused = int(self.balances[client.id, "wallet", CREDITS])
        if quantity > unused:
            raise Refused(f"{quantity} of {unused} credits")
        used = sum(lot.quantity for lot in lots) - unused
        for lot in lots:
            eaten = min(used, lot.quantity)
            used -= eaten
            taken = min(quantity, lot.quantity - eaten)
            quantity -= taken
            lot.quantity -= taken
            self._pay_chain(lot.chain, -taken)
            self._issue(client, -taken)

    def _pay_chain(self, chain: list[tuple[int, Decimal]], times: int) -> None:
        sides = [((chain[-1][0], "wallet", MONEY), -chain[-1][1] * times)]
        sides.append(((PLATFORM, "revenue", MONEY), chain[0][1] * times))
        for (above, own), (_, below) in pairwise(chain):
            sides.append(((above, "wallet", MONEY), (below - own) * times))
        self._move(*sides)

    def _issue(self, client: Node, quantity: int) -> None:
        self._move(((PLATFORM, "issued", CREDITS), D(-quantity)), ((client.id, "wallet", CREDITS), D(quantity)))

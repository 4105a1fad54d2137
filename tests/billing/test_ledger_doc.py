"""The worked example of docs/ledger.md."""

from decimal import Decimal
from uuid import uuid4

from billing.models import LedgerAccount, LedgerTransaction
from billing.selectors import balance_of
from billing.services import ledger
from billing.services.ledger import Settlement
from billing.services.pricing import PriceList

D = Decimal


def test_the_batch_of_the_ledger_page(platform, reseller, client_member):
    price = PriceList(client_member.account).price_of("+61412345678")
    assert price.price == D("0.07")
    hold = ledger.hold(
        batch_id=uuid4(),
        account=client_member.account,
        payer=client_member.account,
        amount=10 * 2 * price.price,
        reference="B",
        quantity=10,
        actor=None,
    )
    assert hold.amount == D("1.40")
    assert balance_of(client_member.account).available == D("8.60")
    line = Settlement(hold.batch_id, "B", D("1.26"), 9, D("0.14"), 1)
    for account, margin in price.earnings().items():
        line.earnings[account] += 9 * 2 * margin
    ledger.settle(key="chunk", settlements=[line])
    moved = {
        (t.kind, e.ledger_account.owner.name, e.ledger_account.kind): e.amount
        for t in LedgerTransaction.objects.filter(kind__in=["capture", "release"])
        for e in t.entries.select_related("ledger_account__owner")
    }
    assert moved == {
        ("capture", "Client", "held"): D("-1.26"),
        ("capture", "Reseller", "wallet"): D("0.36"),
        ("capture", platform.name, "revenue"): D("0.90"),
        ("release", "Client", "held"): D("-0.14"),
        ("release", "Client", "wallet"): D("0.14"),
    }
    assert LedgerAccount.objects.get(owner=client_member.account, kind="held").balance == 0

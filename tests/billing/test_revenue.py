"""The platform's revenue since a moment: running balances where nothing else is near, entries around the moment."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.utils import timezone

from billing import revenue
from billing.models import LedgerEntry
from billing.revenue import revenue_since
from messaging.services.settling import settle_waiting
from tests.cast import Member
from tests.conftest import CommittedDatabase
from tests.messaging.rows import AU, NZ, accept, settle_as

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("nearby", [timedelta(0), HOUR])
def test_revenue_since_a_moment_is_what_was_booked_after_it(
    committed_db: CommittedDatabase, client_member: Member, monkeypatch: pytest.MonkeyPatch,
    nearby: timedelta,
) -> None:  # fmt: skip
    monkeypatch.setattr(revenue, "LONGEST_TRANSACTION", nearby)
    moments = [timezone.now()]
    for recipient in (AU, NZ, AU):
        settle_as(accept(client_member, [recipient]), "delivered")
        assert settle_waiting(100) == 1
        moments.append(timezone.now())
    booked = [
        sum(LedgerEntry.objects.filter(
            ledger_account__kind="revenue", transaction__created_at__gte=moment
        ).values_list("amount", flat=True), D(0))
        for moment in moments
    ]  # fmt: skip
    assert booked == [D("0.112345"), D("0.062345"), D("0.05"), D(0)]
    assert [revenue_since(moment) for moment in moments] == [{"AUD": amount} for amount in booked[:-1]] + [{}]

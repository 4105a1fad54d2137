"""The admin's first page: how the platform does, and what needs a person."""

from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from django.db.models import Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, OutgoingMail
from billing.models import CREDITS, LedgerAccount, LedgerCheck, PaymentEvent, TopUp
from billing.revenue import revenue_since
from messaging.models import ConnectorStatus, HttpConnector, Message, SmppConnector
from messaging.open_counts import MOST_COUNTED, count_open
from messaging.report_counts import accepted_since
from messaging.services.route_states import SILENT_AFTER

State = Message.State


@dataclass(frozen=True)
class Figure:
    """One number with its name; ``is_alarm`` where somebody should look."""

    label: str
    value: str
    url: str
    note: str = ""
    is_alarm: bool = False


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the key figures to the admin's index, a fixed number of statements (django-unfold's DASHBOARD_CALLBACK)."""
    now = timezone.now()
    midnight = datetime.combine(now.date(), time.min, tzinfo=now.tzinfo)
    return context | {
        "figures": [*_customers(), *_messages(midnight), *_operation(now), _books()]
        if request.user.is_superuser
        else [],
        "money": _money(midnight.replace(day=1)) if request.user.has_perm("billing.view_ledgeraccount") else [],
    }


def _list(model: str, query: str = "") -> str:
    return reverse(f"admin:{model}_changelist") + query


def _customers() -> list[Figure]:
    active = Account.objects.filter(status=Account.Status.ACTIVE, parent__isnull=False)
    resellers = active.filter(can_have_children=True).count()
    return [
        Figure("Resellers", f"{resellers:,}", _list("accounts_account", "?can_have_children__exact=1")),
        Figure("Clients", f"{active.count() - resellers:,}", _list("accounts_account")),
    ]


def _messages(midnight: datetime) -> list[Figure]:
    """Today's (UTC) messages from the reports' counts; what is on its way from its own indexes."""
    counts = count_open()
    unknown = counts.pop(State.UNKNOWN)
    return [
        Figure("Messages today", f"{accepted_since(midnight):,}", _list("messaging_message"), "UTC"),
        Figure("In the queue", _counted(sum(counts.values())), _list("messaging_message", "?state__exact=queued")),
        Figure(
            "Unknown", _counted(unknown), _list("messaging_unknownmessage"),
            "written to a carrier, answer never heard", bool(unknown),
        ),
    ]  # fmt: skip


def _counted(number: int) -> str:
    return f"{number:,}" if number <= MOST_COUNTED else f"more than {MOST_COUNTED:,}"


def _operation(now: datetime) -> list[Figure]:
    wanted = SmppConnector.objects.filter(is_enabled=True).aggregate(binds=Sum("binds"))["binds"] or 0
    wanted += HttpConnector.objects.filter(is_enabled=True).count()
    bound = ConnectorStatus.objects.filter(
        Q(route__smpp_connector__is_enabled=True) | Q(route__http_connector__is_enabled=True),
        state=ConnectorStatus.State.BOUND,
        seen_at__gte=now - SILENT_AFTER,
    ).count()
    mails = OutgoingMail.objects.filter(state=OutgoingMail.State.FAILED).count()
    events = PaymentEvent.objects.filter(processed_at=None).count()
    disputed = TopUp.objects.filter(state=TopUp.State.DISPUTED).count()
    health = reverse("admin:messaging_route_health")
    return [
        Figure("Carrier binds", f"{bound} of {wanted}", health, is_alarm=bound < wanted),
        Figure(
            "Mails that failed", f"{mails:,}", _list("accounts_outgoingmail", "?state__exact=failed"),
            is_alarm=bool(mails),
        ),
        Figure("Payment events waiting", f"{events:,}", _list("billing_paymentevent", "?attention=open")),
        Figure(
            "Top-ups to look at", f"{disputed:,}", _list("billing_topup", "?state__exact=disputed"),
            is_alarm=bool(disputed),
        ),
    ]  # fmt: skip


def _books() -> Figure:
    """What the last finished check of the ledger found."""
    check = LedgerCheck.objects.filter(ok__isnull=False).order_by("-pk").first()
    url = _list("billing_ledgercheck")
    if check is None:
        return Figure("Ledger", "Not checked yet", url, "runs every night")
    note = f"{check.get_mode_display()}, {timezone.localtime(check.started_at):%d %b %Y, %H:%M}"
    return Figure("Ledger", "Right" if check.ok else f"{len(check.differences)} wrong", url, note, not check.ok)


@dataclass(frozen=True)
class CurrencyMoney:
    """One currency: what customers have, what is held, and what the platform took this month (UTC)."""

    currency: str
    wallets: Decimal
    held: Decimal
    revenue: Decimal

    @property
    def counts_credits(self) -> bool:
        """Whether this row counts SMS credits: those of clients, those of messages on their way, those used."""
        return self.currency == CREDITS


def _money(month: datetime) -> list[CurrencyMoney]:
    Kind = LedgerAccount.Kind
    customers = LedgerAccount.objects.filter(kind__in=(Kind.WALLET, Kind.HELD)).order_by()
    rows = customers.values_list("currency", "kind").annotate(Sum("balance"))
    sums = {(currency, kind): total for currency, kind, total in rows}
    revenue = revenue_since(month)
    zero = Decimal(0)
    return [
        CurrencyMoney(
            currency, sums.get((currency, Kind.WALLET), zero), sums.get((currency, Kind.HELD), zero),
            revenue.get(currency, zero),
        )
        for currency in sorted({currency for currency, _ in sums} | set(revenue))
    ]  # fmt: skip

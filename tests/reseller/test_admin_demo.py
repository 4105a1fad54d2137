"""The admin on the demo's data: every page opens, records stay as they are, and messages are found among many."""

import pytest
from django.contrib import admin
from django.test import Client
from django.utils import timezone

from accounts.models import Account, AuditEntry, OutgoingMail, User
from billing.models import (
    Hold,
    LedgerAccount,
    LedgerEntry,
    LedgerTransaction,
    PaymentEvent,
    Quote,
    RateOverride,
    TopUp,
)  # fmt: skip
from messaging.models import Batch, ConnectorStatus, Message, Receipt, SmppConnector
from tests.reseller.test_admin import REGISTERED, url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo_data")]

LEDGER = (LedgerAccount, LedgerTransaction, LedgerEntry, Hold, Quote)
READ_ONLY = (*LEDGER, TopUp, PaymentEvent, Batch, Message, Receipt, AuditEntry, OutgoingMail)


def test_every_page_of_the_admin_opens_for_staff(staff: Client):
    PaymentEvent.objects.create(event_id="evt_1", type="x", payload={})
    OutgoingMail.objects.create(key="k", to="a@test.example", subject="s", text="t")
    RateOverride.objects.create(account=Account.objects.filter(parent__parent=None).last(), prefix="61", price=1)
    route = SmppConnector.objects.earliest("pk").route
    ConnectorStatus.objects.create(route=route, bind=0, state="bound", since=timezone.now(), seen_at=timezone.now())
    assert staff.get("/admin/").status_code == 200
    request = staff_request(staff)
    for model in REGISTERED:
        assert staff.get(url(model)).status_code == 200, model
        row = admin.site._registry[model].get_queryset(request).order_by("pk").last()
        if row is not None:
            assert staff.get(url(model, "change", row.pk)).status_code == 200, model
        if admin.site._registry[model].has_add_permission(request):
            assert staff.get(url(model, "add")).status_code == 200, model


def staff_request(staff: Client):
    request = staff.get("/admin/").wsgi_request
    request.user = User.objects.get(username="staff@test.example")
    return request


def test_records_cannot_be_added_changed_or_deleted(staff: Client):
    for model in READ_ONLY:
        assert staff.get(url(model, "add")).status_code == 403, model
        assert staff.post(url(model, "add"), {}).status_code == 403, model
        if model is not OutgoingMail:  # whose list has an action
            assert staff.post(url(model), {"action": "delete_selected"}).status_code == 403, model
        row = model.objects.order_by("pk").first()
        if row is None:
            continue
        before = model.objects.filter(pk=row.pk).values().get()
        assert staff.post(url(model, "change", row.pk), {"amount": "1", "balance": "1"}).status_code == 403, model
        assert staff.get(url(model, "delete", row.pk)).status_code == 403, model
        assert staff.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
        assert model.objects.filter(pk=row.pk).values().get() == before


def test_the_list_of_messages_counts_no_further_than_its_bound(staff: Client, monkeypatch):
    monkeypatch.setattr("accounts.staff_screens.BoundedPaginator.MOST", 60)
    page = staff.get(url(Message))
    assert page.context["cl"].result_count == 60
    assert page.context["cl"].full_result_count == 60  # nothing more is counted to compare it with
    assert "AUD\N{NO-BREAK SPACE}0.0" in page.content.decode()


def test_messages_are_found_by_id_number_carriers_id_and_batch(staff: Client):
    message = Message.objects.exclude(carrier_id="").order_by("pk").first()
    for term in (str(message.pk), message.recipient, message.recipient[1:], message.carrier_id):
        found = staff.get(url(Message), {"q": term}).context["cl"].queryset
        assert message in found, term
        assert found.count() < 60
    batch = staff.get(url(Message), {"q": message.batch.code.lower()}).context["cl"].queryset
    assert batch.count() == message.batch.message_count
    assert staff.get(url(Message), {"q": "nothing"}).context["cl"].queryset.count() == 0

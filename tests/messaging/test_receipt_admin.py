"""Staff see the receipts that belong to no message, and why nothing else."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from messaging.models import Receipt
from messaging.services.receipts import MAX_ATTEMPTS, apply_chunk
from tests.cast import PASSWORD, LogIn, Member
from tests.messaging.rows import words
from tests.messaging.test_receipts import receipt, submitted

LIST = reverse("admin:messaging_unmatchedreceipt_changelist")


@pytest.fixture
def staff(log_in: LogIn, db: None) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


def shown(browser: Client, **query: str) -> str:
    page = browser.get(LIST, query).content.decode()
    return words(page.split("<tbody", 1)[1].rsplit("</tbody>", 1)[0]) if "<tbody" in page else ""


def test_receipts_without_a_message_are_listed_found_and_read(staff: Client, client_member: Member):
    [message] = submitted(client_member)
    receipt(f"id-{message.recipient}")
    lost = receipt("strange-1", recipient="+61412349999", attempts=MAX_ATTEMPTS - 1)
    Receipt.objects.filter(pk=lost.pk).update(raw="id:strange-1 stat:DELIVRD text:Hi")
    receipt("early-2", status="UNDELIV")
    apply_chunk()
    receipt("just-came-3")

    assert "strange-1" in shown(staff)
    assert "id-+614" not in shown(staff)
    for other in ("early-2", "just-came-3"):
        assert other not in shown(staff)
    assert "early-2" in shown(staff, search="open")
    assert "just-came-3" not in shown(staff, search="open")
    for term in ("strange-1", "61412349999", "+61412349999", str(lost.pk)):
        assert "strange-1" in shown(staff, q=term)
    assert "strange-1" not in shown(staff, q="nobodys")
    assert "strange-1" not in shown(staff, status__exact="UNDELIV")
    page = words(staff.get(reverse("admin:messaging_unmatchedreceipt_change", args=[lost.pk])).content.decode())
    assert "id:strange-1 stat:DELIVRD text:Hi" in page
    assert staff.post(LIST, {"action": "delete_selected"}).status_code == 403


def test_the_list_is_for_who_may_see_it(log_in: LogIn, db: None):
    user = User.objects.create_user("help", "help@test.example", PASSWORD, name="Help", is_staff=True)
    assert log_in(user).get(LIST).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_unmatchedreceipt"))
    assert log_in(user).get(LIST).status_code == 200


def test_the_list_costs_what_it_holds_not_what_the_table_holds(staff: Client, client_member: Member):
    moment = timezone.now() - timedelta(minutes=1)
    [message] = submitted(client_member)
    Receipt.objects.bulk_create(
        Receipt(route=message.route, carrier_id=f"c-{n}", status="DELIVRD", message=message, applied_at=moment)
        for n in range(2000)
    )
    receipt("strange-1", attempts=MAX_ATTEMPTS - 1)
    apply_chunk()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE messaging_receipt")
        cursor.execute(
            "EXPLAIN (ANALYZE, COSTS OFF) SELECT id FROM messaging_receipt"
            " WHERE message_id IS NULL AND applied_at IS NOT NULL ORDER BY id DESC LIMIT 50"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Rows Removed by Filter" not in plan, plan
    assert "strange-1" in shown(staff)

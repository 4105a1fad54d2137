"""A client's sending limits: its parent sets them, the client sees them where it sends."""

from datetime import time

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEntry, User
from messaging.models import SendingTerms
from messaging.services.sending_terms import set_limits
from tests.cast import PASSWORD, LogIn, Member
from tests.messaging.rows import words


def test_a_parent_sets_limits_that_the_client_sees_and_cannot_change(
    reseller: Member, client_member: Member, outsider: Member, log_in: LogIn
):
    client, url = client_member.account, f"/clients/{client_member.account.code}/limits/"
    browser = log_in(reseller.user)
    assert "None: as fast and as much as the routes allow" in words(
        browser.get(f"/clients/{client.code}/").content.decode()
    )
    values = {"throughput": "10", "daily_limit": "5000", "dispatch_from": "22:00", "dispatch_until": "06:00"}

    page = words(browser.post(url, values, follow=True).content.decode())

    terms = SendingTerms.objects.get(account=client)
    assert (terms.throughput, terms.daily_limit, terms.dispatch_from, terms.dispatch_until) == (
        10, 5000, time(22), time(6),
    )  # fmt: skip
    assert "Daily limit 5,000 messages" in page
    assert "Sending limits changed" in page
    assert AuditEntry.objects.get(action="sending.limits").data["changes"]["throughput"] == [None, 10]
    assert 'value="22:00"' in browser.get(url).content.decode()
    own = words(log_in(client_member.user).get("/send/").content.decode())
    assert "22:00 to 06:00 of the next day" in own
    assert log_in(client_member.user).post(url, values | {"throughput": "99"}).status_code == 404
    assert log_in(outsider.user).post(url, values | {"throughput": "99"}).status_code == 404
    assert SendingTerms.objects.get(account=client).throughput == 10


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("throughput", "0", "Enter 1 or more; empty = no limit."),
        ("daily_limit", "many", "Enter a whole number, such as 500; empty = no limit."),
        ("dispatch_from", "25:00", "Enter a time, such as 08:00; empty = at any hour."),
        ("dispatch_until", "06:00", "Enter both times, or none: 06:00 stands alone."),
    ],
)
def test_what_makes_no_limit_is_refused_at_its_field(reseller, client_member, log_in: LogIn, field, value, error):
    url = f"/clients/{client_member.account.code}/limits/"
    page = log_in(reseller.user).post(url, {field: value}).content.decode()
    assert error in page
    assert f'value="{value}"' in page
    assert not SendingTerms.objects.exists()


def test_values_out_of_range_are_refused_and_unchanged_ones_noted_nowhere(client_member: Member):
    with pytest.raises(ValidationError):
        set_limits(account=client_member.account, actor=None, weight=0)
    set_limits(account=client_member.account, actor=None, weight=2)
    set_limits(account=client_member.account, actor=None, weight=2)
    assert AuditEntry.objects.filter(action="sending.limits").count() == 1


def test_staff_set_every_limit_and_the_trail_names_them(client_member: Member, log_in: LogIn):
    staff = User.objects.create_superuser("staff@test.example", "staff@test.example", PASSWORD, name="Sam Staff")
    browser, account = log_in(staff), client_member.account
    values = {
        "account": account.pk, "throughput": "", "daily_limit": "100", "dispatch_from": "", "dispatch_until": "",
        "priority": "5", "weight": "3", "route_plan": "", "waiting_days": "7", "expired_state": "undelivered",
    }  # fmt: skip
    assert browser.post("/admin/messaging/sendingterms/add/", values).status_code == 302

    terms = SendingTerms.objects.get(account=account)
    assert (terms.daily_limit, terms.priority, terms.weight, terms.waiting_days) == (100, 5, 3, 7)
    assert AuditEntry.objects.get(action="sending.limits").actor == staff
    url = f"/admin/messaging/sendingterms/{terms.pk}/change/"
    assert browser.post(url, values | {"weight": "101"}).status_code == 200
    assert browser.post(url, values | {"weight": "4"}).status_code == 302
    assert SendingTerms.objects.get(account=account).weight == 4
    assert browser.get("/admin/messaging/sendingterms/").status_code == 200

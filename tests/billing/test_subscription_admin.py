"""Staff read subscriptions with every charge and who earned of it."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing.models import Subscription
from tests.billing.services import at, lease_number, make_number, renew, set_margin
from tests.cast import PASSWORD, LogIn, Member, fund
from tests.messaging.rows import words


@pytest.fixture
def staff(db: None, log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


def test_staff_read_a_subscription_with_its_charges(client_member: Member, staff: Client) -> None:
    set_margin(client_member, "5")
    fund(client_member, "50", key="rich")
    subscription = lease_number(client_member, make_number(setup="3"), now=at("2027-01-10")).subscription
    renew(at("2027-02-10"))
    renew(at("2027-03-10"))
    page = staff.get(reverse("admin:billing_subscription_change", args=[subscription.pk]))
    text = words(page.content.decode())
    for part in ("Set-up", "AUD 3.00", "AUD 24.00", "Reseller AUD 5.00", "Payment due"):
        assert part in text
    assert text.count("AUD 24.00") == 2


def test_subscriptions_are_found_by_state_label_account_and_reference(client_member: Member, staff: Client) -> None:
    fund(client_member, "50", key="rich")
    first = lease_number(client_member, now=at("2027-01-10")).subscription
    lease_number(client_member, make_number("+61480000002"), now=at("2027-01-20"))
    renew(at("2027-02-10"))
    fund(client_member, "-3", key="poor")
    renew(at("2027-02-20"))
    url = reverse("admin:billing_subscription_changelist")
    for query, seen in (
        ("state__exact=grace", "+61480000002"), ("q=480000002", "+61480000002"), (f"q={first.code}", "+61480000001"),
        (f"service__exact=number&state__exact=active&q={client_member.account.code}", "+61480000001"),
    ):  # fmt: skip
        page = staff.get(f"{url}?{query}").content.decode()
        assert [label for label in ("+61480000001", "+61480000002") if f">{label}<" in page] == [seen]


def test_nobody_changes_a_subscription_here(client_member: Member, staff: Client) -> None:
    fund(client_member, "50", key="rich")
    subscription = lease_number(client_member, now=at("2027-01-10")).subscription
    for name in ("change", "delete"):
        url = reverse(f"admin:billing_subscription_{name}", args=[subscription.pk])
        assert staff.post(url, {"post": "yes", "state": "ended"}).status_code == 403
    assert staff.post(reverse("admin:billing_subscription_add")).status_code == 403
    assert Subscription.objects.get().state == "active"

"""SETTINGS: one's own profile and password."""

import pytest
from django.core import mail
from django.test import Client

from accounts.models import AuditEntry, Membership
from accounts.services.accounts import suspend_account
from accounts.services.mail import send_due_mail
from accounts.services.users import create_member
from tests.cast import PASSWORD, LogIn, Member

NEW_PASSWORD = "Quite-another-2026"
PROFILE = {
    "name": "Rita Reseller",
    "email": "reseller@test.example",
    "contact_name": "Rita R.",
    "time_zone": "Australia/Perth",
}


def test_settings_ask_an_anonymous_visitor_to_log_in(db: None) -> None:
    for path in ("/settings/", "/settings/password/"):
        response = Client().get(path)
        assert response.status_code == 302
        assert response["Location"] == f"/login/?next={path}"


def test_the_profile_shows_what_is_stored_with_the_country_s_zones_first(reseller: Member, log_in: LogIn) -> None:
    page = log_in(reseller.user).get("/settings/").content.decode()
    assert 'value="reseller@test.example"' in page
    assert '<option value="Australia/Sydney" selected>' in page
    assert page.index("Australia/Perth") < page.index("Africa/Abidjan")


def test_an_owner_changes_name_contact_and_time_zone(reseller: Member, log_in: LogIn) -> None:
    browser = log_in(reseller.user)
    response = browser.post("/settings/", PROFILE, follow=True)
    assert "Your settings are saved." in response.content.decode()
    reseller.user.refresh_from_db()
    reseller.account.refresh_from_db()
    assert reseller.user.name == "Rita Reseller"
    assert (reseller.account.contact_name, reseller.account.time_zone) == ("Rita R.", "Australia/Perth")
    entry = AuditEntry.objects.get(action="account.updated")
    assert entry.actor == reseller.user
    assert entry.data["after"] == {"contact_name": "Rita R.", "time_zone": "Australia/Perth"}
    assert "Australia/Perth (UTC+08:00)" in response.content.decode()


def test_a_new_e_mail_needs_the_password(reseller: Member, log_in: LogIn) -> None:
    browser = log_in(reseller.user)
    data = PROFILE | {"email": "rita@test.example"}
    for wrong in ({}, {"current_password": "wrong"}):
        page = browser.post("/settings/", data | wrong).content.decode()
        assert "To change the e-mail, enter the password" in page
        assert 'value="rita@test.example"' in page
    reseller.user.refresh_from_db()
    assert (reseller.user.email, reseller.user.name) == ("reseller@test.example", "Reseller")


def test_a_new_e_mail_is_the_new_login_and_the_old_address_hears_of_it(reseller: Member, log_in: LogIn) -> None:
    data = PROFILE | {"email": "rita@test.example", "current_password": PASSWORD}
    assert log_in(reseller.user).post("/settings/", data).status_code == 302
    reseller.user.refresh_from_db()
    assert (reseller.user.email, reseller.user.username) == ("rita@test.example", "rita@test.example")
    assert send_due_mail() == 1
    assert mail.outbox[0].to == ["reseller@test.example"]
    assert "rita@test.example" in str(mail.outbox[0].body)


@pytest.mark.parametrize("taken", ["client@test.example", "CLIENT@test.example"])
def test_an_e_mail_of_somebody_else_is_refused(
    reseller: Member, client_member: Member, log_in: LogIn, taken: str
) -> None:
    data = PROFILE | {"email": taken, "current_password": PASSWORD}
    page = log_in(reseller.user).post("/settings/", data).content.decode()
    assert "is already used by someone on this portal" in page
    reseller.user.refresh_from_db()
    assert reseller.user.email == "reseller@test.example"


@pytest.mark.parametrize(("field", "value"), [("time_zone", "Mars/Olympus"), ("name", ""), ("contact_name", "")])
def test_a_wrong_profile_changes_nothing(reseller: Member, log_in: LogIn, field: str, value: str) -> None:
    response = log_in(reseller.user).post("/settings/", PROFILE | {field: value})
    assert response.status_code == 200
    assert "error-summary" in response.content.decode()
    reseller.account.refresh_from_db()
    assert reseller.account.time_zone == "Australia/Sydney"


def test_a_viewer_changes_only_themselves(reseller: Member, log_in: LogIn) -> None:
    viewer = create_member(
        account=reseller.account, email="viewer@test.example", name="Vic", password=PASSWORD, actor=None,
        role=Membership.Role.VIEWER,
    )  # fmt: skip
    browser = log_in(viewer)
    assert 'name="time_zone"' not in browser.get("/settings/").content.decode()
    assert browser.post("/settings/", PROFILE | {"email": "viewer@test.example"}).status_code == 302
    viewer.refresh_from_db()
    reseller.account.refresh_from_db()
    assert viewer.name == "Rita Reseller"
    assert (reseller.account.time_zone, reseller.account.contact_name) == ("Australia/Sydney", "Reseller")


def change(browser: Client, current: str = PASSWORD, new: str = NEW_PASSWORD, again: str = NEW_PASSWORD) -> str:
    data = {"current": current, "new": new, "again": again}
    return browser.post("/settings/password/", data, follow=True).content.decode()


def test_a_changed_password_keeps_this_session_and_ends_the_others(reseller: Member, log_in: LogIn) -> None:
    here, elsewhere = log_in(reseller.user), log_in(reseller.user)
    assert "Your password is changed" in change(here)
    assert here.get("/settings/").status_code == 200
    assert elsewhere.get("/settings/").status_code == 302
    reseller.user.refresh_from_db()
    assert reseller.user.check_password(NEW_PASSWORD)
    assert AuditEntry.objects.filter(action="user.password_set", actor=reseller.user).count() == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"current": "wrong"}, "That is not your current password"),
        ({"again": "Quite-another-2027"}, "The two new passwords differ"),
        ({"new": "short", "again": "short"}, "at least 10 characters"),
        ({"new": "1234567890", "again": "1234567890"}, "entirely numeric"),
        ({"new": "reseller@test.example", "again": "reseller@test.example"}, "too similar"),
    ],
)
def test_a_wrong_password_change_says_what_to_do_and_changes_nothing(
    reseller: Member, log_in: LogIn, wrong: dict[str, str], sentence: str
) -> None:
    assert sentence in change(log_in(reseller.user), **wrong)
    reseller.user.refresh_from_db()
    assert reseller.user.check_password(PASSWORD)


@pytest.mark.parametrize("whose", ["own", "parent"])
def test_a_suspended_account_reads_what_to_do_and_can_only_log_out(
    reseller: Member, client_member: Member, log_in: LogIn, whose: str
) -> None:
    suspend_account(account=client_member.account if whose == "own" else reseller.account, actor=None)
    browser = log_in(client_member.user)
    response = browser.get("/settings/")
    page = response.content.decode()
    assert response.status_code == 403
    assert "Your account is suspended" in page
    assert client_member.account.name in page
    assert reseller.account.name not in page
    assert browser.post("/settings/", PROFILE).status_code == 403
    client_member.user.refresh_from_db()
    assert client_member.user.name == "Client"
    assert browser.post("/logout/").status_code == 302

"""Logging in, being locked out, and coming back with a reset password."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, OutgoingMail, User
from accounts.services.mail import send_due_mail
from tests.cast import PASSWORD, LogIn, Member

NEW_PASSWORD = "Quite-another-2026"


def try_log_in(browser: Client, login: str, password: str = PASSWORD) -> int:
    return browser.post("/login/", {"login": login, "password": password}).status_code


def is_logged_in(browser: Client) -> bool:
    return "_auth_user_id" in browser.session


@pytest.fixture
def named(reseller: Member) -> User:
    """A user whose login name is not the e-mail."""
    User.objects.filter(pk=reseller.user.pk).update(username="North")
    reseller.user.refresh_from_db()
    return reseller.user


@pytest.mark.parametrize("login", ["reseller@test.example", "RESELLER@Test.Example", "North", "nORTH", " north "])
def test_one_logs_in_with_e_mail_or_login_name_in_any_case(named: User, login: str) -> None:
    browser = Client()
    response = browser.post("/login/", {"login": login, "password": PASSWORD})
    assert response.status_code == 302
    assert is_logged_in(browser)


def test_a_wrong_password_says_so_and_keeps_the_login(reseller: Member) -> None:
    browser = Client()
    response = browser.post("/login/", {"login": "reseller@test.example", "password": "wrong"})
    page = response.content.decode()
    assert response.status_code == 200
    assert "No log-in matches this name and password" in page
    assert 'value="reseller@test.example"' in page
    assert "wrong" not in page
    assert not is_logged_in(browser)


def test_a_name_of_any_length_is_a_wrong_one(reseller: Member) -> None:
    assert try_log_in(Client(), "x" * 100_000) == 200


def test_an_unknown_login_reads_the_same_as_a_wrong_password(reseller: Member) -> None:
    answers = [
        Client().post("/login/", {"login": login, "password": "wrong"}).content.decode().replace(login, "")
        for login in ("reseller@test.example", "nobody@test.example")
    ]
    clean = [re.sub(r'name="csrfmiddlewaretoken" value="\w+"|"X-CSRFToken": "\w+"', "", answer) for answer in answers]
    assert clean[0] == clean[1]


def test_a_switched_off_user_is_told_so_only_with_the_right_password(reseller: Member) -> None:
    User.objects.filter(pk=reseller.user.pk).update(is_active=False)
    browser = Client()
    response = browser.post("/login/", {"login": "reseller@test.example", "password": PASSWORD}, follow=True)
    assert "This log-in is switched off" in response.content.decode()
    assert not is_logged_in(browser)


def lock_out(login: str = "reseller@test.example") -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT):
        status = try_log_in(Client(), login, "wrong")
    assert status == 429


def test_too_many_wrong_passwords_lock_even_the_right_one_out(reseller: Member) -> None:
    lock_out()
    browser = Client()
    response = browser.post("/login/", {"login": "reseller@test.example", "password": PASSWORD})
    page = response.content.decode()
    assert response.status_code == 429
    assert "Too many wrong passwords" in page
    assert "15 minutes" in page
    assert 890 <= int(response["Retry-After"]) <= 901
    assert not is_logged_in(browser)


def test_every_way_to_write_a_login_counts_as_the_same_person(named: User) -> None:
    written = ["north", "NORTH", "reseller@test.example", "Reseller@test.example"]
    for number in range(settings.AXES_FAILURE_LIMIT):
        try_log_in(Client(), written[number % len(written)], "wrong")
    assert try_log_in(Client(), "north") == 429
    assert try_log_in(Client(), "reseller@test.example") == 429


def test_the_locked_page_does_not_tell_the_login_name_of_an_e_mail(named: User) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT):
        response = Client().post("/login/", {"login": "reseller@test.example", "password": "wrong"})
    assert response.status_code == 429
    assert "north" not in response.content.decode().lower()


def test_one_person_locked_out_does_not_lock_another(reseller: Member, client_member: Member) -> None:
    lock_out()
    assert try_log_in(Client(), client_member.user.email) == 302


def test_a_lock_ends_when_the_page_said_however_often_one_tried_meanwhile(reseller: Member) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        lock_out()
    with time_machine.travel(start + timedelta(minutes=10), tick=False):
        response = Client().post("/login/", {"login": "reseller@test.example", "password": PASSWORD})
        assert response.status_code == 429
        assert "5 minutes" in response.content.decode()
    with time_machine.travel(start + timedelta(minutes=15, seconds=1), tick=False):
        assert try_log_in(Client(), "reseller@test.example") == 302


def ask_for_link(email: str) -> str:
    """Ask for a reset, send the outbox, and return the link of the mail."""
    response = Client().post("/password/reset/", {"email": email})
    assert response.status_code == 302
    assert response["Location"] == "/password/reset/done/"
    assert send_due_mail() == 1
    link = re.search(r"http://testserver(/password/reset/key/\S+/)\s", str(mail.outbox[-1].body))
    assert link is not None
    return link[1]


def test_a_forgotten_password_is_reset_by_mail_from_end_to_end(reseller: Member) -> None:
    link = ask_for_link("Reseller@test.example")
    assert mail.outbox[0].to == ["reseller@test.example"]
    assert "4 hours" in str(mail.outbox[0].body)
    browser = Client()
    page = browser.get(link, follow=True)
    assert "Set a new password" in page.content.decode()
    form_url = page.redirect_chain[-1][0]
    differing = browser.post(form_url, {"password1": NEW_PASSWORD, "password2": "something-else-1"})
    assert differing.status_code == 200
    assert "to correct" in differing.content.decode() or "error-summary" in differing.content.decode()
    done = browser.post(form_url, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}, follow=True)
    assert "Your password is changed" in done.content.decode()
    assert try_log_in(Client(), "reseller@test.example", PASSWORD) == 200
    assert try_log_in(Client(), "reseller@test.example", NEW_PASSWORD) == 302
    assert AuditEntry.objects.filter(action="user.password_set", account=reseller.account).count() == 1


def test_a_reset_link_leads_to_the_portal_whatever_host_was_asked(reseller: Member) -> None:
    Client().post("/password/reset/", {"email": "reseller@test.example"}, headers={"host": "127.0.0.1"})
    assert "http://testserver/password/reset/key/" in OutgoingMail.objects.get().text


def test_a_reset_link_works_once(reseller: Member) -> None:
    link = ask_for_link("reseller@test.example")
    browser = Client()
    form_url = browser.get(link, follow=True).redirect_chain[-1][0]
    browser.post(form_url, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert "This link no longer works" in Client().get(link, follow=True).content.decode()


def test_a_reset_link_dies_after_four_hours(reseller: Member) -> None:
    link = ask_for_link("reseller@test.example")
    with time_machine.travel(timezone.now() + timedelta(hours=4, seconds=5), tick=False):
        assert "This link no longer works" in Client().get(link, follow=True).content.decode()


def test_a_weak_new_password_is_refused_with_the_rule(reseller: Member) -> None:
    browser = Client()
    form_url = browser.get(ask_for_link("reseller@test.example"), follow=True).redirect_chain[-1][0]
    page = browser.post(form_url, {"password1": "short", "password2": "short"}).content.decode()
    assert "at least 10 characters" in page
    assert try_log_in(Client(), "reseller@test.example") == 302


def test_a_reset_ends_a_lock_out(reseller: Member) -> None:
    lock_out()
    browser = Client()
    form_url = browser.get(ask_for_link("reseller@test.example"), follow=True).redirect_chain[-1][0]
    browser.post(form_url, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert try_log_in(Client(), "reseller@test.example", NEW_PASSWORD) == 302


def test_a_reset_for_an_unknown_e_mail_looks_the_same_and_sends_nothing(reseller: Member) -> None:
    response = Client().post("/password/reset/", {"email": "nobody@test.example"})
    assert response.status_code == 302
    assert response["Location"] == "/password/reset/done/"
    assert OutgoingMail.objects.count() == 0


def test_a_user_without_an_account_can_reset_too(db: None) -> None:
    User.objects.create_user("staff", "staff@test.example", PASSWORD, name="Staff", is_staff=True)
    browser = Client()
    form_url = browser.get(ask_for_link("staff@test.example"), follow=True).redirect_chain[-1][0]
    browser.post(form_url, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert try_log_in(Client(), "staff", NEW_PASSWORD) == 302


def test_logging_out_takes_a_post(reseller: Member, log_in: LogIn) -> None:
    browser = log_in(reseller.user)
    assert "Log out?" in browser.get("/logout/").content.decode()
    assert is_logged_in(browser)
    assert browser.post("/logout/").status_code == 302
    assert not is_logged_in(browser)


@pytest.mark.parametrize(
    "path", ["/signup/", "/email/", "/confirm-email/", "/reauthenticate/", "/password/set/", "/login/code/confirm/"]
)
def test_pages_of_allauth_that_the_portal_does_not_use_do_not_exist(reseller: Member, log_in: LogIn, path: str) -> None:
    assert Client().get(path).status_code == 404
    assert log_in(reseller.user).get(path).status_code == 404

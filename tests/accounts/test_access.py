"""What tenant_view answers to requests that htmx makes in the background of an open page."""

import pytest
from django.test import Client

from accounts.models import Account
from accounts.services.accounts import suspend_account
from tests.cast import LogIn, Member, make_client
from tests.messaging.rows import accept

HTMX = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://testserver/batches/?page=2"}


def test_a_fragment_asked_for_after_the_session_ended_sends_the_whole_page_to_log_in(client_member: Member) -> None:
    batch = accept(client_member)
    answer = Client().get(f"/batches/{batch.code}/progress/", **HTMX)
    assert (answer.status_code, answer["HX-Redirect"]) == (200, "/login/?next=/batches/%3Fpage%3D2")
    assert answer.content == b""


def test_a_fragment_of_a_page_elsewhere_leads_to_the_dashboard_after_log_in(client_member: Member) -> None:
    batch = accept(client_member)
    elsewhere = HTMX | {"HTTP_HX_CURRENT_URL": "http://evil.example/steal/"}
    answer = Client().get(f"/batches/{batch.code}/progress/", **elsewhere)
    assert answer["HX-Redirect"] == "/login/?next=/"


def test_a_fragment_for_a_suspended_account_reloads_the_page_which_says_so(
    client_member: Member, reseller: Member, log_in: LogIn
) -> None:
    batch, browser = accept(client_member), log_in(client_member.user)
    suspend_account(account=reseller.account, actor=None)
    answer = browser.get(f"/batches/{batch.code}/progress/", **HTMX)
    assert (answer.status_code, answer["HX-Refresh"], answer.content) == (200, "true", b"")
    page = browser.get(f"/batches/{batch.code}/")
    assert page.status_code == 403
    assert "Your account is suspended" in page.content.decode()


@pytest.mark.parametrize("level", range(5))
def test_a_suspension_anywhere_above_closes_every_page(reseller: Member, log_in: LogIn, level: int) -> None:
    line = [reseller]
    for name in ("Child", "Grandchild", "Great-grandchild"):
        line[-1].account.can_have_children = True
        line[-1].account.save(update_fields=["can_have_children"])
        line.append(make_client(line[-1], name))
    browser = log_in(line[-1].user)
    assert browser.get("/settings/").status_code == 200
    above = Account.objects.get(pk=line[-1].account.path[level])
    Account.objects.filter(pk=above.pk).update(status=Account.Status.SUSPENDED)
    assert browser.get("/settings/").status_code == 403


def test_pages_of_a_person_are_kept_by_no_proxy(client_member: Member, log_in: LogIn) -> None:
    browser = log_in(client_member.user)
    for path in ("/", "/billing/", "/reports/messages.csv"):
        assert {"private", "no-cache"} <= set(browser.get(path)["Cache-Control"].split(", ")), path
    assert "Cache-Control" not in Client().get("/")


@pytest.mark.parametrize("path", ["/clients/?q=%00", "/messages/?batch=%00", "/billing/?before=%00"])
def test_a_nul_in_the_address_is_a_bad_request_and_no_crash(reseller: Member, log_in: LogIn, path: str) -> None:
    assert log_in(reseller.user).get(path).status_code == 400

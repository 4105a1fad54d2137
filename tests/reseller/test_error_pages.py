"""Error pages say what to do, in the portal's look; the one of a crash needs nothing that may have crashed."""

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path

from reseller import errors
from reseller.urls import handler400, handler403, handler404, handler500  # noqa: F401 - this module is a ROOT_URLCONF
from tests.cast import LogIn, Member


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("boom")


def refused(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("Ask the owner of the account.")


def damaged(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("odd")


urlpatterns = [
    path("broken/", broken),
    path("refused/", refused),
    path("damaged/", damaged),
    path("", include("reseller.urls")),
]


@pytest.fixture
def pages() -> Any:
    with override_settings(ROOT_URLCONF=__name__):
        yield


def test_an_unknown_address_is_a_helpful_404(db: None, pages: None) -> None:
    response = Client().get("/no/such/page/")
    assert response.status_code == 404
    assert "There is nothing at this address" in response.content.decode()


def test_a_404_is_drawn_for_a_logged_in_member_too(reseller: Member, log_in: LogIn, pages: None) -> None:
    response = log_in(reseller.user).get("/no/such/page/")
    assert response.status_code == 404
    assert reseller.account.name not in response.content.decode()


def test_a_refusal_shows_the_reason_of_the_view(db: None, pages: None) -> None:
    response = Client().get("/refused/")
    assert response.status_code == 403
    assert "Ask the owner of the account." in response.content.decode()


def test_a_refusal_without_reason_still_says_whom_to_ask() -> None:
    response = errors.permission_denied(RequestFactory().get("/"), PermissionDenied())
    assert "ask the owner of the account" in response.content.decode()


def test_a_damaged_request_is_400(db: None, pages: None) -> None:
    response = Client().get("/damaged/")
    assert response.status_code == 400
    assert "We could not read that request" in response.content.decode()


def test_a_crash_shows_the_500_page_without_its_cause(db: None, pages: None) -> None:
    response = Client(raise_request_exception=False).get("/broken/")
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.content.decode()
    assert "boom" not in response.content.decode()


def test_the_500_page_needs_no_request_and_no_database() -> None:
    """No ``db`` fixture: any query would raise."""
    response = errors.server_error(HttpRequest())
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.content.decode()


def test_a_crash_of_the_500_page_itself_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> str:
        raise RuntimeError("no templates")

    monkeypatch.setattr(errors, "render_to_string", fail)
    response = errors.server_error(HttpRequest())
    assert response.status_code == 500
    assert b"Wait a minute and try again" in response.content


def test_a_form_with_an_outdated_token_says_that_nothing_was_saved(db: None) -> None:
    response = Client(enforce_csrf_checks=True).post("/login/", {"login": "a", "password": "b"})
    assert response.status_code == 403
    assert "nothing was saved" in response.content.decode()

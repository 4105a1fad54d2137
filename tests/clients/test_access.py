"""Who may open the clients' pages; whoever is refused has changed nothing."""

from collections.abc import Iterator

import pytest
from django.test import Client

from accounts.models import Account, AuditEntry, Membership, User
from accounts.services.users import create_member
from billing.models import BillingTerms
from clients.models import ClientDefaults
from tests.cast import PASSWORD, LogIn, Member, make_client
from tests.clients.forms import filled
from tests.clients.test_defaults import FORM as DEFAULTS

READ_PATHS = ["/clients/", "/clients/{code}/"]
MANAGE_PATHS = [
    "/clients/add/", "/clients/{code}/edit/", "/clients/{code}/suspend/", "/clients/{code}/reactivate/",
    "/clients/time-zones/", "/clients/price-preview/", "/settings/clients/",
]  # fmt: skip
ONE_CLIENT = [path for path in READ_PATHS + MANAGE_PATHS if "{code}" in path]


def state() -> list[object]:
    """Everything that these pages could change."""
    return [
        list(model.objects.order_by("pk").values())  # type: ignore[attr-defined]
        for model in (Account, BillingTerms, User, Membership, ClientDefaults, AuditEntry)
    ]


@pytest.fixture
def unchanged(client_member: Member) -> Iterator[None]:
    """Fails when the test changed anything; log-in times aside, which are the log-in's."""
    User.objects.update(last_login=None)
    before = state()
    yield
    User.objects.update(last_login=None)
    assert state() == before


def answers(browser: Client, path: str) -> set[int]:
    """Status codes of looking and of trying to change something."""
    data = DEFAULTS if "settings" in path else filled()
    return {browser.get(path).status_code, browser.post(path, data).status_code}


@pytest.mark.parametrize("path", ONE_CLIENT)
def test_another_reseller_s_client_does_not_exist(
    client_member: Member, outsider: Member, log_in: LogIn, path: str
) -> None:
    before = state()
    browser = log_in(outsider.user)
    User.objects.update(last_login=None)
    before = state()
    codes = answers(browser, path.format(code=client_member.account.code))
    assert codes <= {404, 405}
    assert 404 in codes
    assert state() == before


@pytest.mark.parametrize("path", READ_PATHS + MANAGE_PATHS)
@pytest.mark.parametrize("role", list(Membership.Role))
def test_a_client_without_the_right_finds_no_such_page(
    client_member: Member, log_in: LogIn, path: str, role: str
) -> None:
    Membership.objects.filter(user=client_member.user).update(role=role)
    browser = log_in(client_member.user)
    User.objects.update(last_login=None)
    before = state()
    codes = answers(browser, path.format(code=client_member.account.code))
    assert codes <= {404, 405}
    assert 404 in codes
    assert state() == before


@pytest.mark.parametrize("path", MANAGE_PATHS)
@pytest.mark.parametrize("role", ["billing", "sender", "viewer"])
def test_only_owners_change_clients(
    reseller: Member, client_member: Member, log_in: LogIn, path: str, role: str
) -> None:
    user = create_member(
        account=reseller.account, email="low@test.example", name="Low", password=PASSWORD, actor=None, role=role
    )
    browser = log_in(user)
    User.objects.update(last_login=None)
    before = state()
    codes = answers(browser, path.format(code=client_member.account.code))
    assert codes <= {403, 405}
    assert 403 in codes
    assert state() == before


@pytest.mark.parametrize("role", ["billing", "sender", "viewer"])
def test_every_role_of_a_reseller_sees_its_clients_without_ways_to_change_them(
    reseller: Member, client_member: Member, log_in: LogIn, role: str
) -> None:
    user = create_member(
        account=reseller.account, email="low@test.example", name="Low", password=PASSWORD, actor=None, role=role
    )
    for path in READ_PATHS:
        response = log_in(user).get(path.format(code=client_member.account.code))
        page = response.content.decode()
        assert response.status_code == 200
        for word in ("ADD CLIENT", "EDIT", "SUSPEND", "/edit/"):
            assert word not in page, (path, word)


@pytest.mark.parametrize("path", READ_PATHS + MANAGE_PATHS)
def test_anonymous_is_sent_to_log_in(client_member: Member, path: str) -> None:
    path = path.format(code=client_member.account.code)
    before = state()
    response = Client().get(path)
    assert (response.status_code, response["Location"]) == (302, f"/login/?next={path}")
    assert Client().post(path, filled()).status_code in (302, 405)
    assert state() == before


@pytest.mark.parametrize("path", ONE_CLIENT)
def test_a_client_s_client_is_its_own_to_manage(
    reseller: Member, client_member: Member, log_in: LogIn, path: str
) -> None:
    Account.objects.filter(pk=client_member.account.pk).update(can_have_children=True)
    client_member.account.refresh_from_db()
    below = make_client(client_member, "Below")
    path = path.format(code=below.account.code)
    assert log_in(client_member.user).get(path).status_code == 200
    assert log_in(reseller.user).get(path).status_code == 404


def test_one_s_own_account_is_no_client_of_one_s_own(reseller: Member, log_in: LogIn) -> None:
    assert log_in(reseller.user).get(f"/clients/{reseller.account.code}/").status_code == 404
    assert log_in(reseller.user).post(f"/clients/{reseller.account.code}/suspend/").status_code == 404


def test_looking_at_the_pages_changes_nothing(
    unchanged: None, reseller: Member, client_member: Member, log_in: LogIn
) -> None:
    browser = log_in(reseller.user)
    for path in READ_PATHS + MANAGE_PATHS:
        assert browser.get(path.format(code=client_member.account.code)).status_code == 200, path

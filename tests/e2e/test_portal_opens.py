"""Every demo log-in of `make run` works in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.demo import PASSWORD


@pytest.mark.parametrize("login", ["reseller@demo.example", "client@demo.example"])
def test_the_demo_log_ins_lead_to_the_dashboard(page: Page, login, assert_accessible):
    page.goto("/")
    expect(page).to_have_url("/login/?next=/")
    assert_accessible(page)
    page.get_by_label("E-mail or login name").fill(login)
    page.locator("input[type=password]").fill(PASSWORD)
    page.get_by_role("button", name="LOG IN").click()
    expect(page.get_by_role("navigation", name="Main menu").get_by_role("link", name="SEND SMS")).to_be_visible()
    assert_accessible(page)


def test_a_violation_of_the_security_policy_is_noticed(page: Page, console_errors):
    page.goto("/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">inline</p>')")
    page.wait_for_timeout(200)
    assert len(console_errors) == 1
    assert "style" in console_errors[0]
    console_errors.clear()


def test_models_read_the_running_portal(stack_db):
    from accounts.models import User

    assert User.objects.filter(email="client@demo.example").exists()

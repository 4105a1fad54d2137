"""SETTINGS: profile and password."""

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from accounts.access import MAY_MANAGE, TenantRequest, tenant_view
from accounts.exceptions import EmailTaken
from accounts.forms import PasswordForm, ProfileForm
from accounts.services.accounts import update_account
from accounts.services.users import change_login, set_password


@tenant_view()
def settings_profile(request: TenantRequest) -> HttpResponse:
    """One's name and e-mail; for an owner also the account's contact name and time zone."""
    form = ProfileForm(
        request.POST or None,
        user=request.user,
        account=request.account,
        may_manage=request.membership.role in MAY_MANAGE,
    )
    if request.method == "POST" and form.is_valid() and _save_profile(request, form):
        messages.success(request, "Your settings are saved.")
        return redirect("accounts:settings")
    return render(request, "accounts/settings_profile.html", {"form": form})


def _save_profile(request: TenantRequest, form: ProfileForm) -> bool:
    user, account, data = request.user, request.account, form.cleaned_data
    try:
        with transaction.atomic():
            change_login(user=user, account=account, email=data["email"], name=data["name"], actor=user)
            update_account(account=account, actor=user, **form.account_details())
    except EmailTaken as error:  # someone took it between the form's look and the write
        form.add_error("email", str(error))
        return False
    return True


@sensitive_post_parameters("current", "new", "again")
@tenant_view()
def change_password(request: TenantRequest) -> HttpResponse:
    """Change one's password; every other session of the user ends, this one stays."""
    form = PasswordForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        set_password(user=request.user, account=request.account, password=form.cleaned_data["new"], actor=request.user)
        update_session_auth_hash(request, request.user)
        messages.success(request, "Your password is changed. Elsewhere you have been logged out.")
        return redirect("account_change_password")
    return render(request, "accounts/change_password.html", {"form": form})

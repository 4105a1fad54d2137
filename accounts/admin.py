"""Staff's view of the tree, its people, the audit trail and the mail outbox."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import UsernameField
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.countries import country_choices, time_zone_choices
from accounts.exceptions import AccountError
from accounts.models import Account, AuditEntry, Membership, OutgoingMail, User
from accounts.services import audit
from accounts.services.accounts import (
    create_account,
    get_platform,
    reactivate_account,
    suspend_account,
    update_account,
)
from accounts.services.mail import retry_mail
from accounts.services.users import login_taken
from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, ReadOnlyInline

STATUS_LABELS = {"Active": "success", "Suspended": "warning", "Closed": "danger"}


# --- Accounts ------------------------------------------------------------------------------------------------------


class AccountForm(forms.ModelForm):
    """Details of an account; a new one stands directly under the platform and needs its currency."""

    country = forms.ChoiceField(choices=[("", "–"), *country_choices()], required=False)
    time_zone = forms.ChoiceField(choices=time_zone_choices(), initial="UTC")
    sells_in = forms.RegexField(
        r"^[A-Z]{3}$", label="Currency", help_text="Three letters (ISO 4217), such as AUD. Never changes.",
        error_messages={"invalid": "Enter three capital letters, such as AUD."},
    )  # fmt: skip

    class Meta:
        model = Account
        fields = ("name", "contact_name", "mobile", "country", "time_zone", "can_have_children")


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = ("user", "role", "created_at")
    readonly_fields = fields
    verbose_name_plural = "people"


@admin.register(Account)
class AccountAdmin(ModelAdmin):
    """The tree. Adds direct accounts of the platform; everything else about an account is changed by its parent."""

    form = AccountForm
    list_display = ("in_tree", "code", "parent", "currency", "shown_status", "can_have_children", "created_at")
    list_filter = ("status", "can_have_children", "currency")
    search_fields = ("name", "code__iexact", "contact_name", "memberships__user__email")
    list_select_related = ("parent",)
    list_per_page = 50
    show_full_result_count = False
    ordering = ("path",)
    actions = ("suspend", "reactivate")
    inlines = (MembershipInline,)
    readonly_fields = ("code", "parent", "currency", "status", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        details = ("name", "contact_name", "mobile", "country", "time_zone", "can_have_children")
        return (*details, *self.readonly_fields) if obj else ("name", "sells_in", *details[1:])

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if obj is not None:
            form.base_fields.pop("sells_in", None)
        return form

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="account", ordering="path")
    def in_tree(self, account: Account) -> str:
        depth = len(account.path) - 1
        return format_html("{}{}", "\u2003" * max(0, depth - 1) + ("└ " if depth else ""), account.name)

    @display(description="status", ordering="status", label=STATUS_LABELS)
    def shown_status(self, account: Account) -> str:
        return str(account.get_status_display())

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What the services refuse changes nothing and is said."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except AccountError as error:
            messages.error(request, str(error))
            return redirect(request.path)

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """Through the services, so that the audit trail names what staff did."""
        actor: Any = request.user
        values = {key: form.cleaned_data[key] for key in AccountForm.Meta.fields}
        if change:
            update_account(account=Account.objects.get(pk=obj.pk), actor=actor, **values)
            return
        currency = form.cleaned_data["sells_in"]
        made = create_account(parent=get_platform(), currency=currency, actor=actor, **values)
        obj.__dict__.update(made.__dict__)

    @action(description="Suspend: no log-in, no sending, everything below included", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        self._change_each(request, queryset, suspend_account, "suspended")

    @action(description="Reactivate", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        self._change_each(request, queryset, reactivate_account, "active again")

    def _change_each(self, request: HttpRequest, queryset: QuerySet[Account], change: Any, word: str) -> None:
        for account in queryset.exclude(parent=None):
            try:
                change(account=account, actor=request.user)
            except AccountError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"{account.name} is {word}.", messages.SUCCESS)


# --- People --------------------------------------------------------------------------------------------------------


class NewUserForm(UserCreationForm):
    """Login name, e-mail, full name and password."""

    class Meta:
        model = User
        fields = ("username", "email", "name")
        field_classes = {"username": UsernameField}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in ("username", "email"):
            if cleaned.get(name) and login_taken(cleaned[name]):
                self.add_error(name, "Somebody on this portal logs in with this already; enter another.")
        return cleaned


class UserForm(UserChangeForm):
    """As NewUserForm; the password has a page of its own."""

    class Meta:
        model = User
        fields = "__all__"
        field_classes = {"username": UsernameField}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in ("username", "email"):
            if cleaned.get(name) and login_taken(cleaned[name], but=self.instance):
                self.add_error(name, "Somebody on this portal logs in with this already; enter another.")
        return cleaned


class UserMembershipInline(ReadOnlyInline):
    model = Membership
    fields = ("account", "role", "created_at")
    readonly_fields = fields


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):
    """People. Only superusers touch superusers and hand out staff rights."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("name", "email", "username", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("name", "email", "username")
    ordering = ("name", "pk")
    show_full_result_count = False
    readonly_fields = ("last_login", "date_joined")
    inlines = (UserMembershipInline,)
    fieldsets = (
        (None, {"fields": ("name", "email", "username", "password", "is_active")}),
        ("Staff", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions"), "classes": ("tab",)}),
        ("Dates", {"fields": ("last_login", "date_joined"), "classes": ("tab",)}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("name", "email", "username", "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(self.readonly_fields)
        if request.user.is_superuser:
            return fields
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        is_above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return bool(allowed and not is_above)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    """Who belongs where; each change is noted in the account's audit trail."""

    list_display = ("user", "account", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "account")
    search_fields = ("user__email", "user__name", "account__name", "account__code__iexact")
    autocomplete_fields = ("user", "account")
    show_full_result_count = False
    ordering = ("-pk",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("user", "account", "created_at") if obj else ()

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        self._note(request, obj, "membership.changed" if change else "membership.created")

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        self._note(request, obj, "membership.removed")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset.select_related("account", "user"):
            self.delete_model(request, membership)

    def _note(self, request: HttpRequest, membership: Membership, deed: str) -> None:
        actor: Any = request.user
        audit.record(
            account=membership.account, actor=actor, action=deed,
            subject=membership.account.code, user=membership.user_id, role=membership.role,
        )  # fmt: skip


# --- Records -------------------------------------------------------------------------------------------------------


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what to whom."""

    list_display = ("created_at", "account", "actor", "action", "subject")
    list_filter = (("created_at", admin.DateFieldListFilter),)
    list_select_related = ("account", "actor")
    search_fields = ("action", "subject__iexact", "account__name", "actor__email")
    ordering = ("-pk",)
    paginator = BoundedPaginator


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    """The outbox. Texts are not shown: they may hold links that open somebody's account."""

    list_display = ("created_at", "to", "subject", "shown_state", "attempts", "next_try_at")
    list_filter = ("state",)
    search_fields = ("to", "subject", "key")
    ordering = ("-pk",)
    paginator = BoundedPaginator
    fields = ("to", "subject", "account", "state", "attempts", "next_try_at", "sent_at", "error", "created_at", "key")
    actions = ("retry",)

    @display(description="state", ordering="state", label={"Waiting": "info", "Sent": "success", "Failed": "danger"})
    def shown_state(self, mail: OutgoingMail) -> str:
        return str(mail.get_state_display())

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_outgoingmail")

    @action(description="Try again now", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[OutgoingMail]) -> None:
        tried = retry_mail(queryset.values_list("pk", flat=True))
        self.message_user(request, f"{tried} mail{'' if tried == 1 else 's'} will be tried now.", messages.SUCCESS)

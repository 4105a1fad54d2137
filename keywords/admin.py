"""Staff's view of keywords (to read), of who may have them, and of the words that nobody may have."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.countries import country_choices, country_name
from accounts.models import Account
from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, ReadOnlyInline
from billing.service_admin import ServiceAdmin
from keywords.exceptions import UnfitWord
from keywords.models import Keyword, KeywordName, KeywordTerms, ReservedWord
from keywords.reserved import built_in
from keywords.services.terms import create_terms, update_terms
from keywords.words import check_word, normal

STATUS_LABELS = {"Open": "success", "Closed": "warning"}


@admin.register(KeywordTerms)
class KeywordTermsAdmin(ServiceAdmin):
    """Whether an account has keywords, at which price, and how many; saved through the services, which note it."""

    list_display = ("account", "is_enabled", "price", "limit")
    list_filter = ("is_enabled",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "account":
            kwargs["queryset"] = Account.objects.filter(parent__isnull=False, keyword_terms=None).order_by("name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: KeywordTerms, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in ("is_enabled", "price", "limit")}
        actor: Any = request.user
        if change:
            update_terms(account=obj.account, actor=actor, **values)
        else:
            create_terms(account=obj.account, actor=actor, **values)
            obj._state.adding = False


class NameInline(ReadOnlyInline):
    model = KeywordName
    verbose_name_plural = "words that lead to it"
    fields = ("name", "normal")
    readonly_fields = fields


@admin.register(Keyword)
class KeywordAdmin(ReadOnlyAdmin):
    list_display = ("word", "number", "account", "shown_status", "subscription_state", "created_at", "ended_at")
    list_filter = ("status", "subscription__state")
    list_select_related = ("number", "account", "subscription")
    search_fields = (
        "word__icontains", "names__name__icontains", "number__number__contains", "account__name", "code__iexact",
    )  # fmt: skip
    ordering = ("-pk",)
    paginator = BoundedPaginator
    exclude = ("webhook_secret",)
    inlines = (NameInline,)

    @display(description="status", label=STATUS_LABELS, ordering="status")
    def shown_status(self, keyword: Keyword) -> str:
        return keyword.get_status_display()

    @display(description="paid", ordering="subscription__state")
    def subscription_state(self, keyword: Keyword) -> str:
        return keyword.subscription.get_state_display()


class ReservedWordForm(forms.ModelForm):
    """A word that a phone could send, once a country."""

    country = forms.ChoiceField(
        choices=[("", "Everywhere"), *country_choices()], required=False, widget=UnfoldAdminSelectWidget(),
        help_text="The country of the numbers on which it is reserved.",
    )  # fmt: skip

    class Meta:
        model = ReservedWord
        fields = ("country", "word", "meaning")

    def clean_word(self) -> str:
        try:
            return check_word(self.cleaned_data["word"])
        except UnfitWord as error:
            raise ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not {"country", "word"} <= data.keys():
            return data
        self.instance.normal = compared = normal(data["word"])
        others = ReservedWord.objects.filter(country=data["country"], normal=compared).exclude(pk=self.instance.pk)
        if compared in built_in(data["country"]) or others.exists():
            raise ValidationError({"word": f"“{data['word']}” is reserved there already."})
        return data


@admin.register(ReservedWord)
class ReservedWordAdmin(ModelAdmin):
    """Words beside those that are built in (keywords/reserved.py), which hold on numbers of a country at once."""

    form = ReservedWordForm
    list_display = ("word", "shown_country", "meaning")
    list_filter = ("meaning",)
    search_fields = ("word__icontains", "normal")
    ordering = ("country", "word")

    @display(description="country", ordering="country")
    def shown_country(self, reserved: ReservedWord) -> str:
        return country_name(reserved.country) or "everywhere"

    def save_model(self, request: HttpRequest, obj: ReservedWord, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        names = KeywordName.objects.filter(normal=obj.normal)
        taken = (names.filter(number__country=obj.country) if obj.country else names).count()
        if taken:
            messages.warning(
                request,
                f"{taken} keyword{'' if taken == 1 else 's'} in force had this word, which leads to none of them now.",
            )

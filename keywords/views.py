"""KEYWORDS: the list, a keyword, its form, closing and ending it, and the tester."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import ANY_ROLE, MAY_BILL, MAY_MANAGE, MAY_SEND, Role, TenantRequest, View, tenant_view
from billing.exceptions import BillingError, InsufficientFunds
from billing.selectors import shows_money
from billing.selectors import terms_of as billing_terms_of
from keywords import selectors
from keywords.exceptions import KeywordError
from keywords.forms import KeywordForm, PriceForm, TesterForm
from keywords.listing import row_of
from keywords.models import Keyword
from keywords.reserved import shown_words
from keywords.services import keywords as service
from keywords.tester import try_message
from virtual_numbers.models import VirtualNumber

ROWS_A_PAGE = 25


def keywords_view(roles: frozenset[Role] = ANY_ROLE) -> Callable[[View], View]:
    """As tenant_view; 404 for an account for which keywords are switched off."""

    def decorate(view: View) -> View:
        @tenant_view(roles)
        @wraps(view)
        def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not selectors.offers_keywords(request.account):
                raise Http404("No keywords.")
            return view(request, *args, **kwargs)

        return guarded

    return decorate


@require_GET
@keywords_view()
def keyword_list(request: TenantRequest) -> HttpResponse:
    """The account's keywords in force, or with ``ended`` those that were; ``q`` looks for a word or number."""
    search, ended = request.GET.get("q", "").strip()[:60], request.GET.get("show") == "ended"
    found = selectors.keywords_of(request.account, ended=ended, search=search)
    page = Paginator(found, ROWS_A_PAGE).get_page(request.GET.get("page"))
    now = timezone.now()
    context = _common(request) | {
        "page": page,
        "rows": [row_of(keyword, now) for keyword in page],
        "search": search,
        "ended": ended,
        "has_any": Keyword.objects.filter(account=request.account).exists(),
    }
    return render(request, "keywords/keyword_list.html", context)


def _common(request: TenantRequest) -> dict[str, Any]:
    """What several pages need: the terms (price only where money is seen), places left, and what the person may do."""
    terms, count = selectors.terms_of(request.account), selectors.count_in_force(request.account)
    return {
        "terms": terms,
        "price": terms.price if shows_money(request.account) else None,
        "count": count,
        "is_full": bool(terms.limit) and count >= terms.limit,
        "numbers": selectors.numbers_of(request.account),
        "may_manage": request.membership.role in MAY_MANAGE,
        "may_edit": request.membership.role in MAY_SEND,
    }


@require_GET
@keywords_view()
def keyword_detail(request: TenantRequest, code: str) -> HttpResponse:
    """Everything of one keyword."""
    keyword = selectors.get_keyword_for(request.account, code)
    return render(request, "keywords/keyword_detail.html", _common(request) | {"row": row_of(keyword, timezone.now())})


@require_http_methods(["GET", "POST"])
@keywords_view(MAY_MANAGE)
def add_keyword(request: TenantRequest) -> HttpResponse:
    """The form with what it costs; sending it makes the keyword and charges its first month."""
    context = _common(request)
    if not context["numbers"] or context["is_full"]:
        return redirect("keywords:list")
    chosen = {"number": request.GET.get("number", "")}
    form = KeywordForm(request.POST or None, account=request.account, initial=chosen)
    shown, lacks_money = PriceForm(request.POST), False
    if request.method == "POST" and form.is_valid() and shown.is_valid():
        try:
            return _create(request, form, shown)
        except KeywordError as error:
            form.refuse(error)
        except BillingError as error:
            form.add_error(None, str(error))
            lacks_money = isinstance(error, InsufficientFunds)
    return _show_form(request, form, context["numbers"], lacks_money=lacks_money)


def _show_form(
    request: TenantRequest, form: KeywordForm, numbers: list[VirtualNumber], *, lacks_money: bool = False
) -> HttpResponse:
    """The form with the price as it is now: what was refused may be one that has changed."""
    context = _common(request) | {
        "form": form,
        "keyword": form.keyword,
        "reserved": _reserved(numbers),
        "fields": form.merge_fields(),
        "offers_credit": lacks_money and _may_add_credit(request),
    }
    return render(request, "keywords/keyword_form.html", context)


def _create(request: TenantRequest, form: KeywordForm, shown: PriceForm) -> HttpResponse:
    keyword = service.create_keyword(
        account=request.account, number=form.cleaned_data["number"], word=form.cleaned_data["word"],
        values=form.values(), expected=shown.cleaned_data["price"] if shows_money(request.account) else None,
        actor=request.user, now=timezone.now(),
    )  # fmt: skip
    messages.success(request, f"Phones can text {keyword.word} to {keyword.number} now.")
    _show_secret(request, keyword.webhook_secret)
    return redirect("keywords:detail", keyword.code)


def _show_secret(request: TenantRequest, secret: str) -> None:
    if secret:
        messages.info(
            request, f"What is posted to your URL is signed with this secret, which is shown only now: {secret}"
        )


def _reserved(numbers: list[VirtualNumber]) -> list[str]:
    """The words that no keyword can have on any of the numbers, as people read them."""
    found = [shown_words(country) for country in dict.fromkeys(number.country for number in numbers)]
    return list(dict.fromkeys(word for sets in found for words in sets.values() for word in words))


def _may_add_credit(request: TenantRequest) -> bool:
    terms = billing_terms_of(request.account)
    return request.membership.role in MAY_BILL and terms is not None and terms.pays_by_card


@require_http_methods(["GET", "POST"])
@keywords_view(MAY_SEND)
def edit_keyword(request: TenantRequest, code: str) -> HttpResponse:
    """The form of a keyword in force; its word and number stay."""
    keyword = selectors.get_keyword_for(request.account, code)
    if keyword.ended_at is not None:
        return _ended(request, keyword)
    form = KeywordForm(request.POST or None, account=request.account, keyword=keyword)
    if request.method == "POST" and form.is_valid():
        try:
            changed = service.update_keyword(keyword=keyword, values=form.values(), actor=request.user)
        except KeywordError as error:
            form.refuse(error)
        else:
            messages.success(request, f"{keyword.word} is saved; it counts from the next message on.")
            _show_secret(request, changed.webhook_secret if not keyword.webhook_secret else "")
            return redirect("keywords:detail", keyword.code)
    return _show_form(request, form, [keyword.number])


def _ended(request: TenantRequest, keyword: Keyword) -> HttpResponse:
    messages.info(request, f"{keyword.word} has ended; nothing about it can be changed.")
    return redirect("keywords:detail", keyword.code)


def _act(request: TenantRequest, code: str, deed: Callable[[Keyword], str]) -> HttpResponse:
    """Do something to a keyword, say what came of it, and show it."""
    keyword = selectors.get_keyword_for(request.account, code)
    try:
        said = deed(keyword)
    except KeywordError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return redirect("keywords:detail", keyword.code)


@require_POST
@keywords_view(MAY_SEND)
def close_keyword(request: TenantRequest, code: str) -> HttpResponse:
    def close(keyword: Keyword) -> str:
        service.set_status(keyword=keyword, status=Keyword.Status.CLOSED, actor=request.user)
        return f"{keyword.word} is closed: it answers nobody until you open it."

    return _act(request, code, close)


@require_POST
@keywords_view(MAY_SEND)
def open_keyword(request: TenantRequest, code: str) -> HttpResponse:
    def reopen(keyword: Keyword) -> str:
        service.set_status(keyword=keyword, status=Keyword.Status.OPEN, actor=request.user)
        return f"{keyword.word} is open again."

    return _act(request, code, reopen)


@require_POST
@keywords_view(MAY_MANAGE)
def renew_secret(request: TenantRequest, code: str) -> HttpResponse:
    def renew(keyword: Keyword) -> str:
        _show_secret(request, service.renew_secret(keyword=keyword, actor=request.user))
        return f"What {keyword.word} posts to your URL is signed with the new secret from now on."

    return _act(request, code, renew)


@require_http_methods(["GET", "POST"])
@keywords_view(MAY_MANAGE)
def end_keyword(request: TenantRequest, code: str) -> HttpResponse:
    """Say what it means, then end it."""
    keyword = selectors.get_keyword_for(request.account, code)
    if keyword.ended_at is not None:
        return _ended(request, keyword)
    if request.method == "GET":
        return render(request, "keywords/keyword_end.html", {"keyword": keyword})

    def end(found: Keyword) -> str:
        service.end_keyword(keyword=found, actor=request.user, now=timezone.now())
        return f"{found.word} has ended; its words are free again."

    return _act(request, code, end)


@require_GET
@keywords_view()
def tester(request: TenantRequest) -> HttpResponse:
    """What a message would set off; nothing is done, so the page is a GET with the message in its address."""
    numbers = selectors.numbers_of(request.account)
    form = TesterForm(
        request.GET if "text" in request.GET else None, account=request.account, initial=request.GET.dict()
    )
    context: dict[str, Any] = {"form": form, "numbers": numbers, "sees_cost": False}
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        context["trial"] = try_message(
            account=request.account, number=data["number"], text=data["text"], sender=data["sender"],
            is_first=data["visit"] != "later", now=timezone.now(),
        )  # fmt: skip
    return render(request, "keywords/tester.html", context)

"""HANDSET: a phone in the browser for whoever tries the portal, on the simulator's phones. Development only.

Anywhere else, and while no simulator answers, its pages do not exist.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import phonenumbers
from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from accounts.models import Account
from accounts.phones import NotMobile, read_mobile
from contacts.models import Contact
from keywords.models import Keyword
from reseller.templatetags.portal import phone as in_words
from smpp.control import ControlError, NoSimulator, ask
from virtual_numbers.models import Lease

DEFAULT_COUNTRY, DEFAULT_PHONE = "AU", "+61491570156"
MOST_PHONES = 12
MOST_CHARACTERS = 1_000
NOTHING_NEW = 204  # htmx leaves the page as it is

_E164 = re.compile(r"\+[1-9][0-9]{4,14}")

View = Callable[..., HttpResponse]


def is_offered() -> bool:
    """Whether this is a development portal whose simulator has a control port."""
    return bool(settings.DEVELOPMENT and settings.SIMULATOR_CONTROL_PORT)


def with_simulator(view: View) -> View:
    """404 outside development and while no simulator answers; anonymous visitors log in first."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_offered():
            raise Http404("There is no handset here.")
        if request.htmx and not request.user.is_authenticated:  # type: ignore[attr-defined]
            return HttpResponseClientRefresh()  # the log-in form belongs on a page, not onto the phone's screen
        try:
            return login_required(view)(request, *args, **kwargs)
        except NoSimulator as error:
            raise Http404(str(error)) from error

    return guarded


# --- What the page shows -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phone:
    """A phone to choose: whose it is, "" for one that is known by its number only."""

    number: str
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A virtual number to write to, who holds it, and the keywords that are open on it."""

    number: str
    holder: str
    words: list[str]


@dataclass(frozen=True)
class Bubble:
    """A message on the screen."""

    is_sent: bool
    other: str
    text: str
    at: datetime
    parts: int
    is_taken: bool


def phones_for(account: Account | None) -> list[Phone]:
    """People whose phones a visitor may want: the account's contacts and its clients; last used phones for everyone."""
    found: dict[str, Phone] = {}
    if account is not None:
        for contact in Contact.objects.filter(account=account).order_by("pk")[:MOST_PHONES]:
            name = str(contact)
            found[contact.number] = Phone(contact.number, "" if name == contact.number else name)
        people = Account.objects.in_subtree_of(account)
    else:
        people = Account.objects.all()
    for one in people.exclude(mobile="").order_by("pk")[:MOST_PHONES]:
        found.setdefault(one.mobile, Phone(one.mobile, one.contact_name))
    for number in _ask(do="phones")["phones"]:
        found.setdefault(number, Phone(number))
    return list(found.values())[: 2 * MOST_PHONES] or [_somebody(account)]


def _somebody(account: Account | None) -> Phone:
    """A phone of the account's country, for who knows nobody yet."""
    example = phonenumbers.example_number_for_type(_country(account), phonenumbers.PhoneNumberType.MOBILE)
    number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164) if example else DEFAULT_PHONE
    return Phone(number, "Somebody")


def _country(account: Account | None) -> str:
    return (account.country if account else "") or DEFAULT_COUNTRY


def lines_for(account: Account | None) -> list[Line]:
    """The numbers in use by the visitor's account and those below it; all of them for staff."""
    leases = Lease.objects.filter(ended_at=None).select_related("number", "holder").order_by("number__number")
    if account is not None:
        leases = leases.filter(holder__in=Account.objects.in_subtree_of(account))
    words: dict[int, list[str]] = {}
    open_ones = Keyword.objects.filter(status=Keyword.Status.OPEN, ended_at=None, number__leases__in=leases)
    for keyword in open_ones.distinct().order_by("word"):
        words.setdefault(keyword.number_id, []).append(keyword.word)
    return [Line(one.number.number, one.holder.name, words.get(one.number_id, [])) for one in leases]


def screen_of(phone: str) -> tuple[list[Bubble], str]:
    """What the phone shows, oldest first, and a digest that changes with it."""
    messages = _ask(do="messages", phone=phone)["messages"]
    bubbles = [
        Bubble(
            one["is_sent"], one["other"], one["text"], datetime.fromtimestamp(one["at"], UTC), one["parts"],
            one["is_taken"],
        )
        for one in messages
    ]  # fmt: skip
    return bubbles, sha256(repr(bubbles).encode()).hexdigest()[:16]


def _ask(**command: Any) -> dict[str, Any]:
    return ask(settings.SIMULATOR_CONTROL_PORT, **command)


# --- Forms ---------------------------------------------------------------------------------------------------------


def read_phone(typed: str, account: Account | None) -> str:
    """The number (E.164) of a phone as typed; raises ValidationError saying what is wrong with it.

    In international form it may be any: what is no mobile in the world can be one in the simulator.
    """
    if _E164.fullmatch(typed):
        return typed
    number = read_mobile(typed, _country(account))
    if isinstance(number, NotMobile):
        raise ValidationError(f"{typed[:40]} is no mobile number: {number.detail}")
    return number


class TextForm(forms.Form):
    """A text from the phone. Takes the numbers that it may go to."""

    to = forms.ChoiceField(label="To", widget=forms.Select({"class": "form-select form-select-sm"}))
    text = forms.CharField(
        label="Text",
        strip=False,
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea({"rows": 2, "class": "form-control", "autofocus": True, "placeholder": "Text message"}),
        error_messages={"required": "Enter the text of the message."},
    )

    def __init__(self, *args: Any, numbers: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["to"]
        field.choices = [(number, in_words(number)) for number in numbers]
        field.error_messages["invalid_choice"] = "Nobody has this number any more; choose another."


def _numbers(lines: list[Line], bubbles: list[Bubble]) -> list[str]:
    """Where the phone may write: to the numbers in use, and back to whichever number wrote to it."""
    wrote = [one.other for one in bubbles if not one.is_sent and one.other.removeprefix("+").isdigit()]
    return list(dict.fromkeys([*(line.number for line in lines), *wrote]))


# --- Pages ---------------------------------------------------------------------------------------------------------


@with_simulator
@require_GET
def handset(request: HttpRequest) -> HttpResponse:
    """A phone, whose it can be, and what can be written to."""
    problem, typed = "", request.GET.get("phone", "").strip()
    phones = phones_for(_account(request))
    phone = phones[0].number
    if typed:
        try:
            phone = read_phone(typed, _account(request))
        except ValidationError as error:
            problem = error.messages[0]
    context = {"phones": phones, "owner": _owner(phone, phones), "problem": problem, "typed": typed if problem else ""}
    return render(request, "handset/handset.html", _phone_context(request, phone) | context)


@with_simulator
@require_GET
def screen(request: HttpRequest) -> HttpResponse:
    """The phone's screen alone, for the page that refreshes it; nothing when it is as the page has it (``seen``)."""
    phone = _given_phone(request, request.GET.get("phone", ""))
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(_address(phone))
    bubbles, digest = screen_of(phone)
    if digest == request.GET.get("seen"):
        return HttpResponse(status=NOTHING_NEW)
    return render(request, "handset/_screen.html", {"phone": phone, "bubbles": bubbles, "digest": digest})


@with_simulator
@require_POST
def text(request: HttpRequest) -> HttpResponse:
    """Send a text from the phone; what cannot be sent is shown with everything typed."""
    phone = _given_phone(request, request.POST.get("phone", ""))
    lines, (bubbles, _) = lines_for(_account(request)), screen_of(phone)
    form = TextForm(request.POST, numbers=_numbers(lines, bubbles))
    if form.is_valid() and _send(phone, form):
        if not request.htmx:  # type: ignore[attr-defined]
            return redirect(_address(phone, form.cleaned_data["to"]))
        form = TextForm(initial={"to": form.cleaned_data["to"]}, numbers=_numbers(lines, bubbles))
    context = _phone_context(request, phone) | {"form": form}
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "handset/_compose.html", context | {"is_refresh": True})
    phones = phones_for(_account(request))
    return render(request, "handset/handset.html", context | {"phones": phones, "owner": _owner(phone, phones)})


def _send(phone: str, form: TextForm) -> bool:
    """Whether the simulator took the text; its reason is the form's error where it did not."""
    words = form.cleaned_data["text"].replace("\r\n", "\n")
    try:
        _ask(do="text", phone=phone, to=form.cleaned_data["to"], text=words)
    except NoSimulator:
        raise
    except ControlError as error:
        form.add_error("text", str(error))
        return False
    return True


def _phone_context(request: HttpRequest, phone: str) -> dict[str, Any]:
    lines, (bubbles, digest) = lines_for(_account(request)), screen_of(phone)
    numbers = _numbers(lines, bubbles)
    return {
        "phone": phone,
        "lines": lines,
        "bubbles": bubbles,
        "digest": digest,
        "numbers": numbers,
        "form": TextForm(initial={"to": request.GET.get("to", "")}, numbers=numbers),
    }


def _owner(phone: str, phones: list[Phone]) -> str:
    return next((one.name for one in phones if one.number == phone), "")


def _account(request: HttpRequest) -> Account | None:
    membership = getattr(request, "membership", None)
    return membership.account if membership else None


def _given_phone(request: HttpRequest, typed: str) -> str:
    """The phone that a form or a refresh names; these only ever name one that the page has shown."""
    try:
        return read_phone(typed, _account(request))
    except ValidationError as error:
        raise Http404("There is no such phone.") from error


def _address(phone: str, to: str = "") -> str:
    return f"{reverse('handset')}?{urlencode({'phone': phone} | ({'to': to} if to else {}))}"


urlpatterns = [
    path("handset/", handset, name="handset"),
    path("handset/screen/", screen, name="handset-screen"),
    path("handset/text/", text, name="handset-text"),
]

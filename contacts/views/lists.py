"""CONTACTS: the lists, one list with its members, and changing them."""

from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import MAY_SEND, TenantRequest, tenant_view
from contacts import selectors
from contacts.exceptions import ContactsError
from contacts.forms import ListForm, PeopleForm, SearchForm
from contacts.models import ContactList
from contacts.paging import page_of
from contacts.pasting import MAX_LINES
from contacts.services import lists

SHOWN_PROBLEMS = 50


@require_GET
@tenant_view()
def contact_lists(request: TenantRequest) -> HttpResponse:
    """All lists with how many are on each."""
    found = list(selectors.lists_of(request.account))
    return render(request, "contacts/lists.html", {"lists": found, "may_edit": _may_edit(request)})


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def add_list(request: TenantRequest) -> HttpResponse:
    """Make a list."""
    form = ListForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            made = lists.create_list(account=request.account, name=form.cleaned_data["name"], actor=request.user)
        except ContactsError as error:
            _refuse(form, error)
        else:
            return redirect("contacts:list-fill", made.code)
    return render(request, "contacts/list_form.html", {"form": form})


@require_GET
@tenant_view()
def list_detail(request: TenantRequest, code: str) -> HttpResponse:
    """One list: who is on it, newest first, narrowed to a number or a name."""
    contact_list = selectors.get_list_for(request.account, code)
    form = SearchForm(request.GET)
    members = selectors.members_of(contact_list, form.search())
    context = {
        "list": contact_list,
        "form": form,
        "search": form.search(),
        "page": page_of(members, before=request.GET.get("before", ""), after=request.GET.get("after", "")),
        "may_edit": _may_edit(request),
    }
    return render(request, "contacts/list_detail.html", context)


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def fill_list(request: TenantRequest, code: str) -> HttpResponse:
    """Put pasted numbers on a list; lines with a problem come back in the box, with what is wrong with each."""
    contact_list = selectors.get_list_for(request.account, code)
    form = PeopleForm(request.POST if request.method == "POST" else None, account=request.account)
    context = {"list": contact_list, "form": form, "most_lines": MAX_LINES}
    if form.is_valid():
        pasted = form.cleaned_data["people"]
        added = lists.add_people(contact_list=contact_list, people=pasted.people, source="by hand", actor=request.user)
        _tell(request, contact_list, added, len(pasted.people))
        if not pasted.problems:
            return redirect("contacts:list-detail", code)
        context["form"] = PeopleForm(initial={"people": pasted.rest}, account=request.account)
        context |= {"problems": pasted.problems[:SHOWN_PROBLEMS], "problem_count": len(pasted.problems)}
    return render(request, "contacts/list_fill.html", context)


def _tell(request: TenantRequest, contact_list: ContactList, added: int, given: int) -> None:
    if not given:
        return
    again = given - added
    words = f"{added:,} added to {contact_list.name}."
    if again:
        words += f" {again:,} {'was' if again == 1 else 'were'} on it already."
    messages.success(request, words)


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def rename_list(request: TenantRequest, code: str) -> HttpResponse:
    """Give a list another name."""
    contact_list = selectors.get_list_for(request.account, code)
    before = contact_list.name
    form = ListForm(request.POST if request.method == "POST" else None, initial={"name": before})
    if form.is_valid():
        try:
            lists.rename_list(contact_list=contact_list, name=form.cleaned_data["name"], actor=request.user)
        except ContactsError as error:
            _refuse(form, error)
        else:
            messages.success(request, f"{before} is now named {contact_list.name}.")
            return redirect("contacts:list-detail", code)
    return render(request, "contacts/list_form.html", {"form": form, "list": contact_list, "before": before})


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def delete_list(request: TenantRequest, code: str) -> HttpResponse:
    """Ask, then delete a list; its contacts stay."""
    contact_list = selectors.get_list_for(request.account, code)
    if request.method == "GET":
        return render(request, "contacts/list_delete.html", {"list": contact_list})
    lists.delete_list(contact_list=contact_list, actor=request.user)
    messages.success(request, f"The list {contact_list.name} is deleted. Its contacts are kept.")
    return redirect("contacts:lists")


@require_POST
@tenant_view(MAY_SEND)
def remove_member(request: TenantRequest, code: str, contact: str) -> HttpResponse:
    """Take a contact off a list; adding it again brings it back."""
    contact_list = selectors.get_list_for(request.account, code)
    person = selectors.get_contact_for(request.account, contact)
    if lists.remove_from_list(contact_list=contact_list, contact=person, actor=request.user):
        messages.success(request, f"{person} is no longer on {contact_list.name}.")
    return redirect("contacts:list-detail", code)


def _may_edit(request: TenantRequest) -> bool:
    return request.membership.role in MAY_SEND


def _refuse(form: Form, error: ContactsError) -> None:
    form.add_error(error.field if error.field in form.fields else NON_FIELD_ERRORS, str(error))

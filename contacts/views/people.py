"""CONTACTS: everybody the account knows, and one contact with its fields, lists, opt-out and history."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import MAY_SEND, TenantRequest, tenant_view
from contacts import selectors
from contacts.forms import ContactForm, SearchForm
from contacts.paging import page_of
from contacts.services import contacts


@require_GET
@tenant_view()
def everybody(request: TenantRequest) -> HttpResponse:
    """All contacts, newest first, narrowed to a number or a name."""
    form = SearchForm(request.GET)
    found = selectors.contacts_of(request.account, form.search())
    context = {
        "form": form,
        "search": form.search(),
        "page": page_of(found, before=request.GET.get("before", ""), after=request.GET.get("after", "")),
        "may_edit": request.membership.role in MAY_SEND,
    }
    return render(request, "contacts/everybody.html", context)


@require_GET
@tenant_view()
def contact_detail(request: TenantRequest, code: str) -> HttpResponse:
    """One contact."""
    contact = selectors.get_contact_for(request.account, code)
    context = {
        "contact": contact,
        "fields": sorted(contact.fields.items()),
        "lists": contact.lists.order_by("name"),
        "opt_out": selectors.opt_out_in_force(contact),
        "history": selectors.history_of(contact),
        "may_edit": request.membership.role in MAY_SEND,
    }
    return render(request, "contacts/contact_detail.html", context)


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def edit_contact(request: TenantRequest, code: str) -> HttpResponse:
    """Change a contact's name and merge fields."""
    contact = selectors.get_contact_for(request.account, code)
    form = ContactForm(request.POST if request.method == "POST" else None, initial=ContactForm.initial_of(contact))
    if form.is_valid():
        values = form.cleaned_data
        contacts.update_contact(
            contact=contact, first_name=values["first_name"], last_name=values["last_name"],
            fields=values["fields_text"], actor=request.user,
        )  # fmt: skip
        messages.success(request, "The contact is changed.")
        return redirect("contacts:contact-detail", code)
    return render(request, "contacts/contact_form.html", {"form": form, "contact": contact})


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def delete_contact(request: TenantRequest, code: str) -> HttpResponse:
    """Ask, then delete a contact; an opt-out of its number stays."""
    contact = selectors.get_contact_for(request.account, code)
    if request.method == "GET":
        context = {"contact": contact, "opt_out": selectors.opt_out_in_force(contact)}
        return render(request, "contacts/contact_delete.html", context)
    contacts.delete_contact(contact=contact, actor=request.user)
    messages.success(request, f"{contact} is deleted.")
    return redirect("contacts:everybody")

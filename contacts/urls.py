"""CONTACTS: lists, contacts and opt-outs."""

from django.urls import path

from contacts.views import lists, opt_outs, people

app_name = "contacts"

urlpatterns = [
    path("contacts/", lists.contact_lists, name="lists"),
    path("contacts/lists/add/", lists.add_list, name="list-add"),
    path("contacts/lists/<slug:code>/", lists.list_detail, name="list-detail"),
    path("contacts/lists/<slug:code>/numbers/", lists.fill_list, name="list-fill"),
    path("contacts/lists/<slug:code>/rename/", lists.rename_list, name="list-rename"),
    path("contacts/lists/<slug:code>/delete/", lists.delete_list, name="list-delete"),
    path("contacts/lists/<slug:code>/remove/<slug:contact>/", lists.remove_member, name="member-remove"),
    path("contacts/people/", people.everybody, name="everybody"),
    path("contacts/people/<slug:code>/", people.contact_detail, name="contact-detail"),
    path("contacts/people/<slug:code>/edit/", people.edit_contact, name="contact-edit"),
    path("contacts/people/<slug:code>/delete/", people.delete_contact, name="contact-delete"),
    path("contacts/opt-outs/", opt_outs.opt_out_list, name="opt-outs"),
    path("contacts/opt-outs/add/", opt_outs.add_opt_out, name="opt-out-add"),
    path("contacts/opt-outs/<slug:code>/opt-in/", opt_outs.opt_in, name="opt-in"),
]

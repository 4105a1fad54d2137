"""KEYWORDS."""

from django.urls import path

from keywords import views

app_name = "keywords"

urlpatterns = [
    path("keywords/", views.keyword_list, name="list"),
    path("keywords/add/", views.add_keyword, name="add"),
    path("keywords/tester/", views.tester, name="tester"),
    path("keywords/<slug:code>/", views.keyword_detail, name="detail"),
    path("keywords/<slug:code>/edit/", views.edit_keyword, name="edit"),
    path("keywords/<slug:code>/close/", views.close_keyword, name="close"),
    path("keywords/<slug:code>/open/", views.open_keyword, name="open"),
    path("keywords/<slug:code>/secret/", views.renew_secret, name="secret"),
    path("keywords/<slug:code>/end/", views.end_keyword, name="end"),
]

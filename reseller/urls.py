from django.contrib import admin
from django.urls import include, path

from accounts.urls import log_in_patterns

urlpatterns = [
    path("", include("accounts.urls")),
    path("", include(log_in_patterns)),
    path("admin/", admin.site.urls),
]

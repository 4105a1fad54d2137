from django.contrib import admin
from django.urls import include, path

from accounts.urls import log_in_patterns
from reseller.dashboards.views import dashboard

admin.autodiscover()

urlpatterns = [
    path("", dashboard, name="dashboard"),
    path("", include("accounts.urls")),
    path("", include(log_in_patterns)),
    path("", include("billing.urls")),
    path("", include("clients.urls")),
    path("", include("contacts.urls")),
    path("", include("keywords.urls")),
    path("", include("messaging.urls")),
    path("", include("virtual_numbers.urls")),
    path("", include("reseller.handset")),
    path("", include("reseller.health_views")),
    path("admin/", admin.site.urls),
]

handler400 = "reseller.errors.bad_request"
handler403 = "reseller.errors.permission_denied"
handler404 = "reseller.errors.page_not_found"
handler500 = "reseller.errors.server_error"

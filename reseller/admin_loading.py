"""The admin's pages are loaded by processes that show or check them; workers, beat and connectors never do.

Loading them takes a quarter of a process' start, and memory for as long as it lives.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core.checks import CheckMessage, Tags, register


class AdminOnDemand(SimpleAdminConfig):
    """The admin, whose pages reseller/urls.py loads."""

    def ready(self) -> None:
        """Register the checks as the base does, with one that loads the pages first."""
        register(check_dependencies, Tags.admin)
        register(check_pages, Tags.admin)


def check_pages(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Django's own check of every page, in whatever order the checks run."""
    admin.autodiscover()
    return list(check_admin_app(app_configs, **kwargs))

"""The admin as a whole: one log-in for everybody, and other packages' pages in the same look or not at all."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from axes.admin import AccessAttemptAdmin as BaseAccessAttemptAdmin
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin as BasePeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm as BasePeriodicTaskForm
from django_celery_beat.admin import TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

# Staff log in where everybody does, so that one place throttles wrong passwords.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

admin.site.index_title = "Overview"

# Nobody signs up here, and what these would show is in the audit trail and the failed log-ins.
for hidden in (EmailAddress, AccessLog, AccessFailureLog, SolarSchedule, ClockedSchedule):
    if admin.site.is_registered(hidden):
        admin.site.unregister(hidden)
for restyled in (Group, AccessAttempt, PeriodicTask, IntervalSchedule, CrontabSchedule):
    admin.site.unregister(restyled)


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    """Sets of staff rights."""


@admin.register(AccessAttempt)
class AccessAttemptAdmin(BaseAccessAttemptAdmin, ModelAdmin):
    """Failed log-ins; deleting one lets that person try again."""

    list_display = ("attempt_time", "ip_address", "username", "failures_since_start", "path_info")
    list_filter = ("attempt_time",)
    date_hierarchy = None
    fieldsets = ((None, {"fields": ("username", "ip_address", "attempt_time", "failures_since_start", "user_agent")}),)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _TaskWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The scheduler's list of tasks in the admin's look."""


class PeriodicTaskForm(BasePeriodicTaskForm):
    """The scheduler's form in the admin's look."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = _TaskWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BasePeriodicTaskAdmin, ModelAdmin):
    form = PeriodicTaskForm


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    pass


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ModelAdmin):
    pass

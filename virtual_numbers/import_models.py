"""A list of numbers that staff uploaded, with what each of its lines would do; kept so that the file is sent once."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.codes import new_code


class NumberImport(models.Model):
    """One uploaded file. Nothing of it is in the inventory before ``applied_at``."""

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    file_name = models.CharField(max_length=120)
    # [{"line": 2, "verdict": "new", "notes": [...], "cells": {column: text}}, ...] as import_lines.Line.as_json().
    lines: Any = models.JSONField(default=list)
    new_count = models.PositiveIntegerField("new", default=0)
    changed_count = models.PositiveIntegerField("changed", default=0)
    unchanged_count = models.PositiveIntegerField("unchanged", default=0)
    error_count = models.PositiveIntegerField("errors", default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField("confirmed at", null=True, blank=True)

    def __str__(self) -> str:
        return self.file_name

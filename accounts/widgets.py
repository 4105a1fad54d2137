"""Form widgets that Django has no fast enough word for."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

# A choice is (value, label), a group of them (label, their pairs).
_Choice = tuple[str, str | tuple[tuple[str, str], ...]]


class LongSelect(forms.Select):
    """A select of hundreds of options, the same on every page: Django renders a template for each, every time.

    Options have no attributes of their own.
    """

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        inside = _options(tuple(_plain(self.choices)))
        for chosen in self.format_value(value):
            option = _OPTION.format(escape(chosen), "")
            inside = inside.replace(option, _OPTION.format(escape(chosen), " selected"), 1)
        own = self.build_attrs(self.attrs, attrs)
        # Every part of it was escaped when it was put together.
        return format_html('<select name="{}"{}>{}</select>', name, flatatt(own), mark_safe(inside))  # noqa: S308


_OPTION = '<option value="{}"{}>'


def _plain(choices: Iterable[Any]) -> Iterable[_Choice]:
    for value, label in choices:
        is_group = isinstance(label, list | tuple)
        yield (
            "" if value is None else str(value),
            tuple((str(v), str(text)) for v, text in label) if is_group else str(label),
        )


@lru_cache(maxsize=32)
def _options(choices: tuple[_Choice, ...]) -> str:
    return format_html_join("", "{}", ((_one(value, label),) for value, label in choices))


def _one(value: str, label: str | tuple[tuple[str, str], ...]) -> SafeString:
    if isinstance(label, str):
        return format_html(_OPTION + "{}</option>", value, "", label)
    return format_html(
        '<optgroup label="{}">{}</optgroup>', value, format_html_join("", "{}", ((_one(*one),) for one in label))
    )

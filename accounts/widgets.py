"""Form widgets that Django has no fast enough word for."""

from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class LongSelect(forms.Select):
    """A select of hundreds of options: Django renders a template for each, which takes most of a page's time."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        inside = format_html_join("", "{}", ((_group(label, options),) for label, options, _ in widget["optgroups"]))
        return format_html('<select name="{}"{}>{}</select>', widget["name"], flatatt(widget["attrs"]), inside)


_OPTION = '<option value="{}"{}>{}</option>'


def _option_of(option: dict[str, Any]) -> tuple[str, SafeString, str]:
    return option["value"], flatatt(option["attrs"]), option["label"]


def _group(label: str | None, options: list[dict[str, Any]]) -> SafeString:
    inside = format_html_join("", _OPTION, map(_option_of, options))
    return inside if label is None else format_html('<optgroup label="{}">{}</optgroup>', label, inside)

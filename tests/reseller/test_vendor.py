"""What is vendored is what its authors published, and nothing else is loaded."""

import hashlib
import json
import re
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

VENDOR = Path(settings.BASE_DIR) / "static" / "vendor"
TEMPLATES = Path(settings.BASE_DIR) / "templates"
PACKAGES = json.loads((VENDOR / "manifest.json").read_text())["packages"]


def test_every_vendored_file_has_the_hash_of_the_manifest() -> None:
    listed = {name: digest for package in PACKAGES for name, digest in package["files"].items()}
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found == listed


def test_every_package_names_version_and_licence() -> None:
    assert {package["name"] for package in PACKAGES} == {"@tabler/core", "@tabler/icons", "htmx.org", "uplot"}
    for package in PACKAGES:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["license"] in {"MIT", "0BSD"}


def test_every_icon_that_a_template_names_is_vendored() -> None:
    pages = "\n".join(path.read_text() for path in TEMPLATES.rglob("*.html"))
    named = set(re.findall(r'{% icon "([a-z0-9-]+)"', pages)) | set(re.findall(r'icon_name="([a-z0-9-]+)"', pages))
    assert named
    assert [name for name in sorted(named) if not (VENDOR / "tabler-icons" / f"{name}.svg").exists()] == []


def test_no_page_has_inline_script_or_style_or_loads_from_elsewhere() -> None:
    """The CSP would refuse them; mails are no pages."""
    offenders = []
    for path in TEMPLATES.rglob("*.html"):
        if "mail" in path.relative_to(TEMPLATES).parts:
            continue
        text = path.read_text()
        inline = re.search(r'<style|<script(?![^>]*\bsrc=)|<[^>%]*\s(style|on[a-z]+)="', text)
        foreign = re.search(r'(src|href)="(https?:)?//', text)
        if inline or foreign:
            offenders.append(str(path.relative_to(TEMPLATES)))
    assert offenders == []


def test_static_files_are_collected_under_hashed_names(tmp_path: Path, settings) -> None:  # type: ignore[no-untyped-def]
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    paths = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    for name in ("css/portal.css", "js/portal.js", "vendor/tabler/tabler.min.css", "vendor/htmx/htmx.min.js"):
        assert paths[name] != name
        assert (tmp_path / paths[name]).exists()

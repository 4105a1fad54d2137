"""`python -m reseller.run.prepare`: database, demo data and static files in one process, so that Django starts once."""

import hashlib
import os
import sys
from pathlib import Path


def main() -> None:
    """Print each step; anything that fails ends with one sentence and a non-zero status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reseller.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import CommandError

    try:
        django.setup()
        _prepare()
    except (CommandError, ImproperlyConfigured) as error:
        sys.exit(f"make run: {error}")


def _prepare() -> None:
    from django.conf import settings
    from django.core.management import call_command

    _step("Migrating the database")
    call_command("setup_database", verbosity=0)
    if settings.ENVIRONMENT == "development":
        _step("Loading demo data")
        call_command("load_demo", verbosity=0)
    stamp = Path(settings.STATIC_ROOT).with_suffix(".stamp")
    fingerprint = _static_fingerprint()
    if not stamp.exists() or stamp.read_text() != fingerprint:
        _step("Collecting static files")
        call_command("collectstatic", verbosity=0, interactive=False, clear=True)
        stamp.write_text(fingerprint)


def _static_fingerprint() -> str:
    """Changes when a static file of ours or of a package is added, removed or written."""
    from django.contrib.staticfiles.finders import get_finders

    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = os.stat(storage.path(name))
            digest.update(f"{storage.path(name)}|{status.st_mtime_ns}|{status.st_size}\n".encode())
    return digest.hexdigest()


def _step(text: str) -> None:
    print(f"  {text} …", flush=True)  # noqa: T201 - the console of make run


if __name__ == "__main__":
    main()

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORTS = re.compile(r"^\s*(import stripe\b|from stripe\b)", re.MULTILINE)


def test_only_one_module_of_the_portal_imports_stripe() -> None:
    rooms = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    found = [
        path.relative_to(ROOT) for room in rooms for path in room.rglob("*.py") if IMPORTS.search(path.read_text())
    ]
    assert found == [Path("billing/gateways/stripe.py")]

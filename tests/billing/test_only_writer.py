import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["accounts", "api", "billing", "clients", "contacts", "keywords", "messaging", "reseller", "virtual_numbers"]
WRITER = ROOT / "billing" / "services" / "ledger.py"
MODELS = r"(LedgerEntry|LedgerTransaction|LedgerAccount|Hold)"
WRITES = re.compile(
    rf"{MODELS}\.objects\.(create|bulk_create|bulk_update|get_or_create|update_or_create|filter\([^)]*\)\.(update|delete))"
    rf"|{MODELS}\(.*\)\.save\("
    r"|(INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|COPY)\s+billing_(ledger(entry|transaction|account)|hold)",
    re.IGNORECASE,
)


def writers():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if "migrations" not in path.parts and WRITES.search(path.read_text()):
                yield path


def test_only_the_ledger_service_writes_the_ledgers_tables():
    assert list(writers()) == [WRITER]

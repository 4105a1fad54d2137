"""The import of a list of numbers: what a line does, what is wrong with it, and all or nothing."""

import io
import re
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import xlsxwriter
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, User
from billing.models import RateCard
from tests.cast import PASSWORD, LogIn
from tests.conftest import CommittedDatabase
from tests.engines import ROOT
from virtual_numbers.exceptions import ImportRefused
from virtual_numbers.import_files import COLUMNS, MOST_LINES, UnreadableFile, read_rows
from virtual_numbers.models import NumberImport, NumberPrice, VirtualNumber
from virtual_numbers.services.imports import apply_import, prepare_import
from virtual_numbers.tasks import remove_imports

D = Decimal
HEADING = ",".join(COLUMNS)
GOOD = "+61491570156,AU,long,sms_in sms_out,test,AUD,19.00,5.00"

pytestmark = pytest.mark.usefixtures("stage")


def csv_of(*lines: str, heading: str = HEADING) -> bytes:
    return "\n".join([heading, *lines]).encode()


def xlsx_of(*rows: list[Any]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([list(COLUMNS), *rows]):
            for column, cell in enumerate(row):
                write = sheet.write_string if isinstance(cell, str) else sheet.write_number
                write(number, column, cell)
    return file.getvalue()


def prepare(*lines: str) -> NumberImport:
    return prepare_import(file_name="numbers.csv", content=csv_of(*lines), actor=None)


def verdicts(prepared: NumberImport) -> list[tuple[int, str]]:
    return [(line["line"], line["verdict"]) for line in prepared.lines]


def only_error(line: str) -> str:
    """What is wrong with the one line of a file."""
    prepared = prepare(line)
    assert verdicts(prepared) == [(2, "error")]
    (sentence,) = prepared.lines[0]["notes"]
    return sentence


# --- What it does ------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_list_is_confirmed() -> None:
    prepared = prepare(GOOD)
    assert verdicts(prepared) == [(2, "new")]
    assert not VirtualNumber.objects.exists()
    apply_import(prepared=prepared, actor=None)
    number = VirtualNumber.objects.get()
    assert (number.number, number.country, number.kind, number.state) == ("+61491570156", "AU", "long", "free")
    assert (number.capabilities, number.route.code) == (["sms_in", "sms_out"], "test")
    assert list(number.prices.values_list("currency", "monthly", "setup")) == [("AUD", D(19), D(5))]
    entry = AuditEntry.objects.get(action="numbers.imported")
    assert entry.data == {"file": "numbers.csv", "new": 1, "changed": 0}


def test_a_second_import_changes_what_differs_and_says_what() -> None:
    apply_import(prepared=prepare(GOOD, "+61491570157,AU,long,sms_in,,AUD,19,"), actor=None)
    prepared = prepare(
        "+61491570156,AU,long,sms_in voice,,AUD,21.50,5", "+61491570157,AU,long,sms_in,,AUD,19.00,0",
        "+61491570158,AU,long,sms_in,test,AUD,19.00,0",
    )  # fmt: skip
    assert verdicts(prepared) == [(2, "changed"), (3, "unchanged"), (4, "new")]
    assert prepared.lines[0]["notes"] == [
        "capabilities: sms_in sms_out → sms_in voice", "route: test → none", "monthly: AUD 19.00 → AUD 21.50",
    ]  # fmt: skip
    apply_import(prepared=prepared, actor=None)
    assert VirtualNumber.objects.count() == 3
    changed = VirtualNumber.objects.get(number="+61491570156")
    assert (changed.capabilities, changed.route) == (["sms_in", "voice"], None)
    assert changed.prices.get().monthly == D("21.50")


def test_prices_in_several_currencies_stand_on_lines_of_their_own() -> None:
    RateCard.objects.create(name="Standard USD", currency="USD", is_default=True)
    apply_import(prepared=prepare(GOOD, GOOD.replace("AUD,19.00,5.00", "usd,12.75,0.000001")), actor=None)
    assert sorted(NumberPrice.objects.values_list("number__number", "currency", "monthly", "setup")) == [
        ("+61491570156", "AUD", D(19), D(5)), ("+61491570156", "USD", D("12.75"), D("0.000001")),
    ]  # fmt: skip


def test_numbers_are_read_as_they_are_dialled_or_as_a_spreadsheet_counts_them() -> None:
    rows = [
        ["0491 570 156", "AU", "long", "sms_in", "test", "AUD", 19.95, 0],
        [61491570157, "au", "Long", "SMS_IN", "test", "AUD", "19.95", ""],
        ["'+61491570158", "AU", "long", "sms_in|sms_out", "", "AUD", 7, 0],
        ["1800 160 401", "AU", "toll-free", "sms_in", "", "AUD", 30, 0],
        [19444, "AU", "short", "sms_in", "", "AUD", 500, 100],
    ]
    prepared = prepare_import(file_name="numbers.xlsx", content=xlsx_of(*rows), actor=None)
    assert {line["verdict"] for line in prepared.lines} == {"new"}, prepared.lines
    apply_import(prepared=prepared, actor=None)
    assert sorted(VirtualNumber.objects.values_list("number", "kind")) == [
        ("+611800160401", "toll_free"), ("+61491570156", "long"), ("+61491570157", "long"), ("+61491570158", "long"),
        ("19444", "short"),
    ]  # fmt: skip
    assert NumberPrice.objects.get(number__number="+61491570156").monthly == D("19.95")


def test_the_same_short_code_may_stand_in_two_countries() -> None:
    lines = ["19444,AU,short,sms_in,,AUD,500,", "19444,NZ,short,sms_in,,AUD,400,"]
    apply_import(prepared=prepare(*lines), actor=None)
    assert sorted(VirtualNumber.objects.values_list("country", "number")) == [("AU", "19444"), ("NZ", "19444")]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_columns_in_another_order_are_read(separator: str) -> None:
    heading = separator.join(["Set-up", "monthly", "Currency", "route", "capabilities", "type", "country", "Number"])
    content = csv_of(separator.join(reversed(GOOD.split(","))), heading=heading)
    prepared = prepare_import(file_name="n.csv", content=b"\xef\xbb\xbf" + content, actor=None)
    assert verdicts(prepared) == [(2, "new")]


# --- What is wrong with a line -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("+61491570156", "+64211234567"), "+64211234567 is a number of New Zealand, not of Australia; correct the "),
        (("+61491570156", "+6149157015"), "+6149157015 does not exist in the numbering plan of Australia; check its d"),
        (("+61491570156", "call me"), "“call me” is not a telephone number; enter it in international form"),
        (("+61491570156", ""), "number: enter it in international form, such as +61491570156."),
        (("+61491570156", "=1+1"), "number: “=1+1” looks like a formula; enter it in international form"),
        (("+61491570156", "+611800160401"), "+611800160401 is a toll-free number; set its type to toll_free."),
        (("long", "toll_free"), "+61491570156 is not a toll-free number; set its type to long."),
        (("long", "short"), "“+61491570156” is not a short code; enter 3 to 8 digits without a country code."),
        ((",AU,", ",XX,"), "country: “XX” is not right; use its two letters (ISO 3166), such as AU."),
        (("long", "mobile"), "type: “mobile” is not right; use long, short, toll_free."),
        (("sms_in sms_out", "fax"), "capabilities: “fax” is not right; use mms, sms_in, sms_out, voice, several with"),
        (("sms_in sms_out", ""), "capabilities: use mms, sms_in, sms_out, voice, several with spaces between."),
        (("test", "carrier9"), "route: “carrier9” is not right; use the code of a route (test) or leave it empty."),
        (("AUD", "XAU"), "currency: “XAU” is not right; use AUD."),
        (("19.00", '"19,00"'), "monthly: “19,00” is not right; enter an amount with a point and at most 6 decimals"),
        (("19.00", "-1"), "monthly: “-1” looks like a formula; enter an amount with a point"),
        (("19.00", ""), "monthly: enter an amount with a point and at most 6 decimals, such as 19.00."),
        (("5.00", "0.1234567"), "setup: “0.1234567” is not right; enter an amount"),
        (("19.00", '"=HYPERLINK(""http://evil.example"")"'), "monthly: “=HYPERLINK(\"http://evil.exampl” looks like a"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_named_with_what_to_enter(change: tuple[str, str], sentence: str) -> None:
    assert only_error(GOOD.replace(*change)).startswith(sentence)


def test_every_wrong_cell_of_a_line_is_named() -> None:
    prepared = prepare("+61491570156,XX,mobile,fax,none,XAU,x,y")
    assert [note.split(":")[0] for note in prepared.lines[0]["notes"]] == [
        "country", "type", "capabilities", "route", "currency", "monthly", "setup",
    ]  # fmt: skip


def test_lines_of_one_number_may_not_contradict_or_repeat_each_other() -> None:
    prepared = prepare(GOOD, GOOD.replace("19.00", "20.00"), GOOD.replace("sms_in sms_out", "sms_in"))
    assert verdicts(prepared) == [(2, "new"), (3, "error"), (4, "error")]
    assert prepared.lines[1]["notes"] == ["The price of +61491570156 in AUD stands on line 2 already."]
    assert prepared.lines[2]["notes"][0].startswith("+61491570156 stands on line 2 too, with another country, type")


def test_a_number_that_was_ported_out_does_not_come_back_by_a_list() -> None:
    apply_import(prepared=prepare(GOOD), actor=None)
    VirtualNumber.objects.update(state="ported_out")
    assert only_error(GOOD).startswith("+61491570156 was ported out; set it free in the inventory first")


# --- All or nothing ----------------------------------------------------------------------------------------------


def test_a_list_that_nobody_confirmed_is_forgotten_after_a_while() -> None:
    confirmed, left, fresh = prepare(GOOD), prepare(GOOD), prepare(GOOD)
    apply_import(prepared=confirmed, actor=None)
    NumberImport.objects.exclude(pk=fresh.pk).update(created_at=timezone.now() - timedelta(days=31))
    remove_imports()
    assert set(NumberImport.objects.all()) == {confirmed, fresh}
    with pytest.raises(ImportRefused, match="not kept any more"):
        apply_import(prepared=left, actor=None)


def test_a_list_with_one_wrong_line_is_refused_as_a_whole() -> None:
    prepared = prepare(GOOD, "+61491570157,AU,long,sms_in,test,AUD,nineteen,0")
    with pytest.raises(ImportRefused, match="1 of 2 lines have errors"):
        apply_import(prepared=prepared, actor=None)
    assert not VirtualNumber.objects.exists()


def test_a_list_is_taken_in_once() -> None:
    prepared = prepare(GOOD)
    apply_import(prepared=prepared, actor=None)
    VirtualNumber.objects.update(capabilities=[])
    with pytest.raises(ImportRefused, match="has been taken in already"):
        apply_import(prepared=prepared, actor=None)
    assert VirtualNumber.objects.get().capabilities == []


def test_what_changed_since_the_preview_is_looked_at_again_before_it_counts() -> None:
    prepared = prepare(GOOD)
    apply_import(prepared=prepare(GOOD.replace("19.00", "25.00")), actor=None)
    with pytest.raises(ImportRefused, match="has changed since this page was made"):
        apply_import(prepared=prepared, actor=None)
    assert NumberPrice.objects.get().monthly == D(25)
    prepared.refresh_from_db()
    assert prepared.lines[0]["notes"] == ["monthly: AUD 25.00 → AUD 19.00"]
    apply_import(prepared=prepared, actor=None)
    assert NumberPrice.objects.get().monthly == D(19)


def test_two_confirmations_at_once_take_a_list_in_once(
    committed_db: CommittedDatabase, run_together: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    prepared = prepare(GOOD)
    outcomes = run_together(2, lambda _: apply_import(prepared=prepared, actor=None))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ImportRefused", "NumberImport"]
    assert AuditEntry.objects.filter(action="numbers.imported").count() == 1
    assert VirtualNumber.objects.count() == NumberPrice.objects.count() == 1


def test_the_documented_list_is_taken_in_as_it_stands() -> None:
    RateCard.objects.create(name="Standard USD", currency="USD", is_default=True)
    text = (ROOT / "docs/numbers-and-keywords.md").read_text()
    lines = [line.strip() for line in re.findall(r"^    \S.*,.*$", text, re.MULTILINE)]
    assert lines[0] == HEADING
    prepared = prepare(*(line.replace("simulator", "test") for line in lines[1:]))
    assert verdicts(prepared) == [(2, "new"), (3, "new"), (4, "new")], prepared.lines


# --- Files -------------------------------------------------------------------------------------------------------


def damaged_workbook() -> bytes:
    good = xlsx_of(GOOD.split(","))
    return good[: len(good) // 2]


def endless_workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 64_000_000)
    return file.getvalue()


def cornered_workbook() -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "number")
        sheet.write(1_048_575, 16_383, "far away")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty."),
        (b"\n \n", "The file is empty."),
        (HEADING.encode(), "has a heading, but no line below it"),
        (b"phone,price\n1,2", "The first line lacks number, country, type, capabilities, route, currency, monthly, "),
        (csv_of(GOOD + ",x", heading=HEADING + ",notes"), "The first line names notes; only these columns are known"),
        (csv_of(GOOD + ",19", heading=HEADING + ",monthly"), "The first line names monthly twice"),
        (csv_of(GOOD + ",one more"), "Line 2 has 9 cells, but the heading on line 1 names 8"),
        (csv_of(GOOD, '"' + GOOD), "Line 3 is not right as CSV"),
        (csv_of("\xfc").decode().encode("latin-1"), "neither XLSX nor text in UTF-8"),
        (b"GIF89a\0\0", "neither XLSX nor a CSV text"),
        (b"\xd0\xcf\x11\xe0 old", "a workbook of the old kind, or one with a password"),
        (damaged_workbook, "The workbook is damaged"),
        (endless_workbook, "The workbook is too large when unpacked"),
        (cornered_workbook, "The sheet reaches as far as row 1,048,576; keep the 8 columns"),
        (csv_of(*[GOOD] * (MOST_LINES + 1)), "more than 10,000 numbers; split it"),
        (b"x" * (5 * 1024 * 1024 + 1), "5,242,881 bytes; at most 5,242,880 are read"),
    ],
    ids=[
        "empty", "blank", "heading", "other", "unknown", "twice", "wide", "quotes", "latin", "picture", "old",
        "damaged", "bomb", "corner", "long", "large",
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_is_refused_with_the_reason(content: bytes | Callable[[], bytes], sentence: str) -> None:
    with pytest.raises(UnreadableFile, match="(?s)" + sentence.replace("(", r"\(")):
        read_rows(content() if callable(content) else content)


@pytest.mark.long
def test_ten_thousand_lines_are_judged_and_taken_in_within_seconds() -> None:
    lines = [f"+6141{index:07d},AU,long,sms_in,test,AUD,{index % 50}.25,0" for index in range(MOST_LINES)]
    begun = time.process_time()  # a busy machine must not fail it
    prepared = prepare(*lines)
    assert (prepared.new_count, prepared.error_count) == (MOST_LINES, 0)
    apply_import(prepared=prepared, actor=None)
    assert VirtualNumber.objects.count() == NumberPrice.objects.count() == MOST_LINES
    assert time.process_time() - begun < 20


# --- The pages ---------------------------------------------------------------------------------------------------


@pytest.fixture
def staff(log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Sam Staff"))


UPLOAD = "/admin/numbers/numberimport/add/"


def upload(staff: Client, content: bytes, name: str = "numbers.csv") -> Any:
    return staff.post(UPLOAD, {"file": SimpleUploadedFile(name, content)}, follow=True)


def test_staff_upload_look_and_confirm_without_sending_the_file_again(staff: Client) -> None:
    assert UPLOAD in staff.get("/admin/numbers/virtualnumber/import/").url
    page = upload(staff, csv_of(GOOD, GOOD.replace("156", "157")))
    text = page.content.decode()
    assert "Nothing is written yet" in text
    assert text.count("New") >= 2
    assert "CONFIRM" in text
    assert not VirtualNumber.objects.exists()
    done = staff.post(page.redirect_chain[-1][0], follow=True)
    assert "2 lines were new and 0 changed something." in done.content.decode()
    assert VirtualNumber.objects.count() == 2
    assert "Confirmed" in staff.get("/admin/numbers/numberimport/").content.decode()


def test_the_preview_shows_wrong_lines_first_with_reason_and_number_and_cannot_be_confirmed(staff: Client) -> None:
    page = upload(staff, csv_of(GOOD, "<b>bold</b>,AU,long,sms_in,test,AUD,19,0"))
    text = page.content.decode()
    assert "1 line cannot be taken in" in text
    assert "“&lt;b&gt;bold&lt;/b&gt;” is not a telephone number" in text
    assert "<b>bold" not in text
    assert "CONFIRM" not in text
    assert "+61491570156" not in text, "only the wrong lines stand there first"
    preview = page.redirect_chain[-1][0]
    assert "+61491570156" in staff.get(preview, {"show": "all"}).content.decode()
    forced = staff.post(preview, follow=True)
    assert "1 of 2 lines have errors" in forced.content.decode()
    assert not VirtualNumber.objects.exists()


def test_a_file_that_cannot_be_read_is_refused_at_its_field(staff: Client) -> None:
    page = upload(staff, b"nothing")
    assert "The first line lacks number" in page.content.decode()
    assert not NumberImport.objects.exists()


def test_a_long_list_is_shown_in_pages(staff: Client) -> None:
    lines = [f"+6141{index:07d},AU,long,sms_in,test,AUD,19,0" for index in range(150)]
    page = upload(staff, csv_of(*lines))
    assert "1 to 100 of 150" in page.content.decode()
    second = staff.get(page.redirect_chain[-1][0], {"show": "new", "page": "2"}).content.decode()
    assert "101 to 150 of 150" in second
    assert "+61410000149" in second


def test_staff_that_only_looks_cannot_import(log_in: LogIn) -> None:
    from django.contrib.auth.models import Permission

    user = User.objects.create_user("looker", "looker@test.example", PASSWORD, name="Lou", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_virtualnumber", "view_numberimport"]))
    browser = log_in(user)
    prepared = prepare(GOOD)
    preview = f"/admin/numbers/numberimport/{prepared.pk}/change/"
    assert browser.get(UPLOAD).status_code == 403
    assert browser.get(preview).status_code == 200
    assert browser.post(preview).status_code == 403
    assert not VirtualNumber.objects.exists()

"""Tables as files: CSV line by line, XLSX in constant memory. Both safe to open and exact to the last place."""

import csv
import re
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import xlsxwriter

# What a spreadsheet would run as a formula; a plain number (also with a sign, as in +61491570156) is none.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
# A spreadsheet's numbers have 15 exact digits, so larger amounts are written as text.
_EXACT = Decimal(10) ** 9
MOST_XLSX_ROWS = 1_000_000  # a sheet holds 1,048,576
_BLOCK = 64 * 1024


class _Echo:
    """A file that gives back what is written, which is all that csv.writer needs."""

    def write(self, line: str) -> str:
        return line


def safe_cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe stands before one."""
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Lines of a CSV file that begins with a byte order mark, so that every spreadsheet reads it as UTF-8."""
    writer = csv.writer(_Echo())
    yield "\ufeff"
    for row in rows:
        yield writer.writerow([safe_cell(_csv_value(cell)) for cell in row])


def _csv_value(cell: Any) -> Any:
    if isinstance(cell, Decimal):
        return f"{cell:.6f}"
    return cell.isoformat(sep=" ", timespec="seconds") if isinstance(cell, datetime) else cell


def xlsx_blocks(rows: Iterable[Iterable[Any]], title: str) -> Iterator[bytes]:
    """A workbook of one sheet, its first row as heading; text is never a formula, amounts are numbers with 6 places.

    Rows go through a file, so memory stays small however many there are; at most MOST_XLSX_ROWS are written.
    """
    with tempfile.TemporaryFile() as file:
        _write_workbook(file, rows, title)
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block


def _write_workbook(file: Any, rows: Iterable[Iterable[Any]], title: str) -> None:
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(file, options) as book:
        bold = book.add_format({"bold": True})
        money = book.add_format({"num_format": "#,##0.00####"})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet = book.add_worksheet(title[:31])
        sheet.freeze_panes(1, 0)
        for number, row in zip(range(MOST_XLSX_ROWS + 1), rows, strict=False):
            for column, cell in enumerate(row):
                if number == 0:
                    sheet.write_string(number, column, str(cell), bold)
                elif isinstance(cell, Decimal) and abs(cell) < _EXACT:
                    sheet.write_number(number, column, cell, money)
                elif isinstance(cell, int):
                    sheet.write_number(number, column, cell)
                elif isinstance(cell, datetime):
                    sheet.write_datetime(number, column, cell.replace(tzinfo=None), moment)
                elif cell is not None:
                    sheet.write_string(number, column, str(_csv_value(cell)))
        sheet.set_column(0, 0, 20)

"""Reads a list of numbers, CSV or XLSX, into cells of text. Nothing is ever evaluated: a formula is only its result."""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook

COLUMNS = ("number", "country", "type", "capabilities", "route", "currency", "monthly", "setup")
MOST_LINES = 10_000
MOST_BYTES = 5 * 1024 * 1024
_MOST_COLUMNS = 100
# What a workbook of that many lines unpacks to is far below it.
_MOST_UNPACKED = 60 * 1024 * 1024
_CELL_REFERENCE = re.compile(rb"""\br=["']([A-Z]{0,7})(\d{1,9})["']""")
_WORKBOOK, _OLD_WORKBOOK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; ``str(error)`` is a sentence for whoever chose it."""


@dataclass(frozen=True)
class Row:
    """One line of the file: its number as a spreadsheet counts (the heading is 1) and its cells by column."""

    line: int
    cells: dict[str, str]


def read_rows(content: bytes) -> list[Row]:
    """The lines below the heading, blank ones left out. Raises UnreadableFile."""
    if not content.strip():
        raise UnreadableFile("The file is empty.")
    if len(content) > MOST_BYTES:
        raise UnreadableFile(f"The file has {len(content):,} bytes; at most {MOST_BYTES:,} are read. Split it.")
    if content.startswith(_OLD_WORKBOOK):
        raise UnreadableFile("This is a workbook of the old kind, or one with a password; save it as XLSX or CSV.")
    lines = _workbook_lines(content) if content.startswith(_WORKBOOK) else _text_lines(content)
    filled = ((number, cells) for number, cells in lines if any(cells))
    heading_line, heading = next(filled, (0, []))
    columns = _columns(heading)
    rows: list[Row] = []
    for number, cells in filled:
        if len(rows) == MOST_LINES:
            raise UnreadableFile(f"The file has more than {MOST_LINES:,} numbers; split it.")
        if len(cells) > len(heading) and any(cells[len(heading) :]):
            raise UnreadableFile(
                f"Line {number} has {len(cells)} cells, but the heading on line {heading_line} names {len(heading)}; "
                "put cells that contain the separator in quotation marks."
            )
        padded = cells + [""] * (len(heading) - len(cells))
        rows.append(Row(number, {name: padded[position] for name, position in columns.items()}))
    if not rows:
        raise UnreadableFile("The file has a heading, but no line below it.")
    return rows


def _columns(heading: list[str]) -> dict[str, int]:
    """Where each column stands. Raises UnreadableFile for missing, unknown and repeated ones."""
    names = [re.sub(r"[\s_-]", "", name).lower() for name in heading]
    wanted = ", ".join(COLUMNS)
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise UnreadableFile(f"The first line lacks {', '.join(missing)}; it must name the columns {wanted}.")
    unknown = [heading[place][:30] for place, name in enumerate(names) if name and name not in COLUMNS]
    if unknown:
        raise UnreadableFile(f"The first line names {', '.join(unknown)}; only these columns are known: {wanted}.")
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise UnreadableFile(f"The first line names {', '.join(repeated)} twice; keep one of each.")
    return {name: names.index(name) for name in COLUMNS}


# --- Text --------------------------------------------------------------------------------------------------------


def _text_lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    text = _decode(content)
    first = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise UnreadableFile(f"Line {reader.line_num} is not right as CSV ({error}); correct it or use XLSX.") from None


def _decode(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableFile("The file is neither XLSX nor text in UTF-8; save it as “CSV UTF-8” or XLSX.") from None
    if "\0" in text:
        raise UnreadableFile("The file is neither XLSX nor a CSV text; save it as one of these.")
    return text


# --- Workbooks ---------------------------------------------------------------------------------------------------


def _workbook_lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    _check_size(content)
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
            sheet = book.get_sheet_by_index(0)
            first = sheet.start[0] + 1 if sheet.start else 1
            cells = sheet.to_python(skip_empty_area=True)
    except (CalamineError, IndexError, OSError) as error:
        raise UnreadableFile(f"The workbook cannot be read ({str(error)[:100]}); save it anew as XLSX.") from None
    for number, row in enumerate(cells, start=first):
        yield number, [_text(cell) for cell in row]


def _check_size(content: bytes) -> None:
    """Refuse what would unpack beyond measure: one filled cell in the last corner makes 17 thousand million of them."""
    left = _MOST_UNPACKED
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    unpacked = file.read(left + 1)
                left -= len(unpacked)
                if left < 0:
                    raise UnreadableFile("The workbook is too large when unpacked; keep the list of numbers alone.")
                if entry.filename.startswith("xl/worksheets/"):
                    _check_corner(unpacked)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zlib.error) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile("The workbook is damaged or has a password; save it anew as XLSX or CSV.") from None


def _check_corner(sheet: bytes) -> None:
    for column, row in _CELL_REFERENCE.findall(sheet):
        reach = ""
        if int(row) > 2 * MOST_LINES:
            reach = f"row {int(row):,}"
        elif _column_number(column) > _MOST_COLUMNS:
            reach = f"column {column.decode()}"
        if reach:
            raise UnreadableFile(
                f"The sheet reaches as far as {reach}; keep the {len(COLUMNS)} columns and at most "
                f"{MOST_LINES:,} lines, one below the other."
            )


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _text(cell: Any) -> str:
    """A cell as one would have typed it: the number 61491570156.0 has no point, 19.95 is exactly what is shown."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 10**15 else repr(cell)
    return str(cell).strip()

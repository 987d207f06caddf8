"""Bytes of a file to columns of text: encoding, delimiter, quotes, header and ragged rows."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from genesis.agents.data_analyst.footer import without_total
from genesis.agents.data_analyst.formats import DATE, PLAIN
from infrastructure.errors import InputError

Cells: TypeAlias = Sequence["str | None"]
SIZE_LIMIT = 256 * 1024 * 1024
"""Bytes of text that are read; a Parquet file may be larger."""
_SAMPLE_ROWS = 200
_DELIMITERS = ",;\t|"
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a zip archive; save the sheet as CSV, or unpack it",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document; export the table as CSV",
    b"\x7fELF": "a program",
    b"SQLite format 3": "a SQLite database; export the table as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
}


@dataclass(frozen=True, slots=True)
class RawTable:
    """Cells as written, column by column; None where a JSON value is null or absent.

    Attributes:
        names: column names, unique.
        columns: one sequence of cells for each name.
        delimiter: what separated the cells; empty for JSON.
        notes: every repair that was made, in words.
    """

    names: tuple[str, ...]
    columns: tuple[Cells, ...]
    delimiter: str
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.columns[0]) if self.columns else 0


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked if it is gzip.

    Raises:
        InputError: it cannot be read, is damaged, empty or larger than `SIZE_LIMIT`.
    """
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise _too_large(path)
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(SIZE_LIMIT + 1)
            if len(data) > SIZE_LIMIT:
                raise _too_large(path)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path.name} cannot be read: {error}; check the file") from error
    if not data.strip():
        raise InputError(f"{path.name} is empty; give a file with a header and rows")
    return data


def _too_large(path: Path) -> InputError:
    limit = SIZE_LIMIT // (1024 * 1024)
    return InputError(f"{path.name} holds more than {limit} MB of text; convert it to Parquet")


def decode(data: bytes, name: str) -> tuple[str, str]:
    """Text of a file's bytes, and the encoding they were read as.

    Raises:
        InputError: the bytes are no text.
    """
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise InputError(f"{name} is not a table of text: it is {what}")
    for bom, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(bom):
            return _decode_as(data, encoding, name), encoding
    head = data[:4096]
    if b"\0" in head:
        encoding = _utf16_without_mark(head)
        if not encoding:
            raise InputError(f"{name} is a binary file, not a table of text; export it as CSV")
        return _decode_as(data, encoding, name), encoding
    if sum(byte < 9 or 13 < byte < 32 for byte in head) > len(head) * 0.02:
        raise InputError(f"{name} is a binary file, not a table of text; export it as CSV")
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return _decode_legacy(data)


def _decode_as(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not valid {encoding}: {error}; save it as UTF-8") from error


def _utf16_without_mark(head: bytes) -> str:
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) / 2
    if odd > half * 0.6 and even < half * 0.1:
        return "utf-16-le"
    if even > half * 0.6 and odd < half * 0.1:
        return "utf-16-be"
    return ""


def _decode_legacy(data: bytes) -> tuple[str, str]:
    sample = data[:65536]
    high = sum(byte > 127 for byte in sample)
    if high > len(sample) * 0.15:  # mostly accents would not be: a script other than Latin
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        if best is not None:
            return data.decode(best.encoding, errors="replace"), best.encoding
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def read_delimited(text: str, encoding: str, name: str) -> RawTable:
    """The table of a delimited text.

    Raises:
        InputError: it has no header.
    """
    notes: list[str] = []
    if encoding not in ("utf-8", "utf-8-sig"):
        notes.append(f"read as {encoding}")
    delimiter = find_delimiter(text, name)
    if delimiter != ",":
        shown = {"\t": "tab", " ": "space"}.get(delimiter, f"'{delimiter}'")
        notes.append(f"columns separated by {shown}")
    rows = _parse(text, delimiter, notes)
    if not rows:
        raise InputError(f"{name} is empty; give a file with a header and rows")
    rows = _skip_preamble(rows, notes)
    if _has_header(rows):
        header, body = rows[0], rows[1:]
    else:
        header, body = [f"column_{i + 1}" for i in range(len(rows[0]))], rows
        notes.append("no header found: columns are named column_1, column_2, ...")
    header, body = _fit(header, body, notes)
    body = without_total(body, notes)
    names = unique_names(header, notes)
    columns = tuple(zip(*body, strict=True)) if body else tuple(() for _ in names)
    return RawTable(names, columns, delimiter, tuple(notes))


def find_delimiter(text: str, name: str) -> str:
    """The delimiter under which most of the first rows have the same number of cells."""
    sample = text[:200_000]
    best, best_score = ",", (0.0, 0.0, 0)
    wanted = "\t" if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else ","
    for delimiter in _DELIMITERS:
        rows = _sample_rows(sample, delimiter)
        widths = Counter(len(row) for row in rows)
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        if width < 2:
            continue
        header_fits = 1.0 if len(rows[0]) == width else 0.0
        score = (header_fits + count / len(rows), float(delimiter == wanted), width)
        if score > best_score:
            best, best_score = delimiter, score
    if best_score[0] == 0.0 and _space_separated(sample):
        return " "
    return best


def _sample_rows(sample: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if row and any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) >= _SAMPLE_ROWS:
                break
    except csv.Error:
        return rows
    return (
        rows[:-1] if len(rows) > 3 and len(rows) < _SAMPLE_ROWS and len(sample) == 200_000 else rows
    )


def _space_separated(sample: str) -> bool:
    lines = [line.split() for line in sample.splitlines()[:_SAMPLE_ROWS] if line.strip()]
    same = len({len(cells) for cells in lines}) == 1 and len(lines) > 1 and len(lines[0]) > 1
    return same and any(re.fullmatch(PLAIN, cell) for cell in lines[1])


def _parse(text: str, delimiter: str, notes: list[str]) -> list[list[str]]:
    skip = delimiter == " "

    def rows_of(*, quotes: bool) -> list[list[str]]:
        quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
        source = io.StringIO(text, newline="")
        reader = csv.reader(source, delimiter=delimiter, quoting=quoting, skipinitialspace=skip)
        return [row for row in reader if row and not (len(row) == 1 and row[0].isspace())]

    try:
        rows = rows_of(quotes=True)
        open_quote = text.count('"') % 2 == 1 and "\n" in rows[-1][-1]
    except (csv.Error, IndexError):
        open_quote, rows = True, []
    if open_quote:
        notes.append("a quote is never closed: quotes were read as text")
        rows = rows_of(quotes=False)
    return rows


def _skip_preamble(rows: list[list[str]], notes: list[str]) -> list[list[str]]:
    widths = Counter(len(row) for row in rows[:_SAMPLE_ROWS])
    usual = widths.most_common(1)[0][0]
    start = 0
    if usual > 1:
        while start < len(rows) - 1 and sum(map(bool, map(str.strip, rows[start]))) <= 1:
            start += 1
    while start < len(rows) - 1 and len(rows[start]) < usual and rows[start][0].startswith("#"):
        start += 1
    if start:
        notes.append(f"{_count(start, 'line')} before the header skipped")
    return rows[start:]


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: a name is no decimal number, date or ordinary count."""
    first = [cell.strip() for cell in rows[0] if cell.strip()]
    if not first or len(rows) < 2:
        return True
    if any(re.fullmatch(DATE, cell) for cell in first):
        return False
    numbers = [cell for cell in first if re.fullmatch(PLAIN, cell)]
    if any("." in cell for cell in numbers):
        return False
    if len(numbers) == len(first):  # 0,1,2 or years may well be names
        values = [int(float(cell)) for cell in numbers]
        return len(values) > 1 and all(b - a == 1 for a, b in pairwise(values))
    years = all(1500 <= float(cell) <= 2100 for cell in numbers)
    return years or (
        len(set(first)) == len(first)
        and len(numbers) * 2 < len(first)
        and not any(
            cell == row[i].strip()
            for i, cell in enumerate(map(str.strip, rows[0]))
            for row in rows[1:50]
            if i < len(row) and cell and not re.fullmatch(PLAIN, cell)
        )
    )


def _fit(
    header: list[str], body: list[list[str]], notes: list[str]
) -> tuple[list[str], list[list[str]]]:
    """Rows as wide as the header: short ones padded, longer ones left out as pandas does."""
    width = len(header)
    longer = [row for row in body if len(row) > width]
    if longer and all(not any(map(str.strip, row[width:])) for row in longer):
        body = [row[:width] for row in body]
        notes.append(f"empty cells after the last column dropped in {_count(len(longer), 'row')}")
    elif body and len(longer) == len(body) and all(len(row) == width + 1 for row in body):
        header, width = ["", *header], width + 1
        notes.append("the first column has no name")
    kept = [row for row in body if len(row) <= width]
    if len(kept) < len(body):
        lost = _count(len(body) - len(kept), "ragged row")
        notes.append(f"{lost} with more cells than columns left out")
    short = sum(len(row) < width for row in kept)
    if short:
        notes.append(f"{_count(short, 'ragged row')} padded with missing cells")
    return header, [row + [""] * (width - len(row)) if len(row) < width else row for row in kept]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def unique_names(header: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Column names as pandas makes them unique: "a", "a.1", "Unnamed: 2"."""
    names: list[str] = []
    taken: set[str] = set()  # without regard to case, as SQL reads names
    for position, raw in enumerate(header):
        name = " ".join(raw.split()) or f"Unnamed: {position}"
        unique, number = name, 0
        while unique.casefold() in taken:
            number += 1
            unique = f"{name}.{number}"
        if not raw.strip():
            notes.append(f"column {position + 1} has no name: called {unique!r}")
        elif number:
            notes.append(f"a second column {name!r} is called {unique!r}")
        taken.add(unique.casefold())
        names.append(unique)
    return tuple(names)

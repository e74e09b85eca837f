"""Read records one by one out of CSV, JSON lines, Parquet and Excel files, in bounded memory.

A line that cannot be read is a `Row` with a problem: the others go on.
"""

import codecs
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import msgspec
import xxhash

from cdp.errors import CdpError
from serving.collect.wellformed import UnknownEncoding, mend
from serving.imports.columns import Columns
from serving.imports.formulas import Cell, unreckoned
from serving.imports.header import LOOKED_AT, check, choose, in_rows, in_text, sniff
from serving.imports.separated import LONGEST_LINE, MARK, Lines, Record, is_cut, records, reread

__all__ = ["Row", "Source", "examine", "read", "sniff"]

Format = Literal["csv", "jsonl", "parquet", "excel"]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".xlsx": "excel", ".xlsm": "excel",
}  # fmt: skip
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20
SHORT = "short"
PARQUET_ROWS = 1000
SHOWN = 2000
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1f]")
_NOT_ASCII = re.compile(r"([A-Za-z]?)([^\x00-\x7f]+)([A-Za-z]?)")
_UNREADABLE = (OSError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError)


class Row(NamedTuple):
    """A record of a file, or the reason why a line is none.

    Attributes:
        number: which record it is, from 1.
        line: where it stands: the last line of it in a text (with a problem, where that begins), its row in a table.
        record: None if there is a problem.
        text: what stood there, for lines with a problem.
        position: how many bytes or rows of the file's total are behind us.
        note: what was done to it to make it a record: `SHORT`, if its last cells were missing and count as empty.
    """

    number: int
    line: int
    record: dict[str, Any] | None
    problem: str = ""
    text: str = ""
    position: int = 0
    note: str = ""


@dataclass(frozen=True)
class Source:
    """A file to be read.

    Attributes:
        encoding: of texts; "" to find out: UTF-8 or UTF-16 (with or without a mark), or else GB18030.
        delimiter: of CSV; "" to find out from its header.
        sheet: of a workbook; "" for its first.
        digest: of the content: the same digest is the same file.
        total: bytes of a text or rows of a table; 0 if unknown.
        header_row: the line or row in which a table's header begins; 0 to find out.
    """

    path: Path
    format: Format
    encoding: str
    delimiter: str
    sheet: str
    digest: str
    total: int
    header_row: int = 0


def examine(
    path: Path, *, format_: str = "", encoding: str = "", delimiter: str = "", sheet: str = "", header_row: int = 0
) -> Source:
    """Read a file once to know its digest and, if nobody says, its encoding. Raises CdpError if it cannot be read."""
    kind = FORMATS.get(f".{format_}" if format_ and format_ != "excel" else ".xlsx" if format_ else _suffix(path))
    if kind is None:
        raise CdpError(f"{path.name} has no known format.", "Use .csv, .tsv, .jsonl, .parquet or .xlsx, or give --format.")
    if encoding:
        _known(encoding)
    if len(delimiter) > 1:
        raise CdpError(f"{delimiter!r} is not one character.", "Give a delimiter such as ';' or a tab.")
    text = kind in ("csv", "jsonl")
    try:
        digest, found, size = _survey(path, look_at_text=text and not encoding)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return Source(path, kind, encoding or found, delimiter, sheet, digest, size if text else 0, header_row)


def read(source: Source, columns: Columns | None = None) -> Iterator[Row]:
    """The records of a file. Raises CdpError if it cannot be read to its end, or if a table lacks columns of a mapping."""
    readers: dict[str, Callable[[Source, Columns | None], Iterator[Row]]] = {
        "csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet, "excel": _read_excel,
    }  # fmt: skip
    try:
        yield from readers[source.format](source, columns)
    except _UNREADABLE as error:
        raise _unreadable(source.path, error) from error


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else suffixes[-1] if suffixes else ""


def _known(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise CdpError(
            f"There is no encoding {encoding!r}.", "Use utf-8, gb18030, utf-16 or another that Python knows."
        ) from error


def _unreadable(path: Path, error: BaseException) -> CdpError:
    if isinstance(error, FileNotFoundError):
        return CdpError(f"There is no file {path}.", "Check the path.")
    if isinstance(error, UnicodeError):
        return CdpError(f"{path.name} is not all in one encoding: {error}.", "Give its encoding with --encoding.")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return CdpError(f"{path} cannot be read: {reason}.", "Check that it is whole and that you may read it.")


def _survey(path: Path, *, look_at_text: bool) -> tuple[str, str, int]:
    """Digest of the file's bytes, encoding of its text, size of its text in bytes."""
    digest, size, encoding = xxhash.xxh3_128(), 0, ""
    with path.open("rb") as raw:
        while chunk := raw.read(CHUNK):
            digest.update(chunk)
    utf8 = codecs.getincrementaldecoder("utf-8")()
    with _plain(path) as plain:
        while chunk := plain.read(CHUNK):
            if not size:
                encoding = next((name for bom, name in BOMS.items() if chunk.startswith(bom)), "") or _wide(chunk)
            size += len(chunk)
            if look_at_text and not encoding:
                try:
                    utf8.decode(chunk)
                except UnicodeDecodeError:
                    encoding = "gb18030"
                    _check_chinese(chunk, path)
    return digest.hexdigest(), encoding or "utf-8", size


def _check_chinese(chunk: bytes, path: Path) -> None:
    """Raises CdpError if a text that is not UTF-8 looks like one of Western Europe: nearly any bytes can be read as GB18030."""
    found = _NOT_ASCII.findall(chunk.decode("gb18030", "replace"))
    accents = [before + sign + behind for before, sign, behind in found if (before or behind) and _may_be_accent(sign)]
    if accents and len(accents) * 2 >= len(found):
        raise CdpError(
            f"{path.name} is not UTF-8, and does not look like Chinese in GB18030, in which it says {accents[0]!r}.",
            "Say its encoding, such as --encoding cp1252 (or --encoding gb18030).",
        )


def _may_be_accent(sign: str) -> bool:
    """Whether it is one letter with an accent and the plain letter behind it, taken for a Chinese sign, or for nothing."""
    if sign == "\ufffd":
        return True
    written = sign.encode("gb18030") if len(sign) == 1 else b""
    return len(written) == 2 and written[1] < 0x80


def _wide(chunk: bytes) -> str:
    """UTF-16 without a mark, if the text can be nothing else: read so, and not the other way round, it has lines."""
    if b"\0" not in chunk:
        return ""
    found = [name for name in ("utf-16-le", "utf-16-be") if _has_lines(chunk, name)]
    return found[0] if len(found) == 1 else ""


def _has_lines(chunk: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(chunk)
    except UnicodeError:
        return False
    return "\n" in text and not _CONTROL.search(text)


@contextmanager
def _plain(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not zipped:
            yield raw
            return
        with gzip.open(raw) as plain:
            yield plain  # type: ignore[misc]


class _Counted(io.RawIOBase):
    """Bytes that know how many of them were read."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner, self.position = inner, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._inner.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.position += len(chunk)
        return len(chunk)


@contextmanager
def _text(source: Source) -> Iterator[tuple[IO[str], _Counted]]:
    with _plain(source.path) as plain:
        counted = _Counted(plain)
        with io.TextIOWrapper(io.BufferedReader(counted, CHUNK), encoding=source.encoding, newline="") as text:
            yield text, counted


def _read_csv(source: Source, columns: Columns | None) -> Iterator[Row]:
    with _text(source) as (text, counted):
        lines = Lines(text)
        header = choose(in_text(lines, source.delimiter, source.header_row, columns), columns, source.path.name)
        lines.give_back(lines.number - header.end)
        number, width = 0, len(header.names)
        for record in records(lines, header.delimiter):
            if not record.problem and not any(record.cells):
                continue
            number += 1
            odd = record.lines > 1 and not record.problem and (len(record.cells) < width or _too_long(record.cells, width))
            again = reread(lines, header.delimiter, width) if odd else None
            yield _csv_row(number, header.names, again or record, header.delimiter, counted.position)


def _csv_row(number: int, names: list[str], record: Record, delimiter: str, position: int) -> Row:
    if record.problem:
        return Row(number, record.line, None, record.problem, record.text, position)
    if problem := _too_long(record.cells, len(names)):
        return Row(number, record.line, None, problem, delimiter.join(record.cells)[:SHOWN], position)
    missing = len(names) - len(record.cells)
    cells = record.cells + [""] * missing if missing > 0 else record.cells
    return Row(number, record.line, dict(zip(names, cells, strict=False)), "", "", position, SHORT if missing > 0 else "")


def _too_long(cells: Sequence[Any], width: int) -> str:
    """The problem of a row with something behind its last named column."""
    if len(cells) > width:
        extra = next((cell for cell in cells[width:] if cell is not None and str(cell).strip()), None)
        if extra is not None:
            return f"it has {len(cells)} cells, and the header names {width} columns: {str(extra)[:40]!r} is in none of them"
    return ""


def _read_jsonl(source: Source, _: Columns | None) -> Iterator[Row]:
    decode = msgspec.json.Decoder().decode
    with _text(source) as (text, counted):
        number = line = 0
        while written := text.readline(LONGEST_LINE):
            line += 1
            cut = is_cut(written)
            while cut and (rest := text.readline(LONGEST_LINE)) and rest[-1] not in "\r\n":
                pass
            written = written.lstrip(MARK)
            if not written.strip():
                continue
            number += 1
            record, problem = (None, f"it is longer than {LONGEST_LINE:,} characters") if cut else _object(decode, written)
            yield Row(number, line, record, problem, written[:SHOWN] if problem else "", counted.position)


def _object(decode: Callable[[bytes], Any], written: str) -> tuple[dict[str, Any] | None, str]:
    try:
        value = decode(mend(written.encode("utf-8", "surrogatepass")))
    except (msgspec.MsgspecError, RecursionError, UnicodeError, UnknownEncoding) as error:
        return None, f"it is not JSON: {error}"
    return (value, "") if isinstance(value, dict) else (None, "it is not a JSON object")


def _read_parquet(source: Source, columns: Columns | None) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source.path) as file:
            if columns:
                check(columns, file.schema_arrow.names, source.path.name, nested=True)
            number = 0
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield Row(number, number, record, position=number)
    except pyarrow.ArrowException as error:
        raise CdpError(f"{source.path.name} is not Parquet: {' '.join(str(error).split())[:200]}.", "Check the file.") from error


def _read_excel(source: Source, columns: Columns | None) -> Iterator[Row]:
    import zipfile

    import openpyxl  # type: ignore[import-untyped, unused-ignore]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions, which hold no data
        try:
            book = openpyxl.load_workbook(source.path, read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError, openpyxl.utils.exceptions.InvalidFileException) as error:
            raise CdpError(f"{source.path.name} is not an Excel workbook (.xlsx).", "Save it as .xlsx or as CSV.") from error
        try:
            if source.sheet and source.sheet not in book.sheetnames:
                raise CdpError(f"There is no sheet {source.sheet!r}.", f"There are {', '.join(book.sheetnames)}.")
            sheet = book[source.sheet] if source.sheet else _first(book.worksheets)
            with book._archive.open(sheet._worksheet_path) as xml:
                yield from _sheet(sheet, unreckoned(xml), source, columns)
        finally:
            book.close()


def _first(sheets: list[Any]) -> Any:
    """The first sheet that is not hidden, as a person sees it."""
    return next((sheet for sheet in sheets if sheet.sheet_state == "visible"), sheets[0])


def _sheet(sheet: Any, formulas: Iterator[Cell], source: Source, columns: Columns | None) -> Iterator[Row]:
    sheet.reset_dimensions()  # some programs write wrong ones
    rows = sheet.iter_rows(values_only=True)
    first = list(islice(rows, max(LOOKED_AT, source.header_row)))
    header = choose(in_rows(first, source.header_row, columns), columns, source.path.name)
    names, number, formula = header.names, 0, next(formulas, None)
    for line, cells in enumerate(chain(first[header.end :], rows), start=header.end + 1):
        if all(cell is None or cell == "" for cell in cells):
            continue
        number += 1
        problem = _too_long(cells, len(names))
        while formula and formula.row <= line:
            if formula.row == line and formula.column <= len(names):
                problem = (
                    problem or f"its cell {formula.name} has a formula, and no value: open the file in a spreadsheet and save it"
                )
            formula = next(formulas, None)
        if problem:
            shown = ", ".join("" if cell is None else str(cell) for cell in cells)[:SHOWN]
            yield Row(number, line, None, problem, shown, line)
            continue
        filled = [*cells, *[None] * (len(names) - len(cells))]
        yield Row(number, line, dict(zip(names, filled, strict=False)), position=line)

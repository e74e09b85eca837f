"""Read records one by one out of CSV, JSON lines, Parquet and Excel files, in bounded memory.

A line that cannot be read is a `Row` with a problem: the others go on.
"""

import codecs
import csv
import gzip
import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import msgspec
import xxhash

from cdp.errors import CdpError

Format = Literal["csv", "jsonl", "parquet", "excel"]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".xlsx": "excel", ".xlsm": "excel",
}  # fmt: skip
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DELIMITERS = ",;\t|"
GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20
LONGEST_LINE = 8 << 20
LONGEST_CELL = 1 << 20
PARQUET_ROWS = 1000
SHOWN = 2000
_UNREADABLE = (OSError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError)


class Row(NamedTuple):
    """A record of a file, or the reason why a line is none.

    Attributes:
        number: which record it is, from 1.
        line: where it stands: the last line of it in a text, its row in a table.
        record: None if there is a problem.
        text: what stood there, for lines with a problem.
        position: how many bytes or rows of the file's total are behind us.
    """

    number: int
    line: int
    record: dict[str, Any] | None
    problem: str = ""
    text: str = ""
    position: int = 0


@dataclass(frozen=True)
class Source:
    """A file to be read.

    Attributes:
        encoding: of texts; "" to find out: UTF-8 (with or without a mark), UTF-16 with a mark, or else GB18030.
        delimiter: of CSV; "" to find out from its first line.
        sheet: of a workbook; "" for its first.
        digest: of the content: the same digest is the same file.
        total: bytes of a text or rows of a table; 0 if unknown.
    """

    path: Path
    format: Format
    encoding: str
    delimiter: str
    sheet: str
    digest: str
    total: int


def examine(path: Path, *, format_: str = "", encoding: str = "", delimiter: str = "", sheet: str = "") -> Source:
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
    return Source(path, kind, encoding or found, delimiter, sheet, digest, size if text else 0)


def read(source: Source) -> Iterator[Row]:
    """The records of a file. Raises CdpError if it cannot be read to its end."""
    readers: dict[str, Callable[[Source], Iterator[Row]]] = {
        "csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet, "excel": _read_excel,
    }  # fmt: skip
    try:
        yield from readers[source.format](source)
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
                encoding = next((name for bom, name in BOMS.items() if chunk.startswith(bom)), "")
            size += len(chunk)
            if look_at_text and not encoding:
                try:
                    utf8.decode(chunk)
                except UnicodeDecodeError:
                    encoding = "gb18030"
    return digest.hexdigest(), encoding or "utf-8", size


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


def _read_csv(source: Source) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CELL)
    with _text(source) as (text, counted):
        first = text.readline(LONGEST_LINE)
        delimiter = source.delimiter or sniff(first)
        header = _header(next(csv.reader([first], delimiter=delimiter), []), source.path)
        rows = csv.reader(text, delimiter=delimiter)
        number = 0
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield Row(number, rows.line_num + 1, None, f"it is not CSV: {error}", "", counted.position)
                continue
            if not cells or not any(cells):
                continue
            number += 1
            yield _csv_row(number, rows.line_num + 1, header, cells, delimiter)._replace(position=counted.position)


def _csv_row(number: int, line: int, header: list[str], cells: list[str], delimiter: str) -> Row:
    if len(cells) != len(header):
        problem = f"it has {len(cells)} columns, the header has {len(header)}"
        return Row(number, line, None, problem, delimiter.join(cells)[:SHOWN])
    return Row(number, line, dict(zip(header, cells, strict=True)))


def sniff(header: str) -> str:
    """The delimiter of a header line: the one that is there most often, outside of quotes."""
    outside = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _header(cells: list[Any], path: Path) -> list[str]:
    names = ["" if cell is None else str(cell).strip().lstrip("\ufeff") for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise CdpError(f"{path.name} has no header.", "The first line must name the columns.")
    named = [name for name in names if name]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise CdpError(f"{path.name} has two columns named {twice!r}.", "Give each column a name of its own.")
    return [name or f"column {index}" for index, name in enumerate(names, start=1)]


def _read_jsonl(source: Source) -> Iterator[Row]:
    decode = msgspec.json.Decoder().decode
    with _text(source) as (text, counted):
        number = line = 0
        while written := text.readline(LONGEST_LINE):
            line += 1
            cut = len(written) == LONGEST_LINE and not written.endswith("\n")
            while cut and (rest := text.readline(LONGEST_LINE)) and not rest.endswith("\n"):
                pass
            if not written.strip():
                continue
            number += 1
            record, problem = (None, f"it is longer than {LONGEST_LINE:,} characters") if cut else _object(decode, written)
            yield Row(number, line, record, problem, written[:SHOWN] if problem else "", counted.position)


def _object(decode: Callable[[str], Any], written: str) -> tuple[dict[str, Any] | None, str]:
    try:
        value = decode(written)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        return None, f"it is not JSON: {error}"
    return (value, "") if isinstance(value, dict) else (None, "it is not a JSON object")


def _read_parquet(source: Source) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source.path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield Row(number, number, record, position=number)
    except pyarrow.ArrowException as error:
        raise CdpError(f"{source.path.name} is not Parquet: {' '.join(str(error).split())[:200]}.", "Check the file.") from error


def _read_excel(source: Source) -> Iterator[Row]:
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
            yield from _sheet(book[source.sheet] if source.sheet else book.worksheets[0], source)
        finally:
            book.close()


def _sheet(sheet: Any, source: Source) -> Iterator[Row]:
    sheet.reset_dimensions()  # some programs write wrong ones
    rows = sheet.iter_rows(values_only=True)
    header = _header(list(next(rows, ())), source.path)
    number = 0
    for line, cells in enumerate(rows, start=2):
        if all(cell is None for cell in cells):
            continue
        number += 1
        filled = [*cells, *[None] * (len(header) - len(cells))]
        if any(cell is not None for cell in filled[len(header) :]):
            shown = ", ".join("" if cell is None else str(cell) for cell in cells)[:SHOWN]
            yield Row(number, line, None, "it has more cells than the header", shown, line)
            continue
        yield Row(number, line, dict(zip(header, filled, strict=False)), position=line)

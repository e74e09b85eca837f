"""Read UCI Online Retail, a real shop's invoice lines, as Segment messages.

What the file is like, and what we make of it:

- an invoice belongs to one customer and one country, but 43 of 25,900 run over a minute's change: its time is its first line's;
- one invoice's lines are not all together: lines are counted first, and an invoice is sent when its last line was read;
- numbers that start with C are returns (negative quantities); those that start with A are adjustments, kept as orders;
- customer numbers and quantities are written as decimals (``17850.0``), and sent as the integers they are;
- 5,268 lines repeat another exactly and are real: lines are told apart by their place in the invoice;
- times are London's local time without a zone; they are taken as UTC.
"""

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import msgspec

from cdp.errors import CdpError
from cdp.events import ORDER_COMPLETED, ORDER_REFUNDED
from loadtest.send import encode

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
GZIP_MAGIC = b"\x1f\x8b"
CURRENCY = "GBP"
SOURCE = "online-retail"
_UNREADABLE = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, csv.Error)


class Product(msgspec.Struct, frozen=True):
    """A line of an invoice, as sent; `line` counts from 1 in the order of the file."""

    line: int
    sku: str
    name: str
    quantity: int | Decimal
    price: Decimal


@dataclass
class Invoice:
    """An invoice whose lines are being read. `customer` is empty where unknown; `time` is ISO 8601."""

    number: str
    customer: str
    country: str
    time: str
    products: list[Product] = field(default_factory=list)


@dataclass(frozen=True)
class Survey:
    """What a whole file holds: lines of each invoice, time of each customer's first invoice (ISO 8601), lines in all."""

    lines_of: Counter[str]
    first_seen: dict[str, str]
    lines: int

    @property
    def messages(self) -> int:
        """How many messages the whole file makes."""
        return len(self.lines_of) + len(self.first_seen)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == GZIP_MAGIC
        opener: Callable[..., Any] = gzip.open if zipped else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    except FileNotFoundError as error:
        raise CdpError(f"There is no file {path}.", "Give the path of the Online Retail csv or csv.gz.") from error
    except _UNREADABLE as error:
        raise CdpError(f"{path} cannot be read to its end: {error}.", "It is cut off or damaged: fetch it again.") from error
    except OSError as error:
        raise CdpError(f"{path} cannot be read: {error.strerror or error}.", "Check the path and its permissions.") from error


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers (the header is line 1) and rows of a file with the right columns."""
    with _opened(path) as text:
        reader = csv.reader(text)
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            found = ", ".join(header)[:120] or "nothing"
            raise CdpError(f"{path} is not Online Retail: its columns are {found}.", f"Expected are {', '.join(COLUMNS)}.")
        for row in reader:
            if len(row) != len(COLUMNS):
                raise CdpError(f"{path}, line {reader.line_num}: {len(row)} columns instead of {len(COLUMNS)}.", _MEND)
            yield reader.line_num, row


_MEND = "Nothing was sent: mend the line and try again."


@lru_cache(maxsize=65_536)
def iso_time(text: str) -> str:
    """The file's time as ISO 8601 in UTC. Raises ValueError."""
    return datetime.strptime(text, DATE_FORMAT).isoformat() + "Z"


@lru_cache(maxsize=65_536)
def whole_number(text: str) -> int | Decimal:
    """A number as an integer if it is one, e.g. ``6`` for ``6.0``. Raises ValueError."""
    number = exact_number(text)
    return int(number) if number == number.to_integral_value() else number


@lru_cache(maxsize=65_536)
def exact_number(text: str) -> Decimal:
    """A number with the digits it has. Raises ValueError."""
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not number.is_finite():
        raise ValueError(text)
    return number


@lru_cache(maxsize=65_536)
def customer_number(text: str) -> str:
    """``17850`` for ``17850.0``; empty where unknown. Raises ValueError."""
    if text and not isinstance(number := whole_number(text), int):
        raise ValueError(text)
    return str(number) if text else ""


def survey(path: Path) -> Survey:
    """Read a file once, without sending anything, so that a bad line or a missing end is known before the first event.

    Raises CdpError, with the line's number, for anything that is not as it should be.
    """
    lines_of: Counter[str] = Counter()
    first_seen: dict[str, str] = {}
    for number, row in _rows(path):
        wrong = _unreadable(row)
        if wrong >= 0:
            raise CdpError(f"{path}, line {number}: {COLUMNS[wrong]} is {row[wrong]!r}, which cannot be read.", _MEND)
        lines_of[row[0]] += 1
        customer = customer_number(row[6])
        if customer:
            time = iso_time(row[4])
            first_seen[customer] = min(first_seen.get(customer, time), time)
    return Survey(lines_of, first_seen, lines_of.total())


def _filled(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


_PARSERS: tuple[Callable[[str], object], ...] = (
    _filled,
    _filled,
    str,
    whole_number,
    iso_time,
    exact_number,
    customer_number,
    str,
)


def _unreadable(row: list[str]) -> int:
    """The first column that cannot be read; -1 if all can."""
    column = 0
    try:
        for column, parse in enumerate(_PARSERS):
            parse(row[column])
    except ValueError:
        return column
    return -1


def invoices(path: Path, lines_of: Counter[str], *, limit_lines: int = 0) -> Iterator[Invoice]:
    """Whole invoices, each when its last line was read: nearly in the order of time.

    Args:
        lines_of: how many lines each invoice has in the whole file.
        limit_lines: stop after this many lines (0: never); an invoice that is not whole by then is not given, because sent
            in part it could never be completed under the same message id.
    """
    waiting: dict[str, Invoice] = {}
    for read, (_, row) in enumerate(_rows(path)):
        if limit_lines and read == limit_lines:
            return
        number, sku, name, quantity, time, price, customer, country = row
        invoice = waiting.get(number)
        if invoice is None:
            invoice = waiting[number] = Invoice(number, customer_number(customer), country, iso_time(time))
        lines = invoice.products
        lines.append(Product(len(lines) + 1, sku, name, whole_number(quantity), exact_number(price)))
        if len(lines) == lines_of[number]:
            yield waiting.pop(number)


def order_message(invoice: Invoice) -> dict[str, Any]:
    """The track message of an invoice."""
    who = {"userId": invoice.customer} if invoice.customer else {"anonymousId": f"order-{invoice.number}"}
    return {
        "type": "track",
        "event": ORDER_REFUNDED if invoice.number.startswith("C") else ORDER_COMPLETED,
        "messageId": f"{SOURCE}:order:{invoice.number}",
        "timestamp": invoice.time,
        **who,
        "properties": {
            "order_id": invoice.number,
            "customer_id": invoice.customer,
            "currency": CURRENCY,
            "total": sum((p.quantity * p.price for p in invoice.products), Decimal(0)),
            "country": invoice.country,
            "products": invoice.products,
        },
    }


def customer_message(customer: str, country: str, first_seen: str) -> dict[str, Any]:
    """The identify message of a customer; eight have invoices in two countries: the first one's counts."""
    return {
        "type": "identify",
        "messageId": f"{SOURCE}:customer:{customer}",
        "timestamp": first_seen,
        "userId": customer,
        "traits": {"country": country},
    }


def messages(path: Path, found: Survey, *, limit_lines: int = 0) -> Iterator[bytes]:
    """Encoded messages: each customer before the first of their invoices."""
    introduced: set[str] = set()
    for invoice in invoices(path, found.lines_of, limit_lines=limit_lines):
        customer = invoice.customer
        if customer and customer not in introduced:
            introduced.add(customer)
            yield encode(customer_message(customer, invoice.country, found.first_seen[customer]))
        yield encode(order_message(invoice))

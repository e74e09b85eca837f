"""The reader of Online Retail: what becomes of lines, and what is refused."""

import gzip
from pathlib import Path

import msgspec
import pytest

from cdp.errors import CdpError
from loadtest.read_retail import COLUMNS, messages, survey

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "online_retail" / "online_retail_full.csv.gz"

LINES = (
    "536365,85123A,WHITE HANGING HEART,6.0,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
    "536366,22633,HAND WARMER,6.0,2010-12-01 08:27:00,1.85,,United Kingdom",
    "536365,71053,\"LANTERN, WHITE\",6.0,2010-12-01 08:28:00,3.39,17850.0,United Kingdom",
    "536365,71053,\"LANTERN, WHITE\",6.0,2010-12-01 08:28:00,3.39,17850.0,United Kingdom",
    "C536379,D,Discount,-1.0,2010-12-01 09:41:00,27.5,17850.0,United Kingdom",
    "A563186,B,Adjust bad debt,1.0,2011-08-12 14:51:00,-11062.06,,United Kingdom",
    "536400,20725,,1.5,2011-08-12 15:00:00,0.001,12345.0,EIRE",
)  # fmt: skip


HEADER = ",".join(COLUMNS)


def written(folder, *lines, header=HEADER):
    path = folder / "retail.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def read(path, **options):
    return [msgspec.json.decode(message) for message in messages(path, survey(path), **options)]


def test_messages(tmp_path):
    found = read(written(tmp_path, *LINES))
    assert [m["messageId"].removeprefix("online-retail:") for m in found] == [
        "order:536366", "customer:17850", "order:536365", "order:C536379", "order:A563186", "customer:12345", "order:536400",
    ]  # fmt: skip
    guest, customer, order, refund, adjustment, _, odd = found
    assert guest["anonymousId"] == "order-536366" and "userId" not in guest
    assert guest["properties"]["customer_id"] == ""
    assert customer == {
        "type": "identify",
        "messageId": "online-retail:customer:17850",
        "timestamp": "2010-12-01T08:26:00Z",
        "userId": "17850",
        "traits": {"country": "United Kingdom"},
    }
    assert (order["event"], order["userId"], order["timestamp"]) == ("Order Completed", "17850", "2010-12-01T08:26:00Z")
    assert order["properties"]["total"] == 55.98
    assert [p["line"] for p in order["properties"]["products"]] == [1, 2, 3]
    lantern = {"line": 2, "sku": "71053", "name": "LANTERN, WHITE", "quantity": 6, "price": 3.39}
    assert order["properties"]["products"][1] == lantern
    assert refund["event"] == "Order Refunded" and refund["properties"]["total"] == -27.5
    assert refund["properties"]["products"][0]["quantity"] == -1
    assert adjustment["event"] == "Order Completed" and adjustment["properties"]["total"] == -11062.06
    assert odd["properties"]["total"] == 0.0015 and odd["properties"]["products"][0]["name"] == ""


def test_numbers_keep_their_digits(tmp_path):
    path = written(tmp_path, LINES[0])
    assert b'"total":15.30,' in list(messages(path, survey(path)))[1]


def test_limit_gives_whole_invoices_only(tmp_path):
    path = written(tmp_path, *LINES)
    assert [m["messageId"] for m in read(path, limit_lines=3)] == ["online-retail:order:536366"]


def test_gzip_and_plain_are_reported_by_content(tmp_path):
    plain = written(tmp_path, *LINES)
    zipped = tmp_path / "retail.csv.backup"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert read(zipped) == read(plain)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (LINES[0].replace("6.0", "six"), "line 2: Quantity is 'six'"),
        (LINES[0].replace("6.0", "nan"), "line 2: Quantity is 'nan'"),
        (LINES[0].replace("2010-12-01 08:26:00", "12/1/2010 8:26"), "InvoiceDate is '12/1/2010 8:26'"),
        (LINES[0].replace("2.55", ""), "UnitPrice is ''"),
        (LINES[0].replace("17850.0", "17850.5"), "CustomerID is '17850.5'"),
        (LINES[0].replace("536365", ""), "InvoiceNo is ''"),
        (LINES[0] + ",more", "9 columns instead of 8"),
        ("536365,85123A", "2 columns instead of 8"),
    ],
)
def test_bad_lines(tmp_path, line, complaint):
    with pytest.raises(CdpError) as error:
        survey(written(tmp_path, line))
    assert complaint in str(error.value) and "\n" not in str(error.value)


def test_bad_files(tmp_path):
    with pytest.raises(CdpError, match="There is no file"):
        survey(tmp_path / "nowhere.csv")
    with pytest.raises(CdpError, match="cannot be read"):
        survey(tmp_path)
    with pytest.raises(CdpError, match="is not Online Retail: its columns are a, b"):
        survey(written(tmp_path, header="a,b"))
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(CdpError, match="columns are nothing"):
        survey(empty)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(written(tmp_path, *LINES * 50).read_bytes())[:-40])
    with pytest.raises(CdpError, match="cut off or damaged"):
        survey(cut)
    damaged = bytearray(gzip.compress(written(tmp_path, *LINES * 50).read_bytes()))
    damaged[60] ^= 0xFF
    cut.write_bytes(damaged)
    with pytest.raises(CdpError, match="cut off or damaged"):
        survey(cut)
    latin = tmp_path / "latin.csv"
    latin.write_bytes((",".join(COLUMNS) + "\n" + LINES[0].replace("WHITE", "CAFÉ") + "\n").encode("latin-1"))
    with pytest.raises(CdpError, match="cut off or damaged"):
        survey(latin)


class Line(msgspec.Struct, frozen=True):
    quantity: float
    price: float


class Order(msgspec.Struct, frozen=True):
    order_id: str = ""
    customer_id: str = ""
    products: tuple[Line, ...] = ()


class Sent(msgspec.Struct, frozen=True):
    type: str
    messageId: str  # noqa: N815
    userId: str = ""  # noqa: N815
    properties: Order = Order()


@pytest.mark.skipif(not REAL.exists(), reason=f"the real data set is not at {REAL}")
def test_known_answers_of_the_real_file():
    """Counted in the messages, as ClickHouse must count them later."""
    orders = items = known_items = customers = largest = thousandths = 0
    ids, known_orders, known_people = set(), set(), set()
    decode = msgspec.json.Decoder(Sent).decode
    for message in messages(REAL, survey(REAL)):
        largest = max(largest, len(message))
        sent = decode(message)
        ids.add(sent.messageId)
        if sent.type == "identify":
            customers += 1
            continue
        orders += 1
        items += len(sent.properties.products)
        bought = [p for p in sent.properties.products if sent.properties.customer_id and p.quantity > 0 and p.price > 0]
        known_items += len(bought)
        if bought:
            known_orders.add(sent.properties.order_id)
            known_people.add(sent.userId)
            thousandths += sum(round(p.quantity) * round(p.price * 1000) for p in bought)
    assert (orders, items, customers, len(ids)) == (25_900, 541_909, 4_372, 30_272)
    assert (known_items, len(known_orders), len(known_people)) == (397_884, 18_532, 4_338)
    assert round(thousandths / 10) == 891_140_790
    assert largest < 262_144

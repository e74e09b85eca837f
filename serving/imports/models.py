"""What `POST /v1/orders` and `POST /v1/members` take, and what they answer."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_ITEMS = 1_000
MAX_LINES = 1_000
MAX_REFUNDS = 100
MAX_IDS = 20
_ISO_4217 = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG
XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_ISO_4217.split())
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _known_currency(value: str) -> str:
    if value.upper() not in CURRENCIES:
        raise ValueError(f"{value!r} is no ISO 4217 currency")
    return value.upper()


def _plausible(value: datetime) -> datetime:
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError("the time is not between 2000 and 2100")
    return moment


Text = Annotated[str, Field(max_length=512)]
Number = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00\s][^\x00]*$")]
Amount = Annotated[Decimal, Field(ge=0, lt=10**12, decimal_places=4, allow_inf_nan=False)]
Quantity = Annotated[Decimal, Field(gt=0, lt=10**9, decimal_places=4, allow_inf_nan=False)]
Moment = Annotated[datetime, AfterValidator(_plausible), Field(description="ISO 8601 (without a zone: UTC) or epoch seconds.")]
Currency = Annotated[str, AfterValidator(_known_currency), Field(min_length=3, max_length=3, description="ISO 4217.")]
Version = Annotated[int, Field(ge=0, le=2**53, description="Counts the versions; the highest stands.")]

OrderStatus = Literal[
    "placed", "unpaid", "paid", "processing", "shipped", "delivered", "completed", "partially_refunded", "refunded", "cancelled"
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, coerce_numbers_to_str=True)


class Id(_Strict):
    """An identifier of any type, such as a marketplace's open id."""

    type: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$", examples=["taobao_open_uid"])
    value: Text = Field(min_length=1)


class Customer(_Strict):
    """Who bought. Masked phones and addresses (with * in them) are left out."""

    member_id: Text | None = Field(None, description="The shop's own number of the customer: identifier `user_id`.")
    user_id: Text | None = Field(None, description="The same under another name; it goes first, `member_id` is kept beside it.")
    phone: Text | None = None
    email: Text | None = None
    wechat_openid: Text | None = None
    wechat_unionid: Text | None = None
    anonymous_id: Text | None = Field(None, description="The browser's or the app's id, if the order came from there.")
    ids: list[Id] = Field(default_factory=list, max_length=MAX_IDS)


class Line(BaseModel):
    """A line of an order; further fields are kept as they are."""

    model_config = ConfigDict(extra="allow", str_strip_whitespace=True, coerce_numbers_to_str=True)

    sku: Text | None = None
    product_id: Text | None = None
    name: Text | None = None
    category: Text | None = None
    quantity: Quantity = Decimal(1)
    price: Amount = Field(Decimal(0), description="Of one piece.")


class Refund(_Strict):
    """Money given back. Each refund of an order counts once, by its `refund_id`."""

    refund_id: Number
    amount: Amount | None = Field(None, description="In the order's currency. Without it and without lines: everything.")
    refunded_at: Moment
    reason: Text | None = None
    lines: list[Line] = Field(default_factory=list, max_length=MAX_LINES)


class Order(_Strict):
    """An order as it stands. Send it again with a higher `version` whenever something about it changes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "order_id": "SO-1001", "version": 2, "status": "paid", "placed_at": "2026-06-01T12:00:00+08:00",
                "paid_at": "2026-06-01T12:00:30+08:00", "currency": "CNY", "total": 188.9, "discount": 19.1,
                "customer": {"member_id": "M-7", "phone": "13800000000"}, "store": "SH-001", "channel": "pos",
                "lines": [{"sku": "ROSE-50", "name": "Rose cream 50 ml", "category": "Care", "quantity": 1, "price": 168}],
                "refunds": [{"refund_id": "R-1", "amount": 20, "refunded_at": "2026-06-03T10:00:00+08:00", "reason": "late"}],
            }
        }
    )  # fmt: skip

    order_id: Number
    version: Version = 1
    status: OrderStatus = Field(description="From `paid` on it is a sale; `placed` and `unpaid` are not counted.")
    placed_at: Moment
    paid_at: Moment | None = None
    cancelled_at: Moment | None = None
    updated_at: Moment | None = None
    currency: Currency
    total: Amount | None = Field(None, description="What the customer pays; without it, the sum of the lines.")
    discount: Amount | None = None
    shipping: Amount | None = None
    tax: Amount | None = None
    coupon: Text | None = None
    customer: Customer = Field(
        default_factory=Customer, description="Without any identifier: a guest, known by the order's number."
    )
    store: Text | None = None
    channel: Text | None = None
    lines: list[Line] = Field(default_factory=list, max_length=MAX_LINES)
    refunds: list[Refund] = Field(default_factory=list, max_length=MAX_REFUNDS)
    properties: dict[str, Any] = Field(default_factory=dict, description="Anything else; kept as it is.")

    @model_validator(mode="after")
    def _worth_something(self) -> "Order":
        if self.total is None and not self.lines:
            raise ValueError("an order needs a total or lines")
        numbers = [refund.refund_id for refund in self.refunds]
        if len(set(numbers)) < len(numbers):
            raise ValueError("two refunds have the same refund_id")
        return self


class Member(_Strict):
    """A member as the shop's own system knows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "M-7", "phone": "13800000000", "wechat_unionid": "o6_bmasdasdsad6_2sgVt7hMZOPfL",
                "traits": {"name": "Li Na", "birthday": "1990-05-01", "gender": "f", "level": "gold"},
                "registered_at": "2026-06-01T12:00:00+08:00", "registered": True, "version": 1,
            }
        }
    )  # fmt: skip

    member_id: Annotated[Number, Field(description="The shop's own number of the customer: identifier `user_id`.")]
    phone: Text | None = None
    email: Text | None = None
    wechat_openid: Text | None = None
    wechat_unionid: Text | None = None
    ids: list[Id] = Field(default_factory=list, max_length=MAX_IDS)
    traits: dict[str, Any] = Field(
        default_factory=dict, description="Attributes of the profile: name, birthday, gender, level ..."
    )
    registered_at: Moment | None = None
    registered: bool = Field(False, description="Whether this member has just signed up: makes the event `Signed Up`, once.")
    updated_at: Moment | None = Field(None, description="Since when the traits hold; the latest wins.")
    version: Version | None = Field(None, description="The same member and version is the same message; without it, by content.")
    store: Text | None = None
    channel: Text | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Member":
        if self.registered and self.registered_at is None:
            raise ValueError("registered needs registered_at")
        birthday = self.traits.get("birthday")
        if isinstance(birthday, str) and birthday:
            try:
                date.fromisoformat(birthday[:10])
            except ValueError:
                raise ValueError(f"traits.birthday {birthday[:40]!r} is not a date such as 1990-05-01") from None
        return self


class Result(BaseModel):
    """What became of one item."""

    status: Literal["accepted", "rejected"]
    events: int = Field(description="Events that it made.")
    code: str | None = Field(None, description="Why it was rejected; stable.")
    field: str | None = None
    message: str | None = None


class OrderResult(Result):
    """What became of an order."""

    order_id: str | None = Field(description="Null if it could not be read.")


class MemberResult(Result):
    """What became of a member."""

    member_id: str | None = Field(description="Null if it could not be read.")


class RecordResult(Result):
    """What became of a record; `skipped`: no event of the mapping is meant for it."""

    status: Literal["accepted", "rejected", "skipped"]  # type: ignore[assignment]
    index: int


class OrdersAnswer(BaseModel):
    """One result for each order, in their order."""

    results: list[OrderResult]
    accepted: int
    rejected: int


class MembersAnswer(BaseModel):
    """One result for each member, in their order."""

    results: list[MemberResult]
    accepted: int
    rejected: int


class RecordsAnswer(BaseModel):
    """One result for each record, in their order."""

    results: list[RecordResult]
    accepted: int
    rejected: int

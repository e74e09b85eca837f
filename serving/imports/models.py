"""What `POST /v1/orders` and `POST /v1/members` take, and what they answer."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cdp.clock import DAY, to_datetime
from cdp.values.amounts import read_amount, round_places
from cdp.values.currencies import read_currency
from cdp.values.identifiers import read_identifier
from cdp.values.lists import read_list
from cdp.values.times import read_instant
from serving.imports.convert import is_silent, says_nothing

MAX_ITEMS = 1_000
MAX_LINES = 1_000
MAX_REFUNDS = 100
MAX_IDS = 20


def _amount(value: Any) -> Decimal:
    """With the places that are kept: shops send quotients as they come."""
    return round_places(read_amount(value))


def _moment(value: Any) -> datetime:
    micros = read_instant(value)
    if micros < DAY:
        raise ValueError("the time is before 1970-01-02, as what a computer says that does not know the time")
    return to_datetime(micros)


def _version(value: Any) -> int:
    number = read_amount(value)
    if number != number.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


def _own_id(value: Any) -> str | None:
    """The shop's own id of somebody; None if it says nothing."""
    return None if is_silent(value) else read_identifier(value)


def _contact(value: Any) -> Any:
    """A phone, an address: one that cannot be read identifies nobody, and costs nothing else."""
    try:
        return _own_id(value)
    except ValueError:
        return value


def _no_list(value: Any) -> Any:
    """PHP writes an empty object as a list; null and blanks say as little as nothing does."""
    return {} if says_nothing(value) or value == [] else value


def _listed(value: Any) -> Any:
    return [] if says_nothing(value) or value == {} else read_list(value)


def _or_nothing(value: Any) -> Any:
    """None for what is blank: forms and exports write that where nothing is filled in."""
    return None if says_nothing(value) else value


def _blank_is(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default if says_nothing(value) else value)


def _counted(default: int) -> BeforeValidator:
    """Of a line: null is as good as no field, and a blank is not, since an amount is worked out of it."""
    return BeforeValidator(lambda value: default if value is None else value)


Text = Annotated[str, Field(max_length=512)]
Properties = Annotated[dict[str, Any], BeforeValidator(_no_list)]
OwnId = Annotated[Text | None, BeforeValidator(_own_id)]
Contact = Annotated[Text | None, BeforeValidator(_contact)]
Number = Annotated[str, BeforeValidator(read_identifier), Field(min_length=1, max_length=100, pattern=r"^[^\x00\s][^\x00]*$")]
Amount = Annotated[Decimal, BeforeValidator(_amount), Field(ge=0, lt=10**12, allow_inf_nan=False)]
Quantity = Annotated[Decimal, BeforeValidator(_amount), Field(gt=0, lt=10**9, allow_inf_nan=False)]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    Field(description="ISO 8601 (without a zone: UTC), or epoch seconds or milliseconds."),
]
PerhapsAmount = Annotated[Amount | None, BeforeValidator(_or_nothing)]
PerhapsMoment = Annotated[Moment | None, BeforeValidator(_or_nothing)]
Currency = Annotated[str, BeforeValidator(read_currency), Field(description="ISO 4217; RMB is CNY.")]
Version = Annotated[int, BeforeValidator(_version), Field(ge=0, le=2**53, description="Counts the versions; the highest stands.")]

OrderStatus = Literal[
    "placed", "unpaid", "paid", "processing", "shipped", "delivered", "completed", "partially_refunded", "refunded", "cancelled"
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, coerce_numbers_to_str=True)


class Id(_Strict):
    """An identifier of any type, such as a marketplace's open id."""

    type: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$", examples=["taobao_open_uid"])
    value: Annotated[Text, BeforeValidator(read_identifier)] = Field(min_length=1)


class Customer(_Strict):
    """Who bought. Masked phones and addresses (with * in them) are left out."""

    member_id: OwnId = Field(None, description="The shop's own number of the customer: identifier `user_id`.")
    user_id: OwnId = Field(None, description="The same under another name; it goes first, `member_id` is kept beside it.")
    phone: Contact = None
    email: Contact = None
    wechat_openid: OwnId = None
    wechat_unionid: OwnId = None
    anonymous_id: OwnId = Field(None, description="The browser's or the app's id, if the order came from there.")
    ids: Annotated[list[Id], BeforeValidator(_listed)] = Field(default_factory=list, max_length=MAX_IDS)


class Line(BaseModel):
    """A line of an order; further fields are kept as they are."""

    model_config = ConfigDict(extra="allow", str_strip_whitespace=True, coerce_numbers_to_str=True)

    sku: OwnId = None
    product_id: OwnId = None
    name: Text | None = None
    category: Text | None = None
    quantity: Annotated[Quantity, _counted(1)] = Decimal(1)
    price: Annotated[Amount, _counted(0)] = Field(Decimal(0), description="Of one piece.")


class Refund(_Strict):
    """Money given back. Each refund of an order counts once, by its `refund_id`."""

    refund_id: Number
    amount: Amount | None = Field(None, description="Without it and without lines: everything.")
    currency: Annotated[Currency | None, BeforeValidator(_or_nothing)] = Field(
        None, description="If it is not the order's: such an amount is told, and not subtracted."
    )
    refunded_at: Moment
    reason: Text | None = None
    lines: Annotated[list[Line], BeforeValidator(_listed)] = Field(default_factory=list, max_length=MAX_LINES)


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
    version: Annotated[Version, _blank_is(1)] = 1
    status: OrderStatus = Field(description="From `paid` on it is a sale; `placed` and `unpaid` are not counted.")
    placed_at: Moment
    paid_at: PerhapsMoment = None
    cancelled_at: PerhapsMoment = None
    updated_at: PerhapsMoment = None
    currency: Currency
    total: PerhapsAmount = Field(None, description="What the customer pays; without it, the sum of the lines.")
    discount: PerhapsAmount = None
    shipping: PerhapsAmount = None
    tax: PerhapsAmount = None
    coupon: Text | None = None
    customer: Annotated[Customer, BeforeValidator(_no_list)] = Field(
        default_factory=Customer, description="Without any identifier: a guest, known by the order's number."
    )
    store: Text | None = None
    channel: Text | None = None
    lines: Annotated[list[Line], BeforeValidator(_listed)] = Field(default_factory=list, max_length=MAX_LINES)
    refunds: Annotated[list[Refund], BeforeValidator(_listed)] = Field(default_factory=list, max_length=MAX_REFUNDS)
    properties: Properties = Field(default_factory=dict, description="Anything else; kept as it is.")

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
    phone: Contact = None
    email: Contact = None
    wechat_openid: OwnId = None
    wechat_unionid: OwnId = None
    ids: Annotated[list[Id], BeforeValidator(_listed)] = Field(default_factory=list, max_length=MAX_IDS)
    traits: Properties = Field(default_factory=dict, description="Attributes of the profile: name, birthday, gender, level ...")
    registered_at: PerhapsMoment = None
    registered: Annotated[bool, _blank_is(False)] = Field(
        False, description="Whether this member has just signed up: makes the event `Signed Up`, once."
    )
    updated_at: PerhapsMoment = Field(None, description="Since when the traits hold; the latest wins.")
    version: Annotated[Version | None, BeforeValidator(_or_nothing)] = Field(
        None, description="The same member and version is the same message; without it, by content."
    )
    store: Text | None = None
    channel: Text | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Member":
        if self.registered and self.registered_at is None:
            raise ValueError("registered needs registered_at")
        return self


CORRECTED = "Events that count now, since their time is in the future; left out: none."


class Result(BaseModel):
    """What became of one item."""

    status: Literal["accepted", "rejected"]
    events: int = Field(description="Events that it made.")
    corrected: int | None = Field(None, description=CORRECTED)
    code: str | None = Field(None, description="Why it was rejected; stable.")
    field: str | None = None
    message: str | None = None
    message_id: str | None = Field(None, description="By which a rejected item is found among the dead letters.")
    warnings: list["Warned"] | None = Field(
        None, description="What was left out of an accepted item, and why; left out: nothing."
    )


class Warned(BaseModel):
    """Something of an item that could not be used, and did not cost the item."""

    field: str
    message: str


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
    corrected: int | None = Field(None, description=CORRECTED)


class MembersAnswer(BaseModel):
    """One result for each member, in their order."""

    results: list[MemberResult]
    accepted: int
    rejected: int
    corrected: int | None = Field(None, description=CORRECTED)


class RecordsAnswer(BaseModel):
    """One result for each record, in their order."""

    results: list[RecordResult]
    accepted: int
    rejected: int
    corrected: int | None = Field(None, description=CORRECTED)

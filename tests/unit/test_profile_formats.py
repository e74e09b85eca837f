"""Profiles as older versions wrote them: each format that was ever released has a sample here, and is read as it was meant."""

import base64

import msgspec
import pytest

from cdp.profile import FORMAT, Awaited, Gone, Profile, Rebuild, pack, unpack, unpack_state
from tests.shop import Desk, make_event

# A person of two parts, with an attribute, an order, a tag, an event that waits; of part 9 a range counts in part 12.
SAMPLES = {
    3: "AAAAAAAAAAUD3AAcCc8ABmCLBPK3AM8ABmCLAV8wAM8ABmCLBPK3AAKCrmFub255bW91c19pZDphzwAGYIsBXzAAqXVzZXJfaWQ6dc8ABmCLBP"
    "K3AIGkbmFtZZWlTGkgTmHPAAZgiwTytwAFwsCBqmNvdW50fGFueXyC/wLNUScCgblsYXN0fFByb2R1Y3QgVmlld2VkfHRpbWV8lgECAwQFBoGi"
    "bzGTl88ABmCLBPK3AAXOAAHiCM0nEKNDTlmBpVNob2VzzgAB4ggAgMCBs3NpZ251cF93ZWxjb21lfGV2ZXLPAAZgiwTytwCBzVEnxBgwMTIzND"
    "U2Nzg5YWJiYTk4NzY1NDMyMTCBq29yZGVyX2NvdW50kgHPAAZgiwTytwAAggnEbgAAAAAAAAAAA9wAHAnPAAZgiwFfMADPAAZgiwFfMADPAAZg"
    "iwFfMAABga5hbm9ueW1vdXNfaWQ6Yc8ABmCLAV8wAICAgICAgc1RJ8QMMDEyMzQ1Njc4OWFigACAgICAgICAkP8AkgAAgJMAAACADMSLAAAAAA"
    "AAAAAD3AAcDADPAAZgiwTytwDPAAZgiwTytwABgal1c2VyX2lkOnXPAAZgiwTytwCAgICBom8xk5fPAAZgiwTytwAFzgAB4gjNJxCjQ05ZgaVT"
    "aG9lc84AAeIIAIDAgIHNUSfEDGJhOTg3NjU0MzIxMIAAgICAgICAgJD/AJIAAICTAAAAgIEHkghNgQySUVKBDJFQgQmRA4EJkZVRzwAGYIsDKP"
    "OAz0AAAAAAAAAADAmBCZFRkZIpxBB7ImtpbmQiOiJ0cmFjayJ9KM8ABmCL1/LUAJIAAIGocGhvbmU6fnSkazEueJMBzwAGYIsBXzAAzwAGYIsB"
    "XzAAgQeRTQ==",
}
AS_OF = 1_795_000_060_000_000


def sample(format_: int) -> Profile:
    profile, version = unpack(base64.b64decode(SAMPLES[format_]))
    assert version == 5
    return profile


@pytest.mark.parametrize("format_", SAMPLES)
def test_what_a_profile_says_of_its_person_is_read_as_it_was(format_: int) -> None:
    profile = sample(format_)
    assert (profile.person, profile.as_of, profile.events, profile.offset, profile.due) == (
        9,
        AS_OF,
        2,
        40,
        1_795_003_600_000_000,
    )
    assert profile.attributes["name"].value == "Li Na"
    assert profile.orders["o1"].placed is not None
    assert profile.orders["o1"].placed.amount == 123_400
    assert (profile.days, profile.silent) == ({"count|any|": {-1: 2, 20775: 2}}, (1, AS_OF - 60_000_000, AS_OF - 60_000_000))
    assert (profile.tags["order_count"].value, profile.occasions) == (1, {"signup_welcome|ever": AS_OF})
    assert (profile.marks, profile.sealed) == ({20775: b"0123456789abba9876543210"}, {"phone:~t": "k1.x"})
    states = {number: unpack_state(state) for number, state in profile.parts.items()}
    assert {number: list(state.identifiers) for number, state in states.items()} == {9: ["anonymous_id:a"], 12: ["user_id:u"]}


def test_who_waited_in_format_3_is_asked_for_or_counted_again() -> None:
    profile = sample(3)
    assert profile.gone == {7: Gone(8, 77)}
    assert profile.awaiting == {12: {81: Awaited(0, AS_OF), 82: Awaited(0, AS_OF)}}
    assert profile.pending == [(41, b'{"kind":"track"}')]
    assert profile.ranges == {9: [(1_795_000_030_000_000, 2**62, 81, 12, 9)]}
    assert (profile.family, profile.rebuild) == ({9: [12]}, {9: Rebuild(AS_OF)})
    assert (profile.received, profile.brought) == ({12: [80]}, {12: [80]})


@pytest.mark.parametrize("format_", SAMPLES)
def test_it_is_written_in_todays_format(format_: int) -> None:
    profile = sample(format_)
    again = pack(profile, 6)
    assert (again[8], unpack(again)) == (FORMAT, (profile, 6))


def test_a_format_that_nobody_knows_is_refused() -> None:
    value = base64.b64decode(SAMPLES[3])
    with pytest.raises(msgspec.DecodeError, match="another format: 99"):
        unpack(value[:8] + b"\x63" + value[9:])


# A person of before refunds had numbers: order o1 with refund R1 by message "r", order o2 given back by "f".
BEFORE_REFUND_IDS = (
    "AAAAAAAAAAUE3AAhCc8ABmCLAV8wAM8ABmCLAV8wAM8ABmCLAV8wAAOBqnVzZXJfaWQ6dTHPAAZgiwFfMACAgapjb3VudHxhbnl8gs1RJwP/A4CCom8x"
    "k5fPAAZgiwFfMADPjEAhmka5+BvOAA9CQACjQ05ZgACBz717OPe0rws1k88ABmCLAV8wAM4ABJPgoMCibzKTwIHPM8FVkJ/zupqTzwAGYIsBXzAA/6DA"
    "gIHNUSfEJIxAIZpGufgbP9S34b17OPe0rws1PERhTTPBVZCf87qaPMaMHN4AEqtmaXJzdF9vcmRlcpLPAAZgiwFfMADPAAZgiwFfMACqbGFzdF9vcmRl"
    "cpLPAAZgiwFfMADPAAZgiwFfMACrb3JkZXJfY291bnSSAc8ABmCLAV8wAK9vcmRlcl9jb3VudF8zMGSSAc8ABmCLAV8wAK9vcmRlcl9jb3VudF85MGSS"
    "Ac8ABmCLAV8wAKxvcmRlcl9hbW91bnSSRs8ABmCLAV8wALBvcmRlcl9hbW91bnRfMzBkkkbPAAZgiwFfMACwb3JkZXJfYW1vdW50XzkwZJJGzwAGYIsB"
    "XzAAsW9yZGVyX2Ftb3VudF8zNjVkkkbPAAZgiwFfMACuYXZlcmFnZV9iYXNrZXSSRs8ABmCLAV8wAK1sYXJnZXN0X29yZGVykkbPAAZgiwFfMACsbWVt"
    "YmVyX2xldmVskqZtZW1iZXLPAAZgiwFfMACrcmZtX3JlY2VuY3mSA88ABmCLAV8wAK1yZm1fZnJlcXVlbmN5kgHPAAZgiwFfMACpcmZtX21vbmV5kgHP"
    "AAZgiwFfMACocmZtX2NlbGySplIzRjFNMc8ABmCLAV8wAKlhY3RpdmVfN2SSw88ABmCLAV8wAK9hY3RpdmVfZGF5c18zMGSSAc8ABmCLAV8wAACA/88A"
    "BmEHzXYgAJIAAICTAAAAgICAgICAkICAgICAgA=="
)


def test_orders_of_before_refunds_had_numbers_are_read_and_go_on() -> None:
    profile, _ = unpack(base64.b64decode(BEFORE_REFUND_IDS))
    assert (profile.orders["o1"].refunded, profile.orders["o2"].refunded, profile.orders["o1"].unpaid) == (300_000, None, 0)
    profile.marks.clear()  # what was received long ago may come again
    again = make_event("r", "Order Refunded", properties={"order_id": "o1", "total": 30, "refund_id": "R1"})
    assert Desk().apply(profile, again).orders["o1"].refunded == 300_000

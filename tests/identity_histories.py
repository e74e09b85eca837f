"""What happens to people in everyday situations, under the shipped rules: each is a history of events, one a day.

They are run in two ways: simulated (`tests/unit/test_simulation_scenarios.py`), and live, through both jobs
(`tests/integration/test_identity_scenarios.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Told = tuple[str, str] | tuple[str, str, str]
"""An event: its identifiers (``user_id:u phone:138...``), a name for it, and its kind if it is not ``track``."""


@dataclass(frozen=True)
class History:
    """Events, and the people that they turn out to be: of each the names of its events, in the order of the first events.

    An event whose name no person has identifies nobody.
    """

    told: Sequence[Told]
    people: Sequence[set[str]]


HISTORIES: Mapping[str, History] = {
    "anonymous then login": History(
        [
            ("anonymous_id:a", "looks around"), ("anonymous_id:a user_id:u1", "logs in", "identify"),
            ("user_id:u1", "buys on the phone"), ("anonymous_id:a", "looks again"),
        ],
        [{"looks around", "logs in", "buys on the phone", "looks again"}],
    ),
    # What programs print for nothing is nobody: two devices which share it share nothing.
    "two devices without a member": History(
        [
            ("device_id:phone user_id:<null>", "1", "identify"), ("device_id:tablet user_id:<null>", "2", "identify"),
            ("device_id:phone user_id:${member.id}", "1 again", "identify"), ("device_id:tablet member_id:#REF!", "2 again"),
            ("device_id:kiosk user_id:customerId", "3", "identify"), ("device_id:till wx_id:customerId", "4", "identify"),
            ("user_id:signed_out wx_id:function(){}", "nobody's"),
            ("device_id:phone user_id:null-17", "1 logs in", "identify"),
        ],
        [{"1", "1 again", "1 logs in"}, {"2", "2 again"}, {"3"}, {"4"}],
    ),
    "two devices of one member": History(
        [
            ("device_id:phone", "1"), ("device_id:tablet", "2"), ("device_id:phone member_id:m", "3", "identify"),
            ("device_id:tablet member_id:m", "4", "identify"), ("device_id:tablet", "5"), ("device_id:stranger", "else"),
        ],
        [{"1", "2", "3", "4", "5"}, {"else"}],
    ),
    # Before the second member its events are the first one's; after it nobody can say whose they are.
    "a shared device does not glue its members": History(
        [
            ("device_id:kiosk", "ann 1"), ("device_id:kiosk user_id:ann", "ann 2", "identify"), ("device_id:kiosk", "ann 3"),
            ("device_id:kiosk user_id:bob", "bob 1", "identify"), ("device_id:kiosk", "nobody 1"),
            ("device_id:kiosk", "nobody 2"),
            ("user_id:ann device_id:kiosk", "ann 4"), ("user_id:bob", "bob 2"),
        ],
        [{"ann 1", "ann 2", "ann 3", "ann 4"}, {"bob 1", "bob 2"}, {"nobody 1", "nobody 2"}],
    ),
    # Two members with one number stay two; what only the number says later is neither's.
    "a phone shared in a family": History(
        [
            ("member_id:mother phone:13800000001", "mother 1", "identify"), ("phone:13800000001", "mother 2"),
            ("member_id:son phone:13800000001", "son 1", "identify"), ("phone:13800000001", "either"),
            ("member_id:mother", "mother 3"), ("member_id:son phone:13800000001", "son 2"),
        ],
        [{"mother 1", "mother 2", "mother 3"}, {"son 1", "son 2"}, {"either"}],
    ),
    "a changed phone number": History(
        [
            ("user_id:u phone:13800000001", "1", "identify"), ("user_id:u phone:13900000002", "2", "identify"),
            ("phone:13800000001", "3"), ("phone:13900000002", "4"), ("phone:13700000003", "else"),
        ],
        [{"1", "2", "3", "4"}, {"else"}],
    ),
    "a unionid joins two openids": History(
        [
            ("openid:app1:x", "1"), ("openid:app2:y", "2"), ("unionid:U openid:app1:x", "3"), ("unionid:U openid:app2:y", "4"),
            ("openid:app2:z", "else"),
        ],
        [{"1", "2", "3", "4"}, {"else"}],
    ),
    # A masked number is ten thousand people's: it links nobody, and alone it is nobody.
    "a marketplace buyer with a masked phone": History(
        [
            ("taobao_buyer_id:b1 phone:138****1234", "b1, 1"), ("taobao_buyer_id:b2 phone:138****1234", "b2"),
            ("taobao_buyer_id:b1", "b1, 2"), ("phone:138****1234", "nobody"),
        ],
        [{"b1, 1", "b1, 2"}, {"b2"}],
    ),
    "two loyalty cards merged at the till": History(
        [
            ("loyalty_card:100200", "1"), ("loyalty_card:300400", "2"),
            ("loyalty_card:100200 loyalty_card:300400", "3", "alias"), ("loyalty_card:300400", "4"),
        ],
        [{"1", "2", "3", "4"}],
    ),
    # A person has one member number: somebody is asked.
    "two member numbers at the till stay two": History(
        [("member_id:m1", "1"), ("member_id:m2", "2"), ("member_id:m1 member_id:m2", "3", "alias"), ("member_id:m2", "4")],
        [{"1", "3"}, {"2", "4"}],
    ),
    "a number unbound and bound by somebody else": History(
        [
            ("user_id:ann phone:13800000001", "ann 1", "identify"), ("phone:13800000001", "ann 2"),
            ("user_id:ann phone:13800000001", "ann 3", "unbind"), ("phone:13800000001", "bob 1"),
            ("user_id:bob phone:13800000001", "bob 2", "identify"), ("phone:13800000001", "bob 3"),
            ("user_id:ann", "ann 4"), ("user_id:bob", "bob 4"),
        ],
        [{"ann 1", "ann 2", "ann 3", "ann 4"}, {"bob 1", "bob 2", "bob 3", "bob 4"}],
    ),
    "a number unbound and bound to the same person again": History(
        [
            ("user_id:ann phone:13800000001", "1", "identify"), ("user_id:ann phone:13800000001", "2", "unbind"),
            ("user_id:ann phone:13800000001", "3", "identify"), ("phone:13800000001", "4"),
        ],
        [{"1", "2", "3", "4"}],
    ),
    # Each is counted by the device that is its member's, though the address says nothing any more.
    "members with one address keep what their devices say with it": History(
        [
            ("user_id:ann device_id:a email:house@shop.example", "ann 1", "identify"),
            ("user_id:bob device_id:b email:house@shop.example", "bob 1", "identify"),
            ("device_id:a email:house@shop.example", "ann 2"), ("device_id:b email:house@shop.example", "bob 2"),
            ("email:house@shop.example", "nobody 1"), ("device_id:a device_id:b email:house@shop.example", "nobody 2"),
            ("device_id:new email:house@shop.example", "visitor"), ("device_id:a", "ann 3"),
        ],
        [{"ann 1", "ann 2", "ann 3"}, {"bob 1", "bob 2"}, {"nobody 1", "nobody 2"}, {"visitor"}],
    ),
    "what a device said with an address before that was shared": History(
        [
            ("device_id:b email:house@shop.example", "1"), ("user_id:ann email:house@shop.example", "2", "identify"),
            ("device_id:b email:house@shop.example", "3"), ("user_id:bob email:house@shop.example", "4", "identify"),
            ("device_id:b email:house@shop.example", "5"), ("device_id:b", "6"),
        ],
        [{"1", "2", "3", "5", "6"}, {"4"}],
    ),
    "an order that a browser and a server tell of": History(
        [
            ("anonymous_id:browser", "looks around"), ("anonymous_id:browser order_id:o1", "browser"),
            ("phone:13900000001 order_id:o1", "server"), ("order_id:o1", "refund"), ("phone:13900000001", "comes back"),
        ],
        [{"looks around", "browser", "server", "refund", "comes back"}],
    ),
    "a refund that comes before its order": History(
        [("order_id:o1", "refund"), ("user_id:u order_id:o1", "order"), ("user_id:u", "later"), ("order_id:o2", "else")],
        [{"refund", "order", "later"}, {"else"}],
    ),
    # Two shops with one numbering: each order is its buyer's, and what only the number says is nobody's.
    "one order number of two buyers glues nobody": History(
        [
            ("phone:13900000001 order_id:1001", "ann"), ("phone:13900000002 order_id:1001", "bob"), ("order_id:1001", "refund"),
            ("phone:13900000001", "ann 2"), ("anonymous_id:browser order_id:1001", "visitor"),
        ],
        [{"ann", "ann 2"}, {"bob"}, {"refund"}, {"visitor"}],
    ),
    "one order number of two members glues nobody": History(
        [
            ("user_id:ann order_id:7", "ann"), ("anonymous_id:browser order_id:7", "browser"),
            ("user_id:bob order_id:7", "bob"), ("user_id:ann", "ann 2"),
        ],
        [{"ann", "ann 2"}, {"browser"}, {"bob"}],
    ),
    # Orders lie years apart: that says nothing of how long a browser is used.
    "many orders of one buyer stay one person": History(
        [("phone:13900000001 order_id:a", "1"), ("phone:13900000001 order_id:b", "2"), ("order_id:a", "3"), ("order_id:b", "4")],
        [{"1", "2", "3", "4"}],
    ),
}  # fmt: skip

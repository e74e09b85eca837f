"""Sealing: keys, tokens, masks, and what is personal in an event."""

import json
import stat
from pathlib import Path

import msgspec
import pytest

from cdp import keyring
from cdp.errors import CdpError
from cdp.events import Event, Identifier, encode
from cdp.identity import IdRecord, Span
from cdp.mask import looks_personal, mask, mask_all, replace_emails
from cdp.reveal import Reveal
from cdp.seal import TEXT, Keyring, SealError, embed, is_token, sealed_in
from cdp.settings import Settings
from infra import folder
from profiles.components.identifiers.state import IDENTIFIERS, newer_seal
from profiles.inbox import fingerprint_of
from rules.definitions.load import InvalidRule
from rules.identity import load_identity_rules, normalise
from rules.identity.place import Placed
from rules.privacy import load_privacy
from rules.seal import Sealer
from streams.graph import Located
from streams.records import decode_resolved
from streams.resolve import ResolveStep
from tests.sealing import REVEAL, RING, SEALER
from tests.shop import Harness, make_person, reopened

PHONE = "+8613811112222"


def sealed(**properties: object) -> dict[str, object]:
    return dict(msgspec.json.decode(SEALER.properties(msgspec.json.encode(properties))))


def test_what_is_sealed_opens_again_under_its_own_context() -> None:
    made = RING.seal("id:phone", PHONE)
    assert RING.open("id:phone", made) == PHONE
    assert made == RING.seal("id:phone", PHONE) != RING.seal("id:email", PHONE)
    with pytest.raises(SealError):
        RING.open("id:email", made)


@pytest.mark.parametrize("place", [3, 10, 30, -1])
def test_what_was_tampered_with_does_not_open(place: int) -> None:
    made = RING.seal(TEXT, PHONE)
    changed = list(made)
    changed[place] = "A" if made[place] != "A" else "B"
    with pytest.raises(SealError):
        RING.open(TEXT, "".join(changed))


def test_another_ring_opens_nothing_and_recognises_nobody() -> None:
    other = keyring.generate()
    with pytest.raises(SealError):
        other.open(TEXT, RING.seal(TEXT, PHONE))
    with pytest.raises(SealError, match="not on the keyring"):
        RING.open(TEXT, "k7." + RING.seal(TEXT, PHONE).partition(".")[2])
    assert other.token("phone", PHONE) != RING.token("phone", PHONE) != RING.token("user_id", PHONE)
    assert other.fingerprint != RING.fingerprint


def test_nonces_differ_between_plaintexts_contexts_and_keys() -> None:
    turned = keyring.rotated(RING)
    made = [RING.seal(TEXT, "a"), RING.seal(TEXT, "b"), RING.seal("number", "a"), turned.seal(TEXT, "a")]
    assert len({text.partition(".")[2][:16] for text in made}) == len(made)


def test_a_rotated_ring_seals_with_the_new_key_and_opens_with_the_old() -> None:
    turned = keyring.rotated(RING)
    made = turned.seal(TEXT, PHONE)
    assert (turned.active, sorted(turned.keys), made[:3]) == ("k2", ["k1", "k2"], "k2.")
    assert turned.open(TEXT, RING.seal(TEXT, PHONE)) == turned.open(TEXT, made) == PHONE
    assert turned.token("phone", PHONE) == RING.token("phone", PHONE)
    assert newer_seal(made, RING.seal(TEXT, PHONE)) == made
    tenth = Keyring(RING.index, RING.nonce, {"k10": b"x" * 32}, "k10").seal(TEXT, PHONE)
    assert newer_seal(tenth, "k9." + made[3:]) == tenth


def test_the_file_is_private_and_survives_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "keyring.json"
    keyring.write(path, RING)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keyring.read(path) == RING
    with pytest.raises(CdpError, match="already"):
        keyring.write(path, keyring.generate())
    used = keyring.KeyringFile(path)
    assert not used.refresh()
    keyring.write(path, keyring.rotated(RING), replace=True)
    assert used.refresh()
    assert used.current.active == "k2"
    keyring.write(path, keyring.generate(), replace=True)
    with pytest.raises(CdpError, match="another index key"):
        used.refresh()
    assert used.current.active == "k2"
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: file | {"version": 2}, "version"),
        (lambda file: file | {"index": "x"}, "index"),
        (lambda file: file | {"index": "AAAA"}, "3 bytes"),
        (lambda file: file | {"active": "k9"}, "active"),
        (lambda file: file | {"keys": {"K 1": file["nonce"]}, "active": "K 1"}, "small letters"),
        (lambda file: file | {"nonce": file["index"]}, "twice"),
        (lambda file: file | {"more": 1}, "cannot be read"),
    ],
)
def test_a_malformed_ring_is_refused_and_never_quoted(tmp_path: Path, change: object, problem: str) -> None:
    path = tmp_path / "keyring.json"
    keyring.write(path, RING)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))  # type: ignore[operator]
    with pytest.raises(CdpError, match=problem) as caught:
        keyring.read(path)
    assert "MTExMTEx" not in str(caught.value)


def test_a_ring_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    keyring.write(path, RING)
    path.chmod(0o440)  # how a cluster mounts it
    keyring.read(path)
    for mode in (0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(CdpError, match="chmod 600"):
            keyring.read(path)


def test_a_new_folder_gets_a_ring_and_one_in_use_never_another(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    folder.claim(settings)
    path = settings.data_dir / "secrets" / "keyring.json"
    made = keyring.read(path)
    folder.claim(settings)
    assert keyring.read(path) == made
    path.unlink()
    with pytest.raises(CdpError, match="missing"):
        folder.claim(settings)
    assert not path.exists()
    elsewhere = Settings(data_dir=tmp_path / "other", keyring_file=str(tmp_path / "mine.json"))
    with pytest.raises(CdpError, match="missing"):
        folder.claim(elsewhere)


def test_identifiers_of_personal_types_become_tokens() -> None:
    one = SEALER.identifier("phone", "138 1111 2222")
    assert one is not None
    assert is_token(one.value)
    assert one == SEALER.identifier("phone", PHONE)
    assert RING.open("id:phone", one.sealed) == PHONE
    assert normalise("phone", one.value) == one.value
    assert SEALER.identifier("phone", one.value) == Identifier("phone", one.value)
    assert SEALER.key("phone", PHONE) == one.value
    assert SEALER.identifier("phone", "13800138000") is None  # blocked
    assert SEALER.identifier("id_card", "11010119900307123X") != Identifier("id_card", "11010119900307123X")


@pytest.mark.parametrize(
    ("value", "personal"),
    [
        ("u-1", False), ("", False), ("550e8400-e29b-41d4-a716-446655440000", False), ("1712345678901", False),
        ("12345678901", False), ("a13812345678b", False), ("oABC_-13812", False), ("fb.1.1554763741205.1098115397", False),
        ("ann@example.com", True), ("ann\uff20example.com", True), ("13812345678", True),
        ("\uff11\uff13\uff18\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18", True),
        ("+447911123456", True), ("8613812345678", True), ("008613812345678", True), ("138-1234-5678", True),
        ("wx_13812345678", True),
    ],
)  # fmt: skip
def test_values_that_look_personal(value: str, personal: bool) -> None:
    assert looks_personal(value) is personal
    kept = SEALER.identifier("user_id", value)
    assert (kept is None or kept.value == value) is not personal


def test_personal_properties_are_sealed_and_products_stay_as_they_are() -> None:
    given = {
        "name": "Boots", "price": 1.5, "Phone": 13811112222, "shipping_address": {"city": "Rome", "lines": ["a", 1, None, True]},
        "receiver_Name": "Li Na", "empty": "", "products": [{"name": "Boots", "e-mail": "a@b.cn"}], "customer_id": "13811112222",
        "user_id": "u-1",
    }  # fmt: skip
    found = sealed(**given)
    assert found["name"] == "Boots"
    assert found["user_id"] == "u-1"
    assert found["customer_id"] == RING.token("user_id", "13811112222")
    assert found["products"][0]["name"] == "Boots"  # type: ignore[index]
    assert all(sealed_in(text) for text in (found["Phone"], found["receiver_Name"], found["products"][0]["e-mail"]))  # type: ignore[index]
    assert found["shipping_address"]["lines"][2:] == [None, True]  # type: ignore[index]
    assert REVEAL.value(found) == given | {"customer_id": found["customer_id"]}
    assert sealed(**found) == found


def test_addresses_are_found_wherever_they_stand() -> None:
    given = {
        "q": "write to li.na@example.com, please", "url": "https://s.cn/?a=1&phone=13811112222&e=li.na%40example.com#x",
        "twice": "https://s.cn/?u=%3Fmobile%3D%252B8613811112222%26m%3Dli.na%2540example.com", "image": "logo@2x.png", "at": "@x",
        "li.na@example.com": 1,
    }  # fmt: skip
    text = json.dumps(sealed(**given))
    assert not any(word in text for word in ("li.na", "13811112222"))
    assert "logo@2x.png" in text
    assert REVEAL.value(json.loads(text)) == given


def test_what_is_not_personal_is_not_even_copied() -> None:
    text = b'{"name": "Boots", "price": 1.10, "big": 123456789012345678901234567890}'
    assert SEALER.properties(text) is text
    assert SEALER.traits(b"{}") == b"{}"
    hidden = b'{"\\u0070hone": "138\\u00311112222", "m": "a\\u0040example.com"}'
    assert b"0x" not in SEALER.properties(hidden)
    assert all(sealed_in(value) for value in json.loads(SEALER.properties(hidden)).values())


def test_traits_and_contexts() -> None:
    traits = {"name": "Li Na", "gender": "f", "birthday": "1990-01-01", "tags": ["a"], "address": {"city": "Rome"}}
    found = json.loads(SEALER.traits(json.dumps(traits).encode()))
    assert {name for name, value in found.items() if value == traits[name]} == {"gender", "birthday", "tags"}
    context = {
        "app": {"name": "Shop"}, "traits": {"name": "Li Na"}, "device": {"id": "d-1", "type": "phone"},
        "externalIds": [{"type": "phone", "id": "13811112222"}, {"type": "unionid", "id": "w"}],
        "snowplow": {"entities": {"user": [{"id": "13811112222", "email": "a@b.cn"}]}},
    }  # fmt: skip
    kept = json.loads(SEALER.context(json.dumps(context).encode()))
    assert (kept["app"], kept["device"]) == (context["app"], context["device"])
    assert sealed_in(kept["traits"]["name"])
    assert [one["id"] for one in kept["externalIds"]] == [RING.token("phone", PHONE), "w"]
    assert is_token(kept["snowplow"]["entities"]["user"][0]["id"])


def test_message_ids_keep_their_form_whatever_key_is_active() -> None:
    turned = Sealer(keyring.rotated(RING))
    for given in ("member:13811112222:3", "member:a@b.cn:3", "import:0:#" + "ab" * 16):
        made = SEALER.message_id(given)
        assert made == turned.message_id(given) == SEALER.message_id(made) != given
        assert made.startswith(given[:6])
    assert SEALER.message_id("ajs-next-1712345678901-4abc") == "ajs-next-1712345678901-4abc"
    assert "#" not in SEALER.message_id("#" + "ab" * 16)


def test_sealed_text_is_found_between_other_letters() -> None:
    name = embed(RING.seal(TEXT, "Li"))
    assert REVEAL.text(f"x{name}s and {name}") == "xLis and Li"
    assert REVEAL.text("~k9." + "A" * 40 + "~") == "~k9." + "A" * 40 + "~"
    with pytest.raises(SealError):
        REVEAL.strictly("~k9." + "A" * 40 + "~")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("+8613811112222", "138****2222"), ("13811112222", "138****2222"), ("+44 7911 123456", "+44****3456"),
        ("li.na@example.com", "l***@example.com"), ("李娜", "李***"), ("x", "***"), ("", ""),
    ],
)  # fmt: skip
def test_masks(value: str, shown: str) -> None:
    assert mask(value) == shown
    if value:
        assert Reveal(RING, masked=True).text(embed(RING.seal(TEXT, value))) == shown


def test_explanations_quote_nobody() -> None:
    assert mask_all('"13811112222" of a.b@example.com, at 1795380000000000') == (
        '"138****2222" of a***@example.com, at 1795380000000000'
    )
    assert SEALER.explanation('"Li Na" is not a "number"', "traits.name") == '"..." is not a "..."'
    assert SEALER.explanation('"Boots" is not a "number"', "properties.name2x") == '"Boots" is not a "number"'
    assert replace_emails("nobody", lambda _: "x") == "nobody"


class _Graph:
    """An identity graph in which everybody is person 1."""

    published = 0

    def look_up(self, keys: list[str]) -> dict[str, IdRecord]:
        return {key: IdRecord(0, [Span(0, 1, 1)]) for key in keys}

    def place(self, sightings: list[Located], known: object, now: int = 0) -> tuple[list[Placed], dict[object, object]]:
        return [Placed(1, 1) for _ in sightings], {}

    def forget_changes(self, partition: int, offset: int) -> None:
        """There are none."""

    def changes_since(self, partition: int, offset: int) -> list[object]:
        return []


def test_resolve_lets_tokens_pass_and_the_profile_keeps_what_they_stand_for() -> None:
    one = SEALER.identifier("phone", PHONE)
    assert one is not None
    event = Event(message_id="m", kind="track", event="E", time=1, received_at=1, ids=[one, Identifier("user_id", " u ")])
    step = ResolveStep(_Graph(), load_identity_rules(), {}, 1, lambda: 1)  # type: ignore[arg-type]
    ((_, _, value),) = step.process([(encode(event), 0, 0)])[0]
    record = decode_resolved(value)
    assert record.ids == [one, Identifier("user_id", "u")]  # the other was brought into its normal form
    kernel, profile, other = Harness().kernel, make_person(1), make_person(2)
    newer = Identifier("phone", one.value, keyring.rotated(RING).seal("id:phone", PHONE))
    for person, event in ((profile, record), (other, msgspec.structs.replace(record, ids=[newer]))):
        kernel.count(person.whole, event, kernel.read(event), fingerprint_of(event), today=0)
    for into, loser in ((profile, reopened(other)), (other, reopened(profile))):
        kernel.put_in(into, loser.number, loser.whole)
        assert into.whole.get(IDENTIFIERS).sealed == {f"phone:{one.value}": newer.sealed}
    assert reopened(profile).whole.get(IDENTIFIERS).sealed == profile.whole.get(IDENTIFIERS).sealed


def test_privacy_yaml_is_checked(tmp_path: Path) -> None:
    lists = {"traits": ["name", "receiver*"], "properties": [], "identifiers": [], "parameters": []}
    (tmp_path / "privacy.yaml").write_text(json.dumps(lists))
    names = load_privacy(tmp_path).traits
    assert "$Name_2" in names
    assert "receiver-phone" in names
    assert "username" not in names
    for number, wrong in enumerate(({**lists, "traits": "name"}, {**lists, "traits": ["12"]}, {"traits": []}, [])):
        other = tmp_path / str(number)
        other.mkdir()
        (other / "privacy.yaml").write_text(json.dumps(wrong))
        with pytest.raises(InvalidRule, match=r"privacy\.yaml"):
            load_privacy(other)
    with pytest.raises(InvalidRule, match="missing"):
        load_privacy(tmp_path / "nowhere")

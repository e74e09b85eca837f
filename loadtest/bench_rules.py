"""Bench how soon an edited rule holds, under steady traffic.

An edit is a PUT of a tag, a roll-back of it, or a PUT of a new trigger, by the API. Right after its answer an event of a probe
person is sent. Time counts from right before the edit's request to (a) the API's answer for the person that has the tag's new
value, or (b) the arrival of the webhook of an action that only the new trigger fires. So it holds the edit, the event's whole way
and the reading of the answer.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from cdp.clock import to_iso
from cdp.errors import CdpError
from cdp.wall_clock import wall_clock
from loadtest.bench_latency import LIBRARY, WARM_UP, Load, make_traffic, send_traffic
from loadtest.measure import summary
from loadtest.receive import Receiver
from loadtest.send import Connection, Sender, batch, encode
from loadtest.stack import Access
from loadtest.watch import ProfileReader

TAG, EVENT = "bench_edit", "Rule Probe"
GIVE_UP = 20.0  # seconds
LOOK = 0.01


def bench_rules(access: Access, receiver: Receiver, load: Load) -> dict[str, Any]:
    """Edit rules on a running platform whose webhooks come to `receiver`, one edit after the other, while traffic flows.

    The rules that it makes are retired at the end.
    """
    batches = list(make_traffic(load))
    sender = Sender(access.api_url, access.write_key, connections=4)
    failure: list[CdpError] = []

    def send() -> None:
        try:
            with sender:
                send_traffic(sender, load.rate, batches)
        except CdpError as error:
            failure.append(error)

    traffic = threading.Thread(target=send, name="traffic", daemon=True)
    traffic.start()
    time.sleep(WARM_UP)
    editor = _Editor(access, receiver, load.run)
    started = time.monotonic()
    try:
        while time.monotonic() - started < load.seconds and traffic.is_alive():
            editor.edit_all()
    finally:
        editor.retire()
    traffic.join(load.seconds + WARM_UP + GIVE_UP)
    if failure or sender.failure:
        raise failure[0] if failure else sender.failure or CdpError("The traffic stopped.")
    every = [ms for series in editor.milliseconds.values() for ms in series]
    return {
        "rate": load.rate, "edits": len(every), "missed": editor.missed,
        "edit_in_force_ms": summary(editor.milliseconds["tag"] + editor.milliseconds["trigger"]),
        "tag_ms": summary(editor.milliseconds["tag"]), "rollback_in_force_ms": summary(editor.milliseconds["rollback"]),
        "trigger_ms": summary(editor.milliseconds["trigger"]), "answer_ms": summary(editor.answers),
    }  # fmt: skip


class _Editor:
    """Makes edits, and waits until each holds."""

    def __init__(self, access: Access, receiver: Receiver, run: str) -> None:
        self._access, self._receiver, self._run = access, receiver, run
        self._connection = Connection(access.api_url, access.write_key)
        self._read = ProfileReader(access.api_url, access.token)
        self._number = 0
        self._event = EVENT
        self._triggers: list[str] = []
        self.milliseconds: dict[str, list[float]] = {"tag": [], "rollback": [], "trigger": []}
        self.answers: list[float] = []
        self.missed = 0

    def edit_all(self) -> None:
        """Two values of a tag, back to the first, and a new trigger."""
        first = self._number + 1
        version = self._time("tag", lambda: self._put_tag(first), lambda: self._has(first))
        self._number += 1
        self._time("tag", lambda: self._put_tag(first + 1), lambda: self._has(first + 1))
        back = {"to": version}
        self._time("rollback", lambda: self._ask("POST", f"tags/{TAG}/rollback", back), lambda: self._has(first))
        self._number += 1
        name = f"bench_{self._run.replace('-', '_')}_{self._number}"
        self._triggers.append(name)
        self._event = f"{EVENT} {self._number}"
        self._time("trigger", lambda: self._put_trigger(name), self._arrived)
        self._event = EVENT

    def retire(self) -> None:
        """Take what was made out of force."""
        if not self._triggers:
            return
        for name in self._triggers:
            self._put_trigger(name, state="retired")
        self._put_tag(1, state="retired")
        self._connection.close()

    def _time(self, series: str, edit: Callable[[], int], holds: Callable[[], bool]) -> int:
        began = wall_clock()
        version = edit()
        self.answers.append((wall_clock() - began) / 1000)
        self._send_probe()
        deadline = time.monotonic() + GIVE_UP
        while not holds():
            if time.monotonic() > deadline:
                self.missed += 1
                return version
            time.sleep(LOOK)
        self.milliseconds[series].append((wall_clock() - began) / 1000)
        return version

    def _put_tag(self, value: int, state: str = "live") -> int:
        """A tag of those who had a probe's event."""
        has_event = [{"when": f'count("{EVENT}") > 0', "then": value}]
        rule = {"title": "Of a bench", "type": "number", "value": has_event, "state": state}
        return self._ask("PUT", f"tags/{TAG}", rule)

    def _put_trigger(self, name: str, state: str = "live") -> int:
        rule = {
            "title": "Of a bench", "event": self._event, "occasion": "message", "channels": ["webhook"],
            "content": {"text": name}, "state": state,
        }  # fmt: skip
        return self._ask("PUT", f"triggers/{name}", rule)

    def _send_probe(self) -> None:
        self._message_id = f"{self._run}-rule-{len(self.answers)}"
        message = {
            "type": "track", "event": self._event, "userId": f"{self._run}-rules", "messageId": self._message_id,
            "timestamp": to_iso(wall_clock()),
        }  # fmt: skip
        self._connection.deliver("/v1/batch", batch([encode(message)], LIBRARY).body, patience=20)

    def _has(self, value: int) -> bool:
        found = self._read(f"user_id:{self._run}-rules")
        return found is not None and json.loads(found)["tags"].get(TAG, {}).get("value") == value

    def _arrived(self) -> bool:
        return any(arrival.message_id == self._message_id for arrival in self._receiver.arrivals().values())

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> int:
        """Edit by the API; returns the version. Raises CdpError if it is refused."""
        headers = {"Authorization": f"Bearer {self._access.token}", "Content-Type": "application/json"}
        url = f"{self._access.api_url}/v1/rules/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=GIVE_UP) as answer:  # noqa: S310 - the address is the user's own
                return int(json.loads(answer.read())["version"])
        except urllib.error.HTTPError as error:
            raise CdpError(f"The API refuses {method} {path}: {error.read().decode()[:300]}") from error

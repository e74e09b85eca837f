"""Drill: people who would wait for ever. A record is taken out of PROFILE's log, on purpose; it is seen, and healed.

Pairs of people become one by logins, so that fragments of them change hands. Once a `TransferFragments` is lost, which asks the
old owner for a fragment, and once a `FragmentState`, which is the old owner's answer. Nothing but the platform itself repairs
that. Afterwards every pair has to be what it is without a loss: one person who has every event exactly once.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from random import Random
from typing import Any
from urllib.parse import quote

import msgspec

from cdp.clickhouse import connect
from cdp.errors import CdpError
from cdp.people import one_id
from cdp.redis import connect as connect_redis
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from infra import status, supervise
from infra.flink import rest
from infra.folder import Folder
from infra.programs import flink_client
from loadtest.drill_bad_input import wait_until_settled
from loadtest.drill_outage import hold_down
from loadtest.lose_record import Log, Logged, choose
from loadtest.plan_pairs import Found, Known, Pair, amiss, plan_pairs, total
from loadtest.send import Connection, batch, encode
from loadtest.stack import Access, Ledger, environment, read_ledger
from profiles.state import Person, unpack
from sinks.owner import owner
from streams.commands import ExpectFragments, FragmentState, TransferFragments

LIBRARY = "streamcdp-drill"
BATCH = 100  # messages in a request
SEEN_WITHIN, HEALED_WITHIN = 10.0, 120.0  # seconds: the goals
GIVE_UP = 240.0
SOON = 120.0  # seconds within which what is no goal must have happened
# A PROFILE that reads seldom, and all partitions at once: between its reads there is time to stop it.
SLOW = {"CDP_BUNDLE_MS": "8000", "CDP_CHECKPOINT_MS": "1000", "CDP_PROFILE_PARALLELISM": "1"}
OF_PAIRS = f"""
SELECT splitByChar('-', message_id)[-2] AS pair, count(), uniqExact(message_id), uniqExact({owner("part", "'person_overrides'")})
FROM events WHERE startsWith(message_id, {{run:String}}) GROUP BY pair"""  # noqa: S608 - constants
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """What came of one loss. Seconds are counted from the moment at which PROFILE ran again and the person waited.

    Attributes:
        lost: ``TransferFragments`` or ``FragmentState``.
        one_id: the person who waits because of it.
        written_again: records that stood before it, and were written again behind the end of their partition.
        status_seconds, metrics_seconds: until `cdp status` named the person, and until /metrics had somebody who waits; None:
            never.
        healed_seconds: until nobody waited and the ledger balanced, from the moment at which the jobs were started; None: never.
        passed_seconds: until PROFILE ran again and the person waited, from the same moment; None: never.
        people_healed: by how much ``cdp_people_healed_total`` has grown.
        says: what `cdp status` says of the person.
    """

    lost: str
    one_id: str
    written_again: int
    status_seconds: float | None = None
    metrics_seconds: float | None = None
    passed_seconds: float | None = None
    healed_seconds: float | None = None
    people_healed: int = 0
    says: str = ""

    @property
    def passed(self) -> bool:
        """Whether the person was seen and healed in time, and by PROFILE."""
        seen = all(one is not None and one <= SEEN_WITHIN for one in (self.status_seconds, self.metrics_seconds))
        return seen and self.healed_seconds is not None and self.healed_seconds <= HEALED_WITHIN and self.people_healed > 0


def metric(text: str, name: str) -> float:
    """The sum of a metric's samples in the text that Prometheus reads; 0 if it has none. Pure."""
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))


def judge(rounds: Sequence[Round], wrong: dict[str, str], ledger: Ledger, sent: int) -> dict[str, Any]:
    """The drill's result. Pure.

    Args:
        wrong: what is wrong with pairs, by the member's user id.
        ledger: at the end.
        sent: how many events were sent.
    """
    exact = ledger.applied == sent and not (ledger.difference or ledger.duplicates or ledger.dead_lettered or ledger.rejected)
    return {
        "passed": exact and not wrong and bool(rounds) and all(one.passed for one in rounds),
        "rounds": [asdict(one) | {"passed": one.passed} for one in rounds],
        "wrong_pairs": wrong,
        "sent": sent,
        "applied": ledger.applied,
        "duplicates": ledger.duplicates,
        "dead_lettered": ledger.dead_lettered,
        "in_flight": ledger.difference,
    }


def drill_stuck(settings: Settings, access: Access, pairs: int, seed: int, tell: Tell) -> dict[str, Any]:
    """Run the drill on a running platform of its own, to which nothing else sends; ``passed`` says how it went.

    Raises CdpError if something does not come to the point at which a record can be lost.
    """
    started = time.monotonic()
    planned = plan_pairs(pairs, seed, f"stuck{wall_clock() // 1_000_000 % 10**6}")
    drill = _Drill(settings, access, Random(seed), lambda line: tell(f"{time.monotonic() - started:5.1f} s: {line}"))
    try:
        drill.begin(planned)
        rounds = [drill.lose_move(planned[::2]), drill.lose_state(planned[1::2])]
        drill.tell("looking at every pair, in profiles and in ClickHouse")
        wrong = drill.look_at(planned)
        result = judge(rounds, wrong, read_ledger(access), total(planned))
    finally:
        drill.close()
    return result | {"pairs": pairs, "seed": seed, "seconds": round(time.monotonic() - started, 1)}


class _Drill:
    """The drill on one platform, step by step."""

    def __init__(self, settings: Settings, access: Access, random: Random, tell: Tell) -> None:
        self._settings, self._access, self._random, self.tell = settings, access, random, tell
        self._names = Names(settings.topic_prefix)
        self._redis = connect_redis(settings.redis_url)
        self._log = Log(settings)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    # -- the two losses --------------------------------------------------------------------------------------------

    def begin(self, pairs: Sequence[Pair]) -> None:
        """Let everybody have a history, as two people."""
        self.tell(f"sending what {len(pairs)} devices and {len(pairs)} members do")
        self._send([message for pair in pairs for message in pair.history(wall_clock())])
        self._settle()
        one = [pair.user_id for pair in pairs if len(self._people(pair)) != 2]
        if one:
            raise CdpError(f"{one[0]} and the device are one person before they should be.", "See rules/shipped/identity.yaml.")

    def lose_move(self, pairs: Sequence[Pair]) -> Round:
        """PROFILE stands still while the members log in; a `TransferFragments` that waits for it is lost."""
        self.tell("PROFILE is stopped")
        self._stop_profile()
        start = self._log.committed()
        self.tell(f"{len(pairs)} members log in on devices")
        self._log_in(pairs)
        _until("RESOLVE writes what follows from the logins", lambda: _is_whole(self._log.read(start), len(pairs)))
        return self._lose(TransferFragments, self._log.read(start))

    def lose_state(self, pairs: Sequence[Pair]) -> Round:
        """PROFILE reads seldom, and is stopped after it has written a `FragmentState` and before it reads that."""
        self.tell("PROFILE is stopped, and started as one that reads every 8 s")
        self._stop_profile()
        start = self._log.committed()
        self._submit_slow_profile()
        _until("PROFILE goes on", lambda: any(at > start[p] for p, at in self._log.committed().items()))
        self.tell(f"{len(pairs)} members log in on devices")
        start = self._log.ends()
        self._log_in(pairs)
        _until("PROFILE answers", lambda: self._answers(start))
        count = self._checkpoints()
        _until("PROFILE makes a checkpoint", lambda: self._checkpoints() >= count + 2)  # all that it has written is on Kafka
        self._cancel_profile()
        ends = self._log.ends()
        left = [one for one in self._log.read(self._log.committed()) if not self._was_handled(one)]
        # It commits at its next reading only. Where it stands has to be committed for it, or it would answer once more.
        self._log.commit({p: min((one.offset for one in left if one.partition == p), default=end) for p, end in ends.items()})
        return self._lose(FragmentState, left)

    def _lose(self, kind: type[TransferFragments] | type[FragmentState], logged: list[Logged]) -> Round:
        loss, name = choose(logged, kind, self._random), kind.__name__
        if loss is None or not isinstance(record := loss.lost.record, kind):
            raise CdpError(f"There is no {name} that PROFILE has not handled.", "Run the drill again, with more --pairs.")
        person, number = (
            (record.other, record.fragments[0]) if isinstance(record, TransferFragments) else (record.person, record.fragment)
        )
        again = self._log.lose(loss, self._was_handled)
        where = f"{loss.lost.partition}:{loss.lost.offset}"
        self.tell(f"lost: the {name} at {where} for fragment {number} of {one_id(record.person)}; {again} written again")
        return self._watch(Round(name, one_id(person), again), person)

    # -- watching --------------------------------------------------------------------------------------------------

    def _watch(self, lost: Round, person: int) -> Round:
        """Start the jobs, and wait until the person has been seen and nobody waits any more."""
        healed = metric(self._metrics(), "cdp_people_healed_total")
        started, passed = time.monotonic(), 0.0
        supervise.start_program(self._settings.data_dir, "jobs")
        self.tell("the jobs are started again")
        seen: dict[str, float] = {}
        says = ""
        while time.monotonic() - started < GIVE_UP:
            if not passed and self._profile_runs() and self._waits(person):
                passed = time.monotonic()
                self.tell(f"{lost.one_id} waits")
            if "metrics" not in seen and metric(self._metrics(), "cdp_people_waiting"):
                seen["metrics"] = time.monotonic()
            if "status" not in seen and (says := self._named(lost.one_id)):
                seen["status"] = time.monotonic()
                self.tell(f"cdp status: {says}")
            if passed and not self._waiting() and read_ledger(self._access).difference == 0:
                break
            time.sleep(0.3)
        ended = time.monotonic()
        is_over = passed and not self._waiting() and read_ledger(self._access).difference == 0
        self.tell("nobody waits, and the ledger balances" if is_over else "somebody still waits")
        since = {name: round(max(0.0, at - passed), 1) for name, at in seen.items()} if passed else {}
        return Round(
            lost.lost, lost.one_id, lost.written_again, since.get("status"), since.get("metrics"),
            round(passed - started, 1) if passed else None, round(ended - started, 1) if is_over else None,
            int(metric(self._metrics(), "cdp_people_healed_total") - healed), says,
        )  # fmt: skip

    def _named(self, person: str) -> str:
        """What `cdp status` says of a person who waits; empty if it does not name the person, or finds all well."""
        found = status.gather(self._settings).as_json()
        return next((str(one["says"]) for one in found["waiting"] if one["one_id"] == person and not found["ok"]), "")

    def _metrics(self) -> str:
        return self._access.get("/metrics", timeout=30).decode()

    def _waiting(self) -> int:
        """How many people wait, however short."""
        return sum(int(self._redis.zcard(self._names.waiting_key(number))) for number in range(self._settings.partitions))

    def _profile(self, person: int) -> Person | None:
        value = self._redis.get(self._names.profile_key(person))
        return unpack(value, fetch=partial(self._redis.hget, self._names.slices_key(person))) if value else None

    def _waits(self, person: int) -> bool:
        profile = self._profile(person)
        return profile is not None and profile.log.is_waiting

    def _was_handled(self, one: Logged) -> bool:
        profile = self._profile(one.record.person)
        return profile is not None and profile.offset >= one.offset

    def _answers(self, since: dict[int, int]) -> bool:
        return any(isinstance(one.record, FragmentState) for one in self._log.read(since))

    # -- the platform ----------------------------------------------------------------------------------------------

    def _send(self, messages: Sequence[dict[str, Any]]) -> None:
        connection = Connection(self._access.api_url, self._access.write_key)
        try:
            for first in range(0, len(messages), BATCH):
                some = [encode(message) for message in messages[first : first + BATCH]]
                connection.deliver("/v1/batch", batch(some, LIBRARY).body, patience=60)
        finally:
            connection.close()

    def _log_in(self, pairs: Sequence[Pair]) -> None:
        self._send([pair.login(wall_clock()) for pair in pairs])

    def _settle(self) -> None:
        left = wait_until_settled(lambda: read_ledger(self._access), SOON)
        if left.difference:
            raise CdpError(f"{left.difference} events are still under way.", "`cdp status` shows the parts.")

    def _stop_profile(self) -> None:
        """Stop PROFILE alone, once it has committed all that it has read, and let nobody submit it again."""
        ends = self._log.ends()
        _until("PROFILE commits what it has read", lambda: all(at >= ends[p] for p, at in self._log.committed().items()))
        hold_down(self._settings, "jobs")  # in good order it would cancel all three jobs
        self._cancel_profile()

    def _cancel_profile(self) -> None:
        job = rest.running_jobs(self._settings).get("profile")
        if job is None:
            raise CdpError("PROFILE does not run.", "`cdp jobs list` shows the jobs.")
        rest.cancel(self._settings, job.id)
        _until("PROFILE ends", lambda: "profile" not in rest.running_jobs(self._settings))

    def _checkpoints(self) -> int:
        """How many checkpoints PROFILE has completed since it was submitted."""
        job = rest.running_jobs(self._settings)["profile"]
        return int(rest.get(self._settings.flink_rest, f"/jobs/{job.id}/checkpoints")["counts"]["completed"])

    def _submit_slow_profile(self) -> None:
        env = {**os.environ, **environment(self._settings), **flink_client(Folder(self._settings.data_dir)), **SLOW}
        command = [sys.executable, "-m", "streams.submit", "profile"]
        if subprocess.run(command, env=env, stdout=sys.stderr, timeout=SOON, check=False).returncode:
            raise CdpError("PROFILE could not be submitted.", "The lines above say why.")

    def _profile_runs(self) -> bool:
        try:
            job = rest.running_jobs(self._settings).get("profile")
        except (OSError, ValueError):
            return False
        return job is not None and job.all_running

    # -- every pair ------------------------------------------------------------------------------------------------

    def look_at(self, pairs: Sequence[Pair]) -> dict[str, str]:
        """What is wrong with pairs, by the member's user id."""
        rows = connect(self._settings).query(OF_PAIRS, parameters={"run": f"{pairs[0].run}-"}).result_rows
        counted = {str(name): (int(count), int(messages), int(owners)) for name, count, messages, owners in rows}
        wrong = {}
        for pair in pairs:
            found = Found(self._people(pair), self._known(pair), *counted.get(f"m{pair.number}", (0, 0, 0)))
            if says := amiss(pair, found):
                wrong[pair.user_id] = says
        return wrong

    def _people(self, pair: Pair) -> frozenset[str]:
        answers = (self._ask(identifier) for identifier in (f"user_id:{pair.user_id}", f"anonymous_id:{pair.device}"))
        return frozenset(str(answer["one_id"]) for answer in answers)

    def _known(self, pair: Pair) -> Known:
        answer = self._ask(f"user_id:{pair.user_id}")
        tags = {name: answer["tags"].get(name, {}).get("value", 0) for name in ("order_count", "order_amount")}
        return Known(int(answer["events"]), int(tags["order_count"]), float(tags["order_amount"]))

    def _ask(self, identifier: str) -> Any:
        return msgspec.json.decode(self._access.get(f"/v1/profiles?events=0&id={quote(identifier, safe='')}"))


def _is_whole(logged: Sequence[Logged], logins: int) -> bool:
    """Whether everything that follows from some logins is on the log: who gives, who takes, and the logins themselves. Pure."""
    kinds = Counter(type(one.record) for one in logged)
    events = sum(not one.is_command for one in logged)
    return min(kinds[ExpectFragments], kinds[TransferFragments], events) >= logins


def _until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds. Raises CdpError if it does not come to that."""
    deadline = time.monotonic() + SOON
    while not holds():
        if time.monotonic() > deadline:
            raise CdpError(f"It did not come to it within {SOON:.0f} s that {what}.", "`cdp status` shows the parts.")
        time.sleep(0.2)

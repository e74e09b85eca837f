"""The three jobs, wired: Kafka table -> vectorised step -> Kafka table (or, for FACTS, ClickHouse).

Flink does what it is best at: offsets, checkpoints, backpressure, restarts. The jobs need no state in Flink but their
source offsets, which are committed to Kafka with each checkpoint; a new job goes on from there.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cdp import keyring
from cdp.clock import Calendar
from cdp.kafka import MAX_MESSAGE_BYTES
from cdp.redis import connect
from cdp.reveal import Reveal
from cdp.seal import TRAITS
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from rules.identity.load import load_identity_rules
from streams import records
from streams.batch import BatchFunction
from streams.committed import watch_committed
from streams.topology import facts_sources, source_topics


class Resolve(BatchFunction):
    """RESOLVE in a worker."""

    job = "resolve"

    def start(self, settings: Settings) -> Any:
        """See `BatchFunction.start`."""
        from streams.graph import IdentityGraph, Vault
        from streams.resolve import ResolveStep

        names = Names(settings.topic_prefix)
        rules = load_identity_rules()
        ring = keyring.read(keyring.path_of(settings))
        vault = Vault(partial(ring.seal, TRAITS), partial(ring.open, TRAITS), partial(ring.token, TRAITS))
        graph = IdentityGraph(connect(settings.redis_url), names, rules, vault)
        committed = watch_committed(settings.kafka_servers, names.group(self.job), names.events, settings.partitions)
        return ResolveStep(graph, rules, committed, settings.partitions, wall_clock, Reveal(ring).value).process


class Profile(BatchFunction):
    """PROFILE in a worker."""

    job = "profile"

    def start(self, settings: Settings) -> Any:
        """See `BatchFunction.start`."""
        from cdp.clickhouse import connect as connect_clickhouse
        from streams.profile.refetch import PatientReader
        from streams.profile.rule_books import live_books
        from streams.profile.step import ProfileStep
        from streams.profile.store import ProfileStore

        names = Names(settings.topic_prefix)
        committed = watch_committed(settings.kafka_servers, names.group(self.job), names.resolved, settings.partitions)
        store = ProfileStore(connect(settings.redis_url), names)

        facts = PatientReader(partial(connect_clickhouse, settings, timeout=FACTS_SECONDS), time.monotonic)
        books = live_books(connect(settings.redis_url), names, Calendar(settings.timezone), settings.partitions)
        return ProfileStep(store, books, committed, facts, wall_clock).process


class Facts(BatchFunction):
    """FACTS in a worker."""

    job = "facts"

    def start(self, settings: Settings) -> Any:
        """See `BatchFunction.start`."""
        from cdp.clickhouse import connect as connect_clickhouse
        from sinks.write import FactWriter

        return FactWriter(connect_clickhouse(settings), settings.clickhouse_database, Names(settings.topic_prefix)).process

    def eval(self, value: Any, partition: Any, offset: Any, topic: Any = None) -> Any:
        """One batch: everything is written when this returns, so the checkpoint that follows may commit it."""
        import pandas as pd

        self._process(list(zip(value, topic, partition.tolist(), offset.tolist(), strict=True)))
        return pd.Series([0] * len(value), dtype="int32")


FACTS_SECONDS = 15.0  # that PROFILE waits for facts of parts, while everybody of its partitions waits for it
POLLED = 20_000  # records that are handed on at once: all that a fetch has brought belongs into one batch
FACTS_BYTES = 6_291_456  # an insert costs nearly the same for ten facts and for a thousand: they wait for their time


@dataclass(frozen=True)
class Source:
    """A job's Kafka source. It starts from the group's offsets, and fails where there are none: see `streams.submit`.

    A fetch waits for `fetch_bytes`, at most `fetch_ms`: a fetch costs the broker and the TaskManager about a millisecond of
    CPU between them, and one for each event would cost more than the event.
    """

    topics: tuple[str, ...]
    group: str
    fetch_ms: int
    fetch_bytes: int = 262_144


def build(job: str, settings: Settings, table_env: Any) -> Any:
    """The statement set of a job, ready to execute. `table_env` is a PyFlink TableEnvironment."""
    names = Names(settings.topic_prefix)
    if job == "facts":
        waits = settings.facts_bundle_ms, settings.merges_bundle_ms
        sources = [
            Source(topics, names.group(job), ms, FACTS_BYTES) for topics, ms in zip(facts_sources(names), waits, strict=True)
        ]
        return _facts_job(table_env, settings, sources)
    source = Source(source_topics(job, names), names.group(job), settings.bundle_ms)
    return _stream_job(table_env, settings, source, Resolve(settings) if job == "resolve" else Profile(settings))


def _create_source(table_env: Any, settings: Settings, source: Source, name: str = "source") -> None:
    table_env.execute_sql(f"""
        CREATE TEMPORARY TABLE {name} (
            `value` BYTES,
            `topic` STRING NOT NULL METADATA VIRTUAL,
            `partition` INT NOT NULL METADATA VIRTUAL,
            `offset` BIGINT NOT NULL METADATA VIRTUAL
        ) WITH (
            'connector' = 'kafka',
            'topic' = '{";".join(source.topics)}',
            'properties.bootstrap.servers' = '{settings.kafka_servers}',
            'properties.group.id' = '{source.group}',
            'properties.auto.offset.reset' = 'none',
            'properties.max.partition.fetch.bytes' = '{MAX_MESSAGE_BYTES}',
            'properties.fetch.min.bytes' = '{source.fetch_bytes}',
            'properties.fetch.max.wait.ms' = '{source.fetch_ms}',
            'properties.max.poll.records' = '{POLLED}',
            'scan.startup.mode' = 'group-offsets',
            'scan.topic-partition-discovery.interval' = '0',
            'value.format' = 'raw'
        )""")


def _create_sink(table_env: Any, settings: Settings, names: Names) -> None:
    topics = ";".join(records.topics(names).values())
    table_env.execute_sql(f"""
        CREATE TEMPORARY TABLE sink (
            `topic` STRING NOT NULL METADATA,
            `key` STRING,
            `value` BYTES
        ) WITH (
            'connector' = 'kafka',
            'topic' = '{topics}',
            'properties.bootstrap.servers' = '{settings.kafka_servers}',
            'properties.compression.type' = 'lz4',
            'properties.linger.ms' = '5',
            'properties.batch.size' = '262144',
            'properties.max.request.size' = '{MAX_MESSAGE_BYTES}',
            'sink.delivery-guarantee' = 'at-least-once',
            'key.format' = 'raw',
            'key.fields' = 'key',
            'value.format' = 'raw',
            'value.fields-include' = 'EXCEPT_KEY'
        )""")


def _stream_job(table_env: Any, settings: Settings, source: Source, function: BatchFunction) -> Any:
    from pyflink.table import DataTypes
    from pyflink.table.udf import udf

    names = Names(settings.topic_prefix)
    _create_source(table_env, settings, source)
    _create_sink(table_env, settings, names)
    outputs = DataTypes.ROW(
        [
            DataTypes.FIELD("topics", DataTypes.ARRAY(DataTypes.STRING())),
            DataTypes.FIELD("keys", DataTypes.ARRAY(DataTypes.STRING())),
            DataTypes.FIELD("records", DataTypes.ARRAY(DataTypes.BYTES())),
        ]
    )
    table_env.create_temporary_function("step", udf(function, result_type=outputs, func_type="pandas", deterministic=False))
    table_env.execute_sql("CREATE TEMPORARY VIEW stepped AS SELECT step(`value`, `partition`, `offset`) AS outputs FROM source")
    statements = table_env.create_statement_set()
    statements.add_insert_sql("""
        INSERT INTO sink
        SELECT s.outputs.topics[i], s.outputs.keys[i], record
        FROM stepped AS s CROSS JOIN UNNEST(s.outputs.records) WITH ORDINALITY AS t (record, i)""")
    return statements


def _facts_job(table_env: Any, settings: Settings, sources: Sequence[Source]) -> Any:
    """Each source has a writer of its own: what is waited for is not written behind what is not."""
    from pyflink.table import DataTypes
    from pyflink.table.udf import udf

    table_env.execute_sql("CREATE TEMPORARY TABLE done (`rows` INT) WITH ('connector' = 'blackhole')")
    statements = table_env.create_statement_set()
    for number, source in enumerate(sources):
        _create_source(table_env, settings, source, f"source_{number}")
        step = udf(Facts(settings), result_type=DataTypes.INT(), func_type="pandas", deterministic=False)
        table_env.create_temporary_function(f"step_{number}", step)
        statements.add_insert_sql(
            f"INSERT INTO done SELECT step_{number}(`value`, `partition`, `offset`, `topic`) FROM source_{number}"  # noqa: S608
        )
    return statements

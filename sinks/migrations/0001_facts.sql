-- The facts: one row for each position (source_partition, source_offset, source_seq) on its topic, written once.
-- Times are UTC with microseconds. A repeated block is dropped by its checksum.

-- Every applied event, once, by its position on the topic `resolved`.
CREATE TABLE IF NOT EXISTS {database}.events
(
    event_time DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    one_id String,
    person UInt32,
    message_id String,
    kind LowCardinality(String),
    event LowCardinality(String),
    channel LowCardinality(String),
    store LowCardinality(String),
    source LowCardinality(String),
    library LowCardinality(String),
    campaign LowCardinality(String),
    campaign_source LowCardinality(String),
    campaign_medium LowCardinality(String),
    path String,
    device String,
    properties String,
    traits String,
    context String,
    origin_partition UInt16,
    origin_offset UInt64,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (person, event_time, source_partition, source_offset)
SETTINGS
    non_replicated_deduplication_window = 1000, fsync_after_insert = 1,
    -- Inserts are batches of some 20,000 wide rows: one file for each, and merges of many at once, cost half the CPU.
    min_bytes_for_wide_part = 33554432, min_parts_to_merge_at_once = 24;

-- Every order event: placed, refunded, cancelled. Refunds are negative; one without an amount has 0
-- and means everything.
CREATE TABLE IF NOT EXISTS {database}.orders
(
    event_time DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    one_id String,
    person UInt32,
    customer_id String,
    order_id String,
    status LowCardinality(String),
    quantity Decimal(18, 3),
    amount Decimal(18, 4),
    currency LowCardinality(String),
    items UInt32,
    channel LowCardinality(String),
    store LowCardinality(String),
    message_id String,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (person, event_time, order_id, source_partition, source_offset, source_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- The lines of each order event.
CREATE TABLE IF NOT EXISTS {database}.order_items
(
    event_time DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    one_id String,
    person UInt32,
    customer_id String,
    order_id String,
    line UInt32,
    status LowCardinality(String),
    sku String,
    name String,
    category LowCardinality(String),
    quantity Decimal(18, 3),
    unit_price Decimal(18, 4),
    amount Decimal(18, 4),
    currency LowCardinality(String),
    channel LowCardinality(String),
    store LowCardinality(String),
    message_id String,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (person, event_time, order_id, line, source_partition, source_offset, source_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- A person's tag took another value; empty means the person does not have the tag.
CREATE TABLE IF NOT EXISTS {database}.tag_changes
(
    event_time DateTime64(6, 'UTC'),
    one_id String,
    person UInt32,
    tag LowCardinality(String),
    old String,
    new String,
    message_id String,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (person, tag, event_time, source_partition, source_offset, source_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- A rule fired for a person.
CREATE TABLE IF NOT EXISTS {database}.actions
(
    event_time DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    action_id String,
    rule LowCardinality(String),
    rule_version UInt32,
    one_id String,
    person UInt32,
    occasion String,
    channel LowCardinality(String),
    message_id String,
    content String,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (person, event_time, source_partition, source_offset, source_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- What became of an action on its channel; the position is the action's on the topic `actions`, source_seq the attempt.
CREATE TABLE IF NOT EXISTS {database}.deliveries
(
    event_time DateTime64(6, 'UTC'),
    action_id String,
    attempt UInt32,
    status LowCardinality(String),
    channel LowCardinality(String),
    rule LowCardinality(String),
    one_id String,
    person UInt32,
    detail String,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (action_id, attempt)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- Two people turned out to be one: one row for each OneID that now leads to the survivor.
CREATE TABLE IF NOT EXISTS {database}.merges
(
    event_time DateTime64(6, 'UTC'),
    one_id String,
    person UInt32,
    loser String,
    loser_person UInt32,
    message_id String,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (loser_person, event_time, source_partition, source_offset, source_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- Events that were not applied because they had been already; origin is the position on the topic `events`.
CREATE TABLE IF NOT EXISTS {database}.duplicates
(
    event_time DateTime64(6, 'UTC'),
    message_id String,
    one_id String,
    person UInt32,
    origin_partition UInt16,
    origin_offset UInt64,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (origin_partition, origin_offset)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- Events that could not be used, with the reason; origin is the position on `events`, -1 if it never got there.
CREATE TABLE IF NOT EXISTS {database}.dead_letters
(
    event_time DateTime64(6, 'UTC'),
    stage LowCardinality(String),
    reason LowCardinality(String),
    field String,
    detail String,
    message_id String,
    source LowCardinality(String),
    payload String,
    origin_partition Int32,
    origin_offset Int64,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (stage, event_time, source_partition, source_offset, source_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

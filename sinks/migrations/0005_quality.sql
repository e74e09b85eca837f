-- Repairs can be followed from the dead letter to the event, versions of orders are kept, and things that are not people have
-- a table.

-- The dead letter (partition:offset on its topic) whose repair an event is; empty for all others.
ALTER TABLE {database}.events ADD COLUMN IF NOT EXISTS replay_of String AFTER context;

-- The same id, but not the same message: the first one counts.
ALTER TABLE {database}.duplicates ADD COLUMN IF NOT EXISTS conflict UInt8 AFTER origin_offset;
ALTER TABLE {database}.duplicates ADD COLUMN IF NOT EXISTS replay_of String AFTER conflict;

-- Drawn by the collector: a letter that was written twice has one.
ALTER TABLE {database}.dead_letters ADD COLUMN IF NOT EXISTS letter_id String AFTER origin_offset;
-- The wire format of the payload, and what its request said for all of its messages.
ALTER TABLE {database}.dead_letters ADD COLUMN IF NOT EXISTS dialect LowCardinality(String) AFTER letter_id;
ALTER TABLE {database}.dead_letters ADD COLUMN IF NOT EXISTS request String AFTER dialect;

-- The source's count of an order's versions, 0 if it counts none.
ALTER TABLE {database}.orders ADD COLUMN IF NOT EXISTS version UInt64 AFTER items;

-- What was said of things that are not people: products, shops.
CREATE TABLE IF NOT EXISTS {database}.items
(
    event_time DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    item_type LowCardinality(String),
    item_id String,
    operation LowCardinality(String),
    properties String,
    message_id String,
    source LowCardinality(String),
    replay_of String,
    source_partition UInt16,
    source_offset UInt64,
    source_seq UInt64,
    INDEX position source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (item_type, item_id, event_time, source_partition, source_offset, source_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- Each thing as it is now: what was said of it last, by time. Deleted ones are not in it.
CREATE OR REPLACE VIEW {database}.items_current AS
SELECT
    item_type,
    item_id,
    argMax(i.properties, (i.event_time, i.source_partition, i.source_offset)) AS properties,
    max(i.event_time) AS changed_at
FROM {database}.items AS i
GROUP BY item_type, item_id
HAVING argMax(i.operation, (i.event_time, i.source_partition, i.source_offset)) != 'delete';

-- Each dead letter once: one that was written twice (by the collector's spool, by a job that restarted) has two rows.
-- `replayed`: its repair has arrived.
CREATE OR REPLACE VIEW {database}.letters AS
SELECT
    *,
    ((source_partition, source_offset) IN
    (
        SELECT (toUInt16OrZero(splitByChar(':', replay_of)[1]), toUInt64OrZero(splitByChar(':', replay_of)[2]))
        FROM {database}.events WHERE replay_of != ''
        UNION ALL
        SELECT (toUInt16OrZero(splitByChar(':', replay_of)[1]), toUInt64OrZero(splitByChar(':', replay_of)[2]))
        FROM {database}.items WHERE replay_of != ''
        UNION ALL
        SELECT (toUInt16OrZero(splitByChar(':', replay_of)[1]), toUInt64OrZero(splitByChar(':', replay_of)[2]))
        FROM {database}.duplicates WHERE replay_of != ''
    ))::UInt8 AS replayed
FROM {database}.dead_letters
WHERE (source_partition, source_offset) IN
(
    SELECT min((d.source_partition, d.source_offset))
    FROM {database}.dead_letters AS d
    GROUP BY
        multiIf(
            d.letter_id != '', d.letter_id,
            d.origin_offset >= 0, concat(toString(d.origin_partition), ':', toString(d.origin_offset)),
            concat(toString(d.source_partition), '-', toString(d.source_offset))
        )
);

-- Each order as it stands now, counted as tags count it: the placed version with the highest number (of one number the latest)
-- less its refunds. Cancelled or refunded in full it is worth nothing and `counts` is 0; a refund without its order is only
-- money. A cancellation is final, unless it has a version and the order was placed again under a higher one. Refunds in
-- another currency than the order's are not subtracted: `refunded` leaves them out.
CREATE OR REPLACE VIEW {database}.order_states AS
SELECT
    survivor AS person,
    order_id,
    if(is_cancelled, 'cancelled', last_status) AS status,
    multiIf(
        is_cancelled, toDecimal64(0, 4),
        placed AND refunded_in_full, toDecimal64(0, 4),
        toDecimal64(placed_amount + refunded, 4)
    ) AS net_amount,
    (placed AND NOT is_cancelled AND NOT (placed_amount > 0 AND net_amount <= 0))::UInt8 AS counts,
    placed_amount AS amount,
    refunded,
    quantity,
    currency,
    version,
    channel,
    store,
    if(placed, placed_time, changed_at) AS ordered_at,
    changed_at
FROM
(
    SELECT
        dictGetOrDefault('{database}.person_overrides', 'person', toUInt64(o.person), o.person) AS survivor,
        o.order_id AS order_id,
        argMaxIf(o.status, (o.event_time, o.source_partition, o.source_offset), o.status != 'cancelled') AS last_status,
        countIf(o.status = 'completed') > 0 AS placed,
        countIf(o.status = 'cancelled') > 0
            AND (countIf(o.status = 'cancelled' AND o.version = 0) > 0
                 OR maxIf(o.version, o.status = 'cancelled') >= maxIf(o.version, o.status = 'completed')) AS is_cancelled,
        countIf(o.status = 'refunded' AND o.amount = 0) > 0 AS refunded_in_full,
        argMaxIf(o.amount, (o.version, o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS placed_amount,
        argMaxIf(o.quantity, (o.version, o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS quantity,
        argMaxIf(o.currency, (o.version, o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS currency,
        argMaxIf(o.channel, (o.version, o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS channel,
        argMaxIf(o.store, (o.version, o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS store,
        argMaxIf(o.event_time, (o.version, o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS placed_time,
        toDecimal64(
            arraySum(arrayMap(
                given -> if(given.2 = '' OR currency = '' OR given.2 = currency, given.1, toDecimal64(0, 4)),
                groupArrayIf((o.amount, toString(o.currency)), o.status = 'refunded')
            )), 4
        ) AS refunded,
        max(o.version) AS version,
        max(o.event_time) AS changed_at
    FROM {database}.orders AS o
    GROUP BY survivor, order_id
);

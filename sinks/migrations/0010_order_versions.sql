-- The source's own number of a refund, by which it counts once; "" if it has none. A refund that names no amount is a full one.
ALTER TABLE {database}.orders ADD COLUMN IF NOT EXISTS refund_id String AFTER version;
ALTER TABLE {database}.orders ADD COLUMN IF NOT EXISTS full_refund UInt8 DEFAULT status = 'refunded' AND amount = 0 AFTER refund_id;

-- Refunds that are here already get the numbers that their events have.
CREATE OR REPLACE TABLE {database}.refund_ids ENGINE = Join(ANY, LEFT, source_partition, source_offset) AS
SELECT
    source_partition,
    source_offset,
    if(JSONType(properties, 'refund_id') = 'String',
       JSONExtractString(properties, 'refund_id'), JSONExtractRaw(properties, 'refund_id')) AS refund_id
FROM {database}.events
WHERE event = 'Order Refunded' AND JSONType(properties, 'refund_id') IN ('String', 'Int64', 'UInt64');

ALTER TABLE {database}.orders
UPDATE refund_id = joinGet('{database}.refund_ids', 'refund_id', source_partition, source_offset)
WHERE status = 'refunded'
SETTINGS mutations_sync = 2;

DROP TABLE {database}.refund_ids;

-- Versions of orders that were not paid: status `placed`, without an amount.
INSERT INTO {database}.orders
    (event_time, received_at, one_id, person, part, owner, assigned, order_id, status, currency, version, channel, store,
     message_id, source_partition, source_offset, source_seq)
SELECT
    event_time, received_at, one_id, person, part, owner, assigned,
    if(JSONType(properties, 'order_id') = 'String',
       JSONExtractString(properties, 'order_id'), JSONExtractRaw(properties, 'order_id')) AS order_id,
    'placed', upper(substring(JSONExtractString(properties, 'currency'), 1, 8)), JSONExtractUInt(properties, 'version') AS version,
    channel, store, message_id, source_partition, source_offset, 0
FROM {database}.events
WHERE event = 'Order Placed' AND kind IN ('track', 'order') AND bot = 0
  AND JSONType(properties, 'order_id') IN ('String', 'Int64', 'UInt64') AND order_id != ''
  AND JSONType(properties, 'version') IN ('Int64', 'UInt64') AND version > 0
  AND (source_partition, source_offset) NOT IN
      (SELECT source_partition, source_offset FROM {database}.orders WHERE status = 'placed');

-- Each order as it stands now, counted as tags count it: the latest placed version less its refunds. Cancelled or refunded in
-- full it is worth nothing and `counts` is 0; a refund without its order is only money.
CREATE OR REPLACE VIEW {database}.order_states AS
SELECT
    survivor AS person,
    order_id,
    last_status AS status,
    multiIf(
        cancelled, toDecimal64(0, 4),
        placed AND refunded_in_full, toDecimal64(0, 4),
        toDecimal64(placed_amount + refunded, 4)
    ) AS net_amount,
    (placed AND NOT cancelled AND NOT (placed_amount > 0 AND net_amount <= 0))::UInt8 AS counts,
    placed_amount AS amount,
    refunded,
    quantity,
    currency,
    channel,
    store,
    if(placed, placed_time, changed_at) AS ordered_at,
    changed_at
FROM
(
    SELECT
        dictGetOrDefault('{database}.person_overrides', 'person', toUInt64(o.person), o.person) AS survivor,
        o.order_id AS order_id,
        argMax(o.status, (o.event_time, o.source_partition, o.source_offset)) AS last_status,
        countIf(o.status = 'completed') > 0 AS placed,
        countIf(o.status = 'cancelled') > 0 AS cancelled,
        countIf(o.status = 'refunded' AND o.amount = 0) > 0 AS refunded_in_full,
        sumIf(o.amount, o.status = 'refunded') AS refunded,
        argMaxIf(o.amount, (o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS placed_amount,
        argMaxIf(o.quantity, (o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS quantity,
        argMaxIf(o.currency, (o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS currency,
        argMaxIf(o.channel, (o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS channel,
        argMaxIf(o.store, (o.event_time, o.source_partition, o.source_offset), o.status = 'completed') AS store,
        maxIf(o.event_time, o.status = 'completed') AS placed_time,
        max(o.event_time) AS changed_at
    FROM {database}.orders AS o
    GROUP BY survivor, order_id
);

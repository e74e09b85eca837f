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
        dictGetOrDefault('{database}.person_overrides', 'person', toUInt64(o.part), o.owner) AS survivor,
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

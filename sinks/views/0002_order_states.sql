-- Each order as it stands now, counted as tags count it. Of its versions the highest stands, paid or not: an order that is
-- cancelled or unpaid is worth nothing, and `counts` is 0. Of one version the one further on in an order's life stands (placed,
-- completed, cancelled); of several of these the latest, and of one time the one whose message id has the highest digest, as in a
-- profile. A cancellation without a version is final.
-- Each refund counts once: by its own number, or else by its message; of one that was told several times the latest stands. A
-- refund that names no amount takes back everything, and if it has a version, until a higher one was placed. Refunds in another
-- currency than the order's are not subtracted, but told in `other_currencies`. A refund without its order is only money.
CREATE OR REPLACE VIEW {database}.order_states AS
SELECT
    survivor AS person,
    order_id,
    multiIf(is_cancelled, 'cancelled', is_unpaid, 'placed', last_status) AS status,
    multiIf(
        is_cancelled OR is_unpaid, toDecimal64(0, 4),
        placed AND refunded_in_full, toDecimal64(0, 4),
        toDecimal64(placed_amount + refunded, 4)
    ) AS net_amount,
    (placed AND NOT is_cancelled AND NOT is_unpaid AND NOT (placed_amount > 0 AND net_amount <= 0))::UInt8 AS counts,
    placed_amount AS amount,
    refunded,
    CAST(
        arrayMap(
            code -> (code, toDecimal64(-arraySum(refund -> if(refund.4 = code, refund.3, toDecimal128(0, 4)), others), 4)),
            arrayDistinct(arrayMap(refund -> refund.4, others))
        ), 'Map(String, Decimal(18, 4))'
    ) AS other_currencies,
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
        argMaxIf(o.status, (o.event_time, o.status), o.status IN ('completed', 'refunded')) AS last_status,
        countIf(o.status = 'completed') > 0 AS placed,
        maxIf(o.version, o.status = 'completed') AS paid_version,
        maxIf(o.version, o.status = 'placed') AS unpaid_version,
        unpaid_version > paid_version AS is_unpaid,
        countIf(o.status = 'cancelled') > 0
            AND (countIf(o.status = 'cancelled' AND o.version = 0) > 0
                 OR maxIf(o.version, o.status = 'cancelled') >= greatest(paid_version, unpaid_version)) AS is_cancelled,
        argMaxIf(o.amount, (o.version, o.event_time, xxh3(o.message_id)), o.status = 'completed') AS placed_amount,
        argMaxIf(o.quantity, (o.version, o.event_time, xxh3(o.message_id)), o.status = 'completed') AS quantity,
        argMaxIf(o.currency, (o.version, o.event_time, xxh3(o.message_id)), o.status = 'completed') AS currency,
        argMaxIf(o.channel, (o.version, o.event_time, xxh3(o.message_id)), o.status = 'completed') AS channel,
        argMaxIf(o.store, (o.version, o.event_time, xxh3(o.message_id)), o.status = 'completed') AS store,
        argMaxIf(o.event_time, (o.version, o.event_time, xxh3(o.message_id)), o.status = 'completed') AS placed_time,
        -- Each telling of a refund: its key, when, the amount (below 0: everything), the currency, the version.
        arraySort(groupArrayIf(
            (
                if(o.refund_id = '', concat('m', o.message_id), concat('r', o.refund_id)),
                o.event_time,
                if(o.full_refund = 1, -1 - toDecimal128(o.version, 4), -toDecimal128(o.amount, 4)),
                toString(o.currency),
                o.version
            ), o.status = 'refunded'
        )) AS told,
        arrayFilter((this, number) -> number = length(told) OR this.1 != told[number + 1].1, told, arrayEnumerate(told)) AS refunds,
        arrayExists(refund -> refund.3 < 0 AND (refund.5 = 0 OR refund.5 >= paid_version), refunds) AS refunded_in_full,
        arrayFilter(refund -> refund.3 >= 0 AND refund.4 != '' AND currency != '' AND refund.4 != currency, refunds) AS others,
        toDecimal64(
            -arraySum(arrayMap(
                refund -> if(refund.3 > 0 AND (refund.4 = '' OR currency = '' OR refund.4 = currency), refund.3, toDecimal128(0, 4)),
                refunds
            )), 4
        ) AS refunded,
        max(o.version) AS version,
        max(o.event_time) AS changed_at
    FROM {database}.orders AS o
    GROUP BY survivor, order_id
);

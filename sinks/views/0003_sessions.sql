-- Visits that begin in [since, until). One ends when nothing comes for 30 minutes, and when an arrival by another campaign, or
-- from another site, begins the next one. Worked out whenever it is asked, so late events and merged people are in their place.
-- Events are read from a day before to a day after: a visit that lasts longer than that may be cut.
CREATE OR REPLACE VIEW {database}.sessions_between AS
WITH
    raw AS
    (
        SELECT
            dictGetOrDefault('{database}.person_overrides', 'person', toUInt64(e.part), e.owner) AS who,
            e.event_time AS time,
            0 AS is_order,
            e.source_partition AS partition,
            e.source_offset AS offset,
            e.kind IN ('page', 'screen') AS is_view,
            if(e.path = '' AND e.kind IN ('page', 'screen'), toString(e.event), e.path) AS place,
            toString(e.traffic) AS way,
            (toString(e.campaign), toString(e.campaign_source), toString(e.campaign_medium)) AS by,
            toString(e.device_type) AS device,
            toString(e.country) AS land,
            e.referrer_domain AS domain,
            -- What makes an arrival: a campaign or a click id; without these, another site.
            e.traffic NOT IN ('', 'direct', 'internal') AS is_arrival,
            if(is_arrival, concat(e.campaign, '\n', e.campaign_source, '\n', e.campaign_medium, '\n', e.click_id), '') AS tags,
            if(length(tags) > 3, tags, '') AS mark,
            if(is_arrival, domain, '') AS site,
            0 AS counted,
            toDecimal64(0, 4) AS net
        FROM {database}.events AS e
        WHERE e.bot = 0 AND e.kind IN ('track', 'page', 'screen')
          AND e.event_time >= {since:DateTime64(6, 'UTC')} - INTERVAL 1 DAY
          AND e.event_time < {until:DateTime64(6, 'UTC')} + INTERVAL 1 DAY
        UNION ALL
        SELECT
            o.person, o.ordered_at, 1, 0, 0, 0, '', '', ('', '', ''), '', '', '', 0, '', '', '', o.counts, o.net_amount
        FROM {database}.order_states AS o
        WHERE o.order_id IN
          (
              SELECT placed.order_id FROM {database}.orders AS placed
              WHERE placed.event_time >= {since:DateTime64(6, 'UTC')} - INTERVAL 1 DAY
                AND placed.event_time < {until:DateTime64(6, 'UTC')} + INTERVAL 1 DAY
          )
          AND o.ordered_at >= {since:DateTime64(6, 'UTC')} - INTERVAL 1 DAY
          AND o.ordered_at < {until:DateTime64(6, 'UTC')} + INTERVAL 1 DAY
    ),
    spaced AS
    (
        SELECT
            *,
            time - INTERVAL 30 MINUTE >= maxIf(time, NOT is_order) OVER
                (PARTITION BY who ORDER BY time, is_order, partition, offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                AS is_late
        FROM raw
    ),
    blocks AS
    (
        SELECT
            *,
            countIf(is_late AND NOT is_order) OVER
                (PARTITION BY who ORDER BY time, is_order, partition, offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
                AS block
        FROM spaced
    ),
    arrivals AS
    (
        SELECT
            *,
            countIf(way != '') OVER before AS landed,
            anyLastIf(mark, mark != '') OVER before AS last_mark,
            anyLastIf(site, site != '') OVER before AS last_site,
            NOT is_order AND
            (
                is_late
                OR (landed > 0 AND if(mark != '', mark != last_mark, site != '' AND site != last_site))
            ) AS begins
        FROM blocks
        WINDOW before AS
            (PARTITION BY who, block ORDER BY time, is_order, partition, offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ),
    numbered AS
    (
        SELECT
            *,
            countIf(begins) OVER
                (PARTITION BY who ORDER BY time, is_order, partition, offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
                AS number,
            (time, partition, offset) AS position
        FROM arrivals
    ),
    visits AS
    (
        SELECT
            who,
            number,
            minIf(time, NOT is_order) AS first_time,
            maxIf(time, NOT is_order) AS last_time,
            countIf(NOT is_order) AS event_count,
            countIf(is_view) AS view_count,
            argMinIf(place, position, is_view) AS entry,
            argMaxIf(place, position, is_view) AS exit,
            argMinIf((way, by, site), position, way NOT IN ('', 'internal')) AS arrival,
            if(arrival.1 = '' AND countIf(way != '') > 0, 'internal', arrival.1) AS channel_of,
            argMinIf(device, position, device != '') AS device_of,
            argMinIf(land, position, land != '') AS land_of,
            countIf(is_order AND NOT is_late AND counted) AS order_count,
            sumIf(net, is_order AND NOT is_late) AS order_amount
        FROM numbered
        WHERE number > 0
        GROUP BY who, number
    )
SELECT
    concat('P', leftPad(toString(who), 10, '0')) AS one_id,
    who AS person,
    row_number() OVER (PARTITION BY who ORDER BY first_time, number) AS session,
    first_time AS started_at,
    last_time AS ended_at,
    event_count AS events,
    view_count AS pages,
    entry AS entry_path,
    exit AS exit_path,
    channel_of AS traffic,
    arrival.2.1 AS campaign,
    arrival.2.2 AS campaign_source,
    arrival.2.3 AS campaign_medium,
    arrival.3 AS referrer_domain,
    device_of AS device_type,
    land_of AS country,
    order_count AS orders,
    order_amount AS amount
FROM visits
WHERE first_time >= {since:DateTime64(6, 'UTC')} AND first_time < {until:DateTime64(6, 'UTC')};

-- Every visit there ever was.
CREATE OR REPLACE VIEW {database}.sessions AS
SELECT *
FROM {database}.sessions_between
(
    since = toDateTime64('1970-01-02 00:00:00', 6, 'UTC'), until = toDateTime64('2200-01-01 00:00:00', 6, 'UTC')
);

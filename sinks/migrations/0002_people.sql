-- Who a merged person is now. Every query over people goes through this dictionary; it is reloaded after merges are written:
--   dictGetOrDefault('{database}.person_overrides', 'person', toUInt64(person), person)
CREATE DICTIONARY IF NOT EXISTS {database}.person_overrides
(
    loser_person UInt64,
    person UInt32,
    one_id String
)
PRIMARY KEY loser_person
SOURCE(CLICKHOUSE(QUERY '
    SELECT toUInt64(loser_person) AS loser_person,
           argMax(person, (event_time, source_partition, source_offset)) AS person,
           argMax(one_id, (event_time, source_partition, source_offset)) AS one_id
    FROM {database}.merges
    GROUP BY loser_person
'))
LAYOUT(HASHED())
LIFETIME(0);

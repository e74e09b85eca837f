-- Who the person of a part is now, for what has moved since it was last written down in the facts themselves (`owner`). Every
-- question about people goes through this dictionary; it is reloaded after merges are written, and after they were squashed.
--   dictGetOrDefault('{database}.person_overrides', 'person', toUInt64(part), owner)
-- Facts that are about a person as a whole (tags, actions) have no part: there the person's own number leads on.
-- The highest version stands: a part that moved on and back again has several.
CREATE OR REPLACE DICTIONARY {database}.person_overrides
(
    loser_person UInt64,
    person UInt32,
    one_id String
)
PRIMARY KEY loser_person
SOURCE(CLICKHOUSE(QUERY '
    SELECT toUInt64(loser_person) AS loser_person,
           argMax(person, (version, event_time, source_partition, source_offset)) AS person,
           concat(''P'', leftPad(toString(person), 10, ''0'')) AS one_id
    FROM {database}.overrides
    GROUP BY loser_person
'))
LAYOUT(HASHED())
LIFETIME(0);

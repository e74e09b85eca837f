-- Whose a fact was when it was last squashed; until then, whose it was when it was written. What has moved since stands in the
-- dictionary `person_overrides`, which is made of `overrides` alone, so it does not grow for ever.
--   dictGetOrDefault('{database}.person_overrides', 'person', toUInt64(part), owner)
-- `owner` is in no key, so a mutation can change it; `person` stays as it was written.
ALTER TABLE {database}.events ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER part;
ALTER TABLE {database}.orders ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER part;
ALTER TABLE {database}.order_items ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER part;
ALTER TABLE {database}.tag_changes ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER person;
ALTER TABLE {database}.actions ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER person;
ALTER TABLE {database}.deliveries ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER person;
ALTER TABLE {database}.merges ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER person;
ALTER TABLE {database}.duplicates ADD COLUMN IF NOT EXISTS owner UInt32 DEFAULT person AFTER person;

-- One person's events are asked for by their parts, which are no key.
ALTER TABLE {database}.events ADD INDEX IF NOT EXISTS part part TYPE bloom_filter GRANULARITY 1;

-- Merges that no fact's `owner` tells yet. Written before `merges`, so what stands there once may stand here twice.
CREATE TABLE IF NOT EXISTS {database}.overrides
(
    loser_person UInt32,
    person UInt32,
    version UInt64,
    event_time DateTime64(6, 'UTC'),
    source_partition UInt16,
    source_offset UInt64,
    written_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (loser_person, version)
SETTINGS fsync_after_insert = 1, min_parts_to_merge_at_once = 8;

INSERT INTO {database}.overrides (loser_person, person, version, event_time, source_partition, source_offset)
SELECT loser_person, person, version, event_time, source_partition, source_offset FROM {database}.merges;

-- Written every few hundred milliseconds: merging many small parts at once costs a fraction of merging a few at a time.
ALTER TABLE {database}.merges MODIFY SETTING min_parts_to_merge_at_once = 24;
ALTER TABLE {database}.tag_changes MODIFY SETTING min_parts_to_merge_at_once = 24;

-- One line for each time that overrides were squashed.
CREATE TABLE IF NOT EXISTS {database}.squashes
(
    started_at DateTime64(6, 'UTC'),
    ended_at DateTime64(6, 'UTC'),
    written_before DateTime64(6, 'UTC'),
    parts UInt64
)
ENGINE = MergeTree
ORDER BY started_at
SETTINGS fsync_after_insert = 1;

-- How far the facts of a partition of `resolved` have been written, by the offsets of the records with which they were written: all
-- up to there can be read. Written after a batch is complete: an insert into several months is not there all at once.
CREATE TABLE IF NOT EXISTS {database}.arrived
(
    source_partition UInt16,
    source_offset UInt64
)
ENGINE = ReplacingMergeTree(source_offset)
ORDER BY source_partition;

INSERT INTO {database}.arrived (source_partition, source_offset)
SELECT source_partition, max(source_offset)
FROM
(
    SELECT source_partition, source_offset FROM {database}.events
    UNION ALL
    SELECT source_partition, source_offset FROM {database}.duplicates
)
GROUP BY source_partition;

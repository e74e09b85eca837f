-- By which version of who is who a fact counts in its `part`, if that is another one than it was written for; 0: it is not. Of several
-- assignments the highest version stands, so they may arrive in any order.
ALTER TABLE {database}.events ADD COLUMN IF NOT EXISTS assigned UInt64 DEFAULT 0 AFTER owner;
ALTER TABLE {database}.orders ADD COLUMN IF NOT EXISTS assigned UInt64 DEFAULT 0 AFTER owner;
ALTER TABLE {database}.order_items ADD COLUMN IF NOT EXISTS assigned UInt64 DEFAULT 0 AFTER owner;

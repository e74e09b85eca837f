#!lua name=LIBRARY
-- Redis functions of the streams. Flags and keys keep to Redis 7.0; each function checks first and writes last.

-- Compare-and-set of many profiles. KEYS: for each its string and its hash; ARGV: for each its expected version (8 bytes, empty:
-- absent), the string, how many fields of the hash change, and as many pairs (field, value; empty: take it out).
-- Nothing is written unless all versions fit. Returns the number of the first key that did not fit, or 0.
local function save(keys, args)
  local at = 1
  for i = 1, #keys, 2 do
    if redis.call('GETRANGE', keys[i], 0, 7) ~= args[at] then
      return i
    end
    at = at + 3 + 2 * tonumber(args[at + 2])
  end
  at = 1
  for i = 1, #keys, 2 do
    redis.call('SET', keys[i], args[at + 1])
    local last = at + 2 + 2 * tonumber(args[at + 2])
    for j = at + 3, last, 2 do
      if args[j + 1] == '' then
        redis.call('HDEL', keys[i + 1], args[j])
      else
        redis.call('HSET', keys[i + 1], args[j], args[j + 1])
      end
    end
    at = last + 1
  end
  return 0
end

-- Compare-and-set of several keys of the identity graph. KEYS[1]: the platform's prefix.
-- ARGV: four counts, then as many values: pairs (key, what it must begin with; empty: it must not be there), pairs (key, value) to
-- set, keys to delete, triples (sorted set, member, score; empty: take it out). Returns 1, or 0 if nothing was written.
local function commit(_, args)
  local expected, set, deleted, queued = tonumber(args[1]), tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local at = 5
  for i = at, at + expected - 1, 2 do
    local wanted = args[i + 1]
    local found = redis.call('GETRANGE', args[i], 0, math.max(#wanted - 1, 0))
    if found ~= wanted then
      return 0
    end
  end
  at = at + expected
  for i = at, at + set - 1, 3 do
    if args[i + 2] == '0' then
      redis.call('SET', args[i], args[i + 1])
    else
      redis.call('SET', args[i], args[i + 1], 'EX', args[i + 2])
    end
  end
  at = at + set
  for i = at, at + deleted - 1 do
    redis.call('DEL', args[i])
  end
  at = at + deleted
  for i = at, at + queued - 1, 3 do
    if args[i + 2] == '' then
      redis.call('ZREM', args[i], args[i + 1])
    else
      redis.call('ZADD', args[i], args[i + 2], args[i + 1])
    end
  end
  return 1
end

redis.register_function('SAVE', save)
redis.register_function('COMMIT', commit)

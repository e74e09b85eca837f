#!lua name=LIBRARY
-- Redis functions of the streams. Flags and keys keep to Redis 7.0; each function checks first and writes last.

-- Compare-and-set of many profiles. KEYS: profiles; ARGV: for each its expected version (8 bytes, empty: absent) and its value.
-- Nothing is written unless all versions fit. Returns the number of the first key that did not fit, or 0.
local function save(keys, args)
  for i, key in ipairs(keys) do
    if redis.call('GETRANGE', key, 0, 7) ~= args[2 * i - 1] then
      return i
    end
  end
  for i, key in ipairs(keys) do
    redis.call('SET', key, args[2 * i])
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

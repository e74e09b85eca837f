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

-- The exclusive identifiers of a person disagree with one of these. Identifiers are "type:value".
local function conflicts(members, exclusive, ids)
  for _, id in ipairs(ids) do
    local kind = string.match(id, '^([^:]*):')
    if exclusive[kind] then
      for _, member in ipairs(members) do
        if string.match(member, '^([^:]*):') == kind and member ~= id then
          return true
        end
      end
    end
  end
  return false
end

-- Link the identifiers of events, one event after the other. KEYS[1]: the platform's prefix.
-- ARGV: JSON {"exclusive": {type: true}, "events": [{"ids": ["type:value", ...strongest first], "p": n, "o": n}]}.
-- Returns for each event "person" or "person,survivor:loser,...". Merges are kept in an outbox by source position.
local function link(keys, args)
  local prefix = keys[1]
  local input = cjson.decode(args[1])
  local answers = {}
  for index, event in ipairs(input.events) do
    local person, unknown, merges = nil, {}, {}
    for _, id in ipairs(event.ids) do
      local found = redis.call('GET', prefix .. ':id:' .. id)
      if not found then
        unknown[#unknown + 1] = id
      elseif not person then
        local members = redis.call('HKEYS', prefix .. ':person:' .. found)
        if not conflicts(members, input.exclusive, unknown) then
          person = found
        end
      elseif found ~= person then
        local one = redis.call('HKEYS', prefix .. ':person:' .. person)
        local two = redis.call('HKEYS', prefix .. ':person:' .. found)
        local all = {}
        for _, member in ipairs(two) do all[#all + 1] = member end
        if not conflicts(one, input.exclusive, all) and not conflicts(two, input.exclusive, unknown) then
          local survivor, loser, moved = person, found, two
          if tonumber(found) < tonumber(person) then
            survivor, loser, moved = found, person, one
          end
          for _, member in ipairs(moved) do
            redis.call('SET', prefix .. ':id:' .. member, survivor)
            redis.call('HSET', prefix .. ':person:' .. survivor, member, event.o)
          end
          redis.call('DEL', prefix .. ':person:' .. loser)
          redis.call('ZADD', prefix .. ':merges:' .. event.p, event.o, event.o .. ':' .. survivor .. ':' .. loser)
          merges[#merges + 1] = survivor .. ':' .. loser
          person = survivor
        end
      end
    end
    if not person then
      person = tostring(redis.call('INCR', prefix .. ':people'))
    end
    for _, id in ipairs(unknown) do
      if not conflicts(redis.call('HKEYS', prefix .. ':person:' .. person), input.exclusive, {id}) then
        redis.call('SET', prefix .. ':id:' .. id, person)
        redis.call('HSET', prefix .. ':person:' .. person, id, event.o)
      end
    end
    answers[index] = table.concat({person, unpack(merges)}, ',')
  end
  return answers
end

redis.register_function('SAVE', save)
redis.register_function('LINK', link)

-- Looks at one portion of the keys, and removes those of which a condition holds. Check and removal are
-- one step for the server: a key that gets a time to live in between does not exist.
--
-- ARGV: 1 cursor, 2 pattern, 3 how many keys to look at in all, 4 type or "", 5 action (UNLINK, DEL, PEXPIRE),
--       6 its milliseconds, 7 how many keys at most, 8 "1" in a cluster, then the condition: field, operator,
--       limit, …
-- The answer is {cursor, matched, found, swept, more}; more is 1 if the portion held more than was allowed.
local call = redis.call
local most, cluster = tonumber(ARGV[7]), ARGV[8] == '1'

-- In a cluster a key may be on its way to another node, which looks at it then; here it counts as absent.
if cluster then
  call = function(...)
    local r = redis.pcall(...)
    if type(r) ~= 'table' or not r.err then return r end
    if not string.find(r.err, 'non local key', 1, true) then error(r.err, 0) end
    return nil
  end
end

local function compare(op, v, limit)
  if op == '==' then return v == limit
  elseif op == '!=' then return v ~= limit
  elseif op == '<' then return v < limit
  elseif op == '<=' then return v <= limit
  elseif op == '>' then return v > limit end
  return v >= limit
end

-- onlyEndless: the commonest condition, ttl == -1 alone, without the detour.
local onlyEndless = #ARGV == 11 and ARGV[9] == 'ttl' and ARGV[10] == '==' and ARGV[11] == '-1'

local function holds(key)
  for i = 9, #ARGV, 3 do
    local field, op, limit = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
    if field == 'ttl' then
      local v = call('PTTL', key)
      if v == -2 or not v then return false end
      if limit == -1 then
        if (v == -1) ~= (op == '==') then return false end
      elseif v == -1 or not compare(op, v, limit) then
        return false
      end
    else
      local v
      if field == 'idle' then v = call('OBJECT', 'IDLETIME', key) else v = call('MEMORY', 'USAGE', key) end
      if not v or not compare(op, v, limit) then return false end
    end
  end
  return true
end

-- Markers are never swept: they prove what other steps have done.
local first = string.sub(ARGV[2], 1, 1)
local markers = first == 'h' or first == '*' or first == '?' or first == '[' or first == '\\'

local cursor, left, matched, found, swept, more = ARGV[1], tonumber(ARGV[3]), 0, 0, 0, 0

-- The server makes a list of all keys that one SCAN looks at; several short ones are quicker than a long one.
local function scan(count)
  if ARGV[4] == '' then return call('SCAN', cursor, 'MATCH', ARGV[2], 'COUNT', count) end
  return call('SCAN', cursor, 'MATCH', ARGV[2], 'COUNT', count, 'TYPE', ARGV[4])
end

local function act(chosen, n)
  if ARGV[5] == 'PEXPIRE' then
    for i = 1, n do swept = swept + (call('PEXPIRE', chosen[i], ARGV[6]) or 0) end
  elseif cluster then -- one command takes keys of one slot only
    for i = 1, n do swept = swept + (call(ARGV[5], chosen[i]) or 0) end
  else
    for i = 1, n, 5000 do swept = swept + call(ARGV[5], unpack(chosen, i, math.min(i + 4999, n))) end
  end
end

repeat
  local count = math.min(left, 1000)
  local reply = scan(count)
  local keys, chosen, n = reply[2], {}, 0
  for i = 1, #keys do
    local key = keys[i]
    if not (markers and string.sub(key, 1, 10) == 'handrail:{') then
      matched = matched + 1
      local yes
      if onlyEndless then yes = call('PTTL', key) == -1 else yes = holds(key) end
      if yes then
        if found >= most then more = 1 break end
        n, found = n + 1, found + 1
        chosen[n] = key
      end
    end
  end
  act(chosen, n)
  cursor, left = reply[1], left - count
until cursor == '0' or left <= 0 or more == 1
return {cursor, matched, found, swept, more}

-- Runs commands, or a script, exactly once. Redis runs a script as one step but rolls nothing back, so the
-- marker says how far it came: begun, then done; or begun with an error and a count.
--
-- KEYS: 1 the marker, 2 the key by which the marker is found when only the token is known (the same key
--       when the marker has no hash tag of its own), then the keys of the step.
-- ARGV: 1 epoch, 2 attempt, 3 sender, 4 seconds to keep the marker, 5 largest result to store in it,
--       6 "1" if an absent marker proves nothing, else "0"; behind it " key run fence process" of each lock that this
--         process must still have, 7 "commands" or "script", 8.. the commands or the script.
--
-- The answer is {verdict, result, error, applied, epoch}. Verdicts: done, begun, stale, fenced, absent,
-- failed (nothing was changed, and no marker is left), unlocked.
local marker, pointer = KEYS[1], KEYS[2]
local epoch, attempt, sender, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[5])
local rcall, rpcall = redis.call, redis.pcall

local function fields()
  local f = rcall('HMGET', marker, 'state', 'epoch', 'fenced', 'result', 'error', 'applied', 'attempt')
  return f[1], tonumber(f[2] or 0), f[3] or '', f[4] or '', f[5] or '', tonumber(f[6] or 0), tonumber(f[7] or 0)
end

local state, since, fence, kept, failure, count, tried = fields()
if state then
  if since > epoch then return {'stale', '', '', 0, since} end
  if state == 'done' then return {state, kept, failure, count, since} end
  -- A later attempt than the one that only began: a person, or the step's own probe, has said that it may
  -- be made again.
  if state == 'begun' and tried >= attempt then return {state, kept, failure, count, since} end
  if string.find(fence, '|' .. sender .. '|', 1, true) then return {'fenced', '', '', 0, since} end
elseif string.sub(ARGV[6], 1, 1) == '1' then
  return {'absent', '', '', 0, 0}
end

for key, run, turn, by in string.gmatch(ARGV[6], ' (%S+) (%S+) (%S+) (%S+)') do
  local now = rcall('HMGET', key, 'run', 'fence', 'by')
  if now[1] ~= run or now[2] ~= turn or now[3] ~= by then return {'unlocked', '', '', 0, 0} end
end

-- pack writes a reply as text that keeps its types; the other end is unpack in Go.
local function pack(v, depth)
  if depth > 60 then return 'n' end
  local t = type(v)
  if t == 'number' then
    if v == math.floor(v) and v > -1e18 and v < 1e18 then return 'i' .. string.format('%.0f', v) .. ';' end
    return 'd' .. string.format('%.17g', v) .. ';'
  elseif t == 'string' then
    return 's' .. #v .. ':' .. v
  elseif t == 'boolean' then
    return v and 'i1;' or 'n'
  elseif t ~= 'table' then
    return 'n'
  end
  local out = {}
  local function add(x) out[#out + 1] = pack(x, depth + 1) end
  if type(v.err) == 'string' then return 'e' .. #v.err .. ':' .. v.err end
  if type(v.ok) == 'string' then return 's' .. #v.ok .. ':' .. v.ok end
  if v.double then return pack(v.double, depth + 1) end
  if v.big_number then return pack(tostring(v.big_number), depth + 1) end
  if type(v.map) == 'table' then
    for k, x in pairs(v.map) do add(k) add(x) end
    return 'm' .. #out / 2 .. ':' .. table.concat(out)
  elseif type(v.set) == 'table' then
    for k in pairs(v.set) do add(k) end
  else
    local i = 1
    while v[i] ~= nil do add(v[i]) i = i + 1 end
  end
  return 'l' .. #out .. ':' .. table.concat(out)
end

local function message(e)
  if type(e) == 'table' then return tostring(e.err or 'an error without words') end
  return tostring(e)
end

local function begin()
  rcall('HSET', marker, 'state', 'begun', 'epoch', epoch, 'attempt', attempt, 'sender', sender, 'applied', 0)
  rcall('HDEL', marker, 'fenced', 'error', 'result')
  rcall('EXPIRE', marker, ARGV[4])
  if pointer ~= marker then rcall('SET', pointer, marker, 'EX', ARGV[4]) end
end

-- stopped ends in an error. If only reads came before it, nothing was changed and the marker goes, so
-- that the step can be tried again.
local function stopped(e, applied, wrote)
  if not wrote then
    rcall('DEL', marker)
    if pointer ~= marker then rcall('DEL', pointer) end
    return {'failed', '', message(e), applied, epoch}
  end
  begin()
  rcall('HSET', marker, 'error', message(e), 'applied', applied)
  return {'begun', '', message(e), applied, epoch}
end

local function finished(v, applied)
  local result = pack(v, 0)
  local stored = result
  if #result > limit then stored = 'x' .. #result .. ';' end
  -- All fields again: the step itself may have removed the marker.
  begin()
  rcall('HSET', marker, 'state', 'done', 'result', stored, 'applied', applied)
  return {'done', result, '', applied, epoch}
end

if ARGV[7] == 'commands' then
  begin()
  local results, wrote, at, n = {}, false, 8, 0
  while at <= #ARGV do
    local reading, words = ARGV[at] == 'r', tonumber(ARGV[at + 1])
    local r = rpcall(unpack(ARGV, at + 2, at + 1 + words))
    if type(r) == 'table' and r.err then return stopped(r, n, wrote) end
    if not reading then wrote = true end
    n = n + 1
    results[n] = r
    at = at + 2 + words
  end
  return finished(results, n)
end

-- ARGV: 8 the script, 9 the names of commands that only read, 10 the number of the database, then the
-- script's own arguments.
local names, calls = {}, 0
local function told(f)
  return function(...)
    local r = f(...)
    if not (type(r) == 'table' and r.err) then
      calls = calls + 1
      names[string.upper(tostring((...)))] = true
    end
    return r
  end
end
local inside = {call = told(rcall), pcall = told(rpcall)}
for k, v in pairs(redis) do if not inside[k] then inside[k] = v end end

local function wrote()
  for name in pairs(names) do
    if not string.find(ARGV[9], ' ' .. name .. ' ', 1, true) then return true end
  end
  return false
end

local body, wrong = loadstring('local KEYS, ARGV, redis, server = ... ' .. ARGV[8], '@script')
if not body then return {'failed', '', message(wrong), 0, epoch} end
local keys, args = {}, {}
for i = 3, #KEYS do keys[i - 2] = KEYS[i] end
for i = 11, #ARGV do args[i - 10] = ARGV[i] end
begin()
local ok, r = pcall(body, keys, args, inside, inside)
-- A script that went to another database must not leave the marker there.
if string.find(string.lower(ARGV[8]), 'select', 1, true) then rcall('SELECT', ARGV[10]) end
if not ok then return stopped(r, calls, wrote()) end
if type(r) == 'table' and r.err then return stopped(r, calls, wrote()) end
return finished(r, calls)

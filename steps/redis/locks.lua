-- The locks of runs. Each is a hash without an expiry; it belongs to a run, and nothing that ends frees it. A key that
-- does expire shows that a process drives the run.
--
-- The fence does not say whose it is: where a failover has lost a lock as it was, another process of the same run, with a
-- copy of its state folder, has got the same one. So a lock also says which process took it.
--
-- KEYS: 1 the set of all names, 2 the sign of life of the run, then the locks.
-- ARGV: 1 what to do, 2 the run, 3 this process, 4 how long a sign of life lasts in ms, then per lock as said below.
-- The answer is {word, index of the lock it is about, ...}.
local what, run, me, life = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local rcall = redis.call

local function about(i)
  local f = rcall('HMGET', KEYS[i + 2], 'run', 'fence', 'owner', 'by')
  return f[1] or '', tonumber(f[2] or 0), f[3] or '', f[4] == me
end

if what == 'take' then
  -- ARGV: 5 the owner, 6 "1" if another process of the run is known to be dead, 7.. "run fence" of the holder that is
  -- known to be over, or nothing.
  local n = #KEYS - 2
  local other = rcall('GET', KEYS[2])
  if other and other ~= me and ARGV[6] ~= '1' then return {'alive', 1, '', '0', ''} end
  for i = 1, n do
    local holder, fence, owner = about(i)
    if holder ~= '' and holder ~= run and ARGV[6 + i] ~= holder .. ' ' .. string.format('%.0f', fence) then
      return {'taken', i, holder, string.format('%.0f', fence), owner}
    end
  end
  local out = {'ok', 0}
  for i = 1, n do
    rcall('HSET', KEYS[i + 2], 'run', run, 'owner', ARGV[5], 'by', me)
    out[i + 2] = rcall('HINCRBY', KEYS[i + 2], 'fence', 1)
    rcall('SADD', KEYS[1], KEYS[i + 2])
  end
  rcall('SET', KEYS[2], me, 'PX', life)
  return out
end

if what == 'held' then
  -- ARGV: 5.. the fence of each lock.
  for i = 1, #KEYS - 2 do
    local holder, fence, owner, mine = about(i)
    if holder ~= run or fence ~= tonumber(ARGV[4 + i]) or not mine then return {'lost', i, holder, string.format('%.0f', fence), owner} end
  end
  rcall('SET', KEYS[2], me, 'PX', life)
  return {'ok', 0}
end

if what == 'free' then
  -- ARGV: 5.. the fence of each lock. "unlock" frees only what no process has in hand.
  for i = 1, #KEYS - 2 do
    local holder, fence, _, mine = about(i)
    if holder == run and fence == tonumber(ARGV[4 + i]) and mine then rcall('HSET', KEYS[i + 2], 'run', '', 'owner', '') end
  end
  if rcall('GET', KEYS[2]) == me then rcall('DEL', KEYS[2]) end
  return {'ok', 0}
end

if what == 'leave' then
  if rcall('GET', KEYS[2]) == me then rcall('DEL', KEYS[2]) end
  return {'ok', 0}
end

if what == 'unlock' then
  if rcall('EXISTS', KEYS[2]) == 1 then return {'alive', 1, '', '0', ''} end
  for i = 1, #KEYS - 2 do
    local holder, fence = about(i)
    if holder == run and fence == tonumber(ARGV[4 + i]) then rcall('HSET', KEYS[i + 2], 'run', '', 'owner', '') end
  end
  return {'ok', 0}
end
return {'unknown', 0}

-- Asks the marker what became of an attempt, and makes sure that an attempt that is still on its way
-- cannot begin any more: one of an older epoch, or of the senders named here.
--
-- KEYS: 1 the marker, 2 its pointer. ARGV: 1 epoch, 2 senders as |a|b|, 3 seconds to keep the fence.
-- The answer is {verdict, result, error, applied, epoch}: done, begun, stale, absent.
local marker, epoch = KEYS[1], tonumber(ARGV[1])
local f = redis.call('HMGET', marker, 'state', 'epoch', 'fenced', 'result', 'error', 'applied')
local state, since = f[1], tonumber(f[2] or 0)
if state and since > epoch then return {'stale', '', '', 0, since} end
if state and state ~= 'fenced' then
  return {state, f[4] or '', f[5] or '', tonumber(f[6] or 0), since}
end
redis.call('HSET', marker, 'state', 'fenced', 'epoch', epoch, 'fenced', (f[3] or '') .. ARGV[2])
redis.call('EXPIRE', marker, ARGV[3])
return {'absent', '', '', 0, epoch}

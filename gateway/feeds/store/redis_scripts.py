"""The rules of `gateway.feeds.store.rules` for Redis and Valkey: one atomic script for each step.

The keys of a feed have one hash tag, and so has the stream of news, so that a cluster keeps them together:

- `m`, a hash: the record without its entries.
- `s`, a stream: the entries. The id is the epoch in decimal, and the number.
- `k`, a hash, and `z`, a sorted set: the newest message of each key, and its number.

The time is the server's own, so that the clocks of the processes do not matter.
"""

from __future__ import annotations

from typing import Final

_NOW: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

LEAD: Final = (
    _NOW
    + """
local m, s, k, z, news = unpack(KEYS)
local holder, run, epoch, number, new_epoch, new_decimal, lease, fresh, anew, keep, name = unpack(ARGV)
local r = redis.call('HMGET', m, 'run', 'epoch', 'n', 'fence', 'holder', 'until', 'ended')
number, lease = tonumber(number), tonumber(lease)
local n, fence, ends = tonumber(r[3] or 0), tonumber(r[4] or 0), tonumber(r[6] or 0)
local begins = not r[2] or r[1] ~= run or r[2] < epoch or (r[2] == epoch and n < number)
    or (r[7] == '1' and fresh == '1')
if r[2] and r[7] ~= '1' and anew == '1' and (r[5] == holder or ends <= now) then begins = true end
if begins and r[2] and r[2] >= new_epoch then return {0, fence, r[2], n, 0} end
for _, each in ipairs({m, s, k, z}) do redis.call('PEXPIRE', each, keep, 'GT') end
if begins then
  redis.call('DEL', s, k, z)
  redis.call('HSET', m, 'run', run, 'epoch', new_epoch, 'decimal', new_decimal, 'n', 0, 'ended', 0,
    'initial', '', 'bytes', 0, 'every', 1, 'fence', fence + 1, 'holder', holder, 'until', now + lease)
  redis.call('PEXPIRE', m, keep)
  redis.call('XADD', news, 'MAXLEN', '~', 1000, '*', 'f', name)
  return {1, fence + 1, new_epoch, 0, 0}
end
if r[7] == '1' then return {0, fence, r[2], n, lease} end
if r[5] ~= holder and ends > now then
  redis.call('HSET', m, 'wanted', now + lease)
  return {0, fence, r[2], n, ends - now}
end
if r[5] ~= holder then fence = fence + 1 end
redis.call('HSET', m, 'fence', fence, 'holder', holder, 'until', now + lease)
return {1, fence, r[2], n, 0}
"""
)

APPEND: Final = (
    _NOW
    + """
local m, s, k, z = unpack(KEYS)
local holder, run, fence, epoch, lease, after = unpack(ARGV, 1, 6)
local max_entries, max_bytes, max_age = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local r = redis.call('HMGET', m, 'run', 'holder', 'fence', 'epoch', 'n', 'bytes', 'decimal', 'wanted')
if not r[4] or r[1] ~= run then return {'lost', 0, 0} end
local n = tonumber(r[5])
if r[2] ~= holder or r[3] ~= fence or r[4] ~= epoch then return {'stale', n, 0} end
if n < tonumber(after) then return {'lost', n, 0} end
local bytes = tonumber(r[6])
for i = 10 + 4 * (n - tonumber(after)), #ARGV, 4 do
  local kind, key, data, initial = unpack(ARGV, i, i + 3)
  if initial ~= '' then redis.call('HSET', m, 'initial', initial) end
  n = n + 1
  if kind == 'r' then
    redis.call('DEL', k, z)
    redis.call('HSET', m, 'every', 1)
  end
  redis.call('HSET', m, 'ended', kind == 'e' and 1 or 0)
  redis.call('XADD', s, r[7] .. '-' .. string.format('%d', n), 'k', kind, 'd', data, 't', now, 'i', initial)
  bytes = bytes + 64 + #data
  if key ~= '' then
    redis.call('HSET', k, key, string.format('%d', n) .. ':' .. data)
    redis.call('ZADD', z, n, key)
    if redis.call('ZCARD', z) > max_entries then
      redis.call('HDEL', k, redis.call('ZPOPMIN', z)[1])
      redis.call('HSET', m, 'every', 0)
    end
  end
end
local length = redis.call('XLEN', s)
while length > 1 do
  local oldest = redis.call('XRANGE', s, '-', '+', 'COUNT', 1)[1]
  if length <= max_entries and bytes <= max_bytes and oldest[2][6] + max_age > now then break end
  redis.call('XDEL', s, oldest[1])
  bytes = bytes - 64 - #oldest[2][4]
  length = length - 1
end
redis.call('HSET', m, 'n', n, 'bytes', bytes, 'until', now + lease)
for _, each in ipairs({m, s, k, z}) do redis.call('PEXPIRE', each, max_age) end
return {'done', n, tonumber(r[8] or 0) > now and 1 or 0}
"""
)

LEAVE: Final = """
local r = redis.call('HMGET', KEYS[1], 'holder', 'fence')
if r[1] ~= ARGV[1] or r[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'holder', '', 'until', 0)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'f', ARGV[3])
return 1
"""

LOAD: Final = """
local r = redis.call('HMGET', KEYS[1], 'epoch', 'n', 'initial', 'every')
if not r[1] then return {} end
return {r[1], tonumber(r[2]), r[3], tonumber(r[4]), redis.call('XRANGE', KEYS[2], '-', '+'),
  redis.call('HGETALL', KEYS[3])}
"""

COMMANDS: Final = (
    "evalsha script|load time hmget hset hdel hgetall del pexpire xadd xdel xlen xrange xrevrange xread zadd"
    " zcard zpopmin info client|id client|unblock select ping"
)
"""Commands that the user of the store needs, with those of the scripts, and those of connections."""

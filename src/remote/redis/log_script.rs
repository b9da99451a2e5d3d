//! The Lua script of the log of purges.

/// How many members of the log the script should read at most. Through Lua a member costs the server 1.2 µs, ten
/// times as much as by a command of its own.
pub(super) const MOST_MEMBERS: u32 = 1_024;

/// Appends to the log and reads what follows a position. Before it adds anything it removes
/// something, so that it may write on a full server.
///
/// The log is one sorted set, so that a server cannot lose a part of it only. Its members, by their
/// first byte, and their scores:
///
/// | Member | Score |
/// |-|-|
/// | `R`, a row of 17 bytes | its number |
/// | `T`, the token of an append, 8 bytes | the number of its last row |
/// | `F` | -2 - floor: rows below the floor are removed, those at it are not yet |
/// | `I`, the id of the log, 8 bytes, and the replication id of the server | -1 |
///
/// A new id takes a number of its own, so that tokens of the time before are not at the same one. A
/// server that may not be asked for its replication id is taken for the one that there was.
///
/// Arguments: a new id, a new token, how many numbers are kept; the position: id (empty for none),
/// number, token; how many members are read; then the rows to append.
///
/// Answer: the code of the continuity, id, last number and its token, floor, from where on to read,
/// and the members and scores from there; nil for these if they are too many.
pub(super) const SYNC_LOG: &str = r"
local key, id, token, keep = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local at_id, at, at_token, most = ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
local mark, seq, head, floor

local function trim()
  if seq - keep <= floor then return end
  floor = seq - keep
  redis.call('ZREMRANGEBYSCORE', key, 0, string.format('(%.0f', floor))
  redis.call('ZADD', key, -2 - floor, 'F')
end

local function find()
  if redis.call('TYPE', key).ok ~= 'zset' then return false end
  local marks = redis.call('ZRANGEBYSCORE', key, -1, -1, 'LIMIT', 0, 2)
  local low = tonumber(redis.call('ZSCORE', key, 'F'))
  local top = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
  mark, seq = marks[1], math.max(tonumber(top[2]), 0)
  if #marks ~= 1 or #mark < 9 or string.sub(mark, 1, 1) ~= 'I' then return false end
  if seq > 2 ^ 52 or seq % 1 ~= 0 or not low or low % 1 ~= 0 then return false end
  floor = -2 - low
  if floor < 0 or floor > seq then return false end
  head = seq == 0 and string.rep('\0', 8)
  for _, last in ipairs(redis.call('ZRANGEBYSCORE', key, seq, seq, 'LIMIT', 0, 4)) do
    if #last == 9 and string.sub(last, 1, 1) == 'T' then head = string.sub(last, 2) end
  end
  if not head then return false end
  trim()
  return redis.call('ZCARD', key) <= 2 * keep + 4
end

if not find() then
  mark, seq, head, floor = 'I' .. id .. server, 0, string.rep('\0', 8), 0
  redis.call('UNLINK', key)
  redis.call('ZADD', key, -1, mark, -2, 'F')
end
local current, known = string.sub(mark, 2, 9), string.sub(mark, 10)
local is_own = at_id == current
local is_lost = is_own and at > 0 and at >= floor
  and tonumber(redis.call('ZSCORE', key, 'T' .. at_token)) ~= at
if is_lost or known ~= server and known ~= '' and server ~= '' then
  if is_own then seq = math.max(seq, at) end
  seq, head, current = seq + 1, token, id
  redis.call('ZREM', key, mark)
  redis.call('ZADD', key, -1, 'I' .. id .. (server ~= '' and server or known), seq, 'T' .. token)
elseif known == '' and server ~= '' then
  redis.call('ZREM', key, mark)
  redis.call('ZADD', key, -1, mark .. server)
end
local before = seq
for index = 8, #ARGV do
  seq = seq + 1
  redis.call('ZREM', key, 'R' .. ARGV[index])
  redis.call('ZADD', key, seq, 'R' .. ARGV[index])
end
if seq > before then
  head = token
  redis.call('ZADD', key, seq, 'T' .. token)
end
trim()
local follows, from = 1, 0
if at_id == '' then follows = 3
elseif at_id ~= current then follows = 2
elseif at < floor then follows = 4
else from = at end
local range = string.format('(%.0f', from)
local members = false
if redis.call('ZCOUNT', key, range, '+inf') <= most then
  members = redis.call('ZRANGEBYSCORE', key, range, '+inf', 'WITHSCORES')
end
return {follows, current, seq, head, floor, from, members}
";

/// The codes of a continuity.
pub(super) const CONTINUOUS: u64 = 1;
pub(super) const REPLACED: u64 = 2;
pub(super) const FIRST: u64 = 3;
pub(super) const GAP: u64 = 4;

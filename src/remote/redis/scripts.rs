//! The Lua scripts: operations that the server must carry out as one step. That of the log of purges
//! is in `log_script`.
//!
//! A stored value begins with four bytes for its kind, then the epoch and the version of eight
//! bytes each. The scripts compare these, and know no more of the format, but for the kind of a
//! tombstone.

use fred::{
    clients::{Client, WithOptions},
    error::Error as FredError,
    interfaces::LuaInterface,
    types::{FromValue, Value, scripts::Script},
};

use super::log_script::SYNC_LOG;

/// The scripts, with their hashes.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) delete_if: Script,
    pub(super) delete_longer: Script,
    pub(super) extend: Script,
    pub(super) invalidate: Script,
    pub(super) put: Script,
    pub(super) put_if: Script,
    pub(super) sync_log: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            delete_if: Script::from_lua(DELETE_IF),
            delete_longer: Script::from_lua(DELETE_LONGER),
            extend: Script::from_lua(EXTEND),
            invalidate: Script::from_lua(INVALIDATE),
            put: Script::from_lua(PUT),
            put_if: Script::from_lua(PUT_IF),
            sync_log: Script::from_lua(SYNC_LOG),
        }
    }
}

/// Runs a script by its hash, and by its text where the server does not have it (any more). fred's
/// own way would load it on every server of a Cluster, and fail when one is gone.
pub(super) async fn run<R: FromValue>(
    client: &WithOptions<Client>,
    script: &Script,
    keys: Vec<String>,
    arguments: Vec<Value>,
) -> Result<R, FredError> {
    let hash = script.sha1().clone();
    match client.evalsha(hash, keys.clone(), arguments.clone()).await {
        Err(error) if error.details().starts_with("NOSCRIPT") => {
            let text = script.lua().cloned().unwrap_or_default();
            client.eval(text, keys, arguments).await
        }
        answer => answer,
    }
}

/// An answer of [`PUT_IF`].
pub(super) const STORED: i64 = 1;
/// An answer of [`PUT_IF`].
pub(super) const VERSION_CHANGED: i64 = 2;
/// An answer of [`PUT_IF`].
pub(super) const EPOCH_CHANGED: i64 = 3;

/// Sets a key if the value there has the expected stamp, and perhaps a companion with it.
/// Arguments: the expected epoch and version, the value, its expiry in milliseconds, and the same
/// two for the companion.
const PUT_IF: &str = r"
local stamp = redis.call('GETRANGE', KEYS[1], 4, 19)
if #stamp < 16 then stamp = string.rep('\0', 16) end
if string.sub(stamp, 1, 8) ~= ARGV[1] then return 3 end
if string.sub(stamp, 9, 16) ~= ARGV[2] then return 2 end
if KEYS[2] then redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6]) end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
";

/// Sets a key, even on a full server: a script that has deleted something may write.
const PUT: &str = r"
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// Sets the first key of each three, for as long as what it holds would have lived, and deletes the
/// second. The first and the third are notified, so the third is set for a moment. Arguments: the
/// shortest expiry in milliseconds, then two values for each three keys. The second value is for a
/// write that got no answer: it is set if the epoch there is the one that it ends, which its version
/// says. Otherwise the first is set, and the second key notified. Like [`PUT`] it writes on a full
/// server.
const INVALIDATE: &str = r"
for index = 1, #KEYS / 3 do
  local main, partitions, notice = KEYS[3 * index - 2], KEYS[3 * index - 1], KEYS[3 * index]
  local value, unanswered = ARGV[2 * index], ARGV[2 * index + 1]
  if unanswered ~= '' then
    local head = redis.pcall('GETRANGE', main, 0, 19)
    if head == '' then head = string.rep('\0', 20) end
    local since
    if type(head) ~= 'string' then since = nil
    elseif string.sub(head, 4, 4) == 'F' then since = string.sub(head, 13, 20)
    else since = string.sub(head, 5, 12) end
    if since == string.sub(unanswered, 13, 20) then value = unanswered else notice = partitions end
  end
  local keep = math.max(redis.call('PTTL', main), tonumber(ARGV[1]))
  redis.call('DEL', main, partitions)
  redis.call('SET', notice, '')
  redis.call('DEL', notice)
  redis.call('SET', main, value, 'PX', keep)
end
return 1
";

/// Deletes a key if it holds exactly the argument.
const DELETE_IF: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
";

/// Deletes a key if its value is longer than the argument. It may have been replaced since it was
/// found to be, and what is there by now may be a tombstone.
const DELETE_LONGER: &str = r"
if redis.call('STRLEN', KEYS[1]) > tonumber(ARGV[1]) then return redis.call('DEL', KEYS[1]) end
return 0
";

/// Sets the expiry of a key, in milliseconds, if it holds exactly the first argument.
const EXTEND: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
";

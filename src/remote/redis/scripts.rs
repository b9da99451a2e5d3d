//! The Lua scripts: what must happen on the server as one step.
//!
//! Stored values begin with four bytes that say what they are, then the epoch and the version, of
//! eight bytes each, which the scripts compare without knowing more of the format.

use fred::types::scripts::Script;

/// The scripts, with their hashes.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) discard: Script,
    pub(super) extend: Script,
    pub(super) put: Script,
    pub(super) release: Script,
    pub(super) replace: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            discard: Script::from_lua(DELETE_EQUAL),
            extend: Script::from_lua(EXPIRE_EQUAL),
            put: Script::from_lua(PUT),
            release: Script::from_lua(DELETE_EQUAL),
            replace: Script::from_lua(REPLACE),
        }
    }
}

/// What [`PUT`] answers.
pub(super) const STORED: i64 = 1;
/// What [`PUT`] answers.
pub(super) const CHANGED: i64 = 2;
/// What [`PUT`] answers.
pub(super) const FENCED: i64 = 3;

/// Keys: the value's, and perhaps one beside it. Arguments: epoch, version, value, milliseconds to
/// keep it, and the same two for what is beside it.
const PUT: &str = r"
local stamp = redis.call('GETRANGE', KEYS[1], 4, 19)
if #stamp < 16 then stamp = string.rep('\0', 16) end
if string.sub(stamp, 1, 8) ~= ARGV[1] then return 3 end
if string.sub(stamp, 9, 16) ~= ARGV[2] then return 2 end
if KEYS[2] then redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6]) end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
";

/// Sets a key, even on a server that is full: a script that has made room may take some.
const REPLACE: &str = r"
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// Deletes a key while it holds exactly the argument.
const DELETE_EQUAL: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
";

/// Gives a key that holds exactly the first argument that many milliseconds more.
const EXPIRE_EQUAL: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
";

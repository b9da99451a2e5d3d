//! What several test programs share: real servers, started and ended by the test that needs them.

pub(crate) mod cluster;
pub(crate) mod redis;
pub(crate) mod sentinels;

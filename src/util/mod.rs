//! Small tools that have nothing to do with HTTP.

pub(crate) mod expiring_set;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the settings that take such lists follow")
)]
pub(crate) mod pattern;
pub(crate) mod random;
pub(crate) mod varint;

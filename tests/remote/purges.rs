//! Purges on nodes over a real Redis: none gets what was purged, whatever becomes of Redis.

mod hostile;
mod losses;
mod pages;
mod versions;

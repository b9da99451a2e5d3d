//! Converts entries of this process to records of the shared tier, and back.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use smallvec::SmallVec;

use crate::{
    clock::Clock,
    codec::{EntryRecord, Selector},
    entry::{Arrival, Entry, HeadMeta, NameInterner, Segments},
    generation::Generation,
    semantics::{
        decide::Validity,
        freshness::{Freshness, LifetimeSource, Reuse},
        rules::LanguageOrder,
        vary::{Seed, Selecting},
    },
};

/// The size of body segments in memory, as a fill makes them.
const SEGMENT: usize = 64 * 1024;

/// When an entry's response arrived, in milliseconds since the Unix epoch.
pub(crate) fn arrived_ms(entry: &Entry, clock: &dyn Clock) -> i64 {
    let age = clock.monotonic().saturating_sub(entry.arrival().monotonic);
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    clock.wall_millis().saturating_sub(age)
}

/// The record of an entry.
pub(crate) fn pack(
    entry: &Entry,
    key: Bytes,
    arrived_ms: i64,
    selecting: Vec<Selector>,
) -> EntryRecord {
    let freshness = entry.freshness();
    EntryRecord {
        key,
        status: entry.status().as_u16(),
        headers: entry
            .fields()
            .map(|(name, value)| (name.as_str(), value))
            .collect(),
        arrived_ms,
        date: entry.arrival().date,
        lifetime: freshness.lifetime,
        initial_age: freshness.initial_age,
        stale_while_revalidate: freshness.stale_while_revalidate,
        stale_if_error: freshness.stale_if_error,
        origin: source_code(freshness.source),
        reuse: reuse_code(freshness.reuse),
        keep: u32::try_from(entry.keep().as_secs()).unwrap_or(u32::MAX),
        cost_ms: u32::try_from(entry.fetch_duration().as_millis()).unwrap_or(u32::MAX),
        selecting,
        body: entry.body().as_slice().to_vec(),
    }
}

/// What is needed in addition to a record to make an entry of this process.
pub(crate) struct UnpackContext<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) generation: Generation,
    pub(crate) order: LanguageOrder,
    /// The request that selected the record: its selecting fields equal those of the request that
    /// the response was stored for.
    pub(crate) request: &'a HeaderMap,
    pub(crate) seed: Seed,
}

/// The entry of a record. `None` if it is no longer of use, or holds what no node writes.
pub(crate) fn unpack(
    record: &EntryRecord,
    context: &UnpackContext<'_>,
    interner: &NameInterner,
) -> Option<Entry> {
    let elapsed = context
        .clock
        .wall_millis()
        .saturating_sub(record.arrived_ms);
    let elapsed = Duration::from_millis(u64::try_from(elapsed).unwrap_or(0));
    let now = context.clock.monotonic();
    let arrived = now.saturating_sub(elapsed);
    // The response may be older than this process, whose clock begins at zero. What lies before
    // that is added to the age.
    let before = elapsed.saturating_sub(now - arrived);
    let older = u32::try_from(before.as_secs() + u64::from(before.subsec_nanos() > 0));
    let keep = Duration::from_secs(record.keep.into()).checked_sub(elapsed)?;
    if keep < Duration::from_secs(1) {
        return None;
    }
    let mut names: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for selector in &record.selecting {
        names.push(HeaderName::from_bytes(&selector.name).ok()?);
    }
    let meta = HeadMeta {
        status: StatusCode::from_u16(record.status).ok()?,
        freshness: Freshness {
            initial_age: record.initial_age.saturating_add(older.unwrap_or(u32::MAX)),
            ..freshness(record)?
        },
        arrival: Arrival {
            wall: record.arrived_ms.div_euclid(1000),
            monotonic: arrived,
            date: record.date,
        },
        selecting: Selecting::record(&names, context.request, context.seed, context.order),
        generation: context.generation,
        keep,
        validity: Validity::Valid,
    };
    let cost = Duration::from_millis(record.cost_ms.into());
    let entry = Entry::read(meta, record.headers.iter(), &body(record), interner)?;
    Some(entry.with_fetch_duration(cost))
}

/// The freshness of a record when its response arrived. `None` if it holds what no node writes.
pub(super) fn freshness(record: &EntryRecord) -> Option<Freshness> {
    Some(Freshness {
        lifetime: record.lifetime,
        initial_age: record.initial_age,
        stale_while_revalidate: record.stale_while_revalidate,
        stale_if_error: record.stale_if_error,
        source: source(record.origin)?,
        reuse: reuse(record.reuse)?,
    })
}

/// A copy of the body for an entry to keep. As it was read, it would keep the whole read buffer of
/// the connection alive.
fn body(record: &EntryRecord) -> Segments {
    let parts = &record.body;
    if Entry::copies(parts.iter().map(|part| part.len() as u64).sum()) {
        return parts.iter().cloned().collect();
    }
    parts
        .iter()
        .flat_map(|part| part.chunks(SEGMENT))
        .map(Bytes::copy_from_slice)
        .collect()
}

fn source_code(source: LifetimeSource) -> u8 {
    match source {
        LifetimeSource::None => 0,
        LifetimeSource::SMaxage => 1,
        LifetimeSource::MaxAge => 2,
        LifetimeSource::Expires => 3,
        LifetimeSource::Heuristic => 4,
        LifetimeSource::Policy => 5,
    }
}

fn source(code: u8) -> Option<LifetimeSource> {
    let all = [
        LifetimeSource::None,
        LifetimeSource::SMaxage,
        LifetimeSource::MaxAge,
        LifetimeSource::Expires,
        LifetimeSource::Heuristic,
        LifetimeSource::Policy,
    ];
    all.into_iter().find(|source| source_code(*source) == code)
}

fn reuse_code(reuse: Reuse) -> u8 {
    match reuse {
        Reuse::Validate => 0,
        Reuse::WhileFresh => 1,
        Reuse::WithinWindows => 2,
        Reuse::AsRequested => 3,
    }
}

fn reuse(code: u8) -> Option<Reuse> {
    let all = [
        Reuse::Validate,
        Reuse::WhileFresh,
        Reuse::WithinWindows,
        Reuse::AsRequested,
    ];
    all.into_iter().find(|reuse| reuse_code(*reuse) == code)
}

//! Converts entries of this process to records of the shared tier, and back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

use crate::{
    clock::Clock,
    codec::{EntryRecord, Purgeable, Selector},
    entry::{Arrival, Entry, HeadMeta, NameInterner, Segments},
    generation::Generation,
    key::KeyParts,
    purge::{PurgeTime, TagLimits, Tags},
    semantics::{
        decide::Validity,
        freshness::{Freshness, LifetimeSource, Reuse},
        groups::CACHE_GROUPS,
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
    purgeable: Option<Box<Purgeable>>,
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
        origin: source_code(freshness.source, freshness.public),
        reuse: reuse_code(freshness.reuse),
        keep: u32::try_from(entry.keep().as_secs()).unwrap_or(u32::MAX),
        cost_ms: u32::try_from(entry.fetch_duration().as_millis()).unwrap_or(u32::MAX),
        selecting,
        purgeable,
        body: entry.segments().as_slice().to_vec(),
    }
}

/// What is needed in addition to a record to make an entry of this process.
pub(crate) struct UnpackContext<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) generation: Generation,
    /// What was purged later concerns the record.
    pub(crate) born: PurgeTime,
    pub(crate) tag_limits: TagLimits,
    /// No fetch takes longer than this.
    pub(crate) longest_fetch: Duration,
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
        born: context.born,
        tags: tags(record, context.tag_limits)?.map(Arc::new),
    };
    let cost = Duration::from_millis(record.cost_ms.into()).min(context.longest_fetch);
    let entry = Entry::parse(meta, record.headers.iter(), &body(record), interner)?;
    Some(entry.with_fetch_duration(cost))
}

/// The tags and groups of a record. `None` if it has more than a response may have.
fn tags(record: &EntryRecord, limits: TagLimits) -> Option<Option<Tags>> {
    let mut headers = HeaderMap::new();
    for (name, value) in record.headers.iter() {
        if name == CACHE_GROUPS.as_str().as_bytes() {
            headers.append(CACHE_GROUPS, HeaderValue::from_bytes(value).ok()?);
        }
    }
    let named = record.purgeable.iter().flat_map(|it| &it.tags);
    let key = KeyParts::parse(&record.key)?;
    Tags::of(&headers, named.map(|tag| &**tag), key, limits).ok()
}

/// The freshness of a record when its response arrived. `None` if it holds what no node writes.
pub(super) fn freshness(record: &EntryRecord) -> Option<Freshness> {
    let (source, public) = source(record.origin)?;
    Some(Freshness {
        lifetime: record.lifetime,
        initial_age: record.initial_age,
        stale_while_revalidate: record.stale_while_revalidate,
        stale_if_error: record.stale_if_error,
        source,
        reuse: reuse(record.reuse)?,
        public,
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

/// The code of a lifetime's source. Where the source alone does not say whether the response may
/// answer every request, `public` has codes of its own. A node that does not know them takes the
/// response for absent; a value that was written before there were any counts as not public.
fn source_code(source: LifetimeSource, public: bool) -> u8 {
    match (source, public) {
        (LifetimeSource::None, _) => 0,
        (LifetimeSource::SMaxage, _) => 1,
        (LifetimeSource::MaxAge, _) => 2,
        (LifetimeSource::Expires, _) => 3,
        (LifetimeSource::Heuristic, false) => 4,
        (LifetimeSource::Policy, false) => 5,
        (LifetimeSource::Heuristic, true) => 6,
        (LifetimeSource::Policy, true) => 7,
    }
}

fn source(code: u8) -> Option<(LifetimeSource, bool)> {
    let all = [
        (LifetimeSource::None, false),
        (LifetimeSource::SMaxage, false),
        (LifetimeSource::MaxAge, false),
        (LifetimeSource::Expires, false),
        (LifetimeSource::Heuristic, false),
        (LifetimeSource::Policy, false),
        (LifetimeSource::Heuristic, true),
        (LifetimeSource::Policy, true),
    ];
    all.into_iter()
        .find(|(source, public)| source_code(*source, *public) == code)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of a release stay what they were: nodes of several releases share values.
    #[test]
    fn a_code_keeps_its_meaning() {
        use LifetimeSource::{Expires, Heuristic, MaxAge, None as Nothing, Policy, SMaxage};
        let codes = [
            (Nothing, false),
            (SMaxage, false),
            (MaxAge, false),
            (Expires, false),
            (Heuristic, false),
            (Policy, false),
            (Heuristic, true),
            (Policy, true),
        ];
        for (code, (from, public)) in (0..).zip(codes) {
            assert_eq!(source(code), Some((from, public)), "{code}");
            assert_eq!(source_code(from, public), code);
        }
        // Where the origin gave the lifetime, `public` does not matter.
        assert_eq!(source_code(MaxAge, true), source_code(MaxAge, false));
        assert_eq!(source(8), None);
    }
}

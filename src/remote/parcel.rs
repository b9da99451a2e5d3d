//! Stored responses as other nodes read them: from an entry to a parcel, and back.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    clock::Clock,
    entry::{Arrival, Entry, HeadMeta, NameInterner, Segments},
    generation::Generation,
    semantics::{
        decide::Standing,
        freshness::{Freshness, LifetimeSource, Reuse},
        rules::LanguageOrder,
        vary::{self, Seed, Selecting},
    },
    store::{Parcel, Selector},
};

/// Segments of a body in memory, as a fill makes them.
const SEGMENT: usize = 64 * 1024;

/// A request's selecting fields as the nodes compare them: by a hash that needs no secret, for
/// nobody can find two values with the same.
pub(super) struct Shown<'a> {
    request: &'a HeaderMap,
    order: LanguageOrder,
    known: SmallVec<[(Bytes, Option<u128>); 2]>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(request: &'a HeaderMap, order: LanguageOrder) -> Self {
        Self {
            request,
            order,
            known: SmallVec::new(),
        }
    }

    /// What a response to this request that varies on these fields was selected by.
    pub(super) fn selectors<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n HeaderName>,
    ) -> Vec<Selector> {
        let selector = |name: &HeaderName| {
            let name = Bytes::copy_from_slice(name.as_str().as_bytes());
            Selector {
                value: self.value(&name),
                name,
            }
        };
        names.into_iter().map(selector).collect()
    }

    /// Whether a variant that was selected by these answers the request.
    pub(super) fn matches(&mut self, selectors: &[Selector]) -> bool {
        selectors
            .iter()
            .all(|selector| self.value(&selector.name) == selector.value)
    }

    fn value(&mut self, name: &Bytes) -> Option<u128> {
        if let Some((_, value)) = self.known.iter().find(|(known, _)| known == name) {
            return *value;
        }
        let field = HeaderName::from_bytes(name).ok();
        let value = field
            .and_then(|field| vary::normal_value(&field, self.request, self.order))
            .map(|value| {
                let digest: [u8; 32] = Sha256::digest(&value).into();
                let (half, _) = digest.split_at(16);
                half.iter()
                    .fold(0, |hash, byte| hash << 8 | u128::from(*byte))
            });
        self.known.push((name.clone(), value));
        value
    }
}

/// Tells a variant from its siblings: the same for every response it ever has. `None` for a
/// response without siblings.
pub(super) fn variant_of(selectors: &[Selector]) -> Option<u64> {
    if selectors.is_empty() {
        return None;
    }
    let mut told = Vec::new();
    for Selector { name, value } in selectors {
        told.extend_from_slice(name);
        // NUL is in no field name, so names end unambiguously.
        told.push(0);
        told.push(u8::from(value.is_some()));
        told.extend_from_slice(&value.unwrap_or_default().to_be_bytes());
    }
    Some(xxh3_64(&told))
}

/// Milliseconds since the Unix epoch at which an entry's response arrived.
pub(super) fn arrived_ms(entry: &Entry, clock: &dyn Clock) -> i64 {
    let age = clock.monotonic().saturating_sub(entry.arrival().monotonic);
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    clock.wall_millis().saturating_sub(age)
}

pub(super) fn pack(entry: &Entry, key: Bytes, arrived_ms: i64, selecting: Vec<Selector>) -> Parcel {
    let freshness = entry.freshness();
    Parcel {
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

/// What a parcel needs to become an entry of this process.
pub(super) struct Here<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) generation: Generation,
    pub(super) order: LanguageOrder,
    /// The request that selected it: its selecting fields stand for those it was stored with.
    pub(super) request: &'a HeaderMap,
    pub(super) seed: Seed,
}

/// The entry of a parcel. `None` if it is past its use, or says what no node writes.
pub(super) fn unpack(parcel: &Parcel, here: &Here<'_>, shapes: &NameInterner) -> Option<Entry> {
    let elapsed = here.clock.wall_millis().saturating_sub(parcel.arrived_ms);
    let elapsed = Duration::from_millis(u64::try_from(elapsed).unwrap_or(0));
    let now = here.clock.monotonic();
    let arrived = now.saturating_sub(elapsed);
    // This process may be younger than the response: what its clock cannot hold counts as age.
    let before = elapsed.saturating_sub(now - arrived);
    let older = u32::try_from(before.as_secs() + u64::from(before.subsec_nanos() > 0));
    let keep = Duration::from_secs(parcel.keep.into()).checked_sub(elapsed)?;
    if keep < Duration::from_secs(1) {
        return None;
    }
    let mut names: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for selector in &parcel.selecting {
        names.push(HeaderName::from_bytes(&selector.name).ok()?);
    }
    let terms = HeadMeta {
        status: StatusCode::from_u16(parcel.status).ok()?,
        freshness: Freshness {
            lifetime: parcel.lifetime,
            initial_age: parcel.initial_age.saturating_add(older.unwrap_or(u32::MAX)),
            stale_while_revalidate: parcel.stale_while_revalidate,
            stale_if_error: parcel.stale_if_error,
            source: source(parcel.origin)?,
            reuse: reuse(parcel.reuse)?,
        },
        arrival: Arrival {
            wall: parcel.arrived_ms.div_euclid(1000),
            monotonic: arrived,
            date: parcel.date,
        },
        selecting: Selecting::record(&names, here.request, here.seed, here.order),
        generation: here.generation,
        keep,
        standing: Standing::Valid,
    };
    let cost = Duration::from_millis(parcel.cost_ms.into());
    let entry = Entry::read(terms, parcel.headers.iter(), &body(parcel), shapes)?;
    Some(entry.with_fetch_duration(cost))
}

/// The body, for an entry to keep: as read, it keeps the connection's whole read buffer alive.
fn body(parcel: &Parcel) -> Segments {
    let parts = &parcel.body;
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

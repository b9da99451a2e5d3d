//! The lists of header names that entries share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderName;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::semantics::vary::Selecting;

/// Fields that an answer may add to the stored ones: `Age`, `X-Cache` and `Cache-Status`.
pub(super) const ADDED_FIELDS: usize = 3;

/// Fields that an entry may have at most: as many as a `HeaderMap` takes with those that an answer
/// adds.
pub(super) const MOST_FIELDS: usize = 24_576 - ADDED_FIELDS;

/// NameInterner remembered at once; past it the table starts anew, and old shapes live on in entries.
const MAX_SHAPES: usize = 1024;

/// Lists of header names, one copy for all the entries that share one.
#[derive(Debug, Default)]
pub(crate) struct NameInterner {
    known: Mutex<HashMap<u64, Arc<[HeaderName]>>>,
}

impl NameInterner {
    /// The list of these names.
    pub(super) fn intern<'n>(
        &self,
        names: impl Iterator<Item = &'n HeaderName> + Clone,
    ) -> Arc<[HeaderName]> {
        let texts = names.clone().map(|name| name.as_str().as_bytes());
        match self.find(texts) {
            Found::Shape(shape) => shape,
            Found::Unknown(hash) => {
                let shape: Arc<[HeaderName]> = names.map(compact).collect();
                let mut known = self.known();
                if known.len() >= MAX_SHAPES {
                    known.clear();
                }
                known.insert(hash, Arc::clone(&shape));
                shape
            }
        }
    }

    /// The same for names that are bytes. `None` if one of them is no name (RFC 9110 §5.1), or they
    /// are too many.
    pub(super) fn parse<'n>(
        &self,
        names: impl Iterator<Item = &'n [u8]> + Clone,
    ) -> Option<Arc<[HeaderName]>> {
        // Names that are those of a known shape to the byte are names.
        if let Found::Shape(shape) = self.find(names.clone()) {
            return Some(shape);
        }
        let mut parsed = Vec::new();
        for name in names {
            if parsed.len() == MOST_FIELDS {
                return None;
            }
            parsed.push(HeaderName::from_bytes(name).ok()?);
        }
        Some(self.intern(parsed.iter()))
    }

    /// What an entry was selected by, with its list of names shared.
    pub(super) fn share_names(&self, selecting: &Selecting) -> Selecting {
        selecting.sharing_names(|names| self.intern(names.iter()))
    }

    fn find<'n>(&self, names: impl Iterator<Item = &'n [u8]> + Clone) -> Found {
        let mut text: SmallVec<[u8; 240]> = SmallVec::new();
        for name in names.clone() {
            text.extend_from_slice(name);
            text.push(b'\n');
        }
        if text.is_empty() {
            // Costs nothing to make.
            return Found::Shape(Arc::default());
        }
        let hash = xxh3_64(&text);
        let known = self.known();
        match known.get(&hash) {
            Some(shape) if shape.iter().map(|name| name.as_str().as_bytes()).eq(names) => {
                Found::Shape(Arc::clone(shape))
            }
            _ => Found::Unknown(hash),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Arc<[HeaderName]>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is among the shapes.
enum Found {
    Shape(Arc<[HeaderName]>),
    /// None with this hash and these names.
    Unknown(u64),
}

/// The same name in memory of its own: one that came off the wire keeps its read buffer alive.
fn compact(name: &HeaderName) -> HeaderName {
    // The bytes are those of a valid name.
    HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone())
}

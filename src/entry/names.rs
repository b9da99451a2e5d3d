//! Interns lists of header names, so that entries with the same fields share one list.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderName;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::semantics::vary::Selecting;

/// How many fields an answer may add to the stored ones: `Age`, `X-Cache` and `Cache-Status`.
pub(super) const ADDED_FIELDS: usize = 3;

/// How many fields an entry may have: as many as fit into a `HeaderMap` together with the fields
/// that an answer adds.
pub(super) const MAX_FIELDS: usize = 24_576 - ADDED_FIELDS;

/// How many lists are interned at once. When there are more, the table is cleared; entries keep the
/// lists that they have.
const MAX_LISTS: usize = 1024;

/// Lists of header names, each shared by all entries that have exactly these fields.
#[derive(Debug, Default)]
pub(crate) struct NameInterner {
    lists: Mutex<HashMap<u64, Arc<[HeaderName]>>>,
}

impl NameInterner {
    /// The shared list of these names.
    pub(super) fn intern<'n>(
        &self,
        names: impl Iterator<Item = &'n HeaderName> + Clone,
    ) -> Arc<[HeaderName]> {
        let texts = names.clone().map(|name| name.as_str().as_bytes());
        match self.find(texts) {
            Interned::List(list) => list,
            Interned::Missing { hash } => {
                let list: Arc<[HeaderName]> = names.map(compact).collect();
                let mut lists = self.lists();
                if lists.len() >= MAX_LISTS {
                    lists.clear();
                }
                lists.insert(hash, Arc::clone(&list));
                list
            }
        }
    }

    /// The shared list of these names, which come as bytes. `None` if one of them is not a valid
    /// field name (RFC 9110 §5.1), or if they are more than [`MAX_FIELDS`].
    pub(super) fn parse<'n>(
        &self,
        names: impl Iterator<Item = &'n [u8]> + Clone,
    ) -> Option<Arc<[HeaderName]>> {
        // Names that equal an interned list byte for byte need no validation.
        if let Interned::List(list) = self.find(names.clone()) {
            return Some(list);
        }
        let mut parsed = Vec::new();
        for name in names {
            if parsed.len() == MAX_FIELDS {
                return None;
            }
            parsed.push(HeaderName::from_bytes(name).ok()?);
        }
        Some(self.intern(parsed.iter()))
    }

    /// The same selecting headers, with their list of names interned.
    pub(super) fn share_names(&self, selecting: &Selecting) -> Selecting {
        selecting.sharing_names(|names| self.intern(names.iter()))
    }

    fn find<'n>(&self, names: impl Iterator<Item = &'n [u8]> + Clone) -> Interned {
        let mut text: SmallVec<[u8; 240]> = SmallVec::new();
        for name in names.clone() {
            text.extend_from_slice(name);
            text.push(b'\n');
        }
        if text.is_empty() {
            // An empty list needs no allocation.
            return Interned::List(Arc::default());
        }
        let hash = xxh3_64(&text);
        let lists = self.lists();
        match lists.get(&hash) {
            Some(list) if list.iter().map(|name| name.as_str().as_bytes()).eq(names) => {
                Interned::List(Arc::clone(list))
            }
            _ => Interned::Missing { hash },
        }
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<u64, Arc<[HeaderName]>>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of looking for a list in the table.
enum Interned {
    List(Arc<[HeaderName]>),
    /// The table has no list of these names. It would be stored under `hash`.
    Missing {
        hash: u64,
    },
}

/// The same name with a buffer of its own: a name that was parsed from the network keeps the whole
/// read buffer alive.
fn compact(name: &HeaderName) -> HeaderName {
    // The bytes of a valid name are valid.
    HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone())
}

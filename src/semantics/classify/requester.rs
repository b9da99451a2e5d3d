//! Whether a request is everybody's: what its response may say about the responses to others.

use super::Facts;
use crate::semantics::cache_control::RequestDirectives;

/// What a request carries that may make its response its own.
///
/// The fields in which all clients differ anyway, such as `Accept`, `Accept-Language` and
/// `User-Agent`, do not count.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Requester {
    /// Nothing: any other client that sent it would get the same.
    Plain,
    /// A cookie that counts, or a field that says who asks. The response may be everybody's all the
    /// same, if it says so.
    Personal,
    /// `Authorization`, or `no-store`: the request shares no response that is still to come.
    Private,
}

impl Requester {
    pub(crate) fn of(facts: &Facts, directives: &RequestDirectives) -> Self {
        if facts.credentials() || directives.no_store {
            Self::Private
        } else if facts.is_plain() {
            Self::Plain
        } else {
            Self::Personal
        }
    }

    /// The classes by whose marks a request of this class goes. One set by a plain request holds for
    /// all. One set by another says nothing about those that carry less, or something else.
    pub(crate) fn heeds(self) -> &'static [Self] {
        match self {
            Self::Plain => &[Self::Plain],
            Self::Personal => &[Self::Plain, Self::Personal],
            Self::Private => &[Self::Plain, Self::Private],
        }
    }

    /// The mark of this class, made of what the mark is about. The upper halves of the marks of two
    /// classes differ.
    pub(crate) fn mark(self, hash: u64) -> u64 {
        match self {
            Self::Plain => hash,
            Self::Personal => !hash,
            Self::Private => hash ^ 0x5555_5555 << 32,
        }
    }
}

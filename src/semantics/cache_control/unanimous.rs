//! Permissions that are stated more than once.

/// A permission that applies only if all directives that state it agree.
pub(super) enum Unanimous<T> {
    Absent,
    One(T),
    Contradicted,
}

impl<T: PartialEq> Unanimous<T> {
    /// Records one more value. `None` is a value that could not be parsed: it is skipped.
    pub(super) fn add(&mut self, stated: Option<T>) {
        *self = match (std::mem::replace(self, Self::Absent), stated) {
            (before, None) => before,
            (Self::Absent, Some(stated)) => Self::One(stated),
            (Self::One(first), Some(stated)) if first == stated => Self::One(first),
            _ => Self::Contradicted,
        };
    }

    pub(super) fn agreed(self) -> Option<T> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Contradicted => None,
        }
    }
}

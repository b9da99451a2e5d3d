//! The tags of fields: which field a code on the wire stands for.

/// What a field holds. A code never changes its meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Tag {
    Key = 1,
    Status,
    Arrived,
    Date,
    Lifetime,
    InitialAge,
    StaleWhileRevalidate,
    StaleIfError,
    Origin,
    Reuse,
    Keep,
    /// A header field: the length of the name, the name, the value.
    Header,
    /// A selecting header field: 0 if the request lacked it, or 1 and the fingerprint of its value;
    /// then the name.
    Selector,
    /// How the body is stored (one byte), and its size before compression.
    Body,
    /// One variant of a list: its fields, encoded as a value.
    Variant,
    Id,
    Until,
    /// Milliseconds that the origin took to answer.
    Cost,
    /// One tag that the response can be purged by.
    Label,
    /// The id of the log of purges, and the number up to which the writer had applied it.
    Applied,
}

impl Tag {
    /// In the order of the codes, which begin at 1.
    const ALL: [Self; 20] = [
        Self::Key,
        Self::Status,
        Self::Arrived,
        Self::Date,
        Self::Lifetime,
        Self::InitialAge,
        Self::StaleWhileRevalidate,
        Self::StaleIfError,
        Self::Origin,
        Self::Reuse,
        Self::Keep,
        Self::Header,
        Self::Selector,
        Self::Body,
        Self::Variant,
        Self::Id,
        Self::Until,
        Self::Cost,
        Self::Label,
        Self::Applied,
    ];

    pub(super) fn of(code: u8) -> Option<Self> {
        let index = usize::from(code).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_by_its_code() {
        for (index, tag) in Tag::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(tag as u8), index + 1);
            assert_eq!(Tag::of(tag as u8), Some(tag));
        }
        for code in [0, 21, 255] {
            assert_eq!(Tag::of(code), None);
        }
    }
}

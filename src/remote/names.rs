//! What things are called in the shared tier.
//!
//! A key becomes 128 bits of hash, in hexadecimal: Redis sees neither paths nor queries, and names
//! are short. Two keys with one name are told apart by the whole key, which every value carries.
//! The braces keep all that belongs to one resource on one node of a Cluster.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

/// Between the namespace and the name: the version of what is kept under names.
const VERSION: &str = ":v1:";

/// The name of one key: its hash.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Name(u128);

impl Name {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(xxh3_128(key))
    }

    pub(crate) fn hash(self) -> u128 {
        self.0
    }

    /// Where the response is kept, or the record of its variants.
    pub(crate) fn main(self, namespace: &str) -> String {
        self.kept(namespace, "")
    }

    /// Where one variant is kept.
    pub(crate) fn variant(self, namespace: &str, id: u64) -> String {
        let mut beside = [b':'; 17];
        write_hex(&mut beside[1..], &id.to_be_bytes());
        self.kept(namespace, ascii(&beside))
    }

    /// Where the invalidations of a resource are told to those who keep partitions of it.
    pub(crate) fn fence(self, namespace: &str) -> String {
        self.kept(namespace, ":fence")
    }

    /// Where a node says that it is fetching this variant, as it is since this epoch began.
    pub(crate) fn lease(self, namespace: &str, epoch: u64, variant: u64) -> String {
        self.kept(namespace, &format!(":{epoch:x}:{variant:x}:lease"))
    }

    /// What belongs to this name. Every lookup needs it, so it is not left to the formatter, whose
    /// digits cost more than decoding what is found.
    fn kept(self, namespace: &str, beside: &str) -> String {
        let mut digits = [0; 32];
        write_hex(&mut digits, &self.0.to_be_bytes());
        [namespace, VERSION, "{", ascii(&digits), "}", beside].concat()
    }

    /// The name that something in the shared tier belongs to, and which part of it that is.
    pub(crate) fn parse(kept: &[u8]) -> Option<(Self, Part)> {
        let open = kept.iter().position(|byte| *byte == b'{')?;
        let hex = kept.get(open + 1..open + 33)?;
        let hex = std::str::from_utf8(hex).ok()?;
        let name = u128::from_str_radix(hex, 16).ok().map(Self)?;
        let part = match kept.get(open + 33..)? {
            b"}" | b"}:fence" => Part::Main,
            _ => Part::Beside,
        };
        Some((name, part))
    }
}

/// What a change of something means for what is held in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// It may be another response now, or none.
    Main,
    /// Nothing: a lease, or a variant, which changes along with its record or ends.
    Beside,
}

/// What every name begins with.
pub(crate) fn prefix(namespace: &str) -> String {
    [namespace, VERSION].concat()
}

/// Writes two digits for each byte.
fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        // Four bits each, of sixteen digits.
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn ascii(digits: &[u8]) -> &str {
    // Nothing else is written there, so it is never the empty one.
    str::from_utf8(digits).unwrap_or_default()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_belongs_to_a_key_leads_back_to_its_name() {
        let name = Name::of(b"some key");
        for (kept, part) in [
            (name.main("ns"), Part::Main),
            (name.variant("ns", 7), Part::Beside),
            (name.lease("ns", 1, 2), Part::Beside),
            (name.fence("ns"), Part::Main),
        ] {
            assert!(kept.starts_with(&prefix("ns")), "{kept}");
            let parsed = Name::parse(kept.as_bytes());
            assert_eq!(parsed, Some((name, part)), "{kept}");
        }
    }

    #[test]
    fn a_name_is_kept_in_hexadecimal_of_a_fixed_length() {
        for hash in [0, 0x0123_4567_89ab_cdef_u128 << 56, 0xf, u128::MAX] {
            let name = Name(hash);
            let main = format!("ns:v1:{{{hash:032x}}}");
            assert_eq!(name.main("ns"), main);
            assert_eq!(name.fence("ns"), format!("{main}:fence"));
            assert_eq!(name.lease("ns", 26, 0), format!("{main}:1a:0:lease"));
            for id in [0, 0x0123_4567_89ab_cdef, u64::MAX] {
                assert_eq!(name.variant("ns", id), format!("{main}:{id:016x}"));
            }
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for kept in [
            "",
            "ns:v1:",
            "ns:v1:{12}",
            "ns:v1:{zz",
            "{é}",
            "ns:v1:alive",
        ] {
            assert_eq!(Name::parse(kept.as_bytes()), None, "{kept}");
        }
    }
}

//! The names of keys in the shared tier.
//!
//! A cache key becomes 128 bits of hash, in hexadecimal: names are short, and the server sees
//! neither paths nor queries. Every value carries its whole cache key, so two keys with the same
//! hash are not confused. The braces keep everything of one cache key on the same server of a Redis
//! Cluster.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

/// Between the namespace and the hash: the version of this scheme.
const VERSION: &str = ":v1:";

/// The hash of one cache key, which its names in the shared tier are made of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Name(u128);

impl Name {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(xxh3_128(key))
    }

    pub(crate) fn hash(self) -> u128 {
        self.0
    }

    /// The name of the response, or of the list of variants.
    pub(super) fn main(self, namespace: &str) -> String {
        self.with_suffix(namespace, "")
    }

    /// The name of the response of one variant.
    pub(super) fn variant(self, namespace: &str, id: u64) -> String {
        let mut suffix = [b':'; 17];
        write_hex(&mut suffix[1..], &id.to_be_bytes());
        self.with_suffix(namespace, ascii(&suffix))
    }

    /// The name of the resource's tombstone that its partitions are compared with.
    pub(super) fn tombstone(self, namespace: &str) -> String {
        self.with_suffix(namespace, ":fence")
    }

    /// The name whose change says that a write without an answer concerned the resource.
    pub(super) fn unanswered(self, namespace: &str) -> String {
        self.with_suffix(namespace, ":unanswered")
    }

    /// The name of the lease to fetch this variant in this epoch.
    pub(crate) fn lease(self, namespace: &str, epoch: u64, variant: u64) -> String {
        self.with_suffix(namespace, &format!(":{epoch:x}:{variant:x}:lease"))
    }

    /// Every lookup makes a name, so this does without the formatter, which would take longer than
    /// decoding the value does.
    fn with_suffix(self, namespace: &str, suffix: &str) -> String {
        let mut digits = [0; 32];
        write_hex(&mut digits, &self.0.to_be_bytes());
        [namespace, VERSION, "{", ascii(&digits), "}", suffix].concat()
    }

    /// The hash in the name of something in the shared tier, and what that is to entries in memory.
    pub(super) fn parse(full: &[u8]) -> Option<(Self, Role)> {
        let open = full.iter().position(|byte| *byte == b'{')?;
        let hex = full.get(open + 1..open + 33)?;
        let hex = std::str::from_utf8(hex).ok()?;
        let name = u128::from_str_radix(hex, 16).ok().map(Self)?;
        let role = match full.get(open + 33..)? {
            b"}" => Role::Main,
            b"}:fence" => Role::Fence,
            b"}:unanswered" => Role::Unanswered,
            _ => Role::Auxiliary,
        };
        Some((name, role))
    }
}

/// What a change of something in the shared tier means for entries in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Another response may be current now, or none.
    Main,
    /// The same, and unless this has expired or was evicted, the resource was invalidated.
    Fence,
    /// The same as of [`Main`](Self::Main), and a write to the resource got no answer.
    Unanswered,
    /// Nothing. It is a lease, or a variant, which changes together with the list or expires.
    Auxiliary,
}

/// The name of the moment until which everything is distrusted.
pub(super) fn everything(namespace: &str) -> String {
    [namespace, VERSION, "everything"].concat()
}

/// The name of the log of purges.
pub(super) fn purges(namespace: &str) -> String {
    [namespace, VERSION, "purges"].concat()
}

/// What every name begins with.
pub(super) fn prefix(namespace: &str) -> String {
    [namespace, VERSION].concat()
}

/// Writes two hexadecimal digits for each byte.
fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        // Four bits each, so both indexes are below 16.
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn ascii(digits: &[u8]) -> &str {
    // Only ASCII digits and colons are written there, so this never falls back to the empty string.
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
    fn every_name_of_a_key_leads_back_to_its_hash() {
        let name = Name::of(b"some key");
        for (full, role) in [
            (name.main("ns"), Role::Main),
            (name.variant("ns", 7), Role::Auxiliary),
            (name.lease("ns", 1, 2), Role::Auxiliary),
            (name.tombstone("ns"), Role::Fence),
            (name.unanswered("ns"), Role::Unanswered),
        ] {
            assert!(full.starts_with(&prefix("ns")), "{full}");
            let parsed = Name::parse(full.as_bytes());
            assert_eq!(parsed, Some((name, role)), "{full}");
        }
    }

    #[test]
    fn a_name_is_hexadecimal_and_of_fixed_length() {
        for hash in [0, 0x0123_4567_89ab_cdef_u128 << 56, 0xf, u128::MAX] {
            let name = Name(hash);
            let main = format!("ns:v1:{{{hash:032x}}}");
            assert_eq!(name.main("ns"), main);
            assert_eq!(name.tombstone("ns"), format!("{main}:fence"));
            assert_eq!(name.unanswered("ns"), format!("{main}:unanswered"));
            assert_eq!(name.lease("ns", 26, 0), format!("{main}:1a:0:lease"));
            for id in [0, 0x0123_4567_89ab_cdef, u64::MAX] {
                assert_eq!(name.variant("ns", id), format!("{main}:{id:016x}"));
            }
        }
    }

    #[test]
    fn other_text_is_not_a_name() {
        for text in [
            "",
            "ns:v1:",
            "ns:v1:{12}",
            "ns:v1:{zz",
            "{é}",
            "ns:v1:alive",
            &everything("ns"),
            &purges("ns"),
        ] {
            assert_eq!(Name::parse(text.as_bytes()), None, "{text}");
        }
    }
}

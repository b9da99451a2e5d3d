//! The tags and cache groups of a response, as its fields and its service name them.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use super::subject::{Mark, Subject};
use crate::{
    key::KeyParts,
    semantics::{groups, list},
    util::varint,
};

/// Tags, separated by commas. Many CDNs use it.
pub(crate) const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Tags, separated by spaces.
pub(crate) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// Tags, separated by spaces.
pub(crate) const XKEY: HeaderName = HeaderName::from_static("xkey");

/// The fields that name tags. They are for caches, so clients do not get them.
pub(crate) const TAG_FIELDS: [HeaderName; 3] = [CACHE_TAG, SURROGATE_KEY, XKEY];

/// How many tags a response may have. One that has more is not stored: part of its tags would not
/// purge it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TagLimits {
    /// How many tags and groups.
    pub(crate) count: usize,
    /// The bytes of one.
    pub(crate) length: usize,
    /// The bytes of all.
    pub(crate) total: usize,
}

impl Default for TagLimits {
    fn default() -> Self {
        Self {
            count: 128,
            length: 1024,
            total: 16 << 10,
        }
    }
}

/// The tags and groups of a stored response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tags {
    /// Those of the tags, then those of the groups.
    marks: Box<[Mark]>,
    /// How many of the marks are of tags.
    tags: usize,
    /// The names of the tags, each with its length in front. Those of groups are in the head.
    names: Box<[u8]>,
}

/// There are more tags than may be, or longer ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooManyTags;

impl Tags {
    /// The tags of a response: those that its fields name, and `named` by its service, without
    /// repetitions. `None` if there are none.
    pub(crate) fn of<'a>(
        headers: &'a HeaderMap,
        named: impl Iterator<Item = &'a [u8]>,
        key: KeyParts<'_>,
        limits: TagLimits,
    ) -> Result<Option<Self>, TooManyTags> {
        // Almost no response has any.
        let mut names: SmallVec<[&[u8]; 8]> = SmallVec::new();
        let mut bytes = 0_usize;
        let mut add = |name: &'a [u8]| {
            if name.is_empty() || names.contains(&name) {
                return Ok(());
            }
            bytes += name.len();
            if names.len() == limits.count || name.len() > limits.length || bytes > limits.total {
                return Err(TooManyTags);
            }
            names.push(name);
            Ok(())
        };
        for line in headers.get_all(CACHE_TAG) {
            line.as_bytes()
                .split(|byte| *byte == b',')
                .map(list::trim_ows)
                .try_for_each(&mut add)?;
        }
        for field in [SURROGATE_KEY, XKEY] {
            for line in headers.get_all(field) {
                line.as_bytes()
                    .split(|byte| matches!(byte, b' ' | b'\t'))
                    .try_for_each(&mut add)?;
            }
        }
        named.into_iter().try_for_each(&mut add)?;
        let groups = groups::cache_groups(headers);
        if groups.len() + names.len() > limits.count
            || groups.iter().any(|group| group.len() > limits.length)
        {
            return Err(TooManyTags);
        }
        if names.is_empty() && groups.is_empty() {
            return Ok(None);
        }
        let of_tags = names.iter().map(|tag| Subject::tag(key.namespace, tag));
        let of_groups = groups
            .iter()
            .map(|group| Subject::group(key.namespace, key.scheme, key.host, group.as_bytes()));
        Ok(Some(Self {
            marks: of_tags.chain(of_groups).map(Subject::mark).collect(),
            tags: names.len(),
            names: joined(&names),
        }))
    }

    pub(super) fn tags(&self) -> &[Mark] {
        &self.marks[..self.tags]
    }

    pub(super) fn groups(&self) -> &[Mark] {
        &self.marks[self.tags..]
    }

    /// The names of the tags, without those of groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        (0..self.tags).filter_map(move |_| {
            let (start, length) = varint::decode(&self.names, at);
            at = start + length;
            self.names.get(start..at)
        })
    }

    /// The bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// What the allocator keeps beside each of both.
        const BESIDE: usize = 16;
        size_of_val(&*self.marks) + self.names.len() + 2 * BESIDE
    }
}

/// Names one behind the other, each with its length in front: an allocation of its own would take more
/// than most names.
fn joined(names: &[&[u8]]) -> Box<[u8]> {
    let bytes = names
        .iter()
        .map(|name| varint::encoded_len(name.len()) + name.len());
    let mut joined = Vec::with_capacity(bytes.sum());
    for name in names {
        varint::encode(name.len(), |digit| joined.push(digit));
        joined.extend_from_slice(name);
    }
    joined.into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const KEY: KeyParts<'static> = KeyParts {
        namespace: b"",
        scheme: b"http",
        host: b"a.test",
        path_and_query: b"/",
        dimensions: b"",
    };

    fn tags(lines: &[(&HeaderName, &str)], named: &[&str]) -> Result<Vec<String>, TooManyTags> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let named = named.iter().map(|name| name.as_bytes());
        let tags = Tags::of(&headers, named, KEY, TagLimits::default())?;
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        Ok(tags.map_or(vec![], |tags| tags.names().map(text).collect()))
    }

    #[test]
    fn tags_come_from_all_fields_and_from_the_service() {
        let lines = [
            (&CACHE_TAG, "a b, c ,,d"),
            (&CACHE_TAG, "e"),
            (&SURROGATE_KEY, "f  g\ta"),
            (&XKEY, "h,i"),
        ];
        let found = tags(&lines, &["j", "c"]).unwrap();
        assert_eq!(found, ["a b", "c", "d", "e", "f", "g", "a", "h,i", "j"]);
        assert_eq!(tags(&[], &[]).unwrap(), [""; 0]);
        assert_eq!(tags(&[(&CACHE_TAG, " , ")], &[""]).unwrap(), [""; 0]);
    }

    #[test]
    fn more_tags_than_allowed_are_refused_and_never_cut_off() {
        let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let list = |count| names(count).join(",");
        assert_eq!(tags(&[(&CACHE_TAG, &list(128))], &[]).unwrap().len(), 128);
        assert!(tags(&[(&CACHE_TAG, &list(129))], &[]).is_err());
        assert!(tags(&[(&CACHE_TAG, &list(128))], &["more"]).is_err());
        assert!(tags(&[(&CACHE_TAG, &"x".repeat(1024))], &[]).is_ok());
        assert!(tags(&[(&CACHE_TAG, &"x".repeat(1025))], &[]).is_err());
    }
}

//! The name this proxy signs forwarded requests with, and by which it knows its own again.

use std::hash::{BuildHasher, Hasher, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header::VIA};

use crate::hop;

/// RFC 8586.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

#[derive(Debug)]
pub(crate) struct Identity {
    name: String,
    cdn_loop: HeaderValue,
    via_1_0: HeaderValue,
    via_1_1: HeaderValue,
    via_2: HeaderValue,
}

impl Identity {
    /// A name no other proxy has, so that a chain of two is not taken for a loop.
    pub(crate) fn random() -> Self {
        let random = RandomState::new().build_hasher().finish();
        let name = format!("cachewarp-{random:016x}");
        let value = |text: &str| {
            HeaderValue::from_str(text).expect("letters, digits, dots and dashes are field text")
        };
        Self {
            cdn_loop: value(&name),
            via_1_0: value(&format!("1.0 {name}")),
            via_1_1: value(&format!("1.1 {name}")),
            via_2: value(&format!("2 {name}")),
            name,
        }
    }

    /// Adds our line to `Via` (RFC 9110 section 7.6.3) and `CDN-Loop`; `received` is the version
    /// the request came in.
    pub(crate) fn sign(&self, headers: &mut HeaderMap, received: Version) {
        let via = match received {
            Version::HTTP_2 => &self.via_2,
            Version::HTTP_10 => &self.via_1_0,
            _ => &self.via_1_1,
        };
        headers.append(VIA, via.clone());
        headers.append(CDN_LOOP, self.cdn_loop.clone());
    }

    /// Whether a request has been here before.
    pub(crate) fn signed(&self, headers: &HeaderMap) -> bool {
        let me = self.name.as_bytes();
        let via = |entry: &[u8]| {
            let mut words = entry
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            words.nth(1) == Some(me)
        };
        let cdn = |entry: &[u8]| {
            let id = entry.split(|&byte| byte == b';').next();
            id.map(<[u8]>::trim_ascii) == Some(me)
        };
        hop::options(headers, &VIA).any(via) || hop::options(headers, &CDN_LOOP).any(cdn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_signature_among_others() {
        let me = Identity::random();
        let mut headers = HeaderMap::new();
        Identity::random().sign(&mut headers, Version::HTTP_11);
        assert!(!me.signed(&headers));
        me.sign(&mut headers, Version::HTTP_2);
        Identity::random().sign(&mut headers, Version::HTTP_10);
        assert!(me.signed(&headers));
        headers.remove(VIA);
        assert!(me.signed(&headers));
        headers.remove(CDN_LOOP);
        assert!(!me.signed(&headers));
    }
}

//! Which bodies are compressed.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    headers::EncodedHeaders,
    zstandard::{self, LARGEST},
};

/// Which bodies are compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Compression {
    Off,
    /// Bodies of at least this many bytes, unless they are compressed already or do not get
    /// smaller.
    AtLeast(usize),
}

impl Default for Compression {
    /// From 1 KiB on: at that size a typical text loses half its bytes in 4 µs.
    fn default() -> Self {
        Self::AtLeast(1024)
    }
}

/// The compressed body. `None` if it is better stored as it is.
pub(super) fn compress(
    body: &[Bytes],
    headers: &EncodedHeaders,
    compression: Compression,
) -> Option<Bytes> {
    let Compression::AtLeast(threshold) = compression else {
        return None;
    };
    let size = body.iter().map(Bytes::len).sum::<usize>();
    if size < threshold.max(1) || size > LARGEST || is_compressed(headers) {
        return None;
    }
    let source = match body {
        [segment] => Cow::Borrowed(&segment[..]),
        segments => Cow::Owned(segments.concat()),
    };
    let packed = zstandard::compress(&source)?;
    (packed.len() <= size - size.div_ceil(16)).then(|| packed.into())
}

/// Whether a response says that its body is compressed already.
fn is_compressed(headers: &EncodedHeaders) -> bool {
    headers.iter().any(|(name, value)| {
        if name.eq_ignore_ascii_case(b"content-encoding") {
            is_coded(value)
        } else {
            name.eq_ignore_ascii_case(b"content-type") && is_dense(value)
        }
    })
}

/// Whether a Content-Encoding (RFC 9110 §8.4) names a coding other than `identity`.
fn is_coded(value: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether a media type (RFC 9110 §8.3.1) is one whose content is compressed already.
fn is_dense(value: &[u8]) -> bool {
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    let mut parts = essence.splitn(2, |&byte| byte == b'/');
    let kind = parts.next().unwrap_or_default();
    let format = parts.next().unwrap_or_default();
    match kind {
        b"audio" | b"video" => true,
        b"image" => !format.ends_with(b"+xml"),
        b"font" => matches!(format, b"woff" | b"woff2"),
        b"application" => {
            format.ends_with(b"+gzip") || format.ends_with(b"+zip") || DENSE.contains(&format)
        }
        _ => false,
    }
}

/// Subtypes of `application` whose content is compressed already.
const DENSE: [&[u8]; 18] = [
    b"font-woff",
    b"font-woff2",
    b"gzip",
    b"java-archive",
    b"pdf",
    b"vnd.android.package-archive",
    b"vnd.rar",
    b"x-7z-compressed",
    b"x-bzip",
    b"x-bzip2",
    b"x-compress",
    b"x-compressed",
    b"x-font-woff",
    b"x-gzip",
    b"x-rar-compressed",
    b"x-xz",
    b"zip",
    b"zstd",
];

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    #[test]
    fn what_is_compressed_already_is_known_by_its_fields() {
        let cases = [
            ("content-encoding", "gzip", true),
            ("Content-Encoding", "identity, BR", true),
            ("content-encoding", "identity", false),
            ("content-encoding", " , Identity", false),
            ("content-encoding", "", false),
            ("content-type", "image/png", true),
            ("Content-Type", "IMAGE/JPEG", true),
            ("content-type", "image/svg+xml; charset=utf-8", false),
            ("content-type", "audio/ogg", true),
            ("content-type", "video/mp4;codecs=\"av01\"", true),
            ("content-type", " application/zip ;x=y", true),
            ("content-type", "application/epub+zip", true),
            ("content-type", "application/pdf", true),
            ("content-type", "font/woff2", true),
            ("content-type", "font/woff", true),
            ("content-type", "font/ttf", false),
            ("content-type", "application/json", false),
            ("content-type", "application/octet-stream", false),
            ("content-type", "application/x-tar", false),
            ("content-type", "text/html", false),
            ("content-type", "zip", false),
            ("content-type", "", false),
            ("x-content-type", "image/png", false),
        ];
        for (name, value, expected) in cases {
            let headers = [("etag", "gzip"), (name, value)];
            let headers = EncodedHeaders::from_iter(headers);
            assert_eq!(is_compressed(&headers), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_body_is_compressed_from_the_threshold_on_when_it_shrinks_by_a_sixteenth() {
        let text = Bytes::from("harbour lantern market ".repeat(100));
        let size = text.len();
        let compressed =
            |body: &[Bytes], compression| compress(body, &EncodedHeaders::default(), compression);
        let whole = slice::from_ref(&text);
        let at = |threshold| compressed(whole, Compression::AtLeast(threshold));
        assert!(at(0).is_some());
        assert!(at(size).is_some());
        assert_eq!(at(size + 1), None);
        assert_eq!(compressed(whole, Compression::Off), None);
        assert_eq!(compressed(&[], Compression::AtLeast(0)), None);

        // Ever more zeros in front of noise: from too few to enough.
        let mut noise = 1_u64;
        let mut random = move || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise as u8
        };
        let mut shrunk = 0;
        for zeros in 0..64 {
            let body: Vec<u8> = (0..512)
                .map(|index| if index < zeros { 0 } else { random() })
                .collect();
            let fits =
                zstd::bulk::compress(&body, zstandard::LEVEL).unwrap().len() <= 512 - 512 / 16;
            let packed = compressed(&[body.into()], Compression::AtLeast(0));
            assert_eq!(packed.is_some(), fits, "{zeros}");
            shrunk += usize::from(fits);
        }
        assert!((1..63).contains(&shrunk), "{shrunk}");
    }
}

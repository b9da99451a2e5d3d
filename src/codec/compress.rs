//! Compression of bodies, where it pays.
//!
//! zstd at its fastest plain level. Against LZ4 its output is 40 % smaller, and memory and network
//! are what the remote tier is paid for in; 64 KiB of text cost some 70 µs more to write, behind the
//! response, and 30 µs more to read, beside a round trip (`benches/codec.rs`). Levels 2 and 3 cost
//! more and save one hundredth of the body.

use std::{borrow::Cow, cell::RefCell};

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use super::{error::DecodeError, headers::Headers};

/// Which bodies are compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Compression {
    Off,
    /// Bodies of at least this many bytes, unless they are compressed already or do not shrink.
    AtLeast(usize),
}

impl Default for Compression {
    /// From 1 KiB: there the typical text loses half its size in 4 µs.
    fn default() -> Self {
        Self::AtLeast(1024)
    }
}

/// The largest body that is compressed, and that is decompressed: 1 GiB.
pub(super) const LARGEST: usize = 1 << 30;

/// What a byte can decompress to at most: a block takes four bytes and yields 128 KiB.
const MOST_PER_BYTE: usize = (128 << 10) / 4;

const LEVEL: i32 = 1;

thread_local! {
    // Kept, because to make one costs 8 µs, more than the work it does for a small body.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The compressed body; none if it is better stored as it is.
pub(super) fn compress(
    body: &[Bytes],
    headers: &Headers,
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
    let work = |slot: &RefCell<Option<Compressor<'static>>>| {
        let mut slot = slot.borrow_mut();
        let compressor = match &mut *slot {
            Some(compressor) => compressor,
            empty => empty.insert(Compressor::new(LEVEL).ok()?),
        };
        compressor.compress(&source).ok()
    };
    // No thread-local is left only while the thread ends.
    let packed = COMPRESSOR.try_with(work).ok().flatten()?;
    (packed.len() <= size - size.div_ceil(16)).then(|| packed.into())
}

/// A body of the size that its head announces.
pub(super) fn decompress(packed: &[u8], announced: u64) -> Result<Bytes, DecodeError> {
    let size = usize::try_from(announced)
        .ok()
        .filter(|&size| size <= LARGEST && size / MOST_PER_BYTE <= packed.len())
        .ok_or(DecodeError::TooLarge(announced))?;
    let mut body = Vec::new();
    // Nothing is written past what is reserved.
    body.try_reserve_exact(size)
        .map_err(|_| DecodeError::TooLarge(announced))?;
    let work = |slot: &RefCell<Option<Decompressor<'static>>>| {
        let mut slot = slot.borrow_mut();
        let decompressor = match &mut *slot {
            Some(decompressor) => decompressor,
            empty => empty.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress_to_buffer(packed, &mut body).ok()
    };
    let written = DECOMPRESSOR.try_with(work).ok().flatten();
    match written.ok_or(DecodeError::Compressed)? {
        written if written == size => Ok(body.into()),
        _ => Err(DecodeError::BodyLength),
    }
}

/// Whether a response says that its body is compressed already.
fn is_compressed(headers: &Headers) -> bool {
    headers.iter().any(|(name, value)| {
        if name.eq_ignore_ascii_case(b"content-encoding") {
            is_coded(value)
        } else {
            name.eq_ignore_ascii_case(b"content-type") && is_dense(value)
        }
    })
}

/// Whether a Content-Encoding (RFC 9110 §8.4) names a coding that does something.
fn is_coded(value: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether a media type (RFC 9110 §8.3.1) is of a format that compresses its content.
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

    /// A compressed body of zeros.
    fn zeros(size: usize) -> Bytes {
        let body = [vec![0; size].into()];
        compress(&body, &Headers::default(), Compression::AtLeast(0)).unwrap()
    }

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
            let headers = Headers::from_iter(headers);
            assert_eq!(is_compressed(&headers), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_body_is_compressed_from_the_threshold_on_when_it_shrinks_by_a_sixteenth() {
        let text = Bytes::from("harbour lantern market ".repeat(100));
        let size = text.len();
        let compressed =
            |body: &[Bytes], compression| compress(body, &Headers::default(), compression);
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
            let fits = zstd::bulk::compress(&body, LEVEL).unwrap().len() <= 512 - 512 / 16;
            let packed = compressed(&[body.into()], Compression::AtLeast(0));
            assert_eq!(packed.is_some(), fits, "{zeros}");
            shrunk += usize::from(fits);
        }
        assert!((1..63).contains(&shrunk), "{shrunk}");
    }

    #[test]
    fn the_largest_ratio_there_is_is_read_back() {
        for size in [1 << 10, 128 << 10, (128 << 10) + 1, 16 << 20] {
            let packed = zeros(size);
            assert_eq!(decompress(&packed, size as u64), Ok(vec![0; size].into()));
        }
    }

    #[test]
    fn a_body_of_another_size_than_announced_is_refused() {
        let packed = zeros(4096);
        let refused = |size| decompress(&packed, size).unwrap_err();
        assert_eq!(refused(4095), DecodeError::Compressed);
        assert_eq!(refused(4097), DecodeError::BodyLength);
        assert_eq!(refused(0), DecodeError::Compressed);
        let most = (packed.len() + 1) as u64 * MOST_PER_BYTE as u64;
        assert_eq!(refused(most - 1), DecodeError::BodyLength);
        for size in [most, LARGEST as u64, LARGEST as u64 + 1, u64::MAX] {
            assert_eq!(refused(size), DecodeError::TooLarge(size));
        }
        assert_eq!(decompress(b"text", 10), Err(DecodeError::Compressed));
        assert_eq!(decompress(b"", 10), Err(DecodeError::BodyLength));
    }
}

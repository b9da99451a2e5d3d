//! Packing and unpacking: a packed response comes out unchanged, and its bytes are counted.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    Arrival, Head, HeadMeta, NameInterner, Segments,
    entry::{Entry, INLINE_BODY},
    names::{ADDED_FIELDS, MAX_FIELDS},
};
use crate::{
    generation::Generations,
    purge::PurgeTime,
    semantics::{
        decide::Validity,
        freshness::{Freshness, LifetimeSource, Reuse},
        vary::Selecting,
    },
};

pub(crate) fn head(lines: &[(&str, &[u8])]) -> Head {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    let meta = HeadMeta {
        status: StatusCode::NOT_FOUND,
        freshness: Freshness {
            lifetime: 60,
            initial_age: 5,
            stale_while_revalidate: None,
            stale_if_error: Some(7),
            source: LifetimeSource::MaxAge,
            reuse: Reuse::AsRequested,
            public: false,
        },
        arrival: Arrival {
            wall: 1_700_000_000,
            monotonic: Duration::from_secs(10),
            date: 1_699_999_999,
        },
        selecting: Selecting::default(),
        generation: Generations::new().current(0),
        keep: Duration::from_secs(100),
        validity: Validity::Valid,
        born: PurgeTime::default(),
        tags: None,
    };
    Head { headers, meta }
}

/// An entry to be kept for this long, for the tests of the stores.
pub(crate) fn kept_for(keep: Duration) -> Arc<Entry> {
    let mut head = head(&[("content-type", b"text/plain")]);
    head.meta.keep = keep;
    let body = Segments::from_iter([Bytes::from_static(b"body")]);
    Arc::new(Entry::new(&head, &body, &NameInterner::default()))
}

type Line<'a> = (&'a [u8], &'a [u8]);

/// A function that reads entries from raw fields. All have the metadata of one head.
fn reader(interner: &NameInterner) -> impl Fn(&[Line<'_>]) -> Option<Entry> {
    let head = head(&[]);
    move |lines| {
        Entry::parse(
            head.meta.clone(),
            lines.iter().copied(),
            &Segments::Empty,
            interner,
        )
    }
}

pub(crate) fn body_of(entry: &Entry) -> Vec<u8> {
    entry.segments().as_slice().concat()
}

#[test]
fn a_packed_head_unpacks_unchanged() {
    let large = vec![b'x'; 70_000];
    let lines: &[(&str, &[u8])] = &[
        ("set-cookie", b"a=1"),
        ("content-type", b"text/plain"),
        ("set-cookie", b"b=2"),
        ("x-bytes", &[0x80, 0xff, b'\t']),
        ("x-empty", b""),
        ("x-large", &large),
    ];
    let head = head(lines);
    let entry = Entry::new(&head, &Segments::Empty, &NameInterner::default());
    let unpacked = entry.unpack();
    assert_eq!(unpacked.headers, head.headers);
    assert_eq!(unpacked.meta.status, head.meta.status);
    assert_eq!(unpacked.meta.freshness, head.meta.freshness);
    assert_eq!(entry.age(Duration::from_secs(12)), 7);
}

#[test]
fn fields_keep_the_order_of_the_map() {
    let lines: &[(&str, &[u8])] = &[("b", b"1"), ("a", b""), ("b", &[0xff; 200]), ("c", b"2")];
    let entry = Entry::new(&head(lines), &Segments::Empty, &NameInterner::default());
    let headers = entry.headers();
    let expected = headers.iter().map(|(name, value)| (name, value.as_bytes()));
    assert!(entry.fields().eq(expected));
    assert_eq!(entry.fields().count(), 4);
}

#[test]
fn reading_raw_fields_gives_the_same_map() {
    let large = vec![b'x'; 70_000];
    let lines: &[Line<'_>] = &[
        (b"set-cookie", b"a=1"),
        (b"Content-Type", b"text/plain"),
        (b"SET-cookie", b"b=2"),
        (b"x-bytes", &[0x80, 0xff, b'\t']),
        (b"set-cookie", b""),
        (b"x-large", &large),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name).unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    let interner = NameInterner::default();
    let read = reader(&interner);
    // The first time the list of names is new, the second time it is interned.
    for _ in 0..2 {
        let entry = read(lines).unwrap();
        assert_eq!(entry.headers(), headers);
        assert_eq!(entry.age(Duration::from_secs(12)), 7);
    }
    let [first, second]: [[Line<'_>; 2]; 2] =
        [[(b"a", b"1"), (b"b", b"2")], [(b"a", b"3"), (b"b", b"")]];
    let [first, second] = [first, second].map(|lines| read(&lines).unwrap());
    assert!(Arc::ptr_eq(&first.names, &second.names));
}

#[test]
fn invalid_names_and_values_are_not_read() {
    let interner = NameInterner::default();
    let read = reader(&interner);
    assert!(read(&[(b"ok", b"ok")]).is_some());
    for byte in 0..=u8::MAX {
        for at in [0, 20, 39] {
            let mut text = [b'a'; 40];
            text[at] = byte;
            let is_value = HeaderValue::from_bytes(&text).is_ok();
            let lines: [Line<'_>; 2] = [(b"ok", b"ok"), (b"x", &text)];
            assert_eq!(read(&lines).is_some(), is_value, "{byte} at {at}");
            let is_name = HeaderName::from_bytes(&text).is_ok();
            let lines: [Line<'_>; 2] = [(b"ok", b"ok"), (&text, b"x")];
            assert_eq!(read(&lines).is_some(), is_name, "{byte} at {at}");
        }
    }
    // A name with a line break must not be taken for two names.
    assert!(read(&[(b"a", b""), (b"b", b"")]).is_some());
    assert!(read(&[(b"a\nb", b"")]).is_none());
    assert!(read(&[(b"", b"")]).is_none());
}

#[test]
fn more_fields_than_an_answer_can_have_are_not_read() {
    let names: Vec<String> = (0..=MAX_FIELDS).map(|at| format!("x-{at}")).collect();
    let lines: Vec<Line<'_>> = names.iter().map(|it| (it.as_bytes(), &b"1"[..])).collect();
    let interner = NameInterner::default();
    let read = reader(&interner);
    let mut headers = read(&lines[..MAX_FIELDS]).unwrap().headers();
    for added in ["a", "b", "c"] {
        headers.insert(added, HeaderValue::from_static("1"));
    }
    assert_eq!(headers.len(), MAX_FIELDS + ADDED_FIELDS);
    assert!(
        headers
            .try_insert("d", HeaderValue::from_static("1"))
            .is_err()
    );
    assert!(read(&lines).is_none());
}

#[test]
fn a_body_of_any_size_unpacks_unchanged() {
    for size in [0, 1, INLINE_BODY, INLINE_BODY + 1, 3 * INLINE_BODY] {
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let segments: Segments = bytes.chunks(1000).map(Bytes::copy_from_slice).collect();
        let entry = Entry::new(&head(&[("a", b"b")]), &segments, &NameInterner::default());
        assert_eq!(body_of(&entry), bytes, "{size}");
        assert_eq!(entry.body_len(), size as u64);
    }
}

#[test]
fn a_new_head_keeps_the_body() {
    let interner = NameInterner::default();
    for size in [10, 2 * INLINE_BODY] {
        let segments: Segments = [Bytes::from(vec![7; size])].into_iter().collect();
        let entry = Entry::new(&head(&[("a", b"old")]), &segments, &interner);
        let updated = entry.with_head(&head(&[("a", b"new"), ("b", b"")]), &interner);
        assert_eq!(updated.headers()["a"], "new");
        assert_eq!(body_of(&updated), vec![7; size]);
    }
}

#[test]
fn entries_with_the_same_names_share_them_and_the_first_counts_their_bytes() {
    let interner = NameInterner::default();
    let names: Vec<String> = (0..100).map(|index| format!("x-name-{index}")).collect();
    let lines: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    let first = Entry::new(&head(&lines), &Segments::Empty, &interner);
    let alone = first.heap_bytes();
    let second = Entry::new(&head(&lines), &Segments::Empty, &interner);
    assert!(Arc::ptr_eq(&first.names, &second.names));
    assert!(alone >= second.heap_bytes() + 100 * size_of::<HeaderName>());
}

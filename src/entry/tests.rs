//! Packing and unpacking: what goes in comes out, and is paid for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Arrival, Entry, Head, INLINE_BODY, Segments, Shapes};
use crate::{
    generation::Generations,
    semantics::{
        decide::Standing,
        freshness::{Freshness, LifetimeSource, Reuse},
        vary::Selecting,
    },
};

fn head(lines: &[(&str, &[u8])]) -> Head {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    Head {
        status: StatusCode::NOT_FOUND,
        headers,
        freshness: Freshness {
            lifetime: 60,
            initial_age: 5,
            stale_while_revalidate: None,
            stale_if_error: Some(7),
            source: LifetimeSource::MaxAge,
            reuse: Reuse::AsRequested,
        },
        arrival: Arrival {
            wall: 1_700_000_000,
            monotonic: Duration::from_secs(10),
            date: 1_699_999_999,
        },
        selecting: Selecting::default(),
        generation: Generations::new().current(0),
        keep: Duration::from_secs(100),
        standing: Standing::Valid,
    }
}

/// An entry that is of use for this long, for the tests of those who keep entries.
pub(crate) fn kept_for(keep: Duration) -> Arc<Entry> {
    let head = Head {
        keep,
        ..head(&[("content-type", b"text/plain")])
    };
    let body = Segments::from_iter([Bytes::from_static(b"body")]);
    Arc::new(Entry::new(&head, &body, &Shapes::default()))
}

fn body_of(entry: &Entry) -> Vec<u8> {
    entry.body().as_slice().concat()
}

#[test]
fn a_head_comes_out_as_it_went_in() {
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
    let entry = Entry::new(&head, &Segments::Empty, &Shapes::default());
    let unpacked = entry.unpack();
    assert_eq!(unpacked.headers, head.headers);
    assert_eq!(unpacked.status, head.status);
    assert_eq!(unpacked.freshness, head.freshness);
    assert_eq!(entry.age(Duration::from_secs(12)), 7);
}

#[test]
fn a_body_of_any_size_comes_out_as_it_went_in() {
    for size in [0, 1, INLINE_BODY, INLINE_BODY + 1, 3 * INLINE_BODY] {
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let segments: Segments = bytes.chunks(1000).map(Bytes::copy_from_slice).collect();
        let entry = Entry::new(&head(&[("a", b"b")]), &segments, &Shapes::default());
        assert_eq!(body_of(&entry), bytes, "{size}");
        assert_eq!(entry.body_len(), size as u64);
    }
}

#[test]
fn a_new_head_keeps_the_body() {
    let shapes = Shapes::default();
    for size in [10, 2 * INLINE_BODY] {
        let segments: Segments = [Bytes::from(vec![7; size])].into_iter().collect();
        let entry = Entry::new(&head(&[("a", b"old")]), &segments, &shapes);
        let updated = entry.with_head(&head(&[("a", b"new"), ("b", b"")]), &shapes);
        assert_eq!(updated.headers()["a"], "new");
        assert_eq!(body_of(&updated), vec![7; size]);
    }
}

#[test]
fn entries_of_one_shape_share_its_names_and_the_first_pays_for_them() {
    let shapes = Shapes::default();
    let names: Vec<String> = (0..100).map(|index| format!("x-name-{index}")).collect();
    let lines: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    let first = Entry::new(&head(&lines), &Segments::Empty, &shapes);
    let alone = first.heap_bytes();
    let second = Entry::new(&head(&lines), &Segments::Empty, &shapes);
    assert!(Arc::ptr_eq(&first.names, &second.names));
    assert!(alone >= second.heap_bytes() + 100 * size_of::<HeaderName>());
}

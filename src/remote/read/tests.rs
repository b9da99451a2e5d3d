//! Which thread decodes a value: a large one, or one that becomes large, never that of a request.

use super::*;

/// An encoded response with this body.
fn stored(body: Vec<u8>, compression: Compression) -> Bytes {
    let record = EntryRecord {
        key: Bytes::new(),
        status: 200,
        headers: [("x", "1")].into_iter().collect(),
        arrived_ms: 0,
        date: 0,
        lifetime: 60,
        initial_age: 0,
        stale_while_revalidate: None,
        stale_if_error: None,
        origin: 2,
        reuse: 3,
        keep: 60,
        cost_ms: 0,
        selecting: vec![],
        body: vec![body.into()],
    };
    encode(&Value::Entry(record), Stamp::default(), compression)
}

#[test]
fn the_size_that_a_body_will_have_chooses_the_thread() {
    let any = Body::AtMost(u64::MAX);
    let zeros = |size| vec![0; size];
    let packed = Compression::AtLeast(0);
    let small = stored(zeros(LARGE - 1), packed);
    let bomb = stored(zeros(16 << 20), packed);
    assert!(bomb.len() < LARGE);
    for (bytes, body, expected) in [
        (stored(zeros(9), Compression::Off), any, true),
        (stored(zeros(LARGE - 1_000), Compression::Off), any, true),
        (stored(zeros(LARGE), Compression::Off), any, false),
        (small.clone(), any, true),
        (stored(zeros(LARGE), packed), any, false),
        (bomb.clone(), any, false),
        // Refused, before anything is decompressed.
        (bomb.clone(), Body::AtMost(0), false),
        (bomb, Body::LeftOut, true),
        (stored(zeros(LARGE), Compression::Off), Body::LeftOut, false),
    ] {
        let seen = decodes_quickly(&bytes, body);
        assert_eq!(seen, expected, "{} bytes, {body:?}", bytes.len());
    }
}

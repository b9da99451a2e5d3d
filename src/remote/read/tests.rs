//! Which thread decodes a value: a large one, or one that becomes large, never that of a request. What
//! becomes of one that this build does not read.

use tokio::task::yield_now;

use super::*;
use crate::purge::PurgeTable;
use crate::remote::in_memory::InMemoryServer;

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
        purgeable: None,
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

/// Another node may have zstd, and its values are as good as any. What this node stores later takes
/// the place of the value that was read.
#[tokio::test(start_paused = true)]
async fn what_is_compressed_stays_where_a_build_has_no_zstd() {
    let server = InMemoryServer::new();
    let clock = Arc::new(crate::clock::SystemClock::new());
    let remote = Remote::new(Arc::new(server.node()), clock, Arc::new(PurgeTable::new(1)));
    let bytes = stored(vec![0; 4 << 10], Compression::AtLeast(0));
    let keep = std::time::Duration::from_secs(60);
    for (error, is_kept) in [
        (DecodeError::Compression, true),
        (DecodeError::Compressed, false),
        (DecodeError::Method(9), false),
        (DecodeError::TooLarge(1 << 40), false),
    ] {
        server.set("a", bytes.clone(), keep);
        let taken = remote.undecodable("a", &bytes, error);
        let stamp = stamp(&bytes).unwrap();
        match taken {
            Taken::ForOthers(at) if is_kept => assert_eq!(at, stamp),
            Taken::Nothing if !is_kept => {}
            other => panic!("{error}: {other:?}"),
        }
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(server.value("a").is_some(), is_kept, "{error}");
    }
}

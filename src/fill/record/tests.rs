//! What a recorder keeps, when it waits for readers, and when it stops.

use std::{convert::Infallible, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use super::*;
use crate::{
    entry::{
        Account, Entry, NameInterner,
        tests::{body_of, head},
    },
    fill::FillReader,
};

const KIB: u64 = 1024;

fn limits() -> Limits {
    Limits {
        idle: Duration::from_secs(30),
        max_body: 256 * KIB,
        window: 64 * KIB,
        reader_stall: Duration::from_secs(10),
        timeout: Duration::from_secs(60),
        on_abandoned: OnAbandoned::Continue,
    }
}

/// Keeps nothing: the window begins with the first byte.
fn window_only() -> Limits {
    Limits {
        max_body: 0,
        ..limits()
    }
}

fn fill() -> Arc<Fill> {
    Fill::new(None, &Account::new(1024 * KIB), &limits())
}

fn frames(
    frames: impl IntoIterator<Item = Vec<u8>>,
) -> impl Body<Data = Bytes, Error = Infallible> {
    let frames: Vec<_> = frames.into_iter().collect();
    StreamBody::new(stream::iter(frames).map(|bytes| Ok(Frame::data(bytes.into()))))
}

/// Records what is sent, in a task of its own.
fn fed(fill: &Arc<Fill>, limits: Limits) -> (mpsc::Sender<usize>, JoinHandle<&'static str>) {
    let (sizes, mut fed) = mpsc::channel(1);
    let fill = Arc::clone(fill);
    let recorder = tokio::spawn(async move {
        let body = stream::poll_fn(move |cx| fed.poll_recv(cx));
        let body = body.map(|size| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; size]))));
        match fill.record(StreamBody::new(body), &limits).await.0 {
            Recorded::Whole(_) => "whole",
            Recorded::Abandoned => "abandoned",
            Recorded::Failed(_) => "failed",
            Recorded::NotKept => "not kept",
            Recorded::NoRoom => "no room",
        }
    });
    (sizes, recorder)
}

async fn send(sizes: &mpsc::Sender<usize>, times: usize, size: usize) {
    for _ in 0..times {
        sizes.send(size).await.unwrap();
    }
    sleep(Duration::from_millis(1)).await;
}

fn held(fill: &Fill) -> u64 {
    let state = fill.lock();
    state.segments.iter().map(|it| it.bytes.len() as u64).sum()
}

async fn next(reader: &mut FillReader) -> usize {
    reader
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap()
        .len()
}

#[tokio::test]
async fn a_body_in_many_small_frames_is_kept_in_few_segments() {
    let fill = fill();
    let body: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (recorded, guard) = fill
        .record(frames(body.iter().map(|byte| vec![*byte])), &limits())
        .await;
    drop(guard);
    let Recorded::Whole(segments) = recorded else {
        panic!("{recorded:?}");
    };
    assert!(
        segments.as_slice().len() <= 4,
        "{}",
        segments.as_slice().len()
    );
    assert_eq!(segments.as_slice().concat(), body);
    let reader = fill.read(0, None).unwrap();
    assert_eq!(reader.collect().await.unwrap().to_bytes(), body);
}

/// Each piece takes more than the account counts of it.
#[tokio::test]
async fn small_frames_are_held_in_few_pieces_while_they_arrive() {
    type SizeOf = fn(usize) -> usize;
    let sizes: [(&str, SizeOf); 5] = [
        ("of one byte", |_| 1),
        ("of two sizes", |n| [1, 3000][n % 2]),
        ("that shrink", |n| 64 - n % 64),
        ("that grow", |n| 1 + n % 64),
        ("without order", |n| 1 + n * 7919 % 1009),
    ];
    for (kind, size) in sizes {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
        let fill = fill();
        let recording = tokio::spawn({
            let fill = Arc::clone(&fill);
            let body = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
            async move {
                let body = body.map(|bytes| Ok::<_, Infallible>(Frame::data(Bytes::from(bytes))));
                drop(fill.record(StreamBody::new(body), &limits()).await);
            }
        });
        let (mut sent, mut most) = (Vec::new(), 0);
        for n in 0.. {
            let length = size(n).min(SEGMENT - sent.len());
            if length == 0 {
                break;
            }
            let frame = vec![(n % 251) as u8; length];
            sent.extend_from_slice(&frame);
            sender.send(frame).await.unwrap();
            most = most.max(fill.lock().segments.len());
        }
        assert!(most <= 64, "{most} pieces of frames {kind}");
        let reader = fill.read(0, None).unwrap();
        drop(sender);
        assert_eq!(reader.collect().await.unwrap().to_bytes(), sent, "{kind}");
        recording.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_again_and_again_are_silence() {
    let fill = fill();
    let body = stream::repeat(()).then(|()| async {
        sleep(Duration::from_secs(20)).await;
        Ok::<_, Infallible>(Frame::<Bytes>::trailers(http::HeaderMap::new()))
    });
    let body = StreamBody::new(Box::pin(body));
    let (recorded, _guard) = fill.record(body, &limits()).await;
    assert!(
        matches!(recorded, Recorded::Failed(FillError::Idle)),
        "{recorded:?}"
    );
}

#[tokio::test]
async fn a_large_frame_is_kept_in_segments_of_bounded_size() {
    let fill = fill();
    let (recorded, _guard) = fill
        .record(frames([vec![1; 3 * SEGMENT + 5]]), &limits())
        .await;
    let Recorded::Whole(segments) = recorded else {
        panic!("{recorded:?}");
    };
    let sizes: Vec<_> = segments.as_slice().iter().map(Bytes::len).collect();
    assert_eq!(sizes, [SEGMENT, SEGMENT, SEGMENT, 5]);
}

#[tokio::test]
async fn readers_see_the_end_when_the_guard_is_dropped() {
    let fill = fill();
    let mut reader = fill.read(0, None).unwrap();
    let (_, guard) = fill.record(frames([b"all".to_vec()]), &limits()).await;
    assert_eq!(next(&mut reader).await, 3);
    let mut end = tokio_test::task::spawn(reader.frame());
    assert!(end.poll().is_pending());
    drop(guard);
    assert!(end.is_woken());
    assert!(matches!(end.poll(), Poll::Ready(None)));
}

#[tokio::test]
async fn a_recorder_that_is_dropped_fails_its_readers() {
    let fill = fill();
    let mut reader = fill.read(0, None).unwrap();
    let (sizes, recorder) = fed(&fill, limits());
    send(&sizes, 1, 10).await;
    recorder.abort();
    assert_eq!(next(&mut reader).await, 10);
    let error = reader.frame().await.unwrap().unwrap_err();
    assert_eq!(error, FillError::Origin);
    assert!(fill.read(0, None).is_none());
}

#[tokio::test]
async fn the_bytes_of_all_fills_are_bounded_and_given_back() {
    let account = Account::new(100);
    let (one, other) = (
        Fill::new(None, &account, &limits()),
        Fill::new(None, &account, &limits()),
    );
    let recorded = one.record(frames([vec![0; 80]]), &limits()).await.0;
    assert!(matches!(recorded, Recorded::Whole(_)));
    assert_eq!(account.used(), 80);
    let reader = other.read(0, None).unwrap();
    let recorded = other
        .record(frames([vec![0; 10], vec![0; 30]]), &limits())
        .await
        .0;
    assert!(matches!(recorded, Recorded::NoRoom), "{recorded:?}");
    assert_eq!(reader.collect().await.unwrap().to_bytes().len(), 40);
    drop(other);
    drop(one);
    assert_eq!(account.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_window_count_until_they_are_released() {
    let account = Account::new(100 * KIB);
    let fill = Fill::new(None, &account, &limits());
    let mut reader = fill.read(0, None).unwrap();
    let limits = Limits {
        window: KIB,
        ..limits()
    };
    let (sizes, recorder) = fed(&fill, limits.clone());
    // One frame more than all fills together may hold: from here on there is a window.
    send(&sizes, 101, 1024).await;
    assert_eq!((held(&fill), account.used()), (101 * KIB, 100 * KIB));
    // What is held for a reader that stands still leaves no room for others.
    let other = Fill::new(None, &account, &limits);
    let beside = other.read(0, None).unwrap();
    let recorded = other.record(frames([vec![0; 10]]), &limits).await.0;
    assert!(matches!(recorded, Recorded::NoRoom), "{recorded:?}");
    drop(beside);
    // It comes back as the window moves on.
    let read = next(&mut reader).await as u64;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(held(&fill), 101 * KIB - read);
    assert_eq!(account.used(), held(&fill));
    let rest = tokio::spawn(reader.collect());
    send(&sizes, 10, 1024).await;
    assert_eq!(account.used(), 0);
    drop(sizes);
    assert_eq!(recorder.await.unwrap(), "no room");
    rest.await.unwrap().unwrap();
}

/// Records this, and stores it in an entry.
async fn stored(fill: &Arc<Fill>, body: Vec<u8>) -> Entry {
    let limits = Limits {
        max_body: u64::MAX,
        ..limits()
    };
    let (recorded, _guard) = fill.record(frames([body]), &limits).await;
    let Recorded::Whole(segments) = recorded else {
        panic!("{recorded:?}");
    };
    let entry = Entry::new(&head(&[]), &segments, &NameInterner::default());
    fill.hand_over(&entry);
    entry
}

#[tokio::test]
async fn a_small_body_that_was_stored_no_longer_counts() {
    let account = Account::new(100);
    let fill = Fill::new(None, &account, &limits());
    let reader = fill.read(0, None).unwrap();
    let entry = stored(&fill, vec![7; 80]).await;
    assert_eq!(account.used(), 0);
    assert_eq!(reader.collect().await.unwrap().to_bytes().len(), 80);
    assert_eq!(body_of(&entry), [7; 80]);
}

#[tokio::test]
async fn a_body_that_was_stored_counts_once_until_its_last_reader_is_gone() {
    let size = 200 * KIB;
    let account = Account::new(size);
    let fill = Fill::new(None, &account, &limits());
    let (mut whole, mut part) = (
        fill.read(0, None).unwrap(),
        fill.read(size - 10, Some(size - 5)).unwrap(),
    );
    let body: Vec<u8> = (0..size).map(|n| n.to_le_bytes()[0]).collect();
    let entry = stored(&fill, body.clone()).await;
    assert_eq!(account.used(), size);
    // Who comes later reads what is stored, through the fill or not.
    let late = fill.read(0, None).unwrap();
    drop(fill);
    let mut hit = entry.read(&account, 0, size);
    assert_eq!(account.used(), size);
    drop(entry);
    assert_eq!(late.collect().await.unwrap().to_bytes(), body);
    assert_eq!(next(&mut part).await, 5);
    assert!(part.frame().await.is_none());
    let mut read = Vec::new();
    while read.len() < body.len() {
        read.extend(whole.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(read, body);
    drop((part, whole));
    assert_eq!(account.used(), size, "the hit is left");
    assert!(hit.by_ref().all(|bytes| bytes.is_ok()));
    assert_eq!(account.used(), 0);
}

#[tokio::test]
async fn a_range_is_read_while_the_rest_arrives() {
    let fill = fill();
    let mut part = fill.read(5, Some(15)).unwrap();
    let (sizes, recorder) = fed(&fill, limits());
    send(&sizes, 2, 10).await;
    assert_eq!(next(&mut part).await, 5);
    assert_eq!(next(&mut part).await, 5);
    assert!(part.frame().await.is_none());
    drop(sizes);
    assert_eq!(recorder.await.unwrap(), "whole");
}

#[tokio::test(start_paused = true)]
async fn a_range_beyond_what_has_arrived_holds_nothing_back() {
    let fill = fill();
    let mut part = fill.read(300 * KIB, Some(300 * KIB + 10)).unwrap();
    let (sizes, recorder) = fed(&fill, window_only());
    send(&sizes, 32, 10 * 1024).await;
    assert!(held(&fill) <= 64 * KIB, "{}", held(&fill));
    assert_eq!(next(&mut part).await, 10);
    drop(part);
    drop(sizes);
    assert_eq!(recorder.await.unwrap(), "not kept");
}

#[tokio::test(start_paused = true)]
async fn a_range_that_was_read_to_its_end_holds_nothing_back() {
    let fill = fill();
    let mut part = fill.read(0, Some(10)).unwrap();
    let rest = fill.read(0, None).unwrap();
    let (sizes, recorder) = fed(&fill, window_only());
    let rest = tokio::spawn(rest.collect());
    let began = Instant::now();
    sizes.send(10).await.unwrap();
    assert_eq!(next(&mut part).await, 10);
    send(&sizes, 40, 10 * 1024).await;
    drop(sizes);
    recorder.await.unwrap();
    let rest = rest.await.unwrap().unwrap().to_bytes().len();
    assert_eq!(rest, 40 * 10 * 1024 + 10);
    assert!(began.elapsed() < Duration::from_secs(1));
    drop(part);
}

#[tokio::test(start_paused = true)]
async fn a_window_can_be_joined_while_its_first_byte_is_held() {
    let fill = fill();
    let mut first = fill.read(0, None).unwrap();
    let (sizes, _recorder) = fed(&fill, window_only());
    send(&sizes, 2, 1024).await;
    let second = fill.read(0, None).expect("nothing is gone yet");
    drop(second);
    while held(&fill) > 0 && first.remaining().is_none() {
        if tokio::time::timeout(Duration::from_millis(1), next(&mut first))
            .await
            .is_err()
        {
            break;
        }
    }
    send(&sizes, 2, 1024).await;
    assert!(fill.read(0, None).is_none());
}

/// Another's steps, however many, buy a reader that stands still no time.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_stalled_reader_counts_while_others_read() {
    let fill = fill();
    let (mut slow, stalled) = (fill.read(0, None).unwrap(), fill.read(0, None).unwrap());
    let (sizes, _recorder) = fed(&fill, window_only());
    let feeding = tokio::spawn(async move { send(&sizes, 100, 1024).await });
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    next(&mut slow).await;
    // A step every four seconds, within what the window already holds.
    while fill.lock().readers[stalled.slot].cut_off == CutOff::No {
        assert!(began.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_secs(4)).await;
        if slow.fill.lock().readers[slow.slot].position < 60 * KIB {
            next(&mut slow).await;
        }
    }
    assert!(began.elapsed() >= Duration::from_secs(10));
    assert!(fill.lock().readers[slow.slot].cut_off == CutOff::No);
    feeding.abort();
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_body_without_readers_counts_from_the_last_one() {
    let fill = fill();
    let reader = fill.read(0, None).unwrap();
    let limits = Limits {
        idle: Duration::from_secs(3_600),
        ..limits()
    };
    let (sizes, recorder) = fed(&fill, limits);
    send(&sizes, 1, 10).await;
    sleep(Duration::from_secs(59)).await;
    drop(reader);
    sleep(Duration::from_secs(59)).await;
    // A frame now and then does not prolong it.
    send(&sizes, 1, 10).await;
    assert!(!recorder.is_finished());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(recorder.await.unwrap(), "failed");
}

#[tokio::test]
async fn a_body_that_is_always_ready_does_not_block_its_readers() {
    let fill = fill();
    let mut reader = fill.read(0, None).unwrap();
    let endless = StreamBody::new(stream::repeat_with(|| {
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 16])))
    }));
    let limits = Limits {
        max_body: u64::MAX,
        ..limits()
    };
    let recorder = {
        let fill = Fill::new(None, &Account::new(u64::MAX), &limits);
        reader = fill.read(0, None).unwrap_or(reader);
        tokio::spawn(async move { drop(fill.record(endless, &limits).await) })
    };
    // On this one thread it gets there only if the recorder pauses.
    assert!(next(&mut reader).await > 0);
    recorder.abort();
}

/// As of a service that knows the length of its body and does not say it in its head.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_declared_too_large_ends_with_its_last_reader() {
    let fill = Fill::new(Some(1024 * KIB), &Account::new(1024 * KIB), &limits());
    let (sizes, recorder) = fed(&fill, limits());
    let mut part = fill.read(0, Some(1)).unwrap();
    send(&sizes, 1, 1024).await;
    // Those who come meanwhile read from the beginning all the same.
    let late = fill.read(0, None).unwrap();
    assert_eq!(next(&mut part).await, 1);
    send(&sizes, 1, 1024).await;
    assert!(!recorder.is_finished());
    drop(late);
    assert_eq!(recorder.await.unwrap(), "not kept");
    assert!(part.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_is_not_to_be_kept_never_is() {
    let fill = Fill::not_kept(Some(0), &Account::new(1024 * KIB));
    let _reader = fill.read(0, None).unwrap();
    let (recorded, _guard) = fill.record(frames([]), &limits()).await;
    assert!(matches!(recorded, Recorded::NotKept), "{recorded:?}");
}

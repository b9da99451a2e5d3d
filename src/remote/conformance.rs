//! What every server of the shared tier must do alike: each case runs on the one in memory, under
//! paused time, and on a real Redis.

#![cfg(test)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{sleep, timeout},
};

use super::{
    fence::tombstone,
    in_memory::{InMemory, InMemoryServer},
    redis::{
        Redis,
        support::redis::{Reply, Server, standalone},
    },
    store::{
        ConditionalPut, Invalidation, PutOutcome, RemoteLimits, RemoteStore, Unanswered, Watch,
        WatchEvent,
    },
};
use crate::codec::{Stamp, since as since_of};

const MINUTE: Duration = Duration::from_secs(60);

/// What every watched name begins with.
const PREFIX: &str = "cachewarp:";

/// Long enough for whatever must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of a server that expires values: how long until one is gone that lived for a millisecond.
const EXPIRED: Duration = Duration::from_millis(300);

/// A server, by hand and through the connections of nodes.
trait Fixture {
    async fn node(&self) -> Arc<dyn RemoteStore>;
    /// A node whose values are of 1 KiB at most.
    async fn small_node(&self) -> Arc<dyn RemoteStore>;
    /// Stores a value by hand, for a minute.
    fn set(&self, name: &str, value: &[u8]);
    fn expires_in(&self, name: &str) -> Option<Duration>;
    /// Ends the connections of all watches. They are made again by themselves.
    fn interrupt_watches(&self);
    /// Removes a log, as a server does that has to evict something.
    fn evict(&self, name: &str);
    fn flush(&self);
    /// Copies a log. Copied back it is as a replica has it that has not received what followed.
    fn copy_log(&self, from: &str, to: &str);
    /// From here on this is another server, with the same content.
    fn take_over(&self);
}

// === The cases ===

async fn a_value_that_was_put_is_read(server: &impl Fixture) {
    let node = server.node().await;
    assert!(node.is_available());
    assert_eq!(node.get("a").await.unwrap(), None);
    assert_eq!(node.get_two("a", "b").await.unwrap(), (None, None));
    assert_eq!(node.peek("a").await.unwrap(), None);

    let first = value(0, 1, b"first");
    let outcome = node.put_if(put_over("a", (0, 0), first.clone())).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    assert_eq!(node.get("a").await.unwrap(), Some(first.clone()));
    assert_eq!(node.peek("a").await.unwrap(), Some(stamp(0, 1)));
    let both = node.get_two("b", "a").await.unwrap();
    assert_eq!(both, (None, Some(first.clone())));
    // Another node reads the same.
    let other = server.node().await;
    assert_eq!(other.get("a").await.unwrap(), Some(first));
    let left = server.expires_in("a").unwrap();
    assert!(left <= MINUTE && left >= MINUTE - PATIENCE, "{left:?}");
}

async fn only_a_value_with_a_stamp_is_peeked_at(server: &impl Fixture) {
    let node = server.node().await;
    for (stored, expected) in [
        (&value(7, 9, b"rest")[..], Some(stamp(7, 9))),
        (&value(u64::MAX, 0, b""), Some(stamp(u64::MAX, 0))),
        (&value(7, 9, b"")[..19], None),
        (b"something else, of another kind", None),
        (b"", None),
    ] {
        server.set("a", stored);
        assert_eq!(node.peek("a").await.unwrap(), expected, "{stored:?}");
    }
}

async fn a_conditional_put_compares_the_stamp(server: &impl Fixture) {
    use PutOutcome::{EpochChanged, Stored, VersionChanged};
    let node = server.node().await;
    /// What it is, what is stored, the stamp that is expected, and the outcome.
    type Comparison = (&'static str, Option<Bytes>, (u64, u64), PutOutcome);
    let table: &[Comparison] = &[
        ("nothing is stored", None, (0, 0), Stored),
        ("it is gone", None, (0, 1), VersionChanged),
        ("it is gone, with its epoch", None, (1, 0), EpochChanged),
        ("as it was", Some(value(3, 9, b"")), (3, 9), Stored),
        ("newer", Some(value(3, 10, b"")), (3, 9), VersionChanged),
        ("invalidated", Some(value(4, 9, b"")), (3, 9), EpochChanged),
        ("both differ", Some(value(4, 8, b"")), (3, 9), EpochChanged),
        ("new", Some(value(0, 1, b"")), (0, 0), VersionChanged),
        (
            "every byte counts",
            Some(value(u64::MAX, 1 << 63, b"")),
            (u64::MAX, 1 << 63),
            Stored,
        ),
        (
            "the first byte differs",
            Some(value(1 << 56, 0, b"")),
            (2 << 56, 0),
            EpochChanged,
        ),
        ("no value of a node", Some("junk".into()), (0, 0), Stored),
    ];
    for (index, (what, stored, expected, outcome)) in table.iter().enumerate() {
        // Both have the same hash tag, as on a Cluster they must.
        let (name, companion) = (format!("{{{index}}}"), format!("{{{index}}}:companion"));
        if let Some(stored) = stored {
            server.set(&name, stored);
        }
        let new = value(7, 7, b"new");
        let put = ConditionalPut {
            companion: Some((companion.clone(), "body".into(), MINUTE)),
            ..put_over(&name, *expected, new.clone())
        };
        assert_eq!(node.put_if(put).await.unwrap(), *outcome, "{what}");
        let found = node.get_two(&name, &companion).await.unwrap();
        if *outcome == Stored {
            assert_eq!(found, (Some(new), Some("body".into())), "{what}");
        } else {
            assert_eq!(found, (stored.clone(), None), "{what}");
        }
    }
}

async fn of_conditional_puts_at_once_one_is_stored(server: &impl Fixture) {
    let nodes = [server.node().await, server.node().await];
    let puts = (0..50_u8).map(|number| {
        let value = value(0, 1, &[number]);
        nodes[usize::from(number) % 2].put_if(put_over("a", (0, 0), value))
    });
    let outcomes: Vec<_> = join_all(puts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let stored = outcomes.iter().filter(|it| **it == PutOutcome::Stored);
    assert_eq!(stored.count(), 1, "{outcomes:?}");
    let others = outcomes
        .iter()
        .filter(|it| **it == PutOutcome::VersionChanged);
    assert_eq!(others.count(), 49, "{outcomes:?}");
}

async fn an_unconditional_put_keeps_older_conditional_ones_out(server: &impl Fixture) {
    let node = server.node().await;
    node.put_if(put_over("a", (0, 0), value(0, 1, b"")))
        .await
        .unwrap();
    let tombstone = value(5, 0, b"");
    node.put("a", tombstone.clone(), MINUTE).await.unwrap();
    assert_eq!(node.get("a").await.unwrap(), Some(tombstone));
    let late = node.put_if(put_over("a", (0, 1), value(0, 2, b""))).await;
    assert_eq!(late.unwrap(), PutOutcome::EpochChanged);
    let next = node.put_if(put_over("a", (5, 0), value(5, 1, b""))).await;
    assert_eq!(next.unwrap(), PutOutcome::Stored);
}

async fn an_invalidation_leaves_a_tombstone_and_nothing_for_partitions(server: &impl Fixture) {
    let node = server.node().await;
    // What is stored under both names, before.
    let table = [
        ("nothing", None, None),
        ("a response", Some(value(3, 9, b"a body")), None),
        ("a tombstone", Some(value(4, 4, b"")), None),
        ("junk", Some("junk".into()), Some("junk".into())),
        ("partitions", None, Some(value(5, 5, b""))),
        ("all", Some(value(3, 9, b"")), Some(value(5, 5, b""))),
    ];
    for at_once in [1, table.len()] {
        let mut invalidations = Vec::new();
        for (index, (_, main, partitions)) in table.iter().enumerate() {
            let invalidation = invalidation(&format!("{at_once}-{index}"), 7);
            let stored = [
                (&invalidation.main, main),
                (&invalidation.partitions, partitions),
            ];
            for (name, stored) in stored {
                if let Some(stored) = stored {
                    server.set(name, stored);
                }
            }
            invalidations.push(invalidation);
        }
        for batch in invalidations.chunks(at_once) {
            let done = node.invalidate(batch, MINUTE).await.unwrap();
            assert_eq!(done, vec![true; batch.len()]);
        }
        for (invalidation, (what, ..)) in invalidations.iter().zip(&table) {
            let Invalidation {
                main, partitions, ..
            } = invalidation;
            let found = node.get_two(main, partitions).await.unwrap();
            assert_eq!(found, (Some(value(7, 7, b"")), None), "{what}");
            // What was observed before is not written any more, what observed this is.
            for (expected, outcome) in [
                ((0, 0), PutOutcome::EpochChanged),
                ((3, 9), PutOutcome::EpochChanged),
                ((7, 7), PutOutcome::Stored),
            ] {
                let put = node.put_if(put_over(main, expected, value(7, 8, b"")));
                assert_eq!(put.await.unwrap(), outcome, "{what}");
            }
        }
    }
    assert_eq!(node.invalidate(&[], MINUTE).await.unwrap(), [true; 0]);
}

async fn a_write_without_an_answer_ends_the_epoch_that_it_knows(server: &impl Fixture) {
    let node = server.node().await;
    // What is stored, what is read of it, the epoch that the message ends, and whether it does.
    type Message = (&'static str, Option<Bytes>, Option<u64>, u64, bool);
    let table: &[Message] = &[
        ("nothing", None, Some(0), 0, true),
        ("no more", None, Some(0), 3, false),
        ("the first", Some(value(0, 9, b"")), Some(0), 0, true),
        ("a response", Some(value(3, 9, b"a body")), Some(3), 3, true),
        ("invalidated", Some(tombstone(4, 4)), Some(4), 3, false),
        (
            "invalidated before",
            Some(tombstone(4, 4)),
            Some(4),
            4,
            true,
        ),
        ("another write", Some(tombstone(4, 3)), Some(3), 3, true),
        (
            "another, and new",
            Some(value(4, 9, b"")),
            Some(4),
            3,
            false,
        ),
        ("its own epoch", Some(tombstone(4, 3)), Some(3), 4, false),
        ("of the first", Some(tombstone(4, 0)), Some(0), 0, true),
        ("junk", Some("junk".into()), None, 0, false),
        ("long junk", Some([b'x'; 40][..].into()), None, 0, false),
    ];
    for at_once in [1, table.len()] {
        let mut watch = Watched::connected(&node).await;
        let mut messages = Vec::new();
        for (index, (what, stored, read, since, _)) in table.iter().enumerate() {
            let message = unanswered(&format!("{at_once}-{index}"), 7, *since);
            if let Some(stored) = stored {
                server.set(&message.main, stored);
                watch.changed([&*message.main]).await;
            }
            server.set(&message.partitions, b"x");
            watch.changed([&*message.partitions]).await;
            let head = node.head(&message.main).await.unwrap();
            assert_eq!(since_of(&head.unwrap()), *read, "{what}");
            messages.push(message);
        }
        for batch in messages.chunks(at_once) {
            let done = node.invalidate(batch, MINUTE).await.unwrap();
            assert_eq!(done, vec![true; batch.len()]);
        }
        let mut changed = BTreeSet::new();
        for (message, (what, .., since, ends)) in messages.iter().zip(table) {
            let Invalidation {
                main, partitions, ..
            } = message;
            let found = node.get_two(main, partitions).await.unwrap();
            let expected = tombstone(7, if *ends { *since } else { 7 });
            assert_eq!(found, (Some(expected), None), "{what}");
            changed.extend([main, partitions].map(String::clone));
            if *ends {
                changed.extend(message.unanswered.as_ref().map(|it| it.notice.clone()));
            }
        }
        watch.all_changed(changed).await;
        let last = format!("{PREFIX}last");
        node.put(&last, "x".into(), MINUTE).await.unwrap();
        watch.changed([&*last]).await;
    }
}

async fn a_tombstone_expires_when_what_it_replaces_would_have(server: &impl Fixture) {
    let node = server.node().await;
    let hour = 60 * MINUTE;
    for (what, stored, at_least, expected) in [
        ("nothing is stored", None, MINUTE, MINUTE),
        ("it would live longer", Some(hour), MINUTE, hour),
        ("it would live less long", Some(MINUTE), hour, hour),
    ] {
        let invalidation = invalidation(what, 7);
        let Invalidation { main, .. } = &invalidation;
        if let Some(keep) = stored {
            node.put(main, value(1, 1, b""), keep).await.unwrap();
        }
        for _ in 0..2 {
            let batch = std::slice::from_ref(&invalidation);
            assert_eq!(node.invalidate(batch, at_least).await.unwrap(), [true]);
            let left = server.expires_in(main).unwrap();
            assert!(
                left <= expected && left >= expected - PATIENCE,
                "{what}: {left:?}"
            );
        }
    }
}

async fn only_an_equal_value_is_deleted(server: &impl Fixture) {
    let node = server.node().await;
    server.set("a", b"junk");
    let junk = node.get("a").await.unwrap().unwrap();
    server.set("a", b"better");
    node.delete_if("a", &junk).await.unwrap();
    assert_eq!(node.get("a").await.unwrap(), Some("better".into()));
    node.delete_if("a", &"better".into()).await.unwrap();
    assert_eq!(node.get("a").await.unwrap(), None);
    node.delete_if("a", &junk).await.unwrap();
}

async fn a_lease_is_held_by_one_and_released_by_its_holder(server: &impl Fixture) {
    let (node, other) = (server.node().await, server.node().await);
    let lease = Duration::from_secs(5);
    assert!(node.acquire("lease", b"mine", lease).await.unwrap());
    assert!(!other.acquire("lease", b"other", lease).await.unwrap());
    assert!(!node.acquire("lease", b"mine", lease).await.unwrap());
    assert!(!other.release("lease", b"other").await.unwrap());
    assert!(node.release("lease", b"mine").await.unwrap());
    assert!(!node.release("lease", b"mine").await.unwrap());
    assert!(other.acquire("lease", b"other", lease).await.unwrap());
    let left = server.expires_in("lease").unwrap();
    assert!(left <= lease, "{left:?}");
    // Only its holder may hold it for longer.
    assert!(!node.extend("lease", b"mine", MINUTE).await.unwrap());
    assert!(server.expires_in("lease").unwrap() <= lease);
    assert!(other.extend("lease", b"other", MINUTE).await.unwrap());
    let left = server.expires_in("lease").unwrap();
    assert!(left <= MINUTE && left >= MINUTE - PATIENCE, "{left:?}");
    // One that was never released expires.
    let short = Duration::from_millis(1);
    assert!(other.extend("lease", b"other", short).await.unwrap());
    sleep(EXPIRED).await;
    assert!(!other.extend("lease", b"other", MINUTE).await.unwrap());
    assert!(!other.release("lease", b"other").await.unwrap());
    assert!(node.acquire("lease", b"mine", lease).await.unwrap());
}

async fn a_value_expires(server: &impl Fixture) {
    let node = server.node().await;
    let short = Duration::from_millis(1);
    node.put("a", value(1, 1, b""), short).await.unwrap();
    let put = ConditionalPut {
        keep: short,
        companion: Some(("{b}:companion".to_owned(), "body".into(), MINUTE)),
        ..put_over("{b}", (0, 0), value(0, 1, b""))
    };
    assert_eq!(node.put_if(put).await.unwrap(), PutOutcome::Stored);
    sleep(EXPIRED).await;
    assert_eq!(node.get("a").await.unwrap(), None);
    let companion = node.get_two("{b}", "{b}:companion").await.unwrap();
    assert_eq!(companion, (None, Some("body".into())));
    // Nothing is stored there any more, not even an epoch.
    let put = put_over("a", (0, 0), value(0, 2, b""));
    assert_eq!(node.put_if(put).await.unwrap(), PutOutcome::Stored);
}

async fn the_longest_and_the_shortest_expiry_are_taken(server: &impl Fixture) {
    let node = server.node().await;
    node.put("a", "x".into(), Duration::MAX).await.unwrap();
    assert_eq!(node.get("a").await.unwrap(), Some("x".into()));
    node.put("b", "x".into(), Duration::ZERO).await.unwrap();
    sleep(EXPIRED).await;
    assert_eq!(node.get("b").await.unwrap(), None);
    assert_eq!(node.get("a").await.unwrap(), Some("x".into()));
}

async fn a_value_above_the_limit_is_not_stored(server: &impl Fixture) {
    let node = server.small_node().await;
    assert_eq!(node.limits().max_value_bytes, 1 << 10);
    let fits = value(0, 1, &[0; (1 << 10) - 20]);
    node.put_if(put_over("a", (0, 0), fits.clone()))
        .await
        .unwrap();
    let above = Bytes::from([&fits[..], b"x"].concat());
    let error = node.put("b", above, MINUTE).await.unwrap_err();
    assert!(error.to_string().contains("1025 bytes"), "{error}");
    let put = ConditionalPut {
        companion: Some(("c".to_owned(), "x".into(), MINUTE)),
        ..put_over("a", (0, 1), fits)
    };
    assert!(node.put_if(put).await.is_err());
    assert_eq!(node.get_two("b", "c").await.unwrap(), (None, None));
}

// === Watches ===

async fn every_watch_reports_every_change(server: &impl Fixture) {
    let (writer, other) = (server.node().await, server.node().await);
    let mut watches = [
        Watched::connected(&writer).await,
        Watched::connected(&other).await,
    ];
    let name = |name: &str| format!("{PREFIX}{{{name}}}");
    let (main, companion) = (name("a"), format!("{}:companion", name("a")));
    let put = ConditionalPut {
        companion: Some((companion.clone(), "body".into(), MINUTE)),
        ..put_over(&main, (0, 0), value(0, 1, b""))
    };
    let (lease, deleted) = (name("lease"), name("b"));
    assert_eq!(writer.put_if(put).await.unwrap(), PutOutcome::Stored);
    for watch in &mut watches {
        watch.changed([&*main, &*companion]).await;
    }
    let junk = Bytes::from("junk");
    writer.put(&deleted, junk.clone(), MINUTE).await.unwrap();
    for watch in &mut watches {
        watch.changed([&*deleted]).await;
    }
    writer.delete_if(&deleted, &junk).await.unwrap();
    for watch in &mut watches {
        watch.changed([&*deleted]).await;
    }
    assert!(writer.acquire(&lease, b"token", MINUTE).await.unwrap());
    for watch in &mut watches {
        watch.changed([&*lease]).await;
    }
    assert!(writer.extend(&lease, b"token", MINUTE).await.unwrap());
    for watch in &mut watches {
        watch.changed([&*lease]).await;
    }
    assert!(writer.release(&lease, b"token").await.unwrap());
    for watch in &mut watches {
        watch.changed([&*lease]).await;
    }
    // Of an invalidation both names are reported, whatever there was.
    let before = invalidation("c", 7);
    for _ in 0..2 {
        let batch = [before.clone(), invalidation("d", 7)];
        writer.invalidate(&batch, MINUTE).await.unwrap();
        for watch in &mut watches {
            let names = batch.each_ref().map(|it| [&*it.main, &*it.partitions]);
            let [[a, b], [c, d]] = names;
            watch.changed([a, b, c, d]).await;
        }
    }
    // Of a value that expires the end is reported too.
    let short = Duration::from_millis(50);
    writer.put(&deleted, junk, short).await.unwrap();
    for watch in &mut watches {
        watch.changed([&*deleted]).await;
        watch.changed([&*deleted]).await;
    }
}

async fn what_changes_nothing_and_other_names_are_not_reported(server: &impl Fixture) {
    let node = server.node().await;
    let (name, last) = (format!("{PREFIX}a"), format!("{PREFIX}last"));
    server.set(&name, &value(1, 1, b""));
    let mut watch = Watched::connected(&node).await;
    node.get(&name).await.unwrap();
    node.get_two(&name, "b").await.unwrap();
    node.peek(&name).await.unwrap();
    let put = put_over(&name, (2, 2), value(2, 3, b""));
    assert_eq!(node.put_if(put).await.unwrap(), PutOutcome::EpochChanged);
    let put = put_over(&name, (1, 2), value(1, 3, b""));
    assert_eq!(node.put_if(put).await.unwrap(), PutOutcome::VersionChanged);
    node.delete_if(&name, &"other".into()).await.unwrap();
    assert!(!node.acquire(&name, b"token", MINUTE).await.unwrap());
    assert!(!node.extend(&name, b"token", MINUTE).await.unwrap());
    assert!(!node.release(&name, b"token").await.unwrap());
    for other in ["cachewarp", "cache:1", "other", "x-cachewarp:1"] {
        node.put(other, "x".into(), MINUTE).await.unwrap();
    }
    node.put(&last, "x".into(), MINUTE).await.unwrap();
    // It is the first to be reported.
    assert_eq!(watch.next().await, WatchEvent::Changed(last.into()));
}

async fn changes_are_reported_in_order(server: &impl Fixture) {
    let node = server.node().await;
    let mut watch = Watched::connected(&node).await;
    for round in 0..50 {
        let name = format!("{PREFIX}{round}");
        node.put(&name, "x".into(), MINUTE).await.unwrap();
        assert_eq!(watch.next().await, WatchEvent::Changed(name.into()));
    }
}

async fn an_interrupted_watch_says_so_and_goes_on(server: &impl Fixture) {
    let node = server.node().await;
    let mut watch = Watched::connected(&node).await;
    for round in 0..3 {
        server.interrupt_watches();
        watch.until(&WatchEvent::Disconnected).await;
        watch.until(&WatchEvent::Connected).await;
        let name = format!("{PREFIX}{round}");
        node.put(&name, "x".into(), MINUTE).await.unwrap();
        watch.until(&WatchEvent::Changed(name.into())).await;
    }
}

async fn a_watch_ends_when_it_is_dropped(server: &impl Fixture) {
    let (node, other) = (server.node().await, server.node().await);
    let mut ended = Watched::connected(&node).await;
    let mut lasting = Watched::connected(&other).await;
    ended.watch = None;
    assert_eq!(timeout(PATIENCE, ended.events.recv()).await, Ok(None));
    let name = format!("{PREFIX}a");
    node.put(&name, "x".into(), MINUTE).await.unwrap();
    lasting.until(&WatchEvent::Changed(name.into())).await;
}

async fn a_touch_changes_nothing(server: &impl Fixture) {
    let node = server.node().await;
    let mut watch = Watched::connected(&node).await;
    let (first, second) = (format!("{PREFIX}a"), format!("{PREFIX}b"));
    let stored = value(1, 2, b"text");
    server.set(&first, &stored);
    watch.changed([&first]).await;
    let expires = server.expires_in(&first).unwrap();
    let missing = format!("{PREFIX}missing");
    let names = [first.clone(), missing.clone()];
    node.touch(&names).await.unwrap();
    node.touch(&[]).await.unwrap();
    assert_eq!(node.get(&first).await.unwrap(), Some(stored));
    assert_eq!(node.get(&missing).await.unwrap(), None);
    assert!(server.expires_in(&first).unwrap() <= expires);
    // Nobody was notified: the next event is of what happens next.
    server.set(&second, b"");
    let event = watch.next().await;
    assert_eq!(event, WatchEvent::Changed(second.into()));
}

/// A watch, and the events that it reported.
struct Watched {
    events: UnboundedReceiver<WatchEvent>,
    watch: Option<Box<dyn Watch>>,
}

impl Watched {
    async fn connected(node: &Arc<dyn RemoteStore>) -> Self {
        let (sender, events) = unbounded_channel();
        let on_event = Box::new(move |event| _ = sender.send(event));
        let watch = Some(node.watch(PREFIX.to_owned(), on_event));
        let mut watched = Self { events, watch };
        assert_eq!(watched.next().await, WatchEvent::Connected);
        watched
    }

    async fn next(&mut self) -> WatchEvent {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event comes").expect("the watch goes on")
    }

    async fn until(&mut self, event: &WatchEvent) {
        while self.next().await != *event {}
    }

    /// Waits until each of these names has been reported. Redis reports those of one step in any
    /// order.
    async fn changed<const COUNT: usize>(&mut self, names: [&str; COUNT]) {
        self.all_changed(names.map(str::to_owned).into()).await;
    }

    async fn all_changed(&mut self, names: BTreeSet<String>) {
        let mut names: BTreeSet<_> = names.into_iter().map(Bytes::from).collect();
        while !names.is_empty() {
            let WatchEvent::Changed(name) = self.next().await else {
                panic!("the watch was interrupted");
            };
            assert!(names.remove(&name), "{name:?} did not change");
        }
    }
}

/// A value as it is stored: its kind, its stamp, and the rest.
fn value(epoch: u64, version: u64, rest: &[u8]) -> Bytes {
    let stamp = [epoch.to_be_bytes(), version.to_be_bytes()].concat();
    [b"CW\x01E", &stamp[..], rest].concat().into()
}

fn stamp(epoch: u64, version: u64) -> Stamp {
    Stamp { epoch, version }
}

/// Begins this epoch of a resource.
fn invalidation(resource: &str, epoch: u64) -> Invalidation {
    Invalidation {
        main: format!("{PREFIX}{{{resource}}}"),
        partitions: format!("{PREFIX}{{{resource}}}:partitions"),
        tombstone: value(epoch, epoch, b""),
        unanswered: None,
    }
}

/// The same for a write that got no answer, after which this epoch has ended.
fn unanswered(resource: &str, epoch: u64, since: u64) -> Invalidation {
    let invalidation = invalidation(resource, epoch);
    Invalidation {
        tombstone: tombstone(epoch, epoch),
        unanswered: Some(Unanswered {
            notice: format!("{}:unanswered", invalidation.main),
            tombstone: tombstone(epoch, since),
        }),
        ..invalidation
    }
}

fn put_over(name: &str, (epoch, version): (u64, u64), value: Bytes) -> ConditionalPut<'_> {
    ConditionalPut {
        name,
        expected: Stamp { epoch, version },
        value,
        keep: MINUTE,
        companion: None,
    }
}

// === The servers ===

/// The server in memory, and all its nodes.
struct Memory {
    server: InMemoryServer,
    nodes: std::sync::Mutex<Vec<InMemory>>,
}

impl Memory {
    fn new() -> Self {
        Self {
            server: InMemoryServer::new(),
            nodes: std::sync::Mutex::default(),
        }
    }

    fn add(&self, node: InMemory) -> Arc<dyn RemoteStore> {
        self.nodes.lock().unwrap().push(node.clone());
        Arc::new(node)
    }
}

impl Fixture for Memory {
    async fn node(&self) -> Arc<dyn RemoteStore> {
        self.add(self.server.node())
    }

    async fn small_node(&self) -> Arc<dyn RemoteStore> {
        self.add(self.server.node_with(RemoteLimits {
            namespace: "cachewarp".to_owned(),
            max_value_bytes: 1 << 10,
            compression_threshold: None,
            read_timeout: Duration::from_millis(50),
            purge_replicas: 0,
            max_pending: 1,
        }))
    }

    fn set(&self, name: &str, value: &[u8]) {
        self.server.set(name, Bytes::copy_from_slice(value), MINUTE);
    }

    fn expires_in(&self, name: &str) -> Option<Duration> {
        self.server.expires_in(name)
    }

    fn interrupt_watches(&self) {
        for node in &*self.nodes.lock().unwrap() {
            node.disconnect();
            node.reconnect();
        }
    }

    fn evict(&self, name: &str) {
        self.server.evict(name);
    }

    fn flush(&self) {
        self.server.clear();
    }

    fn copy_log(&self, from: &str, to: &str) {
        self.server.copy_log(from, to);
    }

    fn take_over(&self) {
        self.server.take_over();
    }
}

impl Fixture for Server {
    async fn node(&self) -> Arc<dyn RemoteStore> {
        let redis = Redis::builder(self.url()).require_at_start(true);
        Arc::new(redis.connect().await.unwrap())
    }

    async fn small_node(&self) -> Arc<dyn RemoteStore> {
        let redis = Redis::builder(self.url()).max_value_bytes(1 << 10);
        let redis = redis.require_at_start(true).connect().await;
        Arc::new(redis.unwrap())
    }

    fn set(&self, name: &str, value: &[u8]) {
        let command = [b"SET".as_slice(), name.as_bytes(), value, b"PX", b"60000"];
        assert!(self.command(&command).is_ok());
    }

    fn expires_in(&self, name: &str) -> Option<Duration> {
        match self.command(&["PTTL", name]) {
            Reply::Integer(left) => u64::try_from(left).ok().map(Duration::from_millis),
            other => panic!("no number: {other:?}"),
        }
    }

    fn interrupt_watches(&self) {
        let list = self.command(&["CLIENT", "LIST", "TYPE", "normal"]).text();
        let field = |line: &str, name: &str| {
            let fields = line.split(' ').filter_map(|it| it.split_once('='));
            fields
                .into_iter()
                .find(|it| it.0 == name)
                .map(|it| it.1.to_owned())
        };
        // The flag of a connection with client tracking.
        let tracks = |line: &&str| field(line, "flags").is_some_and(|it| it.contains('t'));
        let ids: Vec<_> = list
            .lines()
            .filter(tracks)
            .filter_map(|it| field(it, "id"))
            .collect();
        assert!(!ids.is_empty(), "{list}");
        for id in ids {
            assert_eq!(
                self.command(&["CLIENT", "KILL", "ID", &id]),
                Reply::Integer(1)
            );
        }
    }

    fn evict(&self, name: &str) {
        self.command(&["DEL", name]);
    }

    fn flush(&self) {
        assert!(self.command(&["FLUSHALL"]).is_ok());
    }

    fn copy_log(&self, from: &str, to: &str) {
        let copied = self.command(&["COPY", from, to, "REPLACE"]);
        assert_eq!(copied, Reply::Integer(1));
    }

    fn take_over(&self) {
        for of in [["127.0.0.1", "1"], ["NO", "ONE"]] {
            let command = [&["REPLICAOF"][..], &of].concat();
            assert!(self.command(&command).is_ok());
        }
    }
}

// === The table ===

macro_rules! both {
    ($($case:ident)*) => {
        mod in_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case(&super::Memory::new()).await;
            })*
        }

        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&super::standalone()).await;
            })*
        }
    };
}

mod log;

both! {
    a_touch_changes_nothing
    a_value_that_was_put_is_read
    only_a_value_with_a_stamp_is_peeked_at
    a_conditional_put_compares_the_stamp
    of_conditional_puts_at_once_one_is_stored
    an_unconditional_put_keeps_older_conditional_ones_out
    an_invalidation_leaves_a_tombstone_and_nothing_for_partitions
    a_write_without_an_answer_ends_the_epoch_that_it_knows
    a_tombstone_expires_when_what_it_replaces_would_have
    only_an_equal_value_is_deleted
    a_lease_is_held_by_one_and_released_by_its_holder
    a_value_expires
    the_longest_and_the_shortest_expiry_are_taken
    a_value_above_the_limit_is_not_stored
    every_watch_reports_every_change
    what_changes_nothing_and_other_names_are_not_reported
    changes_are_reported_in_order
    an_interrupted_watch_says_so_and_goes_on
    a_watch_ends_when_it_is_dropped
}

//! What the log of purges must do on every server.

#![cfg(test)]

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::join_all;

use super::{Fixture, MINUTE, Memory, PREFIX, Watched, standalone};
use crate::remote::{
    log::{Continuity, LogPosition, LogReply, LogRequest, LogRow},
    store::{RemoteStore, WatchEvent},
};

const LOG: &str = "cachewarp:v1:purges";
const COPY: &str = "cachewarp:v1:copy";
const KEEP: u64 = 100;

/// A node that follows the log.
struct Follower {
    store: Arc<dyn RemoteStore>,
    position: Option<LogPosition>,
    keep: u64,
}

impl Follower {
    async fn of(server: &impl Fixture) -> Self {
        Self {
            store: server.node().await,
            position: None,
            keep: KEEP,
        }
    }

    /// Appends, and follows to the end.
    async fn append(&mut self, rows: &[LogRow]) -> LogReply {
        let (new_id, new_token) = (random(), random());
        let request = LogRequest {
            name: LOG,
            position: self.position,
            append: rows,
            new_id,
            new_token,
            keep: self.keep,
            urgent: false,
            replicas: 0,
        };
        let reply = self.store.sync_log(request).await.unwrap();
        if !rows.is_empty() {
            assert_eq!(reply.head.token, new_token);
        }
        self.position = Some(reply.head);
        reply
    }

    async fn follow(&mut self) -> LogReply {
        self.append(&[]).await
    }
}

/// A number that no other call returns, of which every byte may have every value.
fn random() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    call.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn row(number: u64) -> LogRow {
    LogRow {
        mode: u8::try_from(number % 3).unwrap(),
        subject: u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
    }
}

fn rows(numbers: RangeInclusive<u64>) -> Vec<LogRow> {
    numbers.map(row).collect()
}

/// Rows whose numbers are those that [`row`] was given.
fn numbered(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, LogRow)> {
    numbers.into_iter().map(|it| (it, row(it))).collect()
}

// === The cases ===

async fn the_first_contact_begins_a_log(server: &impl Fixture) {
    let (mut one, mut two) = (Follower::of(server).await, Follower::of(server).await);
    let first = one.follow().await;
    assert_eq!(first.continuity, Continuity::First);
    assert_eq!((first.head.seq, first.head.token, first.floor), (0, 0, 0));
    assert_eq!((first.rows, first.appended), (vec![], None));
    // There is one log, whoever comes later.
    let second = two.follow().await;
    assert_eq!(second.continuity, Continuity::First);
    assert_eq!(second.head, first.head);
    let again = one.follow().await;
    assert_eq!(again.continuity, Continuity::Continuous);
    assert_eq!(again.head, first.head);
}

async fn a_node_reads_what_follows_its_position(server: &impl Fixture) {
    let (mut one, mut two) = (Follower::of(server).await, Follower::of(server).await);
    two.follow().await;
    let appended = one.append(&rows(1..=3)).await;
    assert_eq!(appended.continuity, Continuity::First);
    assert_eq!(appended.appended, Some(1..=3));
    assert_eq!(appended.rows, numbered(1..=3));
    assert_eq!(appended.head.seq, 3);
    let followed = two.append(&rows(4..=4)).await;
    assert_eq!(followed.continuity, Continuity::Continuous);
    assert_eq!(followed.appended, Some(4..=4));
    assert_eq!(followed.rows, numbered(1..=4));
    let followed = one.follow().await;
    assert_eq!(followed.continuity, Continuity::Continuous);
    assert_eq!((followed.rows, followed.appended), (numbered(4..=4), None));
    assert_eq!(one.position, two.position);
    let nothing = one.follow().await;
    assert_eq!((nothing.rows, nothing.floor), (vec![], 0));
    // One that has just started reads everything.
    let all = Follower::of(server).await.follow().await;
    assert_eq!(all.continuity, Continuity::First);
    assert_eq!(all.rows, numbered(1..=4));
}

async fn a_repeated_row_moves_to_the_end(server: &impl Fixture) {
    let (mut one, mut two) = (Follower::of(server).await, Follower::of(server).await);
    one.append(&rows(1..=3)).await;
    two.follow().await;
    let again = one.append(&[row(1)]).await;
    assert_eq!(again.appended, Some(4..=4));
    assert_eq!(again.rows, [(4, row(1))]);
    // The same subject in another mode is another row; twice at once is once.
    let other = LogRow { mode: 7, ..row(1) };
    let twice = one.append(&[row(2), other, row(2)]).await;
    assert_eq!(twice.appended, Some(5..=7));
    let expected = [(4, row(1)), (6, other), (7, row(2))];
    assert_eq!(two.follow().await.rows, expected);
    let all = Follower::of(server).await.follow().await;
    assert_eq!(all.rows[..1], numbered([3]));
    assert_eq!(all.rows[1..], expected);
}

async fn old_rows_are_removed_and_who_missed_them_is_told(server: &impl Fixture) {
    let mut node = Follower::of(server).await;
    node.keep = 4;
    let mut positions = vec![node.follow().await.head];
    for number in 1..=10 {
        positions.push(node.append(&[row(number)]).await.head);
    }
    for position in positions {
        node.position = Some(position);
        let reply = node.follow().await;
        assert_eq!(reply.floor, 6);
        assert_eq!(reply.head.seq, 10);
        if position.seq < 6 {
            assert_eq!(reply.continuity, Continuity::Gap, "{position:?}");
            assert!(reply.rows.ends_with(&numbered(7..=10)), "{reply:?}");
        } else {
            assert_eq!(reply.continuity, Continuity::Continuous, "{position:?}");
            assert_eq!(reply.rows, numbered(position.seq + 1..=10));
        }
    }
    // More at once than are kept: even the node that appends must know that others miss some.
    let reply = node.append(&rows(11..=20)).await;
    assert_eq!((reply.continuity, reply.floor), (Continuity::Gap, 16));
    assert!(reply.rows.ends_with(&numbered(17..=20)), "{reply:?}");
    assert_eq!(node.follow().await.continuity, Continuity::Continuous);
    // The end is kept, even if nothing else is.
    node.keep = 0;
    let end = node.follow().await;
    assert_eq!((end.continuity, end.floor), (Continuity::Continuous, 20));
    assert_eq!(node.follow().await.continuity, Continuity::Continuous);
    assert_eq!(node.append(&[row(21)]).await.head.seq, 21);
    assert_eq!(node.follow().await.continuity, Continuity::Continuous);
}

async fn a_long_log_is_read_whole(server: &impl Fixture) {
    let mut one = Follower::of(server).await;
    one.keep = 10_000;
    let begin = one.follow().await.head;
    for at in 0..4 {
        one.append(&rows(at * 1_000 + 1..=at * 1_000 + 1_000)).await;
    }
    let mut two = Follower::of(server).await;
    two.keep = 10_000;
    let reply = two.follow().await;
    assert_eq!(reply.continuity, Continuity::First);
    assert_eq!(reply.rows, numbered(1..=4_000));
    assert_eq!(Some(reply.head), one.position);
    two.position = Some(begin);
    let reply = two.append(&rows(4_001..=4_002)).await;
    assert_eq!(reply.continuity, Continuity::Continuous);
    assert_eq!(reply.rows, numbered(1..=4_002));
    assert_eq!(reply.appended, Some(4_001..=4_002));
    assert_eq!(reply.head.seq, 4_002);
}

async fn a_log_that_is_gone_begins_anew(server: &impl Fixture) {
    let (mut one, mut two) = (Follower::of(server).await, Follower::of(server).await);
    for gone in [false, true] {
        one.append(&rows(1..=3)).await;
        two.follow().await;
        let old = two.position.unwrap().id;
        if gone {
            server.flush();
        } else {
            server.evict(LOG);
        }
        let new = one.follow().await;
        assert_eq!(new.continuity, Continuity::Replaced);
        assert_ne!(new.head.id, old);
        assert_eq!((new.head.seq, new.rows), (0, vec![]));
        // No position of the old one is in the new one, whatever comes then.
        one.append(&rows(1..=3)).await;
        let replaced = two.follow().await;
        assert_eq!(replaced.continuity, Continuity::Replaced);
        assert_eq!(replaced.head.id, new.head.id);
        assert_eq!(replaced.rows, numbered(1..=3));
    }
}

/// A replica took over that had not received the last row. The number was given to another purge
/// before the node came back that had the first.
async fn a_number_that_was_given_twice_is_noticed(server: &impl Fixture) {
    let (mut one, mut two) = (Follower::of(server).await, Follower::of(server).await);
    one.append(&rows(1..=4)).await;
    two.follow().await;
    server.copy_log(LOG, COPY);
    let lost = one.append(&[row(5)]).await.head;
    server.copy_log(COPY, LOG);
    let again = two.append(&[row(6)]).await;
    assert_eq!(again.continuity, Continuity::Continuous);
    assert_eq!((again.head.id, again.head.seq), (lost.id, lost.seq));
    // This node has not applied that row, though its number says so.
    let noticed = one.follow().await;
    assert_eq!(noticed.continuity, Continuity::Replaced);
    assert_ne!(noticed.head.id, lost.id);
    assert!(noticed.head.seq > lost.seq);
    assert!(noticed.rows.contains(&(5, row(6))), "{noticed:?}");
    // Everybody is told, once.
    assert_eq!(two.follow().await.continuity, Continuity::Replaced);
    for node in [&mut one, &mut two] {
        let settled = node.follow().await;
        assert_eq!(settled.continuity, Continuity::Continuous);
        assert_eq!(settled.head.id, noticed.head.id);
    }
}

async fn a_lost_end_is_noticed_before_a_number_is_given_twice(server: &impl Fixture) {
    let mut node = Follower::of(server).await;
    node.append(&rows(1..=4)).await;
    server.copy_log(LOG, COPY);
    for appends in [false, true] {
        let lost = node.append(&rows(5..=7)).await.head;
        server.copy_log(COPY, LOG);
        let append = if appends { rows(8..=8) } else { vec![] };
        let reply = node.append(&append).await;
        assert_eq!(reply.continuity, Continuity::Replaced);
        assert_ne!(reply.head.id, lost.id);
        assert!(reply.head.seq > lost.seq);
        // What is left is told again.
        assert!(reply.rows.starts_with(&numbered(1..=4)), "{reply:?}");
        assert_eq!(reply.appended.is_some(), appends);
        assert_eq!(node.follow().await.continuity, Continuity::Continuous);
        server.copy_log(LOG, COPY);
    }
}

/// Nothing needs to be lost: whether something is, the content alone does not show.
async fn another_server_begins_a_new_id(server: &impl Fixture) {
    let (mut one, mut two) = (Follower::of(server).await, Follower::of(server).await);
    one.append(&rows(1..=4)).await;
    let old = two.follow().await.head;
    server.take_over();
    let mut new = Follower::of(server).await;
    let first = new.append(&[row(5)]).await;
    assert_eq!(first.continuity, Continuity::First);
    assert_ne!(first.head.id, old.id);
    assert!(first.head.seq > old.seq + 1, "{first:?}");
    for node in [&mut one, &mut two] {
        let reply = node.follow().await;
        assert_eq!(reply.continuity, Continuity::Replaced);
        assert_eq!(reply.head, first.head);
        assert_eq!(reply.rows, first.rows);
        assert_eq!(node.follow().await.continuity, Continuity::Continuous);
    }
}

async fn of_appends_at_once_each_has_its_numbers(server: &impl Fixture) {
    let mut nodes = [Follower::of(server).await, Follower::of(server).await];
    let stores = nodes.each_ref().map(|it| Arc::clone(&it.store));
    let all: Vec<_> = (0..40).map(|at| rows(at * 10 + 1..=at * 10 + 3)).collect();
    let appends = all.iter().zip(stores.iter().cycle()).map(|(rows, store)| {
        store.sync_log(LogRequest {
            name: LOG,
            position: None,
            append: rows,
            new_id: random(),
            new_token: random(),
            keep: 1_000,
            urgent: false,
            replicas: 0,
        })
    });
    let mut given: Vec<_> = join_all(appends)
        .await
        .into_iter()
        .map(|reply| reply.unwrap().appended.unwrap())
        .zip(all.iter().cloned())
        .collect();
    given.sort_by_key(|(numbers, _)| *numbers.start());
    let expected: Vec<_> = given
        .into_iter()
        .flat_map(|(numbers, rows)| numbers.zip(rows))
        .collect();
    assert_eq!(expected.len(), 120);
    assert!(expected.iter().map(|it| it.0).eq(1..=120));
    for node in &mut nodes {
        node.keep = 1_000;
        assert_eq!(node.follow().await.rows, expected);
    }
}

async fn something_else_under_the_name_is_replaced(server: &impl Fixture) {
    let mut node = Follower::of(server).await;
    let old = node.append(&rows(1..=2)).await.head.id;
    server.set(LOG, b"something else");
    let reply = node.append(&[row(1)]).await;
    assert_eq!(reply.continuity, Continuity::Replaced);
    assert_ne!(reply.head.id, old);
    assert_eq!(reply.rows, numbered(1..=1));
    assert_eq!(node.follow().await.continuity, Continuity::Continuous);
    assert_eq!(server.expires_in(LOG), None);
}

async fn too_few_replicas_are_an_error(server: &impl Fixture) {
    let mut node = Follower::of(server).await;
    node.follow().await;
    let wanting = |append| LogRequest {
        name: LOG,
        position: None,
        append,
        new_id: random(),
        new_token: random(),
        keep: KEEP,
        urgent: false,
        replicas: 2,
    };
    let append = [row(1)];
    for _ in 0..2 {
        let appended = node.store.sync_log(wanting(&append)).await;
        let error = appended.unwrap_err().to_string();
        assert!(
            error.ends_with("0 of 2 replicas have acknowledged"),
            "{error}"
        );
    }
    // It is appended nevertheless. To read takes no replica.
    let reply = node.store.sync_log(wanting(&[])).await.unwrap();
    assert_eq!(reply.rows, [(2, row(1))]);
}

async fn a_change_of_the_log_is_reported(server: &impl Fixture) {
    let mut node = Follower::of(server).await;
    let mut watch = Watched::connected(&node.store).await;
    let last = format!("{PREFIX}last");
    node.follow().await;
    watch.changed([LOG]).await;
    for number in [1, 2, 1] {
        node.append(&[row(number)]).await;
        watch.changed([LOG]).await;
    }
    server.copy_log(LOG, COPY);
    watch.changed([COPY]).await;
    // Who only reads wakes nobody.
    node.follow().await;
    node.position = None;
    node.follow().await;
    node.store.put(&last, "x".into(), MINUTE).await.unwrap();
    assert_eq!(watch.next().await, WatchEvent::Changed(last.into()));
    server.evict(LOG);
    watch.changed([LOG]).await;
}

both! {
    the_first_contact_begins_a_log
    a_node_reads_what_follows_its_position
    a_repeated_row_moves_to_the_end
    old_rows_are_removed_and_who_missed_them_is_told
    a_long_log_is_read_whole
    a_log_that_is_gone_begins_anew
    a_number_that_was_given_twice_is_noticed
    a_lost_end_is_noticed_before_a_number_is_given_twice
    another_server_begins_a_new_id
    of_appends_at_once_each_has_its_numbers
    something_else_under_the_name_is_replaced
    too_few_replicas_are_an_error
    a_change_of_the_log_is_reported
}

#[tokio::test(start_paused = true)]
async fn enough_replicas_are_no_error() {
    let memory = Memory::new();
    let node = memory.node().await;
    let append = rows(1..=2);
    for (there, wanted) in [(1, 2), (2, 2), (2, 1)] {
        memory.server.replicate(there);
        let request = LogRequest {
            name: LOG,
            position: None,
            append: &append,
            new_id: random(),
            new_token: random(),
            keep: KEEP,
            urgent: false,
            replicas: wanted,
        };
        let appended = node.sync_log(request).await;
        assert_eq!(appended.is_ok(), there >= wanted, "{appended:?}");
    }
}

/// Whatever happens in whatever order, the server in memory answers what Redis answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_answer_alike() {
    for seed in 1..=6_u64 {
        let (memory, redis) = (Memory::new(), standalone());
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let in_memory = memory.node().await;
        let in_redis = Fixture::node(&redis).await;
        let mut positions = vec![None];
        let mut is_copied = false;
        for step in 0..300 {
            match next(40) {
                0 => {
                    memory.evict(LOG);
                    redis.evict(LOG);
                }
                1 => {
                    memory.take_over();
                    redis.take_over();
                }
                2 => {
                    memory.set(LOG, b"x");
                    Fixture::set(&redis, LOG, b"x");
                }
                3 | 4 if step > 0 && is_copied => {
                    memory.copy_log(COPY, LOG);
                    redis.copy_log(COPY, LOG);
                }
                _ => {}
            }
            let append: Vec<_> = (0..next(4)).map(|_| row(next(30))).collect();
            let request = LogRequest {
                name: LOG,
                position: positions[usize::try_from(next(positions.len() as u64)).unwrap()],
                append: &append,
                new_id: random(),
                new_token: random(),
                keep: [2, 20, 20, 50][usize::try_from(next(4)).unwrap()],
                urgent: false,
                replicas: 0,
            };
            let expected = in_memory.sync_log(request).await.unwrap();
            let found = in_redis.sync_log(request).await.unwrap();
            assert_eq!(found, expected, "seed {seed}, step {step}: {request:?}");
            positions.push(Some(expected.head));
            if positions.len() > 12 {
                positions.remove(1);
            }
            if next(10) == 0 {
                memory.copy_log(LOG, COPY);
                redis.copy_log(LOG, COPY);
                is_copied = true;
            }
        }
    }
}

//! Which invalidation is sent next, and by which task.

use super::*;

/// How many may be pending.
const MAX: usize = 1_000;

fn of(name: &[u8], epoch: u64) -> PendingInvalidation {
    PendingInvalidation {
        name: Name::of(name),
        epoch,
        validity: Validity::Invalidated,
    }
}

/// What is pending of an invalidation.
fn invalidated(epoch: u64) -> Pending {
    Pending::Epoch(epoch, Validity::Invalidated)
}

/// So many of them that one more is too many.
fn full() -> PendingInvalidations {
    let pending = PendingInvalidations::new(MAX);
    for index in 0..MAX as u64 {
        pending.add(of(&index.to_be_bytes(), 1), Known::Nothing);
    }
    pending
}

#[test]
fn an_invalidation_is_pending_until_it_is_sent() {
    let pending = PendingInvalidations::new(MAX);
    let [first, second] = [of(b"a", 1), of(b"a", 2)];
    let start = Some(SendingTask::Sending(Lane::Stored));
    assert_eq!(pending.add(first, Known::Stored), start);
    assert_eq!(pending.next(Lane::Stored), [first]);
    // Another invalidation while the first is being sent.
    assert_eq!(pending.add(second, Known::Stored), None);
    assert_eq!(pending.sent(first), None, "its task goes on");
    assert_eq!(pending.of(first.name), invalidated(2));
    assert_eq!(pending.of(Name::of(b"b")), Pending::Nothing);
    assert_eq!(pending.next(Lane::Stored), [second]);
    assert_eq!(pending.sent(second), None);
    assert_eq!(pending.of(first.name), Pending::Nothing);
    assert_eq!(pending.next(Lane::Stored), []);
    assert_eq!(pending.add(first, Known::Stored), start);
}

#[test]
fn an_invalidation_is_stronger_than_a_write_without_an_answer() {
    use Validity::{Invalidated, Unanswered};
    for (first, second, expected) in [
        (Unanswered, Unanswered, Unanswered),
        (Unanswered, Invalidated, Invalidated),
        (Invalidated, Unanswered, Invalidated),
    ] {
        let with = |epoch, validity| PendingInvalidation {
            validity,
            ..of(b"a", epoch)
        };
        // Whether the second comes while the first is being sent.
        for is_under_way in [false, true] {
            let pending = PendingInvalidations::new(MAX);
            pending.add(with(1, first), Known::Stored);
            assert_eq!(pending.of(Name::of(b"a")), Pending::Epoch(1, first));
            if is_under_way {
                assert_eq!(pending.next(Lane::Stored), [with(1, first)]);
            }
            pending.add(with(2, second), Known::Stored);
            if is_under_way {
                assert_eq!(pending.sent(with(1, first)), None);
            }
            assert_eq!(pending.of(Name::of(b"a")), Pending::Epoch(2, expected));
            assert_eq!(pending.next(Lane::Stored), [with(2, expected)]);
        }
    }
}

#[test]
fn what_is_stored_does_not_wait_for_what_is_not() {
    let pending = PendingInvalidations::new(MAX);
    let (flood, real) = (Lane::Unknown, Lane::Stored);
    let numbers: Vec<_> = (0..900_u64).map(|it| of(&it.to_be_bytes(), it)).collect();
    assert_eq!(
        pending.add(numbers[0], Known::Nothing),
        Some(SendingTask::Sending(flood))
    );
    for number in &numbers[1..] {
        assert_eq!(pending.add(*number, Known::Nothing), None);
    }
    // While a batch of them is under way.
    let batch = pending.next(flood);
    assert_eq!(batch, numbers[..BATCH]);
    assert_eq!(
        pending.add(of(b"a", 1), Known::Stored),
        Some(SendingTask::Sending(real))
    );
    assert_eq!(pending.next(real), [of(b"a", 1)]);
    // One of those that wait turns out to be stored. It leaves its lane.
    let promoted = of(&899_u64.to_be_bytes(), 7);
    assert_eq!(pending.add(promoted, Known::Stored), None);
    assert_eq!(pending.next(real), [promoted]);
    let mut rest = Vec::new();
    while let batch = pending.next(flood)
        && !batch.is_empty()
    {
        rest.extend(batch);
    }
    assert_eq!(rest, numbers[BATCH..899]);
}

#[test]
fn what_fails_holds_nothing_up() {
    let pending = PendingInvalidations::new(MAX);
    for (known, first, again) in [
        (Known::Stored, Lane::Stored, Lane::StoredAgain),
        (Known::Nothing, Lane::Unknown, Lane::UnknownAgain),
    ] {
        let [fails, works] = [of(b"fails", 1), of(b"works", 1)];
        pending.add(fails, known);
        assert_eq!(pending.next(first), [fails]);
        assert_eq!(
            pending.failed(fails),
            Some(SendingTask::Sending(again)),
            "{known:?}"
        );
        pending.add(works, known);
        assert_eq!(pending.next(first), [works]);
        for _ in 0..3 {
            assert_eq!(pending.next(again), [fails]);
            assert_eq!(pending.failed(fails), None);
        }
        assert_eq!(pending.of(fails.name), invalidated(1));
        assert_eq!(pending.next(again), [fails]);
        for sent in [fails, works] {
            assert_eq!(pending.sent(sent), None);
            assert_eq!(pending.of(sent.name), Pending::Nothing);
        }
        assert_eq!(pending.next(again), []);
        assert_eq!(pending.next(first), []);
    }
}

#[test]
fn of_one_name_only_one_is_under_way() {
    let pending = PendingInvalidations::new(MAX);
    let [first, second] = [of(b"a", 1), of(b"a", 2)];
    pending.add(first, Known::Nothing);
    assert_eq!(pending.next(Lane::Unknown), [first]);
    pending.add(second, Known::Stored);
    for lane in [Lane::Stored, Lane::Unknown] {
        assert_eq!(pending.next(lane), [], "{lane:?}");
    }
    assert_eq!(
        pending.sent(first),
        Some(SendingTask::Sending(Lane::Stored))
    );
    assert_eq!(pending.next(Lane::Stored), [second]);
}

#[test]
fn too_many_are_given_up_together() {
    let pending = full();
    let known = of(&0_u64.to_be_bytes(), 2);
    assert_eq!(pending.add(known, Known::Nothing), None);
    assert_eq!(pending.of(known.name), invalidated(2), "not one more");
    let under_way = pending.next(Lane::Unknown);
    let one_more = of(b"one more", 1);
    assert_eq!(
        pending.add(one_more, Known::Stored),
        Some(SendingTask::Distrusting)
    );
    for name in [b"one more".as_slice(), b"another"] {
        assert_eq!(pending.of(Name::of(name)), Pending::Everything);
    }
    for lane in [Lane::Stored, Lane::Unknown] {
        assert_eq!(pending.next(lane), [], "{lane:?}");
    }
    // What comes from here on is sent again, beside that.
    for invalidation in under_way {
        assert_eq!(pending.failed(invalidation), None);
    }
    assert_eq!(
        pending.add(one_more, Known::Stored),
        Some(SendingTask::Sending(Lane::Stored))
    );
    assert!(pending.next_distrust());
    assert_eq!(
        pending.of(known.name),
        Pending::Everything,
        "until they are told"
    );
    pending.distrust_told();
    assert_eq!(pending.of(known.name), Pending::Nothing);
    assert_eq!(pending.of(one_more.name), invalidated(1));
    assert!(!pending.next_distrust());
}

#[test]
fn what_is_given_up_while_others_are_told_is_told_again() {
    let pending = full();
    assert_eq!(
        pending.add(of(b"a", 1), Known::Nothing),
        Some(SendingTask::Distrusting)
    );
    assert!(pending.next_distrust());
    for index in 0..=MAX as u64 {
        let start = pending.add(of(&index.to_be_bytes(), 1), Known::Nothing);
        assert_ne!(start, Some(SendingTask::Distrusting), "a task does that");
    }
    pending.distrust_told();
    assert_eq!(pending.of(Name::of(b"a")), Pending::Everything);
    assert!(pending.next_distrust());
    pending.distrust_told();
    assert_eq!(pending.of(Name::of(b"a")), Pending::Nothing);
    assert!(!pending.next_distrust());
}

#[test]
fn a_task_that_ended_early_is_started_again() {
    let pending = full();
    pending.sending_ended(Lane::Unknown);
    let start = pending.add(of(&0_u64.to_be_bytes(), 1), Known::Stored);
    assert_eq!(start, Some(SendingTask::Sending(Lane::Stored)));
    pending.add(of(b"a", 1), Known::Nothing);
    pending.telling_ended();
    let mut starts = Vec::new();
    for index in 0..=MAX as u64 {
        starts.extend(pending.add(of(&index.to_be_bytes(), 1), Known::Nothing));
    }
    let lane = SendingTask::Sending(Lane::Unknown);
    assert_eq!(starts, [lane, SendingTask::Distrusting]);
}

#[test]
fn places_that_were_left_are_bounded() {
    let pending = PendingInvalidations::new(MAX);
    // Each waits in the lane of those that are unknown, is found to be stored, and is sent.
    for index in 0..5 * MAX as u64 {
        let invalidation = of(&index.to_be_bytes(), 1);
        pending.add(invalidation, Known::Nothing);
        pending.add(invalidation, Known::Stored);
        assert_eq!(pending.next(Lane::Stored), [invalidation]);
        pending.sent(invalidation);
        assert!(pending.len(Lane::Unknown) <= 2 * BATCH);
    }
    assert_eq!(pending.next(Lane::Unknown), []);
}

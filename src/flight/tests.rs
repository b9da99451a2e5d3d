//! Leaders, waiters and attempts of one table of flights.

use super::*;

type Table = Flights<&'static str, u32>;

fn table(max_waiters: usize) -> Arc<Table> {
    Table::new(max_waiters, Arc::new(Semaphore::new(8)))
}

fn begin(flights: &Arc<Table>) -> Leader<&'static str, u32> {
    match flights.join("key") {
        Joined::Leader(leader) => leader,
        other => panic!("expected to lead, got {other:?}"),
    }
}

fn lead(flights: &Arc<Table>) -> Leader<&'static str, u32> {
    let mut leader = begin(flights);
    leader.start();
    leader
}

fn take_over(flights: &Arc<Table>, waiter: &Waiter<u32>) -> Leader<&'static str, u32> {
    match flights.retry(waiter, "key") {
        Retry::Leader(leader) => leader,
        other => panic!("expected to lead, got {other:?}"),
    }
}

fn wait(flights: &Arc<Table>) -> Waiter<u32> {
    match flights.join("key") {
        Joined::Waiter(waiter) => waiter,
        other => panic!("expected to wait, got {other:?}"),
    }
}

#[tokio::test]
async fn waiters_share_the_outcome_of_the_leader() {
    let flights = table(8);
    let leader = lead(&flights);
    let (mut one, mut other) = (wait(&flights), wait(&flights));
    leader.complete(7);
    assert_eq!(one.end().await, FlightEnd::Completed(7));
    assert_eq!(other.end().await, FlightEnd::Completed(7));
}

#[tokio::test]
async fn a_flight_is_replaced_once_and_those_who_come_too_late_join_its_successor() {
    let flights = table(8);
    let stuck = lead(&flights);
    let (one, mut other) = (wait(&flights), wait(&flights));
    stuck.complete(7);
    let Joined::Leader(second) = flights.replace(&one, "key") else {
        panic!("nobody replaced it before");
    };
    let Joined::Waiter(mut late) = flights.replace(&other, "key") else {
        panic!("it was replaced already");
    };
    // The first leader takes nothing away but its own.
    drop(stuck);
    assert_eq!(other.end().await, FlightEnd::Completed(7));
    second.complete(8);
    assert_eq!(late.end().await, FlightEnd::Completed(8));
    assert_eq!(flights.completed(&"key"), Some(8));
    drop(second);
    assert_eq!(flights.len(), 0);
}

#[tokio::test]
async fn a_completed_flight_can_be_joined_until_its_leader_is_dropped() {
    let flights = table(8);
    let leader = lead(&flights);
    assert_eq!(flights.completed(&"key"), None);
    leader.complete(7);
    assert_eq!(wait(&flights).end().await, FlightEnd::Completed(7));
    assert_eq!(flights.completed(&"key"), Some(7));
    drop(leader);
    assert_eq!(flights.completed(&"key"), None);
    assert_eq!(flights.len(), 0);
    lead(&flights);
}

#[tokio::test]
async fn a_leader_that_is_dropped_releases_its_waiters() {
    let flights = table(8);
    let leader = lead(&flights);
    let mut waiter = wait(&flights);
    drop(leader);
    assert_eq!(waiter.end().await, FlightEnd::Abandoned);
}

#[tokio::test]
async fn a_leader_that_is_dropped_before_it_starts_made_no_attempt() {
    let flights = table(8);
    let leader = begin(&flights);
    let mut waiter = wait(&flights);
    drop(leader);
    assert_eq!(waiter.end().await, FlightEnd::NotStarted);
    lead(&flights);
}

#[tokio::test]
async fn a_group_makes_a_second_attempt_and_no_third() {
    let flights = table(8);
    let leader = lead(&flights);
    let (one, other) = (wait(&flights), wait(&flights));
    drop(leader);
    let mut second = take_over(&flights, &one);
    second.start();
    let Retry::Waiter(mut waiter) = flights.retry(&other, "key") else {
        panic!("the next one waits");
    };
    drop(second);
    assert_eq!(waiter.end().await, FlightEnd::Abandoned);
    assert!(matches!(flights.retry(&waiter, "key"), Retry::Denied));
    // A waiter that asks late joins the same second attempt.
    assert!(matches!(flights.retry(&one, "key"), Retry::Waiter(_)));
}

#[tokio::test]
async fn a_leader_removes_its_own_flight_only() {
    let flights = table(8);
    let leader = lead(&flights);
    let waiter = wait(&flights);
    let second = take_over(&flights, &waiter);
    drop(leader);
    assert_eq!(flights.len(), 1);
    second.complete(9);
    assert_eq!(wait(&flights).end().await, FlightEnd::Completed(9));
}

#[test]
fn a_flight_has_a_maximum_of_waiters_and_a_dropped_one_makes_room() {
    let flights = table(2);
    let _leader = lead(&flights);
    let (one, _other) = (wait(&flights), wait(&flights));
    assert!(matches!(flights.join("key"), Joined::Full));
    drop(one);
    wait(&flights);
}

#[tokio::test]
async fn a_leader_sees_when_its_last_waiter_is_dropped() {
    let flights = table(8);
    let leader = lead(&flights);
    leader.drained().await;
    let (one, other) = (wait(&flights), wait(&flights));
    let mut drained = tokio_test::task::spawn(leader.drained());
    tokio_test::assert_pending!(drained.poll());
    drop(one);
    tokio_test::assert_pending!(drained.poll());
    drop(other);
    assert!(drained.is_woken());
    tokio_test::assert_ready!(drained.poll());
}

#[test]
fn a_background_refresh_leads_or_does_nothing() {
    let flights = table(2);
    let leader = flights.lead("key");
    assert!(leader.is_some());
    assert!(flights.lead("key").is_none());
}

#[tokio::test]
async fn every_flight_in_progress_holds_a_permit() {
    let permits = Arc::new(Semaphore::new(1));
    let flights = Table::new(8, Arc::clone(&permits));
    let leader = lead(&flights);
    assert!(matches!(flights.join("other"), Joined::NoPermit));
    assert!(flights.lead("other").is_none());
    assert_eq!(flights.len(), 1);
    // A waiter needs no permit.
    let waiter = wait(&flights);
    assert!(matches!(flights.retry(&waiter, "key"), Retry::Denied));
    drop(leader);
    let second = take_over(&flights, &waiter);
    drop(second);
    assert_eq!(permits.available_permits(), 1);
}

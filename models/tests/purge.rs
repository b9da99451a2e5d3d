//! Each model of purges, as a test of its own.

use std::panic::catch_unwind;

use cachewarp_models::purge;

#[test]
fn nothing_from_before_a_purge_is_used_after_it() {
    purge::nothing_from_before_a_purge_is_used_after_it();
}

#[test]
fn purges_are_published_in_the_order_of_their_times() {
    purge::purges_are_published_in_the_order_of_their_times();
}

#[test]
fn a_record_that_is_pushed_out_is_found_in_the_floor() {
    purge::a_record_that_is_pushed_out_is_found_in_the_floor();
}

#[test]
fn what_one_request_finds_no_other_one_forgets() {
    purge::what_one_request_finds_no_other_one_forgets();
}

#[test]
fn a_copy_that_is_made_meanwhile_knows_the_same() {
    purge::a_copy_that_is_made_meanwhile_knows_the_same();
}

#[test]
fn purges_without_a_lock_are_found_to_be_wrong() {
    assert!(catch_unwind(purge::purges_without_a_lock).is_err());
}

#[test]
fn a_time_from_outside_of_the_lock_is_found_to_be_wrong() {
    assert!(catch_unwind(purge::purges_with_a_time_from_outside_of_the_lock).is_err());
}

#[test]
fn a_time_that_is_published_first_is_found_to_be_wrong() {
    assert!(catch_unwind(purge::purges_that_publish_first).is_err());
}

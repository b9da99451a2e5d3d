//! Each model, as a test of its own.

use cachewarp_models::permits;

#[test]
fn never_more_probes_than_permits_and_all_come_back() {
    permits::never_more_probes_than_permits_and_all_come_back();
}

#[test]
fn never_more_probes_than_permits_over_many_openings() {
    permits::never_more_probes_than_permits_over_many_openings();
}

#[test]
fn late_outcomes_and_orders_leave_no_gate_stuck() {
    permits::late_outcomes_and_orders_leave_no_gate_stuck();
}

#[test]
fn late_outcomes_close_nothing() {
    permits::late_outcomes_close_nothing();
}

#[test]
fn a_forgotten_gate_refuses_nobody() {
    permits::a_forgotten_gate_refuses_nobody();
}

#[test]
fn nobody_waits_for_a_service_that_is_no_longer_called() {
    permits::nobody_waits_for_a_service_that_is_no_longer_called();
}

#[test]
fn orders_differ() {
    permits::orders_differ();
}

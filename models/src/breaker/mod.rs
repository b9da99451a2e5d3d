//! The circuit breaker's gate and everything below it.

#[path = "../../../src/breaker/event.rs"]
pub mod event;
#[path = "../../../src/breaker/gate.rs"]
pub mod gate;
#[path = "../../../src/breaker/parts.rs"]
pub mod parts;
#[path = "../../../src/breaker/rules.rs"]
pub mod rules;
#[path = "../../../src/breaker/state.rs"]
pub mod state;
mod sync;
#[path = "../../../src/breaker/terms.rs"]
pub mod terms;
#[path = "../../../src/breaker/times.rs"]
pub mod times;
#[path = "../../../src/breaker/waiters.rs"]
pub mod waiters;
#[path = "../../../src/breaker/window.rs"]
pub mod window;

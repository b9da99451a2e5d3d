//! A circuit breaker for any [tower](https://docs.rs/tower) service: it stops calling a service that
//! fails, and tries it again with care.
//!
//! # Why
//!
//! A service that is down answers late or not at all, and every call holds a connection, a task and
//! somebody who waits. More calls make it no better. A breaker counts how calls end. When too many
//! fail it *opens*: calls are refused at once, and the service has time to come back. After a while
//! it is *half-open*: a few calls pass as probes. If they succeed it *closes*, and calls pass as
//! before; if one fails it opens again, for longer.
//!
//! # Example
//!
//! Over HTTP, with one circuit for each host:
//!
//! ```
//! use cachewarp::breaker::{BreakerConfig, BreakerLayer, BreakerOpen, BreakerState};
//! use http::{Request, Response, StatusCode, header::RETRY_AFTER};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = BreakerLayer::http()
//!     .breaker(BreakerConfig::builder().consecutive_failures(2).build()?)
//!     .per_host();
//! let handle = layer.handle();
//!
//! let origin = layer.layer(service_fn(async |_: Request<()>| {
//!     let mut response = Response::new(String::new());
//!     *response.status_mut() = StatusCode::BAD_GATEWAY;
//!     Ok::<_, Infallible>(response)
//! }));
//! let get = || Request::get("http://a.example/").body(());
//! for _ in 0..2 {
//!     let response = origin.clone().oneshot(get()?).await?;
//!     assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//! }
//! assert_eq!(handle.state("a.example"), BreakerState::Open);
//!
//! let refused = origin.oneshot(get()?).await?;
//! assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert!(refused.headers().contains_key(RETRY_AFTER));
//! assert!(refused.extensions().get::<BreakerOpen>().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Over any other service, say what a failure is, and what a refused call gets:
//!
//! ```
//! use cachewarp::breaker::{BreakerLayer, BreakerOpen, Verdict};
//! use std::{io, time::Duration};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = BreakerLayer::new(
//!     |outcome: &Result<String, io::Error>, _took: Duration| match outcome {
//!         Ok(_) => Verdict::Success,
//!         // The caller's own fault says nothing about the service.
//!         Err(error) if error.kind() == io::ErrorKind::InvalidInput => Verdict::Ignored,
//!         Err(_) => Verdict::Failure,
//!     },
//!     |refused: BreakerOpen| {
//!         let wait = refused.retry_after;
//!         Err(io::Error::other(format!("not called, try again in {wait:?}")))
//!     },
//! );
//! let service = layer.layer(service_fn(async |name: String| Ok(format!("Hello, {name}"))));
//! assert_eq!(service.oneshot("you".to_owned()).await?, "Hello, you");
//! # Ok(())
//! # }
//! ```
//!
//! # When it opens
//!
//! [`BreakerConfig`] holds the settings, and their defaults are good for most services. Three rules
//! open a closed circuit, each by itself:
//!
//! 1. the share of failures among the last calls (half of the last 100, once there are 20);
//! 2. the share of slow ones among them (none is slow until you say how long that is);
//! 3. failures in a row (seven), for a service that is seldom called.
//!
//! The window slides call by call: when a service that never failed begins to, the circuit opens
//! within the size of the window, whatever came before.
//!
//! # What counts
//!
//! - A call counts when it ends, which for a response is when its head is there; what its body comes
//!   to is not judged.
//! - A call that its caller gave up does not count, unless it was slow by then: so put timeouts
//!   inside of the breaker, or set [`slow_call`](BreakerConfigBuilder::slow_call).
//! - A panic of the inner service is a failure, and goes on to the caller.
//! - An error of the inner service's readiness counts too ([`BreakerService`] says where).
//! - A call that began before the circuit changed says nothing about what it is now, and does not
//!   count there.
//!
//! # How it closes again
//!
//! When the open time is up, the next calls are probes: never more than
//! [`half_open_permits`](BreakerConfigBuilder::half_open_permits) at once, counted with those of
//! earlier times that are still under way. A probe that is given up, or whose outcome is ignored,
//! leaves its place to another. One that hangs counts as failed after the
//! [`probe_timeout`](BreakerConfigBuilder::probe_timeout).
//!
//! Requests that nobody waits for go first: for the last tenth of the open time, one second at the
//! most, only those with [`Priority::Background`](crate::Priority::Background) may probe. Under a
//! cache these are its refreshes, whose failure no client sees. Where there are none, the first
//! request after the open time is the first probe.
//!
//! # Where to put it
//!
//! Around the service that fails, inside of whatever turns failures into something else (a cache, a
//! retry), outside of timeouts. It is ready when the inner service is, so limits inside are felt
//! outside; but while it refuses calls it is ready at once ([`BreakerService`] has the details).
//!
//! # Watching it
//!
//! [`BreakerHandle`] shows each circuit and overrides it, [`BreakerLayer::on_event`] tells of every
//! change, `tracing` too, and metrics are counted under `cachewarp_breaker_*`.

mod classify;
mod event;
mod future;
mod gate;
mod handle;
mod http;
mod keys;
mod layer;
mod origin;
mod rules;
mod service;
mod settings;
mod state;
mod sync;
mod target;
mod terms;
mod times;
mod waiting;
mod window;
mod world;

pub(crate) use self::origin::OriginBreaker;
pub use self::{
    classify::{BreakerOpen, Classify, OnOpen, Verdict},
    event::{BreakerState, Event, Reason},
    future::BreakerFuture,
    handle::{BreakerHandle, BreakerStats},
    http::{HttpAll, HttpClassify, HttpKey, HttpOnOpen, PerHost},
    layer::BreakerLayer,
    service::BreakerService,
    settings::{BreakerConfig, BreakerConfigBuilder},
    target::{OneForAll, Target},
};

//! A circuit breaker for any [tower](https://docs.rs/tower) service: it stops calling a service
//! that fails, and later tries it again with a few calls.
//!
//! # Why
//!
//! A service that is down answers late or not at all. Every call to it holds a connection, a task
//! and a waiting client, and more calls keep it down. A breaker counts the outcomes of calls. When
//! too many fail, it *opens*: calls are refused at once, and the service has time to recover. After
//! a while it is *half-open*: a few calls pass as probes. If they succeed, it *closes* and calls
//! pass as before. If one fails, it opens again, for a longer time.
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
//! let get = |path| Request::get(format!("http://a.example/{path}")).body(());
//! for path in ["one", "two"] {
//!     let response = origin.clone().oneshot(get(path)?).await?;
//!     assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//! }
//! assert_eq!(handle.state("a.example"), BreakerState::Open);
//!
//! let refused = origin.oneshot(get("three")?).await?;
//! assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert!(refused.headers().contains_key(RETRY_AFTER));
//! assert!(refused.extensions().get::<BreakerOpen>().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! For any other service, define what a failure is and what a refused call gets:
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
//!         // A mistake of the caller says nothing about the service.
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
//! open a closed circuit, each on its own:
//!
//! 1. the share of failures among the last calls (half of the last 100, once there are 20);
//! 2. the share of slow calls among them (no call is slow until you set a limit);
//! 3. the number of failures in a row (seven, over HTTP of at least three paths), for a service that
//!    is seldom called.
//!
//! The window slides call by call. So when a service begins to fail, the circuit opens within as
//! many calls as the window holds, however long the service had worked before.
//!
//! # What counts
//!
//! - A call counts when it ends. An HTTP call ends with the head of the response: the body is not
//!   judged.
//! - Over HTTP, an error always counts: the connection was refused, or it failed. The statuses 502,
//!   503 and 504 count at most once in ten seconds for each path (without the query), because one
//!   page that is slow or broken says nothing about the others. So do calls that are slow, and calls
//!   under a cache that exceed its
//!   [`origin_timeout`](crate::CacheBuilder::origin_timeout). Repetitions are ignored. A probe always
//!   counts; but a path whose probe opened the circuit is no probe in the first ten seconds of the
//!   next attempt, so that others can close it. The breaker remembers 32 paths.
//! - 500 is a success, unless you ask for [`count_500`](BreakerConfigBuilder::count_500).
//! - Any other service can have parts too: see [`Target::part`] and [`Classify::granularity`].
//! - A call that its caller drops before it ends does not count, unless it was slow by then. So put
//!   timeouts inside the breaker, or set [`slow_call`](BreakerConfigBuilder::slow_call).
//! - A panic of the inner service is a failure. It goes on to the caller.
//! - An error of the inner service's `poll_ready` counts too (see [`BreakerService`]).
//! - A call that began before the circuit changed its state does not count in the new state.
//!
//! # How it closes again
//!
//! When the open time is over, the next calls are probes: never more than
//! [`half_open_permits`](BreakerConfigBuilder::half_open_permits) at once, including probes of
//! earlier attempts that are still in flight. A probe that is dropped, or whose outcome is ignored,
//! frees its permit for another. A probe that hangs counts as failed after the
//! [`probe_timeout`](BreakerConfigBuilder::probe_timeout).
//!
//! Background requests probe first: in the last tenth of the open time, at most one second, only
//! requests with [`Priority::Background`](crate::Priority::Background) may probe. Below a cache
//! these are its refreshes, whose failure no client sees. If there are none, the first request
//! after the open time is the first probe.
//!
//! # Where to put it
//!
//! Put it around the service that may fail: inside layers that hide failures (a cache, a retry),
//! and outside timeouts. It is ready when the inner service is ready, so limits inside it apply
//! backpressure; while it refuses calls it is always ready (see [`BreakerService`]).
//!
//! # Watching it
//!
//! [`BreakerHandle`] shows each circuit and can override it. [`BreakerLayer::on_event`] and
//! `tracing` report every change of state. The metrics begin with `cachewarp_breaker_`.

mod classify;
mod environment;
mod event;
mod future;
mod gate;
mod handle;
mod http;
mod keys;
mod layer;
mod origin;
mod parts;
mod rules;
mod service;
mod settings;
mod state;
mod sync;
mod target;
mod terms;
mod times;
mod waiters;
mod window;

pub(crate) use self::origin::OriginBreaker;
pub use self::{
    classify::{BreakerOpen, Classify, Granularity, OnOpen, Verdict},
    event::{BreakerState, Event, Reason},
    future::BreakerFuture,
    handle::{BreakerHandle, BreakerStats},
    http::{HttpAll, HttpClassify, HttpKey, HttpOnOpen, PerHost},
    layer::BreakerLayer,
    service::BreakerService,
    settings::{BreakerConfig, BreakerConfigBuilder},
    target::{OneForAll, Target},
};

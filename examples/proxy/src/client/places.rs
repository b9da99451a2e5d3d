//! How many clients may be connected, and what is said when the system refuses one.
//!
//! Each client needs a descriptor, and so does the connection to the origin that its request may need.
//! So the limit on open files is raised as far as the system allows, and clients get two thirds of
//! it, connections to the origin the rest. Where that is fewer than `--max-connections` and
//! `--max-origin-connections`, it is the limit.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Descriptors of the program itself, and of each worker.
const OWN: u64 = 32;
const OWN_OF_WORKER: u64 = 8;

/// Between two lines about refused connections.
const QUIET: Duration = Duration::from_secs(1);

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) clients: u32,
    /// To an origin that speaks HTTP/1.
    pub(crate) origin: u32,
}

impl Places {
    /// As many of these as the limit on open files allows.
    pub(crate) fn fit(self, workers: usize) -> Self {
        let Some(files) = open_files() else {
            return self;
        };
        let fit = self.within(files, workers);
        if fit != self {
            tracing::warn!(
                clients = fit.clients,
                origin = fit.origin,
                files,
                "the limit on open files allows fewer connections than --max-connections and \
                 --max-origin-connections"
            );
        }
        fit
    }

    fn within(self, files: u64, workers: usize) -> Self {
        let own = OWN + OWN_OF_WORKER * workers as u64;
        let free = files.saturating_sub(own);
        let bounded = |wanted: u32, free: u64| {
            let free = u32::try_from(free).unwrap_or(u32::MAX);
            wanted.min(free).max(1)
        };
        let clients = bounded(self.clients, free / 3 * 2);
        Self {
            clients,
            origin: bounded(self.origin, free.saturating_sub(clients.into())),
        }
    }

    /// The share of one worker, at least one of each.
    pub(crate) fn of_worker(self, workers: usize) -> Self {
        let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        Self {
            clients: self.clients.div_ceil(workers),
            origin: self.origin.div_ceil(workers),
        }
    }
}

/// The limit on open files, once it is as high as it may be.
#[cfg(unix)]
fn open_files() -> Option<u64> {
    use rlimit::Resource;

    let (soft, hard) = Resource::NOFILE.get().ok()?;
    if soft < hard && Resource::NOFILE.set(hard, hard).is_ok() {
        return Some(hard);
    }
    Some(soft)
}

#[cfg(not(unix))]
fn open_files() -> Option<u64> {
    None
}

/// Connections that the system did not hand over, most often for want of descriptors. All workers
/// share the count: there is one line a second at most.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    unsaid: u64,
    last: Option<Instant>,
}

impl Refused {
    pub(crate) fn note(&self, error: &io::Error) {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = count.note(Instant::now()) {
            drop(count);
            tracing::warn!(%error, connections, "cannot accept");
        }
    }
}

impl Count {
    /// One more. Returns how many are to be said.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.last.is_some_and(|last| now < last + QUIET) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_two_thirds_of_the_descriptors_and_the_origin_the_rest() {
        for (wanted, files, workers, fit) in [
            ((10_000, 2_000), 1_000_000, 4, (10_000, 2_000)),
            ((10_000, 2_000), 1024, 4, (640, 320)),
            ((500, 2_000), 1024, 4, (500, 460)),
            ((10_000, 100), 1024, 4, (640, 100)),
            ((10_000, 2_000), 256, 2, (138, 70)),
            ((10_000, 2_000), 20, 2, (1, 1)),
            ((10_000, 2_000), u64::MAX, 1, (10_000, 2_000)),
        ] {
            let places = |(clients, origin)| Places { clients, origin };
            let within = places(wanted).within(files, workers);
            assert_eq!(within, places(fit), "{wanted:?} of {files} files");
        }
    }

    #[test]
    fn every_worker_has_a_place() {
        let places = Places {
            clients: 5,
            origin: 1,
        };
        let share = Places {
            clients: 2,
            origin: 1,
        };
        assert_eq!(places.of_worker(4), share);
    }

    #[test]
    fn refused_connections_are_counted_and_said_once_a_second() {
        let start = Instant::now();
        let mut count = Count::default();
        for (at, said) in [
            (0, Some(1)),
            (1, None),
            (999, None),
            (1000, Some(3)),
            (1001, None),
            (5000, Some(2)),
        ] {
            let now = start + Duration::from_millis(at);
            assert_eq!(count.note(now), said, "after {at} ms");
        }
    }
}

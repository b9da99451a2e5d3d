//! How many clients may be connected, and what is said when the system refuses one.
//!
//! Each client needs a descriptor, and so does the connection to the origin that its request may need.
//! So the limit on open files is raised as far as the system allows, and clients get two thirds of
//! it. Where they are fewer than `--max-connections`, that is the limit.

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

/// How many clients each of the workers may have.
pub(crate) fn of_worker(wanted: u32, workers: usize) -> usize {
    let workers = workers.max(1);
    let files = open_files();
    let places = files.map_or(wanted, |files| fit(wanted, files, workers));
    if places < wanted {
        tracing::warn!(
            places,
            files,
            "the limit on open files allows fewer clients than --max-connections"
        );
    }
    (places as usize).div_ceil(workers)
}

fn fit(wanted: u32, files: u64, workers: usize) -> u32 {
    let own = OWN + OWN_OF_WORKER * workers as u64;
    let places = files.saturating_sub(own) / 3 * 2;
    wanted.min(u32::try_from(places).unwrap_or(u32::MAX)).max(1)
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
    fn clients_get_two_thirds_of_the_descriptors() {
        for (wanted, files, workers, places) in [
            (10_000, 1_000_000, 4, 10_000),
            (10_000, 1024, 4, 640),
            (500, 1024, 4, 500),
            (10_000, 256, 2, 138),
            (10_000, 20, 2, 1),
            (10_000, u64::MAX, 1, 10_000),
        ] {
            assert_eq!(fit(wanted, files, workers), places, "{files} files");
        }
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

//! How far warming is, on stderr: a bar where somebody watches, and one line at the end.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use cachewarp::Warmed;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// The bar of this process, which warms once.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// Shows the progress of warming; when it is dropped, it prints the result so far.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    requests: usize,
    so_far: Warmed,
    began: Instant,
}

impl Progress {
    pub(crate) fn begin(requests: usize) -> Self {
        // Hidden if stderr is no terminal.
        let bar = BAR
            .get_or_init(|| ProgressBar::new(requests as u64))
            .clone();
        let style = ProgressStyle::with_template("warming [{bar:30}] {pos}/{len} {msg}, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let progress = Self {
            bar,
            requests,
            so_far: Warmed::default(),
            began: Instant::now(),
        };
        progress.bar.set_message(progress.counts());
        progress
    }

    pub(crate) fn at(&mut self, so_far: &Warmed) {
        self.so_far = *so_far;
        self.bar.set_message(self.counts());
        self.bar.set_position(so_far.done as u64);
    }

    fn counts(&self) -> String {
        let Warmed {
            stored,
            hits,
            refused,
            failed,
            ..
        } = self.so_far;
        format!("stored {stored}, hits {hits}, refused {refused}, failed {failed}")
    }

    /// The line at the end.
    fn line(&self) -> String {
        let (done, all) = (self.so_far.done, self.requests);
        let end = if done == all { "done" } else { "stopped" };
        let hint = if self.so_far.refused + self.so_far.failed > 0 {
            " (--log-level info tells which)"
        } else {
            ""
        };
        let took = self.began.elapsed().as_secs_f64();
        let counts = self.counts();
        format!("warming {end} after {took:.1} s, {done} of {all}: {counts}{hint}")
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        // A closed stderr is no error.
        let _ = writeln!(io::stderr(), "{}", self.line());
    }
}

/// Where log lines go: above the bar, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match BAR.get() {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_everything() {
        let mut progress = Progress::begin(3);
        assert!(
            progress
                .line()
                .starts_with("warming stopped after 0.0 s, 0 of 3: stored 0")
        );
        progress.so_far.done = 3;
        progress.so_far.stored = 3;
        let line = progress.line();
        assert!(
            line.ends_with(", 3 of 3: stored 3, hits 0, refused 0, failed 0"),
            "{line}"
        );
        assert!(line.starts_with("warming done"), "{line}");
        progress.so_far.failed = 1;
        assert!(
            progress
                .line()
                .ends_with("failed 1 (--log-level info tells which)")
        );
    }
}

//! Where log lines wait until stderr has taken them, so that a reader that is stuck stops nobody.
//!
//! Whoever logs adds to a buffer; one thread empties it, many lines at a time. A line that finds the
//! buffer full is lost, and a line says how many were.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes that may wait.
const LIMIT: usize = 4 << 20;
/// What an empty buffer may keep.
const KEPT: usize = 64 << 10;
/// How long the end of the program waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

/// The writer of a subscriber. Clones share the buffer.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Shared>);

/// Waits for the last lines when it is dropped.
#[derive(Debug)]
pub(crate) struct Rest(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    lost: u64,
    writing: bool,
}

impl State {
    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.lost == 0 && !self.writing
    }
}

/// A buffer that a thread of its own empties into `to`.
pub(crate) fn start(to: impl Write + Send + 'static) -> io::Result<(Lines, Rest)> {
    let shared = Arc::new(Shared::default());
    let emptied = Arc::clone(&shared);
    // It lives as long as the program, which does not wait for it.
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || emptied.empty_into(to))?;
    Ok((Lines(Arc::clone(&shared)), Rest(shared)))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two states, so what a panic elsewhere leaves is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn empty_into(&self, mut to: impl Write) {
        let mut taken = Vec::new();
        let mut state = self.lock();
        loop {
            while state.waiting.is_empty() && state.lost == 0 {
                state = wait(&self.filled, state);
            }
            mem::swap(&mut state.waiting, &mut taken);
            let lost = mem::take(&mut state.lost);
            state.writing = true;
            drop(state);
            // An error has nobody to be told to.
            let _ = to.write_all(&taken);
            if lost > 0 {
                let _ = writeln!(to, "{lost} log lines were lost: stderr was not read");
            }
            taken.clear();
            taken.shrink_to(KEPT);
            state = self.lock();
            state.writing = false;
            self.emptied.notify_all();
        }
    }
}

fn wait<'s>(on: &Condvar, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
    on.wait(state).unwrap_or_else(PoisonError::into_inner)
}

impl Write for Lines {
    /// Takes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > LIMIT {
            state.lost += 1;
        } else {
            let was_empty = state.waiting.is_empty();
            state.waiting.extend_from_slice(line);
            drop(state);
            if was_empty {
                self.0.filled.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let state = self.0.lock();
        // Late or poisoned, the program ends.
        let _ = self
            .0
            .emptied
            .wait_timeout_while(state, LAST, |state| !state.is_done());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes nothing before it is told to, and hands on what it took.
    struct Stuck(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A sender that is gone lets everything pass.
            let _ = self.0.recv();
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_stops_nobody_and_loses_what_does_not_fit() {
        let (go, told) = mpsc::channel();
        let (sender, written) = mpsc::channel();
        let (mut lines, rest) = start(Stuck(told, sender)).unwrap();
        lines.write_all(b"first\n").unwrap();
        // Taken by the thread, which hangs with it.
        while !lines.0.lock().waiting.is_empty() {
            thread::yield_now();
        }
        let line = vec![b'x'; LIMIT / 4];
        for _ in 0..6 {
            lines.write_all(&line).unwrap();
        }
        assert_eq!(lines.0.lock().waiting.len(), LIMIT);
        drop(go);
        drop(rest);
        let text: Vec<u8> = written.try_iter().flatten().collect();
        assert!(text.starts_with(b"first\nx"));
        assert!(text.ends_with(b"x2 log lines were lost: stderr was not read\n"));
    }
}

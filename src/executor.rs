//! Background tasks: how they are spawned, counted and awaited.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{sync::watch, time::timeout};
use tracing::{Instrument, Span};

/// A boxed background task.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the tasks that outlive the request that caused them: fills and background refreshes.
///
/// Implemented for closures. The default is `tokio::spawn`, which needs a tokio runtime. A task
/// keeps the tracing span that was current when the request came, but not the task-local values.
pub trait Executor: Send + Sync + 'static {
    /// Starts `task`.
    fn execute(&self, task: Task);
}

impl<F: Fn(Task) + Send + Sync + 'static> Executor for F {
    fn execute(&self, task: Task) {
        self(task);
    }
}

/// `tokio::spawn`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokioExecutor;

impl Executor for TokioExecutor {
    fn execute(&self, task: Task) {
        tokio::spawn(task);
    }
}

/// Counts the tasks that are running. Copies share the count.
#[derive(Clone)]
pub(crate) struct Tasks {
    running: Arc<watch::Sender<usize>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            running: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Starts a task in the current span.
    pub(crate) fn spawn(
        &self,
        executor: &dyn Executor,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_in(Span::current(), executor, task);
    }

    pub(crate) fn spawn_in(
        &self,
        span: Span,
        executor: &dyn Executor,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let counted = Counted {
            task,
            _guard: TaskGuard::new(&self.running),
        };
        executor.execute(Box::pin(counted.instrument(span)));
    }

    pub(crate) fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Waits until no task is running, for at most `deadline`. Returns how many are still running.
    pub(crate) async fn drain(&self, deadline: Duration) -> usize {
        let mut running = self.running.subscribe();
        let idle = running.wait_for(|tasks| *tasks == 0);
        match timeout(deadline, idle).await {
            Ok(_) => 0,
            Err(_) => self.running(),
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasks({})", self.running())
    }
}

pin_project! {
    /// A task that holds its guard, so that it also counts as ended if it panics or is dropped.
    ///
    /// Not an `async` block: that would reserve memory for the task twice, as captured and as
    /// running.
    struct Counted<T> {
        #[pin]
        task: T,
        _guard: TaskGuard,
    }
}

impl<T: Future<Output = ()>> Future for Counted<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

/// One running task.
struct TaskGuard(Arc<watch::Sender<usize>>);

impl TaskGuard {
    fn new(running: &Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|tasks| *tasks += 1);
        Self(Arc::clone(running))
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| *tasks -= 1);
    }
}

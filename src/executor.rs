//! Background work: how it is spawned, counted and waited for.

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
use tracing::Instrument;

/// A boxed background task.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the work that outlives the request that caused it: fills, and refreshes in the background.
///
/// Implemented for closures. The default is `tokio::spawn`, which needs a tokio runtime; the span
/// that was current comes along, task-locals do not.
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

/// The tasks under way. Copies share the count.
#[derive(Clone)]
pub(crate) struct Tasks {
    under_way: Arc<watch::Sender<usize>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            under_way: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(crate) fn spawn(
        &self,
        executor: &dyn Executor,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let counted = Counted {
            task,
            _place: Place::take(&self.under_way),
        };
        executor.execute(Box::pin(counted.in_current_span()));
    }

    pub(crate) fn under_way(&self) -> usize {
        *self.under_way.borrow()
    }

    /// Waits until no task is under way, for `deadline` at the most. Returns how many are left.
    pub(crate) async fn drain(&self, deadline: Duration) -> usize {
        let mut under_way = self.under_way.subscribe();
        let idle = under_way.wait_for(|tasks| *tasks == 0);
        match timeout(deadline, idle).await {
            Ok(_) => 0,
            Err(_) => self.under_way(),
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasks({})", self.under_way())
    }
}

pin_project! {
    /// A task and its place, held by it so that one that is dropped or panics counts as ended.
    ///
    /// No `async` block, which would have room for the task twice: as it came, and as it runs.
    struct Counted<T> {
        #[pin]
        task: T,
        _place: Place,
    }
}

impl<T: Future<Output = ()>> Future for Counted<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

struct Place(Arc<watch::Sender<usize>>);

impl Place {
    fn take(under_way: &Arc<watch::Sender<usize>>) -> Self {
        under_way.send_modify(|tasks| *tasks += 1);
        Self(Arc::clone(under_way))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| *tasks -= 1);
    }
}

//! Cases: what the origin sent first, and what comes of later requests.
//!
//! ```text
//! case(ok().cc("max-age=60"))      the first exchange: GET http://a.test/x at second 0
//!     .then(at(59).hit())          59 seconds later the same request is a hit of that age
//!     .then(at(60).fwd())          one more second, and it goes to the origin
//! ```

use std::{fmt::Write, sync::Arc};

use cachewarp::CacheBuilder;

use crate::{
    reply::Reply,
    site::Site,
    step::{Step, at},
};

type Setting = Arc<dyn Fn(CacheBuilder) -> CacheBuilder>;

/// One story of a cache that starts empty.
#[derive(Clone)]
pub(crate) struct Case {
    settings: Vec<Setting>,
    steps: Vec<Step>,
}

/// Starts with a GET of `http://a.test/x` that the origin answers with `first`.
#[track_caller]
pub(crate) fn case(first: Reply) -> Case {
    empty().then(at(0).reply(first).fwd())
}

/// Starts with nothing stored.
pub(crate) fn empty() -> Case {
    Case {
        settings: Vec::new(),
        steps: Vec::new(),
    }
}

impl Case {
    /// The step after the ones there are.
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The same request one second later goes to the origin: nothing was stored.
    #[track_caller]
    pub(crate) fn not_stored(self) -> Self {
        self.then(at(1).fwd())
    }

    /// A field of the first request.
    pub(crate) fn asked(self, name: &str, value: &str) -> Self {
        self.first(|step| step.send(name, value))
    }

    /// Changes the first step.
    pub(crate) fn first(mut self, change: impl FnOnce(Step) -> Step) -> Self {
        let first = self.steps.remove(0);
        self.steps.insert(0, change(first));
        self
    }

    /// Changes the last step.
    pub(crate) fn last(mut self, change: impl FnOnce(Step) -> Step) -> Self {
        let last = self.steps.pop().map(change);
        self.steps.extend(last);
        self
    }

    /// Settings other than the defaults.
    pub(crate) fn set(mut self, setting: impl Fn(CacheBuilder) -> CacheBuilder + 'static) -> Self {
        self.settings.push(Arc::new(setting));
        self
    }

    async fn play(self) -> Vec<String> {
        let settings = self.settings;
        let site = Site::new(|builder| settings.iter().fold(builder, |b, setting| setting(b)));
        let mut findings = Vec::new();
        for step in self.steps {
            findings.extend(site.play(step).await);
        }
        findings
    }
}

/// Plays all cases of a row, each on a site of its own.
pub(crate) async fn play(cases: impl IntoIterator<Item = Case>) {
    let mut report = String::new();
    let mut played = 0;
    for case in cases {
        played += 1;
        for finding in case.play().await {
            // Writing to a string cannot fail.
            let _ = writeln!(report, "case {played}: {finding}");
        }
    }
    assert!(played > 0, "a row without cases proves nothing");
    assert!(report.is_empty(), "\n{report}");
}

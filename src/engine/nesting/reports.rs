//! What a layer tells the layers of its cache that are further out, about one response.

use std::sync::Arc;

use http::Extensions;
use smallvec::SmallVec;

use crate::{
    config::Config,
    state::cache::{Cache, Shared},
};

/// One layer's report about one response.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// It was answered, and stored if that is allowed.
    Answered,
    /// It was passed on: these settings about responses apply.
    Settings(Arc<Config>),
}

/// The response extension: the reports of each cache.
#[derive(Clone, Debug, Default)]
struct Reports(SmallVec<[(Arc<Shared>, Report); 1]>);

/// Adds a report to a response. Settings are those of the innermost layer, which reports first.
pub(crate) fn add(shared: &Arc<Shared>, response: &mut Extensions, report: Report) {
    let mut reports = response.remove::<Reports>().unwrap_or_default();
    let known = reports.0.iter_mut().find(|it| Arc::ptr_eq(&it.0, shared));
    match (known, &report) {
        (None, _) => reports.0.push((Arc::clone(shared), report)),
        (Some(known), Report::Answered) => known.1 = report,
        (Some(_), Report::Settings(_)) => {}
    }
    response.insert(reports);
}

/// What the inner layers of this cache report about a response.
pub(crate) fn of<'a>(shared: &Arc<Shared>, response: &'a Extensions) -> Option<&'a Report> {
    let reports = response.get::<Reports>()?;
    let own = reports.0.iter().find(|it| Arc::ptr_eq(&it.0, shared));
    own.map(|(_, report)| report)
}

/// Takes the report of this cache's inner layers off a response, so that nobody further out sees it.
pub(crate) fn take(shared: &Arc<Shared>, response: &mut Extensions) -> Option<Report> {
    let mut reports = response.remove::<Reports>()?;
    let own = reports.0.iter().position(|it| Arc::ptr_eq(&it.0, shared));
    let report = own.map(|own| reports.0.remove(own).1);
    if !reports.0.is_empty() {
        response.insert(reports);
    }
    report
}

/// Adds the reports about one response to another one that is made of it.
pub(crate) fn copy(from: &Extensions, to: &mut Extensions) {
    if let Some(reports) = from.get::<Reports>() {
        to.insert(reports.clone());
    }
}

/// This layer, as it judges a response: by the settings of its innermost layer.
pub(crate) fn judge(cache: &Cache, response: &Extensions) -> Cache {
    match of(&cache.shared, response) {
        Some(Report::Settings(inner)) => Cache {
            shared: Arc::clone(&cache.shared),
            config: Arc::new(cache.config.judging_like(inner)),
        },
        Some(Report::Answered) | None => cache.clone(),
    }
}

//! axum: the URI that was asked for, before nested routers took their prefix off.

use axum::extract::OriginalUri;
use http::{Extensions, Uri};

/// The URI as axum's outermost router received it.
pub(crate) fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri)
}

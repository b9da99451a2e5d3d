//! Warming: sends the requests of a file before clients do, by the same path as theirs.
//!
//! The proxy listens first and warms behind that, so a slow origin delays no client. Warming has
//! connections of its own, on the runtime that has nothing else to do.

pub(crate) mod list;
pub(crate) mod progress;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use cachewarp::{CacheHandle, Priority};
use clap::{ArgMatches, Args, parser::ValueSource};
use http::{HeaderValue, Request, Response, Uri, header::HOST, uri::PathAndQuery};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use tokio::time::timeout;
use tower::service_fn;

use crate::{
    body::RequestBody,
    edge::{Edge, EdgeBody},
    warming::progress::Progress,
};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Warming")]
pub(crate) struct Warming {
    /// Ask for what this file lists as soon as the proxy listens, one a line, # for comments: URLs
    /// as clients write them, or paths, for clients that use the address of --host and --port
    #[arg(long = "warm", value_name = "FILE")]
    file: Option<PathBuf>,

    /// How many of them are requested at once
    #[arg(long = "warm-concurrency", value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
}

/// What there is to ask for, checked.
#[derive(Debug)]
pub(crate) struct List {
    targets: Vec<Target>,
    concurrency: usize,
    /// The `Host` of targets that are a path alone, without its port.
    own_name: String,
}

/// What a client requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// None for the proxy's own.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) path: PathAndQuery,
}

impl Warming {
    pub(crate) fn check(&self, matches: &ArgMatches) -> Result<(), String> {
        let given = matches.value_source("concurrency") == Some(ValueSource::CommandLine);
        if given && self.file.is_none() {
            return Err("error: '--warm-concurrency' is of no use without '--warm'".to_owned());
        }
        Ok(())
    }

    /// Reads the file, if there is one, for a proxy that listens on `address`, which `host` names.
    ///
    /// # Errors
    ///
    /// The file or the line that is wrong, and how.
    pub(crate) fn list(&self, host: &str, address: SocketAddr) -> Result<Option<List>, String> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let own_name = if bare.contains(':') {
            format!("[{bare}]")
        } else {
            bare.to_owned()
        };
        // Every address of the machine: no client asks by it.
        let paths = if address.ip().is_unspecified() {
            list::Paths::Refuse
        } else {
            list::Paths::Take
        };
        let targets = list::read(file, paths)
            .map_err(|why| format!("invalid value '{}' for '--warm': {why}", file.display()))?;
        Ok(Some(List {
            targets,
            concurrency: self.concurrency.into(),
            own_name,
        }))
    }
}

impl List {
    /// Requests every target, and shows the progress and the result on stderr. An origin that
    /// does not go on with a body for as long as `patience` has failed.
    pub(crate) async fn warm(
        self,
        cache: CacheHandle,
        edge: Arc<Edge>,
        port: u16,
        patience: Duration,
    ) {
        let host = match port {
            // What clients leave out.
            80 => self.own_name,
            port => format!("{}:{port}", self.own_name),
        };
        // Admission has the last word on it, as on every `Host`.
        let host = HeaderValue::from_str(&host).unwrap_or(HeaderValue::from_static(""));
        let mut progress = Progress::begin(self.targets.len());
        let service = service_fn(move |request: Request<RequestBody>| {
            let edge = Arc::clone(&edge);
            async move {
                let path = request.uri().path().to_owned();
                let response = edge.fetch(request).await.map_err(drop)?;
                let status = response.status().as_u16();
                tracing::info!(path, status, outcome = ?outcome(&response), "warmed");
                to_end(response, patience).await
            }
        });
        let requests = self.targets.into_iter().map(|target| {
            let mut request = Request::new(RequestBody::Empty);
            *request.uri_mut() = Uri::from(target.path);
            let host = target.host.unwrap_or_else(|| host.clone());
            request.headers_mut().insert(HOST, host);
            request.extensions_mut().insert(Priority::Background);
            request
        });
        let concurrency = self.concurrency;
        cache
            .warm(service, requests, concurrency, |so_far| progress.at(so_far))
            .await;
    }
}

fn outcome<B>(response: &Response<B>) -> Option<&cachewarp::CacheOutcome> {
    response.extensions().get()
}

/// The head of a response whose body has come to its end.
async fn to_end(
    response: Response<EdgeBody>,
    patience: Duration,
) -> Result<Response<Empty<Bytes>>, ()> {
    let (head, mut body) = response.into_parts();
    while !body.is_end_stream() {
        match timeout(patience, body.frame()).await {
            Ok(Some(Ok(_))) => {}
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => {
                tracing::warn!("a response that was to warm the cache broke off");
                return Err(());
            }
        }
    }
    Ok(Response::from_parts(head, Empty::new()))
}

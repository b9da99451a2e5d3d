//! How a connection to the origin is opened: TCP, and TLS for https.

use std::time::Duration;

use http::{
    HeaderValue, Uri,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::{
    failure::{Failure, Kind},
    opened::Opened,
};

const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(60);

/// Opens connections.
#[derive(Clone, Debug)]
pub(crate) struct Connector(HttpsConnector<HttpConnector>);

/// Where the origin is.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
}

/// Which connection a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Any,
    /// One opened since then.
    Fresh {
        since: Instant,
    },
}

/// HTTP versions to offer in a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Http1,
    All,
}

impl Endpoint {
    pub(crate) fn new(origin: &Uri) -> Self {
        let authority = origin
            .authority()
            .expect("the command line requires a host");
        let scheme = origin.scheme().expect("the command line requires a scheme");
        Self {
            scheme: scheme.clone(),
            host: HeaderValue::from_str(authority.as_str())
                .expect("what may be in a URI may be in a field"),
            authority: authority.clone(),
        }
    }

    /// The origin's own name, as a `Host`.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// `path` at the origin.
    pub(crate) fn uri(&self, path: Option<PathAndQuery>) -> Result<Uri, Failure> {
        self.uri_at(self.authority.clone(), path)
    }

    /// The URI of `path` at the origin, with `host` as its authority.
    pub(crate) fn uri_as(
        &self,
        host: Option<&HeaderValue>,
        path: Option<PathAndQuery>,
    ) -> Result<Uri, Failure> {
        let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        self.uri_at(host.unwrap_or_else(|| self.authority.clone()), path)
    }

    fn uri_at(&self, authority: Authority, path: Option<PathAndQuery>) -> Result<Uri, Failure> {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(authority);
        parts.path_and_query = path;
        Uri::from_parts(parts).map_err(|error| Failure::because(Kind::Malformed, error))
    }
}

impl Connector {
    /// `limit` is how long anything about the origin may take.
    pub(crate) fn new(offer: Offer, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(limit.min(TIMEOUT)));
        let tls = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http();
        Self(match offer {
            Offer::Http1 => tls.enable_http1().wrap_connector(tcp),
            Offer::All => tls.enable_all_versions().wrap_connector(tcp),
        })
    }

    pub(crate) async fn open(&self, endpoint: &Endpoint) -> Result<Opened, Failure> {
        let uri = endpoint.uri(Some(PathAndQuery::from_static("/")))?;
        let mut connector = self.0.clone();
        let connector = connector.ready().await.map_err(Failure::connect)?;
        let stream = connector.call(uri).await.map_err(Failure::connect)?;
        Ok(Opened::new(stream))
    }
}

//! How a connection to the origin is opened: TCP, and TLS for https.

use std::time::Duration;

use http::{
    HeaderValue, Uri,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::{Instant, timeout};
use tower::{Service, ServiceExt};

use crate::{
    failure::{Failure, Kind},
    origin::{dial::Dial, opened::Opened},
};

pub(crate) const KEEPALIVE: Duration = Duration::from_secs(60);

/// Opens connections.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    connector: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

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
    pub(crate) fn new(offer: Offer, dial: &Dial) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(dial.timeout));
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(dial.tls.clone())
            .https_or_http();
        let connector = match offer {
            Offer::Http1 => tls.enable_http1().wrap_connector(tcp),
            Offer::All => tls.enable_all_versions().wrap_connector(tcp),
        };
        Self {
            connector,
            timeout: dial.timeout,
        }
    }

    pub(crate) async fn open(&self, endpoint: &Endpoint) -> Result<Opened, Failure> {
        let uri = endpoint.uri(Some(PathAndQuery::from_static("/")))?;
        let mut connector = self.connector.clone();
        let opened = async {
            let connector = connector.ready().await.map_err(Failure::connect)?;
            let stream = connector.call(uri).await.map_err(Failure::connect)?;
            Ok(Opened::new(stream))
        };
        // The limit of TCP says nothing of names and TLS.
        let opened = timeout(self.timeout, opened).await;
        opened.unwrap_or_else(|_| Err(Kind::ConnectTimeout.into()))
    }
}

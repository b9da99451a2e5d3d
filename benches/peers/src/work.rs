//! The work that every contender does: one origin, one list of requests, one judge of answers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{
        ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE,
        ETAG, HOST, LAST_MODIFIED, USER_AGENT, VARY,
    },
};

/// Different URLs asked for.
const KEYS: usize = 1_000;

/// Bytes in every response body.
pub const BODY: usize = 1_024;

const HOST_NAME: &str = "shop.example";

/// Number of header fields in every origin response.
const FIELDS: usize = 6;

/// What tells the responses of the origin apart.
#[derive(Clone, Copy)]
pub enum Resource {
    /// One response to a URL.
    Plain,
    /// Two: `Vary: Accept-Encoding`, and half of the requests accept the one or the other.
    Varied,
}

impl Resource {
    /// Requests until every response of the origin was asked for once.
    pub fn cycle(self) -> usize {
        match self {
            Self::Plain => KEYS,
            Self::Varied => KEYS * 2,
        }
    }
}

/// The service behind the caches: six header fields, 1 KiB, and a count of its calls.
#[derive(Clone)]
pub struct Origin {
    calls: Arc<AtomicUsize>,
    resource: Resource,
}

impl Origin {
    pub fn new(resource: Resource) -> Self {
        Self {
            calls: Arc::default(),
            resource,
        }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub fn answer<Q>(&self, request: &Request<Q>) -> Response<Bytes> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.response(request)
    }

    fn response<Q>(&self, request: &Request<Q>) -> Response<Bytes> {
        let path = request.uri().path();
        let encoding = match self.resource {
            Resource::Plain => "any",
            Resource::Varied => request.headers()[ACCEPT_ENCODING]
                .to_str()
                .expect("every request here has an ASCII Accept-Encoding"),
        };
        let body: Vec<u8> = format!("{path} {encoding}\n")
            .bytes()
            .cycle()
            .take(BODY)
            .collect();
        let varying = match self.resource {
            Resource::Plain => (CONTENT_LANGUAGE, "en"),
            Resource::Varied => (VARY, "accept-encoding"),
        };
        Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, BODY)
            .header(CACHE_CONTROL, "public, max-age=3600")
            .header(ETAG, format!("\"{path}-{encoding}\""))
            .header(LAST_MODIFIED, "Wed, 21 Oct 2015 07:28:00 GMT")
            .header(varying.0, varying.1)
            .body(body.into())
            .expect("the head is made of valid parts")
    }

    /// Compares an answer with what the origin says, without counting a call.
    ///
    /// A contender may add header fields of its own, but has to keep those of the origin.
    pub fn judge<Q>(&self, who: &str, request: &Request<Q>, answer: &Response<Bytes>) {
        let expected = self.response(request);
        let uri = request.uri();
        assert_eq!(answer.status(), expected.status(), "{who}: status of {uri}");
        assert_eq!(answer.body(), expected.body(), "{who}: body of {uri}");
        assert_eq!(expected.headers().len(), FIELDS);
        for (name, value) in expected.headers() {
            assert_eq!(answer.headers().get(name), Some(value), "{who}: {name}");
        }
    }
}

/// The requests, in the same shuffled order for everyone.
pub struct Asks {
    encodings: [HeaderValue; 2],
    resource: Resource,
    uris: Vec<String>,
}

impl Asks {
    pub fn new(resource: Resource) -> Self {
        Self {
            encodings: ["gzip", "br"].map(HeaderValue::from_static),
            resource,
            uris: (0..KEYS)
                .map(|key| format!("http://{HOST_NAME}/items/{}", key * 617 % KEYS))
                .collect(),
        }
    }

    /// Builds request number `index`: its URI is parsed, its four header fields are inserted.
    ///
    /// The URI is absolute, as in HTTP/2, for one rival takes no other.
    pub fn request<Q: Default>(&self, index: usize) -> Request<Q> {
        let key = index % KEYS;
        let encoding = match self.resource {
            Resource::Plain => 0,
            Resource::Varied => (key + index / KEYS) % 2,
        };
        Request::get(self.uris[key].as_str())
            .header(HOST, HeaderValue::from_static(HOST_NAME))
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(ACCEPT_ENCODING, self.encodings[encoding].clone())
            .header(USER_AGENT, HeaderValue::from_static("peers/1.0"))
            .body(Q::default())
            .expect("the head is made of valid parts")
    }
}

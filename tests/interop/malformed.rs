//! Malformed fields, from clients and from origins: answered somehow, never with a panic.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use cachewarp::{CacheLayer, Memory, Task};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service, ServiceExt};

use crate::support::{
    Calls, Reply, Wire, ask, asking, call, fresh, get, origin, serve, settle, with,
};

/// Values that are wrong in every field, or nearly.
const ANYWHERE: &[&[u8]] = &[
    b"",
    b" ",
    b",",
    b",,,,,,,,",
    b";",
    b"=",
    b"\"",
    b"\"\\",
    b"\\\"",
    b"*",
    b"**",
    b"-1",
    b"-",
    b"+1",
    b"0x10",
    b"1e9",
    b"1.5",
    b"NaN",
    b"00000000000000000000000000000000000000000001",
    b"2147483648",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
    b"99999999999999999999999999999999999999999999",
    b"\x80\xff",
    b"\"\xff\xfe\"",
    b"a\tb\t",
    b"\t",
];

/// Values that are wrong in one field.
const IN_ONE: &[(&str, &[&[u8]])] = &[
    (
        "cache-control",
        &[
            b"max-age",
            b"max-age=",
            b"max-age=-1",
            b"max-age=18446744073709551616",
            b"max-age=\"60",
            b"max-age=\"6\\0\"",
            b"max-age=1, max-age=2",
            b"max-age=60 60",
            b"MAX-AGE=60,,,no-cache=\"",
            b"no-cache=\"set-cookie, \xff, =\"",
            b"private=\"\", private=\",\"",
            b"s-maxage=1.5, stale-while-revalidate=4294967296",
            b"stale-if-error=18446744073709551615, max-age=4294967295",
            b"max-stale=x, min-fresh=-5, only-if-cached=1",
            b"min-fresh=4294967295, max-stale=4294967295",
            b"=,=\"\",\"x\"=1",
        ],
    ),
    (
        "age",
        &[b"1, 2", b"-5", b"60, 18446744073709551615", b"\"5\""],
    ),
    (
        "date",
        &[
            b"Thu, 01 Jan 1970 00:00:00 GMT",
            b"Thu, 00 Jan 0000 00:00:00 GMT",
            b"Fri, 31 Dec 9999 23:59:59 GMT",
            b"Mon, 31 Feb 2000 25:61:61 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
            b"Sun, 06 Nov 99999 08:49:37 GMT",
            b"Sun, \xff6 Nov 1994 08:49:37 GMT",
        ],
    ),
    ("expires", &[b"0", b"-1", b"Fri, 31 Dec 9999 23:59:59 GMT"]),
    (
        "last-modified",
        &[b"Fri, 31 Dec 9999 23:59:59 GMT", b"yesterday"],
    ),
    (
        "vary",
        &[
            b"*, accept",
            b"accept accept",
            b"\xff",
            b"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z",
            b"accept,,,,accept,",
        ],
    ),
    (
        "etag",
        &[
            b"W/",
            b"W/\"",
            b"w/\"a\"",
            b"\"a\"b\"",
            b"a",
            b"\"a\", \"b\"",
        ],
    ),
    (
        "range",
        &[
            b"bytes",
            b"bytes=",
            b"bytes=-",
            b"bytes=-0",
            b"bytes=5-1",
            b"bytes=0-18446744073709551616",
            b"bytes=18446744073709551615-",
            b"bytes=-18446744073709551616",
            b"bytes=0-0,-1,1-,x",
            b"bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0",
            b"lines=1-2",
            b"bytes=0-1\xff",
        ],
    ),
    (
        "if-none-match",
        &[b"\"", b"W/\"", b"\"a\", *", b"*, *", b"\"a\"\"v1\"", b"v1"],
    ),
    ("if-modified-since", &[b"Fri, 31 Dec 9999 23:59:59 GMT"]),
    ("if-range", &[b"W/\"v1\"", b"\"v1", b"Sun Nov  6"]),
    ("connection", &[b"close, \xff, , upgrade x", b"\"close\""]),
    ("content-length", &[b"4, 4", b"4, 5", b"+4", b"4.0"]),
    ("content-range", &[b"bytes */*", b"bytes 0-3/2", b"bytes"]),
    ("content-encoding", &[b"gzip, , \xff"]),
    ("accept-encoding", &[b"gzip;q=", b"gzip;q=1.0000;;;", b";q"]),
    ("accept-language", &[b"de;q=2, ;q=1, *;q"]),
    ("pragma", &[b"no-cache=1"]),
    ("host", &[b"a b", b"a@b", b"[::1", b":80", b"a:99999"]),
    ("forwarded", &[b"host=\"", b"host=a;proto", b";;,;"]),
    ("x-forwarded-host", &[b"\xff"]),
    ("te", &[b"trailers;q=0,,"]),
    ("location", &[b"//", b"http://[", b"\xff", b"/../..//"]),
    ("content-location", &[b"http://a.test:99999/", b"?"]),
];

/// Every field with every value that may be wrong in it.
fn cases() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    IN_ONE.iter().flat_map(|(name, values)| {
        let values = ANYWHERE.iter().chain(*values);
        values.map(|value| (*name, *value))
    })
}

/// A cache that counts the panics of its tasks, which no response would show.
fn watched() -> (CacheLayer, Calls) {
    let panics = Calls::default();
    let counter = panics.clone();
    let cache = CacheLayer::builder().executor(move |task: Task| {
        let counter = counter.clone();
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                counter.add();
            }
        });
    });
    (cache.build().expect("valid settings"), panics)
}

/// Asks, and returns whether that panicked.
async fn panics<S>(service: &S, request: Request<Body>) -> bool
where
    S: Service<Request<Body>, Response = Response<cachewarp::CacheBody<Body>>> + Clone,
    S::Error: std::fmt::Debug,
{
    let answer = async {
        let response = service.clone().oneshot(request).await;
        let response = response.expect("the service answers");
        let body = http_body_util::BodyExt::collect(response.into_body());
        // A body that is not as long as declared may well end with an error.
        let _ = body.await;
    };
    AssertUnwindSafe(answer).catch_unwind().await.is_err()
}

fn describe(failed: &[(&str, &[u8])]) -> String {
    let lines = failed
        .iter()
        .map(|(name, value)| format!("\n{name}: {}", value.escape_ascii()));
    lines.collect()
}

#[tokio::test]
async fn no_field_of_a_request_makes_the_cache_panic() {
    let (cache, in_tasks) = watched();
    let (service, _) = origin(|_| {
        let mut response = fresh("0123456789");
        let headers = response.headers_mut();
        headers.insert("etag", HeaderValue::from_static("\"v1\""));
        headers.insert("vary", HeaderValue::from_static("accept-encoding"));
        response
    });
    let service = cache.layer(service);
    let mut failed = Vec::new();
    for (index, (name, value)) in cases().enumerate() {
        // On a hit that another stored, and on a miss.
        let (stored, empty) = (format!("/{index}/stored"), format!("/{index}/empty"));
        assert_eq!(call(&service, get(&stored)).await.status(), 200);
        settle(&cache).await;
        let mut panicked = false;
        for path in [&stored, &empty] {
            for method in ["GET", "HEAD", "POST"] {
                let request = with(asking(method, path), name, value);
                panicked |= panics(&service, request).await;
            }
            let twice = with(with(get(path), name, value), name, value);
            panicked |= panics(&service, twice).await;
        }
        settle(&cache).await;
        if panicked {
            failed.push((name, value));
        }
    }
    assert!(failed.is_empty(), "panics for:{}", describe(&failed));
    assert_eq!(in_tasks.count(), 0, "tasks panicked");
}

/// Answers `/12/once` with the field of the twelfth case, in place of what it had of that name;
/// `/12/twice` with two lines of it, `/12/beside` with one beside its own.
fn malformed(request: &Request<Body>) -> Response<Body> {
    let mut parts = request.uri().path().split('/').skip(1);
    let index = parts.next().and_then(|index| index.parse().ok());
    let case = index.and_then(|index| cases().nth(index));
    let (name, value) = case.expect("the path names a case");
    let value = HeaderValue::from_bytes(value).expect("a valid value");
    let mut response = fresh("0123456789");
    let headers = response.headers_mut();
    headers.insert("etag", HeaderValue::from_static("\"v1\""));
    match parts.next() {
        Some("beside") => _ = headers.append(name, value),
        Some("twice") => {
            headers.insert(name, value.clone());
            headers.append(name, value);
        }
        _ => _ = headers.insert(name, value),
    }
    if request.headers().contains_key("if-none-match") {
        *response.status_mut() = http::StatusCode::NOT_MODIFIED;
    }
    response
}

#[tokio::test]
async fn no_field_of_a_response_makes_the_cache_panic() {
    let (cache, in_tasks) = watched();
    let (service, _) = origin(malformed);
    let service = cache.layer(service);
    let mut failed = Vec::new();
    for (index, (name, value)) in cases().enumerate() {
        let mut panicked = false;
        for kind in ["once", "twice", "beside"] {
            let path = format!("/{index}/{kind}");
            for request in [
                get(&path),
                get(&path),
                with(get(&path), "range", b"bytes=0-1"),
                with(get(&path), "if-none-match", b"\"v1\""),
                with(get(&path), "cache-control", b"no-cache"),
                with(get(&path), "cache-control", b"max-stale"),
                asking("HEAD", &path),
                asking("PUT", &path),
            ] {
                panicked |= panics(&service, request).await;
                settle(&cache).await;
            }
        }
        if panicked {
            failed.push((name, value));
        }
    }
    assert!(failed.is_empty(), "panics for:{}", describe(&failed));
    assert_eq!(in_tasks.count(), 0, "tasks panicked");
}

/// A response that disagrees with its own length is never stored.
#[tokio::test]
async fn a_wrong_content_length_is_not_stored() {
    for length in [
        "3",
        "5",
        "4, 5",
        "x",
        "-4",
        "+4",
        "18446744073709551616",
        "",
    ] {
        let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
        let (service, calls) = origin(move |_| {
            let mut response = fresh("text");
            let length = HeaderValue::from_static(length);
            response.headers_mut().insert("content-length", length);
            response
        });
        let service = cache.layer(service);
        for _ in 0..2 {
            assert!(!panics(&service, get("/")).await, "{length}");
            settle(&cache).await;
        }
        assert_eq!(calls.count(), 2, "stored with Content-Length {length:?}");
    }
}

/// On the wire: whatever a client sends, the next client is served.
#[tokio::test]
async fn a_malformed_request_harms_only_its_own_connection() {
    let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
    let (service, calls) = origin(|_| fresh("text"));
    let address = serve(cache.layer(service)).await;
    ask(address, get("/")).await;
    settle(&cache).await;
    for (name, value) in cases() {
        let mut wire = Wire::connect(address).await;
        let mut request = b"GET / HTTP/1.1\r\nConnection: close\r\n".to_vec();
        if name != "host" {
            request.extend_from_slice(b"Host: a.test\r\n");
        }
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value);
        // Enough for a small content, in case it announced one.
        request.extend_from_slice(b"\r\n\r\n0123456789");
        wire.send(&request).await;
        let answer = wire.read_to_end().await;
        let context = value.escape_ascii().to_string();
        assert!(answer.starts_with(b"HTTP/1.1 "), "{name}: {context}");
    }
    let after: Reply = ask(address, get("/")).await;
    assert_eq!((after.status(), &*after.body), (200, &b"text"[..]));
    assert!(calls.count() > 1);
}

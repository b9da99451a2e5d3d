//! What a request looks like once it is admitted, and which ones are not.

use cachewarp::CacheLayer;

use super::*;

fn rules() -> Rules {
    Rules {
        identity: Identity::random(),
        hosts: AllowedHosts::default(),
        trusted: Box::default(),
        underscores: Underscores::new(
            None,
            CacheLayer::builder().build().unwrap(),
            Vec::new(),
            Box::default(),
        ),
    }
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

fn admitted(request: &mut Request<()>) -> Result<Route, Refusal> {
    let default_host = HeaderValue::from_static("origin:9000");
    admit(request, &rules(), &default_host, &KnownHost::default())
}

fn invalid(request: &mut Request<()>) -> bool {
    matches!(admitted(request), Err(Refusal::Invalid(_)))
}

#[test]
fn the_target_of_an_absolute_form_overrides_host() {
    let mut get = request("GET", "http://a.example:81/x?y", &[("host", "b.example")]);
    assert_eq!(admitted(&mut get), Ok(Route::Cache));
    assert_eq!(get.uri(), "/x?y");
    assert_eq!(get.headers()[HOST], "a.example:81");
}

#[test]
fn a_url_without_a_path_is_one_of_the_root() {
    for (url, target) in [
        ("http://a.example", "/"),
        ("http://a.example#b", "/"),
        ("http://a.example?b", "/?b"),
        ("http://a.example?", "/?"),
    ] {
        let mut get = request("GET", url, &[("host", "a.example")]);
        assert_eq!(admitted(&mut get), Ok(Route::Cache), "{url}");
        assert_eq!(get.uri().to_string(), target, "{url}");
    }
}

#[test]
fn a_length_is_said_once() {
    let fields = [("content-length", "1"), ("content-length", "1")];
    assert!(invalid(&mut request("POST", "http://a.example/", &fields)));
}

#[test]
fn http_2_puts_its_authority_into_host() {
    let mut get = request("GET", "http://a.example/x", &[]);
    *get.version_mut() = Version::HTTP_2;
    assert_eq!(admitted(&mut get), Ok(Route::Cache));
    assert_eq!(get.uri(), "/x");
    assert_eq!(get.headers()[HOST], "a.example");
}

#[test]
fn http_2_may_not_name_two_hosts() {
    for (host, sound) in [
        ("A.example:80", true),
        ("a.example:", true),
        ("a.example", true),
        ("b.example", false),
        ("a.example:81", false),
        ("a.example.", false),
    ] {
        let mut get = request("GET", "http://a.example/x", &[("host", host)]);
        *get.version_mut() = Version::HTTP_2;
        assert_eq!(invalid(&mut get), !sound, "{host}");
    }
}

#[test]
fn one_sound_host_is_required() {
    for good in ["a.example", "a.example:8080", "[::1]:80", "127.0.0.1", "a:"] {
        assert_eq!(
            admitted(&mut request("GET", "/", &[("host", good)])),
            Ok(Route::Cache)
        );
    }
    for bad in [
        "",
        "u@a.example",
        "a b",
        "a/b",
        "a:b",
        "[::1",
        "[::1]x",
        ":80",
        "a:123456",
    ] {
        assert!(invalid(&mut request("GET", "/", &[("host", bad)])), "{bad}");
    }
    assert!(invalid(&mut request("GET", "/", &[])));
    assert!(invalid(&mut request("GET", "http://a/", &[])));
    assert!(invalid(&mut request(
        "GET",
        "http://a/",
        &[("host", "u@a")]
    )));
    assert!(invalid(&mut request(
        "GET",
        "/",
        &[("host", "a"), ("host", "a")]
    )));
}

#[test]
fn http_1_0_may_omit_host() {
    let mut get = request("GET", "/", &[]);
    *get.version_mut() = Version::HTTP_10;
    assert_eq!(admitted(&mut get), Ok(Route::Cache));
    assert_eq!(get.headers()[HOST], "origin:9000");
}

#[test]
fn the_default_host_is_respelled_too() {
    let mut get = request("GET", "/", &[]);
    *get.version_mut() = Version::HTTP_10;
    let default_host = HeaderValue::from_static("Origin:80");
    let verdict = admit(&mut get, &rules(), &default_host, &KnownHost::default());
    assert_eq!(verdict, Ok(Route::Cache));
    assert_eq!(get.headers()[HOST], "origin");
}

#[test]
fn the_asterisk_is_for_options() {
    assert_eq!(
        admitted(&mut request("OPTIONS", "*", &[("host", "a")])),
        Ok(Route::Cache)
    );
    assert!(invalid(&mut request("GET", "*", &[("host", "a")])));
    assert!(invalid(&mut request(
        "GET",
        "a.example:80",
        &[("host", "a")]
    )));
    assert!(invalid(&mut request(
        "GET",
        "ftp://a.example/",
        &[("host", "a")]
    )));
}

#[test]
fn connect_is_refused() {
    let mut connect = request("CONNECT", "a.example:80", &[("host", "a.example:80")]);
    assert_eq!(admitted(&mut connect), Err(Refusal::Connect));
}

#[test]
fn a_large_head_is_refused() {
    let mut many = request("GET", "/", &[("host", "a")]);
    for _ in 0..MAX_FIELDS {
        many.headers_mut()
            .append("x", HeaderValue::from_static("1"));
    }
    assert_eq!(admitted(&mut many), Err(Refusal::HeadTooLarge));
    let long = "x".repeat(MAX_FIELD_BYTES);
    let mut long = request("GET", "/", &[("host", "a"), ("x", &long)]);
    assert_eq!(admitted(&mut long), Err(Refusal::HeadTooLarge));
}

#[test]
fn our_own_signature_is_a_loop() {
    let me = rules();
    let mut get = request("GET", "/", &[("host", "a")]);
    me.identity.sign(get.headers_mut(), Version::HTTP_11);
    let verdict = admit(
        &mut get,
        &me,
        &HeaderValue::from_static("a"),
        &KnownHost::default(),
    );
    assert_eq!(verdict, Err(Refusal::Loop));
    assert_eq!(admitted(&mut get), Ok(Route::Cache));
}

#[test]
fn max_forwards_counts_down_for_options_and_trace() {
    for method in ["OPTIONS", "TRACE"] {
        let fields = |left| [("host", "a"), ("max-forwards", left)];
        let mut two = request(method, "/", &fields("2"));
        assert_eq!(admitted(&mut two), Ok(Route::Cache));
        assert_eq!(two.headers()[MAX_FORWARDS], "1");
        let mut none = request(method, "/", &fields("0"));
        assert_eq!(admitted(&mut none), Err(Refusal::LastHop));
    }
    let mut get = request("GET", "/", &[("host", "a"), ("max-forwards", "0")]);
    assert_eq!(admitted(&mut get), Ok(Route::Cache));
}

#[test]
fn the_client_does_not_say_where_it_was_forwarded_from() {
    let mut get = request(
        "GET",
        "/",
        &[("host", "a"), ("x-forwarded-for", "192.0.2.1")],
    );
    for name in ["forwarded", "x-forwarded-host", "x-forwarded-any", "x-host"] {
        get.headers_mut()
            .insert(name, HeaderValue::from_static("evil"));
    }
    assert_eq!(admitted(&mut get), Ok(Route::Cache));
    assert_eq!(get.headers().len(), 2);
    assert_eq!(get.headers()["x-forwarded-for"], "192.0.2.1");
}

#[test]
fn cookies_of_http_2_become_one_line() {
    let mut get = request("GET", "http://a/", &[("cookie", "a=1"), ("cookie", "b=2")]);
    *get.version_mut() = Version::HTTP_2;
    assert_eq!(admitted(&mut get), Ok(Route::Cache));
    let lines: Vec<_> = get.headers().get_all(COOKIE).iter().collect();
    assert_eq!(lines, ["a=1; b=2"]);
}

#[test]
fn an_upgrade_keeps_the_fields_that_ask_for_it() {
    for protocols in ["websocket", "WebSocket", "h2c, websocket", "websocket, raw"] {
        let fields = [
            ("host", "a"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", protocols),
            ("upgrade", "other"),
        ];
        let mut get = request("GET", "/", &fields);
        assert_eq!(admitted(&mut get), Ok(Route::Cache));
        assert_eq!(get.headers()[CONNECTION], "upgrade");
        // The only one, in the one form.
        let lines: Vec<_> = get.headers().get_all(UPGRADE).iter().collect();
        assert_eq!(lines, ["websocket"], "{protocols}");
    }
}

#[test]
fn a_websocket_begins_with_a_get_without_content() {
    let upgrade = [
        ("host", "a"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
    ];
    let asks = |method, more: &[(&str, &str)]| {
        let fields = [&upgrade, more].concat();
        let mut asking = request(method, "/", &fields);
        assert_eq!(admitted(&mut asking), Ok(Route::Cache));
        let keeps = asking.headers().contains_key(UPGRADE);
        assert_eq!(asking.headers().contains_key(CONNECTION), keeps);
        keeps
    };
    assert!(asks("GET", &[]));
    assert!(asks("GET", &[("content-length", "0")]));
    assert!(!asks("GET", &[("content-length", "1")]));
    assert!(!asks("GET", &[("transfer-encoding", "chunked")]));
    for method in ["HEAD", "POST", "OPTIONS"] {
        assert!(!asks(method, &[]), "{method}");
    }
}

#[test]
fn another_transfer_coding_is_refused() {
    for method in ["GET", "POST", "OPTIONS"] {
        let fields = [
            ("host", "a"),
            ("connection", "transfer-encoding"),
            ("transfer-encoding", "gzip, chunked"),
        ];
        let verdict = admitted(&mut request(method, "/", &fields));
        assert_eq!(verdict, Err(Refusal::TransferCoding), "{method}");
    }
}

#[test]
fn what_is_no_upgrade_loses_the_field() {
    for (connection, upgrade) in [
        ("upgrade, http2-settings", "h2c"),
        ("upgrade", "raw"),
        ("upgrade", "websocket2, h2c"),
        ("upgrade", "websocket/13"),
        ("upgrade", "HTTP/2.0"),
        ("upgrade", "TLS/1.0"),
        ("upgrade", ""),
        ("close", "websocket"),
    ] {
        let fields = [
            ("host", "a"),
            ("connection", connection),
            ("upgrade", upgrade),
        ];
        let mut get = request("GET", "/", &fields);
        assert_eq!(admitted(&mut get), Ok(Route::Cache));
        assert_eq!(get.headers().len(), 1, "{connection}: {upgrade}");
    }
}

#[test]
fn tampering_with_a_needed_field_goes_around_the_cache() {
    let fields = [
        ("host", "a"),
        ("connection", "accept-language"),
        ("accept-language", "de"),
    ];
    let mut get = request("GET", "/", &fields);
    assert_eq!(admitted(&mut get), Ok(Route::Origin(PastCache::Connection)));
    assert_eq!(get.headers().len(), 1);
    // The cache has to see writes, whatever else they carry.
    assert_eq!(
        admitted(&mut request("POST", "/", &fields)),
        Ok(Route::Unstored)
    );
}

#[test]
fn a_known_host_changes_nothing() {
    let known = KnownHost::default();
    let (rules, default_host) = (rules(), HeaderValue::from_static("origin:9000"));
    let ask = |version, target: &str, hosts: &[&str]| {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let mut get = request("GET", target, &fields);
        *get.version_mut() = version;
        let verdict = admit(&mut get, &rules, &default_host, &known);
        let host = get.headers().get(HOST).cloned();
        (verdict, get.uri().to_string(), host)
    };
    let one = Version::HTTP_11;
    let asks = [
        (one, "/x", &["A.test"][..]),
        (one, "/x", &["a.test"]),
        (one, "/y?z", &["a.test"]),
        (one, "/x", &["A.test:80"]),
        (one, "/x", &["b.test"]),
        (one, "/x", &["a.test", "a.test"]),
        (one, "/x", &["a.test", "b.test"]),
        (one, "/x", &["a..test"]),
        (one, "/x", &[]),
        (Version::HTTP_10, "/x", &[]),
        (one, "*", &["a.test"]),
        (one, "http://b.test/x", &["a.test"]),
        (one, "http://b.test?x", &["a.test"]),
        (one, "ftp://a.test/x", &["a.test"]),
        (Version::HTTP_2, "http://b.test/x", &["a.test"]),
    ];
    let first: Vec<_> = asks
        .iter()
        .map(|(version, target, hosts)| {
            let mut fresh = request("GET", target, &[]);
            for host in *hosts {
                fresh.headers_mut().append(HOST, host.parse().unwrap());
            }
            *fresh.version_mut() = *version;
            let verdict = admitted(&mut fresh);
            let host = fresh.headers().get(HOST).cloned();
            (verdict, fresh.uri().to_string(), host)
        })
        .collect();
    for _ in 0..2 {
        for ((version, target, hosts), expected) in asks.iter().zip(&first) {
            assert_eq!(
                &ask(*version, target, hosts),
                expected,
                "{target} {hosts:?}"
            );
        }
    }
}

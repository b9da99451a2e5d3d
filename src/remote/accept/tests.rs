//! What is taken of a value that somebody else wrote, as a table: a value as a node writes it, with
//! one thing changed.

use bytes::Bytes;
use http::header;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    codec::{Applied, Purgeable, VariantRecord},
    remote::{names::Name, selecting::SelectingHeaders},
};

/// This node's time.
const NOW: i64 = 1_700_000_000_000;

type Field = (&'static str, Vec<u8>);

fn key() -> RemoteKey {
    let key = b"https://a.example/b";
    RemoteKey {
        name: Name::of(key),
        key: Bytes::from_static(key),
        partition_of: None,
    }
}

fn field(name: &'static str, value: &str) -> Field {
    (name, value.into())
}

/// A fresh response of five bytes, as a node writes it.
fn fields() -> Vec<Field> {
    vec![
        field("cache-control", "max-age=60"),
        field("content-length", "5"),
        field("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ]
}

fn record(fields: &[Field]) -> EntryRecord {
    EntryRecord {
        key: key().key,
        status: 200,
        headers: fields.iter().map(|(name, value)| (name, value)).collect(),
        arrived_ms: NOW - 1_000,
        date: NOW / 1000,
        lifetime: 60,
        initial_age: 0,
        stale_while_revalidate: None,
        stale_if_error: None,
        origin: 2,
        reuse: 3,
        keep: 3_600,
        cost_ms: 3,
        selecting: vec![],
        purgeable: None,
        body: vec!["five!".into()],
    }
}

fn with(more: &[(&'static str, &str)]) -> EntryRecord {
    let mut fields = fields();
    fields.extend(more.iter().map(|(name, value)| field(name, value)));
    record(&fields)
}

fn changed(change: impl FnOnce(&mut EntryRecord)) -> EntryRecord {
    let mut record = with(&[]);
    change(&mut record);
    record
}

/// The selectors of a request with these fields.
fn selectors(fields: &[(&'static str, &'static str)]) -> Vec<Selector> {
    let fields = fields.iter().map(|(name, value)| {
        let value = HeaderValue::from_static(value);
        (HeaderName::from_static(name), value)
    });
    let request: HeaderMap = fields.collect();
    let mut selecting = SelectingHeaders::new(&request, Rules::default().language_order);
    selecting.selectors(request.keys())
}

fn judge(value: &mut Value, variant: Option<u64>) -> Result<Accepted, Refusal> {
    judge_by(&Rules::default(), value, variant)
}

fn judge_by(rules: &Rules, value: &mut Value, variant: Option<u64>) -> Result<Accepted, Refusal> {
    let acceptance = Acceptance { rules, now_ms: NOW };
    acceptance.judge(&key(), variant, value)
}

/// What becomes of a record under the name that its selectors stand for.
fn outcome(record: EntryRecord) -> Result<Accepted, Refusal> {
    let variant = variant_id(&record.selecting);
    judge(&mut Value::Entry(record), variant)
}

/// The fields that are left of a record.
fn left(record: EntryRecord) -> Vec<(String, String)> {
    let mut value = Value::Entry(record);
    assert!(judge(&mut value, None).is_ok(), "{value:?}");
    let Value::Entry(record) = value else {
        panic!("another kind");
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let fields = record.headers.iter();
    fields
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

fn forged(forgery: Forgery) -> Result<Accepted, Refusal> {
    Err(Refusal::Forged(forgery))
}

fn not_stored(reason: NotStored) -> Result<Accepted, Refusal> {
    forged(Forgery::NotStored(reason))
}

#[test]
fn what_a_node_writes_is_taken_as_it_is() {
    let language = [("accept-language", "en")];
    let varying = EntryRecord {
        selecting: selectors(&language),
        ..with(&[("vary", "Accept-Language")])
    };
    let inherited = EntryRecord {
        selecting: selectors(&language),
        ..with(&[])
    };
    let coded = EntryRecord {
        selecting: selectors(&[("accept-encoding", "gzip")]),
        ..with(&[("content-encoding", "gzip")])
    };
    let no_content = EntryRecord {
        status: 204,
        body: vec![],
        ..record(&[field("cache-control", "max-age=60")])
    };
    let cases = [
        with(&[]),
        varying,
        inherited,
        coded,
        no_content,
        with(&[("vary", "host")]),
        with(&[("x-two", "a"), ("x-two", "b")]),
        record(&[field("cache-control", "max-age=60")]),
        changed(|it| it.body = vec!["fi".into(), "ve!".into()]),
        changed(|it| it.status = 404),
        changed(|it| it.arrived_ms = i64::MIN),
    ];
    for record in cases {
        let (before, variant) = (record.clone(), variant_id(&record.selecting));
        let mut value = Value::Entry(record);
        assert_eq!(
            judge(&mut value, variant),
            Ok(Accepted::Whole),
            "{before:?}"
        );
        assert_eq!(value, Value::Entry(before));
    }
    assert_eq!(judge(&mut Value::Tombstone, None), Ok(Accepted::Whole));
}

#[test]
fn only_final_statuses_that_are_stored_are_taken() {
    let never = [
        100, 101, 103, 199, 206, 304, 401, 407, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426,
        428, 429, 431, 511, 600, 999,
    ];
    for status in never {
        let seen = outcome(changed(|it| it.status = status));
        assert_eq!(seen, not_stored(NotStored::Status), "{status}");
    }
    for status in [0, 1, 99, 1_000, u16::MAX] {
        let seen = outcome(changed(|it| it.status = status));
        assert_eq!(seen, forged(Forgery::Code), "{status}");
    }
    let refuses = Rules {
        error_statuses: crate::semantics::rules::ErrorStatusPolicy::Refuse,
        ..Rules::default()
    };
    let mut error = Value::Entry(changed(|it| it.status = 503));
    let seen = judge_by(&refuses, &mut error, None);
    assert_eq!(seen, not_stored(NotStored::ErrorStatus));
}

#[test]
fn what_the_origin_could_not_have_stored_is_not_taken() {
    let cases = [
        ("cache-control", "no-store", NotStored::NoStore),
        ("cache-control", "private", NotStored::Private),
        ("vary", "*", NotStored::VaryAny),
        ("vary", "accept, *", NotStored::VaryAny),
        ("vary", "a b", NotStored::VaryAny),
        ("content-range", "bytes 0-4/9", NotStored::ContentRange),
        ("content-type", "text/event-stream", NotStored::Stream),
        ("content-type", "application/grpc", NotStored::Stream),
        ("connection", "cache-control", NotStored::ConnectionOptions),
        ("connection", "content-length", NotStored::ConnectionOptions),
        ("connection", "x, Set-Cookie", NotStored::ConnectionOptions),
    ];
    for (name, value, reason) in cases {
        let seen = outcome(with(&[(name, value)]));
        assert_eq!(seen, not_stored(reason), "{name}: {value}");
    }
    let cookie = EntryRecord {
        selecting: selectors(&[("cookie", "a=1")]),
        ..with(&[("vary", "cookie")])
    };
    assert_eq!(outcome(cookie), not_stored(NotStored::VaryCredentials));
    let useless = changed(|it| it.lifetime = 0);
    assert_eq!(outcome(useless), not_stored(NotStored::Expired));
}

#[test]
fn fields_that_are_never_stored_are_dropped() {
    let cases: &[&[(&str, &str)]] = &[
        &[("set-cookie", "a=1")],
        &[("Set-Cookie", "a=1"), ("SET-COOKIE", "b=2")],
        &[("set-cookie2", "a=1")],
        &[("connection", "x-secret"), ("x-secret", "1")],
        &[
            ("connection", "close, keep-alive"),
            ("keep-alive", "timeout=5"),
        ],
        &[("transfer-encoding", "chunked")],
        &[("te", "trailers"), ("trailer", "x-sum")],
        &[("upgrade", "h2c"), ("connection", "upgrade")],
        &[
            ("proxy-authenticate", "Basic"),
            ("proxy-connection", "close"),
        ],
        &[
            ("proxy-authentication-info", "x"),
            ("proxy-authorization", "y"),
        ],
        &[
            ("cache-control", "private=\"x-own\", no-cache=\"x-other\""),
            ("x-own", "1"),
            ("x-other", "2"),
        ],
    ];
    let kept = |field: &(String, String)| field.0 != "cache-control";
    let expected: Vec<_> = left(with(&[])).into_iter().filter(kept).collect();
    for more in cases {
        let record = with(more);
        assert_eq!(outcome(record.clone()), Ok(Accepted::Cleaned), "{more:?}");
        let seen: Vec<_> = left(record).into_iter().filter(kept).collect();
        assert_eq!(seen, expected, "{more:?}");
    }
}

#[test]
fn settings_that_store_cookies_take_them() {
    let rules = Rules {
        set_cookie: SetCookiePolicy::Store,
        ..Rules::default()
    };
    let mut value = Value::Entry(with(&[("set-cookie", "a=1")]));
    assert_eq!(judge_by(&rules, &mut value, None), Ok(Accepted::Whole));
}

#[test]
fn a_content_length_is_that_of_the_body() {
    let lengths: &[&[&str]] = &[
        &["3"],
        &["9"],
        &["0"],
        &[""],
        &["-1"],
        &["+5"],
        &["05"],
        &["0x5"],
        &["5, 5"],
        &["5, 6"],
        &["5", "5"],
        &["5", "6"],
        &["18446744073709551616"],
        &["five"],
    ];
    for stated in lengths {
        let mut fields: Vec<Field> = vec![field("cache-control", "max-age=60")];
        fields.extend(stated.iter().map(|length| field("content-length", length)));
        let record = record(&fields);
        assert_eq!(outcome(record.clone()), Ok(Accepted::Cleaned), "{stated:?}");
        let seen = left(record).into_iter();
        let seen: Vec<_> = seen.filter(|(name, _)| name == "content-length").collect();
        let right = ("content-length".to_owned(), "5".to_owned());
        assert_eq!(seen, [right], "{stated:?}");
    }
    // With `Transfer-Encoding` too, which is what requests are smuggled by.
    let both = with(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
    let seen = left(both);
    assert!(
        seen.contains(&("content-length".into(), "5".into())),
        "{seen:?}"
    );
    assert_eq!(seen.len(), fields().len());
    // None is added, and a 204 has none.
    assert!(left(record(&[field("cache-control", "max-age=60")])).len() == 1);
    let no_content = EntryRecord {
        status: 204,
        body: vec![],
        ..with(&[])
    };
    assert_eq!(left(no_content).len(), fields().len() - 1);
}

#[test]
fn a_body_where_there_is_none_and_one_that_is_too_large_are_not_taken() {
    let seen = outcome(changed(|it| it.status = 204));
    assert_eq!(seen, forged(Forgery::Body));
    let rules = Rules {
        max_body: 4,
        ..Rules::default()
    };
    let seen = judge_by(&rules, &mut Value::Entry(with(&[])), None);
    assert_eq!(seen, not_stored(NotStored::BodyTooLarge));
}

#[test]
fn names_and_values_that_http_does_not_allow_are_not_taken() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"", b"x"),
        (b"a b", b"x"),
        (b"a:", b"x"),
        (b":status", b"200"),
        (b"x\r\nset-cookie", b"a=1"),
        (b"\xc3\xa4", b"x"),
        (b"x", b"a\r\nset-cookie: a=1"),
        (b"x", b"a\0b"),
        (b"x", b"a\nb"),
        (b"x", b"\x7f"),
    ];
    for (name, value) in cases {
        let mut record = with(&[]);
        record.headers = [(name, value)].into_iter().collect();
        assert_eq!(
            outcome(record),
            forged(Forgery::Field),
            "{name:?} {value:?}"
        );
    }
}

#[test]
fn a_head_has_no_more_lines_and_bytes_than_one_of_the_origin() {
    let lines = |count: usize| {
        let own = fields();
        let own = own
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let more = (0..).map(|at| (format!("x{at:x}"), b"1".to_vec()));
        let mut record = record(&[]);
        record.headers = own.chain(more).take(count).collect();
        outcome(record)
    };
    assert_eq!(lines(1024), Ok(Accepted::Whole));
    for count in [1025, 24_573, 24_576, 24_577, 40_000] {
        let too_many = if count > 24_576 {
            forged(Forgery::Field)
        } else {
            not_stored(NotStored::HeadTooLarge)
        };
        assert_eq!(lines(count), too_many, "{count}");
    }
    let own: usize = fields()
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let room = (64 << 10) - own - "x".len();
    let long = |length: usize| outcome(with(&[("x", &"a".repeat(length))]));
    assert_eq!(long(room), Ok(Accepted::Whole));
    assert_eq!(long(room + 1), not_stored(NotStored::HeadTooLarge));
}

#[test]
fn what_belongs_to_another_key_or_variant_is_not_taken() {
    let selecting = selectors(&[("accept-language", "en")]);
    let own = variant_id(&selecting);
    let varying = || EntryRecord {
        selecting: selecting.clone(),
        ..with(&[("vary", "accept-language")])
    };
    let foreign = changed(|it| it.key = Bytes::from_static(b"another"));
    assert_eq!(outcome(foreign), forged(Forgery::Key));
    let judge = |record, variant| judge(&mut Value::Entry(record), variant);
    assert_eq!(judge(varying(), own), Ok(Accepted::Whole));
    // A variant under the name of what does not vary, and others.
    for (record, variant) in [
        (varying(), None),
        (varying(), Some(7)),
        (with(&[]), own),
        // The name varies on less than the response does.
        (with(&[("vary", "accept-language")]), None),
        (
            EntryRecord {
                selecting: selecting.clone(),
                ..with(&[("vary", "accept")])
            },
            own,
        ),
        (with(&[("content-encoding", "gzip")]), None),
    ] {
        let seen = judge(record.clone(), variant);
        assert_eq!(seen, forged(Forgery::Selecting), "{record:?} {variant:?}");
    }
    let mut nameless = varying();
    nameless.selecting[0].name = Bytes::from_static(b"no name");
    assert_eq!(outcome(nameless), forged(Forgery::Selecting));
}

fn list(variants: Vec<VariantRecord>) -> Value {
    Value::Variants(VariantList {
        key: key().key,
        variants,
    })
}

fn listed(id: u64, selecting: Vec<Selector>) -> VariantRecord {
    VariantRecord {
        id,
        date: i64::MAX,
        arrived_ms: NOW,
        until_ms: i64::MAX,
        selecting,
    }
}

#[test]
fn a_list_names_each_variant_by_its_own_selectors() {
    let selecting = selectors(&[("accept-language", "en")]);
    let own = variant_id(&selecting).unwrap();
    let right = listed(own, selecting.clone());
    assert_eq!(
        judge(&mut list(vec![right.clone()]), None),
        Ok(Accepted::Whole)
    );
    assert_eq!(judge(&mut list(vec![]), None), Ok(Accepted::Whole));
    let names: Vec<String> = (0..17).map(|at| format!("x-{at}")).collect();
    let many: Vec<Selector> = names
        .iter()
        .map(|name| Selector {
            name: name.clone().into(),
            value: None,
        })
        .collect();
    let many = listed(variant_id(&many).unwrap(), many);
    for wrong in [listed(own + 1, selecting.clone()), listed(0, vec![]), many] {
        let seen = judge(&mut list(vec![right.clone(), wrong.clone()]), None);
        assert_eq!(seen, forged(Forgery::Selecting), "{wrong:?}");
    }
    let mut foreign = list(vec![]);
    if let Value::Variants(list) = &mut foreign {
        list.key = Bytes::new();
    }
    assert_eq!(judge(&mut foreign, None), forged(Forgery::Key));
    for mut value in [list(vec![]), Value::Tombstone] {
        assert_eq!(judge(&mut value, Some(own)), forged(Forgery::Kind));
    }
}

#[test]
fn what_is_from_the_future_is_left_to_others() {
    for (ahead, expected) in [
        (-1, Ok(Accepted::Whole)),
        (0, Ok(Accepted::Whole)),
        (5_000, Ok(Accepted::Whole)),
        (5_001, Err(Refusal::Ahead)),
        (3_600_000, Err(Refusal::Ahead)),
        (i64::MAX - NOW, Err(Refusal::Ahead)),
    ] {
        let seen = outcome(changed(|it| it.arrived_ms = NOW + ahead));
        assert_eq!(seen, expected, "{ahead}");
    }
    // A `Date` from the future is the origin's, whose clock may be any.
    for date in [i64::MIN, -1, NOW / 1000 + 3_600, i64::MAX] {
        let seen = outcome(changed(|it| it.date = date));
        assert_eq!(seen, Ok(Accepted::Whole), "{date}");
    }
    // At the end of time nothing is ahead.
    assert!(!is_ahead(i64::MAX, i64::MAX - 5_000));
    assert!(is_ahead(i64::MIN + 5_001, i64::MIN));
}

#[test]
fn numbers_that_stand_for_nothing_are_not_taken() {
    for code in [8, 9, 255] {
        assert_eq!(
            outcome(changed(|it| it.origin = code)),
            forged(Forgery::Code)
        );
        assert_eq!(
            outcome(changed(|it| it.reuse = code)),
            forged(Forgery::Code)
        );
    }
    for (seq, is_taken) in [
        (0, true),
        (1 << 52, true),
        ((1 << 52) + 1, false),
        (u64::MAX, false),
    ] {
        let purgeable = Purgeable {
            tags: vec![],
            applied: Some(Applied { log: 1, seq }),
        };
        let seen = outcome(changed(|it| it.purgeable = Some(Box::new(purgeable))));
        assert_eq!(seen != forged(Forgery::Code), is_taken, "{seq}");
    }
}

const NAMES: [&str; 13] = [
    "X-Own",
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "set-cookie",
    "transfer-encoding",
    "vary",
    "x",
];

const VALUES: [&str; 13] = [
    "",
    "*",
    "0",
    "5",
    "accept-language",
    "chunked",
    "close",
    "gzip",
    "max-age=60",
    "private",
    "private=\"x\"",
    "text/plain",
    "x-own",
];

fn any_field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let text = |of: &'static [&str]| {
        prop_oneof![
            9 => prop::sample::select(of).prop_map(|text| text.as_bytes().to_vec()),
            1 => vec(any::<u8>(), 0..6),
        ]
    };
    (text(&NAMES), text(&VALUES))
}

proptest! {
    /// Whatever is taken could be sent as it is, and is taken again as it is.
    #[test]
    fn what_is_taken_is_clean(
        fields in vec(any_field(), 0..8),
        status in prop_oneof![Just(200), Just(204), Just(404), any::<u16>()],
        body in "[a-z]{0,9}",
        seconds in any::<[u32; 3]>(),
        windows in any::<[Option<u32>; 2]>(),
        codes in any::<[u8; 2]>(),
        times in any::<[i64; 2]>(),
        vary in option::of(Just("accept-language")),
    ) {
        let mut record = EntryRecord {
            status,
            headers: fields.iter().map(|(name, value)| (name, value)).collect(),
            lifetime: seconds[0],
            initial_age: seconds[1],
            keep: seconds[2],
            stale_while_revalidate: windows[0],
            stale_if_error: windows[1],
            origin: codes[0] % 7,
            reuse: codes[1] % 5,
            arrived_ms: times[0],
            date: times[1],
            selecting: vary.map_or(vec![], |name| selectors(&[(name, "en")])),
            body: vec![body.clone().into()],
            ..with(&[])
        };
        let variant = variant_id(&record.selecting);
        let mut value = Value::Entry(record.clone());
        if judge(&mut value, variant).is_ok() {
            let Value::Entry(clean) = &value else {
                panic!("another kind");
            };
            let fields = headers(clean).unwrap();
            let stated = fields.get_all(header::CONTENT_LENGTH).iter();
            prop_assert!(stated.count() <= 1);
            if let Some(length) = fields.get(header::CONTENT_LENGTH) {
                prop_assert_eq!(length, &HeaderValue::from(body.len()));
            }
            for name in fields.keys() {
                prop_assert!(!hop::is_hop_by_hop(name) && *name != SET_COOKIE, "{}", name);
            }
            let again = judge(&mut value.clone(), variant);
            prop_assert_eq!(again, Ok(Accepted::Whole));
            record.headers = clean.headers.clone();
            prop_assert_eq!(Value::Entry(record), value);
        }
    }
}

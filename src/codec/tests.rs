//! What is written is read back, by this version and by every later one; what was not written is
//! refused, and nothing that is read makes the reader panic.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use xxhash_rust::xxh3::xxh3_64;

use super::{headers::EncodedHeaders, *};

const STAMP: Stamp = Stamp {
    epoch: 0x0102_0304_0506_0708,
    version: 0x1112_1314_1516_1718,
};

/// Decodes a body of any size.
fn decode(bytes: &Bytes) -> Result<(Value, Stamp), DecodeError> {
    super::decode(bytes, Body::AtMost(u64::MAX))
}

// === Values ===

fn headers(fields: &[(&str, &str)]) -> EncodedHeaders {
    fields.iter().copied().collect()
}

fn selector(name: &'static str, value: Option<u128>) -> Selector {
    Selector {
        name: name.into(),
        value,
    }
}

/// A record with the cost of its fetch, which the first version of the format did not have.
fn slow() -> EntryRecord {
    EntryRecord {
        cost_ms: 1_250,
        ..full()
    }
}

/// A record with what purges need, which came later.
fn purgeable() -> EntryRecord {
    EntryRecord {
        purgeable: Some(Box::new(Purgeable {
            tags: vec!["product-7".into(), "".into(), Bytes::from_static(b"\xff\0")],
            applied: Some(Applied {
                log: 0x2122_2324_2526_2728,
                seq: 1_000_000,
            }),
        })),
        ..full()
    }
}

/// As a reader has it: nothing, if there is nothing in it.
fn tagged(tags: Vec<Bytes>, applied: Option<Applied>) -> Option<Box<Purgeable>> {
    let purgeable = Purgeable { tags, applied };
    (purgeable != Purgeable::default()).then(|| Box::new(purgeable))
}

/// Every other field, and a body in two segments.
fn full() -> EntryRecord {
    let headers: [(&str, &[u8]); 5] = [
        ("content-type", b"text/html"),
        ("set-cookie", b"a=1"),
        ("set-cookie", b"b=2"),
        ("x-empty", b""),
        ("x-bytes", b"\xff\x80 \t"),
    ];
    EntryRecord {
        key: "GET https://a.example/b?c".into(),
        status: 203,
        headers: headers.into_iter().collect(),
        arrived_ms: 1_700_000_000_123,
        date: -1,
        lifetime: 600,
        initial_age: 7,
        stale_while_revalidate: Some(60),
        stale_if_error: Some(u32::MAX),
        origin: 4,
        reuse: 255,
        keep: 87_000,
        cost_ms: 0,
        selecting: vec![
            selector("accept", Some(u128::MAX - 1)),
            selector("origin", None),
        ],
        purgeable: None,
        body: vec!["one, ".into(), "two".into()],
    }
}

/// Mandatory fields only.
fn bare() -> EntryRecord {
    EntryRecord {
        key: Bytes::new(),
        status: 204,
        headers: EncodedHeaders::default(),
        arrived_ms: i64::MIN,
        date: i64::MAX,
        lifetime: 0,
        initial_age: 0,
        stale_while_revalidate: None,
        stale_if_error: None,
        origin: 0,
        reuse: 0,
        keep: 0,
        cost_ms: 0,
        selecting: vec![],
        purgeable: None,
        body: vec![],
    }
}

fn compressible() -> EntryRecord {
    EntryRecord {
        headers: headers(&[("content-type", "text/plain")]),
        body: vec!["harbour lantern market ".repeat(200).into()],
        ..full()
    }
}

fn variants() -> VariantList {
    VariantList {
        key: "GET https://a.example/b?c".into(),
        variants: vec![
            VariantRecord {
                id: u64::MAX,
                date: 1_700_000_000,
                arrived_ms: 1_700_000_000_123,
                until_ms: 1_700_000_600_123,
                selecting: vec![
                    selector("accept-encoding", Some(5)),
                    selector("accept-language", None),
                ],
            },
            VariantRecord {
                id: 0,
                date: i64::MIN,
                arrived_ms: i64::MAX,
                until_ms: -1,
                selecting: vec![],
            },
        ],
    }
}

/// A few values of every kind, encoded.
fn encoded() -> Vec<Bytes> {
    let values = [
        (Value::Entry(full()), Compression::Off),
        (Value::Entry(bare()), Compression::Off),
        (Value::Entry(purgeable()), Compression::Off),
        (Value::Entry(compressible()), Compression::AtLeast(1)),
        (Value::Variants(variants()), Compression::Off),
        (Value::Tombstone, Compression::Off),
    ];
    let encode = |(value, compression): &(Value, _)| encode(value, STAMP, *compression);
    values.iter().map(encode).collect()
}

/// What a value is once read: the same, its body in one segment.
fn read_back(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Entry(entry) = &mut value {
        let body = entry.body.concat();
        entry.body = if body.is_empty() {
            vec![]
        } else {
            vec![body.into()]
        };
    }
    value
}

fn assert_comes_back(value: &Value, compression: Compression) {
    let bytes = encode(value, STAMP, compression);
    assert_eq!(decode(&bytes), Ok((read_back(value), STAMP)));
    assert_eq!(stamp(&bytes), Some(STAMP));
}

// === Bytes by hand, from the description of the format alone ===

fn field(code: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(length < 0x80);
    [&[code, length], value].concat()
}

/// A frame around what follows its fixed part.
fn frame(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"CW\x01".to_vec();
    bytes.push(kind);
    bytes.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    bytes.extend([0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
    bytes.extend([0; 8]);
    bytes.extend(rest);
    resealed(bytes)
}

fn framed(kind: u8, head: &[Vec<u8>], body: &[u8]) -> Bytes {
    let head = head.concat();
    let length = u32::try_from(head.len()).unwrap().to_be_bytes();
    frame(kind, &[&length, &*head, body].concat()).into()
}

/// The same with the checksum that it should have.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 28 {
        let checksum = xxh3_64(&[&bytes[..20], &bytes[28..]].concat());
        bytes[20..28].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

fn stored(method: u8, size: u64) -> Vec<u8> {
    field(14, &[&[method], &size.to_be_bytes()[..]].concat())
}

/// The fields that every entry has, for a body of `method` and `size`.
fn mandatory(method: u8, size: u64) -> Vec<Vec<u8>> {
    vec![
        field(1, b""),
        field(2, &204_u16.to_be_bytes()),
        field(3, &i64::MIN.to_be_bytes()),
        field(4, &i64::MAX.to_be_bytes()),
        field(5, &[0; 4]),
        field(6, &[0; 4]),
        field(9, &[0]),
        field(10, &[0]),
        field(11, &[0; 4]),
        stored(method, size),
    ]
}

fn variant_fields() -> Vec<Vec<u8>> {
    vec![
        field(16, &[0; 8]),
        field(4, &[0; 8]),
        field(3, &[0; 8]),
        field(17, &[0; 8]),
    ]
}

fn refused(bytes: &Bytes) -> DecodeError {
    decode(bytes).expect_err("it is no value")
}

/// The error of an entry of the mandatory fields and these.
fn refused_with(more: &[Vec<u8>]) -> DecodeError {
    refused(&framed(b'E', &[&mandatory(0, 0), more].concat(), b""))
}

// === What is written ===

#[test]
fn the_bytes_are_those_of_the_description() {
    let written = |value| encode(&value, STAMP, Compression::Off);
    assert_eq!(written(Value::Tombstone), frame(b'F', b""));
    let entry = framed(b'E', &mandatory(0, 0), b"");
    assert_eq!(written(Value::Entry(bare())), entry);
    let list = VariantList {
        key: "k".into(),
        variants: vec![],
    };
    let bytes = framed(b'R', &[field(1, b"k")], b"");
    assert_eq!(written(Value::Variants(list)), bytes);
}

#[test]
fn every_kind_comes_back() {
    for compression in [Compression::Off, Compression::AtLeast(1)] {
        for entry in [full(), bare(), compressible(), purgeable()] {
            assert_comes_back(&Value::Entry(entry), compression);
        }
        assert_comes_back(&Value::Variants(variants()), compression);
        assert_comes_back(&Value::Tombstone, compression);
    }
}

#[test]
fn a_body_is_compressed_when_that_is_asked_for_and_pays() {
    let size = |entry: &EntryRecord, compression| {
        encode(&Value::Entry(entry.clone()), STAMP, compression).len()
    };
    let mut entry = compressible();
    let raw = size(&entry, Compression::Off);
    let compressed = size(&entry, Compression::default());
    assert!(compressed + 4000 < raw, "{compressed} of {raw}");
    assert_eq!(size(&entry, Compression::AtLeast(4601)), raw);

    // The same in segments.
    let body = entry.body.concat();
    entry.body = body.chunks(1000).map(Bytes::copy_from_slice).collect();
    assert_eq!(size(&entry, Compression::default()), compressed);

    entry.headers = headers(&[("content-type", "image/jpeg")]);
    let raw = size(&entry, Compression::Off);
    assert_eq!(size(&entry, Compression::default()), raw);
}

#[test]
fn what_is_not_compressed_is_not_copied() {
    let bytes = encode(&Value::Entry(purgeable()), STAMP, Compression::Off);
    let Ok((Value::Entry(entry), _)) = decode(&bytes) else {
        panic!("it was written as an entry");
    };
    let texts = entry.headers.iter().flat_map(|(name, value)| [name, value]);
    let names = entry.selecting.iter().map(|selector| &selector.name);
    let others = names.chain([&entry.key]).chain(&entry.body);
    let others = others.chain(entry.purgeable.iter().flat_map(|it| &it.tags));
    let parts = texts.chain(others.map(|part| &part[..]));
    for part in parts.filter(|part| !part.is_empty()) {
        assert!(bytes.as_ptr_range().contains(&part.as_ptr()), "{part:?}");
    }
    // The body is where the value ends.
    assert_eq!(entry.body[0].as_ptr_range().end, bytes.as_ptr_range().end);
}

#[test]
fn the_stamp_is_read_from_any_version_of_the_format() {
    let mut bytes = frame(b'?', b"");
    bytes[2] = 9;
    bytes.truncate(20);
    assert_eq!(stamp(&bytes), Some(STAMP));
    assert_eq!(stamp(&bytes[..19]), None);
    bytes[1] = b'w';
    assert_eq!(stamp(&bytes), None);
}

// === What was written by earlier versions ===

/// What encoding again gives.
enum Again {
    SameBytes,
    /// A later version, or another zstd, may write the same value with other bytes.
    SameValue,
}

#[test]
fn what_version_1_wrote_is_read_and_written_alike() {
    use Again::{SameBytes, SameValue};
    let cases = [
        (
            &include_bytes!("../../tests/golden/v1-entry.bin")[..],
            Value::Entry(full()),
            SameBytes,
        ),
        (
            &include_bytes!("../../tests/golden/v1-entry-cost.bin")[..],
            Value::Entry(slow()),
            SameBytes,
        ),
        (
            &include_bytes!("../../tests/golden/v1-entry-purge.bin")[..],
            Value::Entry(purgeable()),
            SameBytes,
        ),
        (
            &include_bytes!("../../tests/golden/v1-entry-bare.bin")[..],
            Value::Entry(bare()),
            SameBytes,
        ),
        (
            &include_bytes!("../../tests/golden/v1-entry-zstd.bin")[..],
            Value::Entry(compressible()),
            SameValue,
        ),
        (
            &include_bytes!("../../tests/golden/v1-entry-unknown-fields.bin")[..],
            Value::Entry(full()),
            SameValue,
        ),
        (
            &include_bytes!("../../tests/golden/v1-record.bin")[..],
            Value::Variants(variants()),
            SameBytes,
        ),
        (
            &include_bytes!("../../tests/golden/v1-fence.bin")[..],
            Value::Tombstone,
            SameBytes,
        ),
    ];
    for (bytes, value, again) in cases {
        let bytes = Bytes::from_static(bytes);
        assert_eq!(decode(&bytes), Ok((read_back(&value), STAMP)));
        match again {
            SameBytes => assert_eq!(encode(&value, STAMP, Compression::Off), bytes),
            SameValue => assert_comes_back(&value, Compression::AtLeast(1)),
        }
    }
}

// === What is refused ===

#[test]
fn what_is_no_frame_is_refused() {
    let tombstone = frame(b'F', b"");
    let with = |at: usize, byte| {
        let mut bytes = tombstone.clone();
        bytes[at] = byte;
        Bytes::from(bytes)
    };
    let cases = [
        (Bytes::new(), DecodeError::Magic),
        (Bytes::from_static(b"C"), DecodeError::Magic),
        (Bytes::from_static(b"CW"), DecodeError::Truncated),
        (tombstone[..27].to_vec().into(), DecodeError::Truncated),
        (with(0, b'c'), DecodeError::Magic),
        (with(1, b'w'), DecodeError::Magic),
        (with(2, 0), DecodeError::Format(0)),
        (with(2, 2), DecodeError::Format(2)),
        (with(3, b'E'), DecodeError::Checksum),
        (with(4, 9), DecodeError::Checksum),
        (with(20, !tombstone[20]), DecodeError::Checksum),
        (frame(b'X', b"").into(), DecodeError::Kind(b'X')),
        (frame(b'F', b"x").into(), DecodeError::Trailing),
        (frame(b'E', b"").into(), DecodeError::Truncated),
        (frame(b'E', &[0, 0, 0]).into(), DecodeError::Truncated),
        (frame(b'E', &[0, 0, 0, 1]).into(), DecodeError::Truncated),
        (frame(b'R', &[255; 9]).into(), DecodeError::Truncated),
        (framed(b'R', &[field(1, b"")], b"x"), DecodeError::Trailing),
    ];
    for (bytes, error) in cases {
        assert_eq!(refused(&bytes), error, "{bytes:?}");
    }
}

#[test]
fn every_field_of_an_entry_is_mandatory_but_stale_windows_and_lists() {
    let all = mandatory(0, 0);
    for left_out in 0..all.len() {
        let mut head = all.clone();
        let code = head.remove(left_out)[0];
        let error = refused(&framed(b'E', &head, b""));
        let DecodeError::Missing(tag) = error else {
            panic!("{code}: {error}");
        };
        assert_eq!(tag as u8, code);
    }
}

#[test]
fn every_field_of_a_list_and_its_variants_is_mandatory() {
    let all = variant_fields();
    let variant = |fields: &[Vec<u8>]| field(15, &fields.concat());
    let list = |head: &[Vec<u8>]| decode(&framed(b'R', head, b""));
    assert!(list(&[field(1, b""), variant(&all)]).is_ok());
    assert_eq!(
        list(&[variant(&all)]),
        Err(DecodeError::Missing(tag::Tag::Key))
    );
    for left_out in 0..all.len() {
        let mut fields = all.clone();
        let code = fields.remove(left_out)[0];
        let error = list(&[field(1, b""), variant(&fields)]).unwrap_err();
        let DecodeError::Missing(tag) = error else {
            panic!("{code}: {error}");
        };
        assert_eq!(tag as u8, code);
    }
}

#[test]
fn what_comes_once_may_not_come_twice() {
    let optional = [(7, 4), (8, 4), (18, 4), (20, 16)];
    let optional = optional.map(|(code, size)| field(code, &vec![0; size]));
    for once in mandatory(0, 0).into_iter().chain(optional) {
        let error = refused_with(&[once.clone(), once.clone()]);
        let DecodeError::Repeated(tag) = error else {
            panic!("{once:?}: {error}");
        };
        assert_eq!(tag as u8, once[0]);
    }
    for once in variant_fields() {
        let variant = field(15, &[variant_fields().concat(), once.clone()].concat());
        let error = refused(&framed(b'R', &[field(1, b""), variant], b""));
        let DecodeError::Repeated(tag) = error else {
            panic!("{once:?}: {error}");
        };
        assert_eq!(tag as u8, once[0]);
    }
}

#[test]
fn a_field_of_another_size_is_refused() {
    use tag::Tag;
    let sizes = [
        (Tag::StaleWhileRevalidate, 4),
        (Tag::StaleIfError, 4),
        (Tag::Cost, 4),
        (Tag::Applied, 16),
    ];
    for (tag, size) in sizes {
        for wrong in [0, size - 1, size + 1] {
            let error = refused_with(&[field(tag as u8, &vec![0; wrong])]);
            assert_eq!(error, DecodeError::Malformed(tag), "{wrong}");
        }
    }
    // The key may have any size.
    for (index, whole) in mandatory(0, 0).iter().enumerate().skip(1) {
        let value = &whole[2..];
        for wrong in [&value[1..], &[value, &[0]].concat()] {
            let mut head = mandatory(0, 0);
            head[index] = field(whole[0], wrong);
            let error = refused(&framed(b'E', &head, b""));
            let DecodeError::Malformed(tag) = error else {
                panic!("{whole:?}: {error}");
            };
            assert_eq!(tag as u8, whole[0]);
        }
    }
}

#[test]
fn malformed_headers_selectors_and_lengths_are_refused() {
    use tag::Tag;
    let cases: &[(u8, &[u8], Tag)] = &[
        (12, b"", Tag::Header),
        (12, b"\x02a", Tag::Header),
        (12, b"\x80\x00", Tag::Header),
        (12, b"\xff\xff\xff\xff\x0f", Tag::Header),
        (13, b"", Tag::Selector),
        (13, b"\x02a", Tag::Selector),
        (13, b"\x01fifteen bytes..", Tag::Selector),
    ];
    for (code, value, tag) in cases {
        let error = refused_with(&[field(*code, value)]);
        assert_eq!(error, DecodeError::Malformed(*tag), "{value:?}");
    }
    let lengths: &[&[u8]] = &[
        &[12],
        &[12, 0x80],
        &[12, 5, 0],
        // A field that is not known is measured like any other.
        &[99, 5, 0],
        &[99, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[99, 0x80, 0],
    ];
    for rest in lengths {
        assert_eq!(refused_with(&[rest.to_vec()]), DecodeError::Length);
    }
}

#[test]
fn no_list_is_endless() {
    use tag::Tag;
    let variant = field(15, &variant_fields().concat());
    let cases = [
        (b'E', field(12, b"\x00"), Tag::Header, 1024),
        (b'E', field(13, b"\x00"), Tag::Selector, 1024),
        (b'E', field(19, b"x"), Tag::Label, 128),
        (b'R', variant, Tag::Variant, 64),
    ];
    for (kind, item, tag, most) in cases {
        let error = |times| {
            let mut head = match kind {
                b'E' => mandatory(0, 0),
                _ => vec![field(1, b"k")],
            };
            head.extend(vec![item.clone(); times]);
            decode(&framed(kind, &head, b"")).err()
        };
        assert_eq!(error(most), None);
        assert_eq!(error(most + 1), Some(DecodeError::TooMany(tag)));
    }
}

#[test]
fn no_tag_is_endless() {
    let entry = |length| {
        let tag = EntryRecord {
            purgeable: tagged(vec![vec![b'x'; length].into()], None),
            ..bare()
        };
        decode(&encode(&Value::Entry(tag), STAMP, Compression::Off)).err()
    };
    assert_eq!(entry(1024), None);
    let too_long = Some(DecodeError::Malformed(tag::Tag::Label));
    assert_eq!(entry(1025), too_long);
}

/// Fields that nobody knows are skipped, so their number alone says nothing.
#[test]
fn no_head_is_endless() {
    let most = 512 << 10;
    let head = mandatory(0, 0).concat();
    for (length, expected) in [
        (most, None),
        (most + 1, Some(DecodeError::HeadTooLarge(most + 1))),
        (8 << 20, Some(DecodeError::HeadTooLarge(8 << 20))),
    ] {
        let padding = length - head.len();
        // Fields of two bytes, of which the first may have one byte more.
        let first = if padding % 2 == 0 {
            &[][..]
        } else {
            &[99, 1, 0]
        };
        let fields = [99, 0].repeat((padding - first.len()) / 2);
        let value = framed(b'E', &[head.clone(), first.to_vec(), fields], b"");
        assert_eq!(decode(&value).err(), expected, "{length}");
    }
}

#[test]
fn a_body_is_measured_before_it_is_decoded() {
    let packed = zstd::bulk::compress(&vec![7; 1 << 20], 1).unwrap();
    let at_most = |most, method, size, body: &[u8]| {
        super::decode(
            &framed(b'E', &mandatory(method, size), body),
            Body::AtMost(most),
        )
        .map(|(value, _)| match value {
            Value::Entry(entry) => entry.body.concat().len() as u64,
            other => panic!("{other:?} is no entry"),
        })
    };
    let refused = |size| Err(DecodeError::TooLarge(size));
    for (most, method, size, body, expected) in [
        (4, 0, 4, &b"body"[..], Ok(4)),
        (3, 0, 4, b"body", refused(4)),
        (0, 0, 0, b"", Ok(0)),
        (1 << 20, 1, 1 << 20, &packed, Ok(1 << 20)),
        ((1 << 20) - 1, 1, 1 << 20, &packed, refused(1 << 20)),
        // What is announced lies, so that it passes: then it is all there is room for.
        (1 << 20, 1, 1 << 10, &packed, Err(DecodeError::Compressed)),
        (1 << 10, 1, 0, &packed, Err(DecodeError::Compressed)),
        (u64::MAX, 1, u64::MAX, &packed, refused(u64::MAX)),
    ] {
        assert_eq!(at_most(most, method, size, body), expected, "{most} {size}");
    }
}

#[test]
fn a_body_can_be_left_out_whatever_it_is() {
    for (method, size, body) in [(0, 4, &b"body"[..]), (1, u64::MAX, b"bomb"), (9, 1, b"")] {
        let bytes = framed(b'E', &mandatory(method, size), body);
        let decoded = super::decode(&bytes, Body::LeftOut);
        assert_eq!(decoded, Ok((Value::Entry(bare()), STAMP)));
    }
}

#[test]
fn the_announced_size_is_found_in_what_decodes_and_in_nothing_else() {
    let entry = |head: &[Vec<u8>]| framed(b'E', head, b"");
    let cases = [
        (entry(&mandatory(0, 0)), 0),
        (entry(&mandatory(1, 1 << 28)), 1 << 28),
        (entry(&mandatory(9, u64::MAX)), u64::MAX),
        (entry(&[stored(0, 1), stored(0, 2)]), 1),
        (entry(&[field(14, b"short")]), 0),
        (entry(&[vec![14, 0x80]]), 0),
        (entry(&[]), 0),
        (framed(b'R', &[field(1, b"k")], b""), 0),
        (frame(b'E', &[255; 4]).into(), 0),
        (frame(b'F', b"").into(), 0),
        (Bytes::new(), 0),
    ];
    for (bytes, size) in cases {
        assert_eq!(announced_size(&bytes), size, "{bytes:?}");
    }
}

#[test]
fn a_field_that_is_not_known_is_skipped() {
    let unknown = [field(21, b"later"), field(255, b""), field(0, b"x")];
    for place in 0..=mandatory(0, 0).len() {
        let mut head = mandatory(0, 0);
        head.splice(place..place, unknown.clone());
        let (value, _) = decode(&framed(b'E', &head, b"")).unwrap();
        assert_eq!(value, Value::Entry(bare()));
    }
    let fields = [variant_fields(), unknown.to_vec()].concat();
    let variant = field(15, &fields.concat());
    let head = [field(200, b"x"), variant, field(1, b"k")];
    let (value, _) = decode(&framed(b'R', &head, b"")).unwrap();
    let Value::Variants(list) = value else {
        panic!("{value:?} is no list");
    };
    assert_eq!((&list.key[..], list.variants.len()), (&b"k"[..], 1));
}

#[test]
fn header_fields_keep_their_order_among_whatever_else_is_there() {
    let mut head = mandatory(0, 0);
    let fields = [b"\x01ax", b"\x01by", b"\x01az"];
    for (header, place) in fields.iter().zip([9, 5, 0]) {
        head.splice(place..place, [field(12, *header), field(99, b"?")]);
    }
    let (value, _) = decode(&framed(b'E', &head, b"")).unwrap();
    let headers = headers(&[("a", "z"), ("b", "y"), ("a", "x")]);
    assert_eq!(value, Value::Entry(EntryRecord { headers, ..bare() }));
}

#[test]
fn a_body_that_is_not_as_announced_is_refused() {
    let packed = zstd::bulk::compress(&[7; 100], 1).unwrap();
    let entry = |method, size, body: &[u8]| decode(&framed(b'E', &mandatory(method, size), body));
    assert!(entry(0, 4, b"body").is_ok());
    assert!(entry(1, 100, &packed).is_ok());
    let garbled = [&packed[..packed.len() - 1], &[0xff, 0xff]].concat();
    let cases: &[(u8, u64, &[u8], DecodeError)] = &[
        (0, 3, b"body", DecodeError::BodyLength),
        (0, 5, b"body", DecodeError::BodyLength),
        (0, u64::MAX, b"body", DecodeError::BodyLength),
        (1, 99, &packed, DecodeError::Compressed),
        (1, 101, &packed, DecodeError::BodyLength),
        (1, 4, b"body", DecodeError::Compressed),
        (1, 100, &packed[..packed.len() - 1], DecodeError::Compressed),
        (1, 100, &garbled, DecodeError::Compressed),
        (1, 1 << 30, &packed, DecodeError::TooLarge(1 << 30)),
        (1, u64::MAX, &packed, DecodeError::TooLarge(u64::MAX)),
        (2, 4, b"body", DecodeError::Method(2)),
    ];
    for (method, size, body, error) in cases {
        assert_eq!(entry(*method, *size, body), Err(*error), "{method} {size}");
    }
}

// === What a build without zstd does ===

#[path = "no_zstandard.rs"]
mod no_zstandard;

#[test]
fn without_zstd_nothing_is_compressed_and_what_is_has_an_error_of_its_own() {
    assert_eq!(no_zstandard::LARGEST, 0);
    assert_eq!(no_zstandard::compress(b"text"), None);
    let error = no_zstandard::decompress(b"frame", 5).unwrap_err();
    assert_eq!(error, DecodeError::Compression);
    assert_eq!(
        error.to_string(),
        "the body is compressed, and this build has no zstd"
    );
}

// === What is damaged, by chance and on purpose ===

/// Reads what may be anything; what it decodes to must come back when written again.
fn survive(bytes: Vec<u8>) {
    if let Ok((value, stamp)) = decode(&bytes.into()) {
        let again = encode(&value, stamp, Compression::Off);
        assert_eq!(decode(&again), Ok((value, stamp)));
    }
}

#[test]
fn no_flipped_bit_is_missed_and_none_with_a_right_checksum_panics() {
    for bytes in encoded() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped.clone().into()).is_err(), "bit {bit}");
            survive(resealed(flipped));
        }
    }
}

#[test]
fn no_end_is_missed_and_none_with_a_right_checksum_panics() {
    for bytes in encoded() {
        for end in 0..bytes.len() {
            let cut = bytes.slice(..end);
            assert!(decode(&cut).is_err(), "{end} of {}", bytes.len());
            // Raw or compressed, a body's length is announced.
            assert!(decode(&resealed(cut.to_vec()).into()).is_err(), "{end}");
        }
        assert!(decode(&[&bytes[..], b"\0"].concat().into()).is_err());
    }
}

#[test]
fn noise_is_never_a_value() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    for round in 0..100_000 {
        let length = next() as usize % 200;
        let mut noise: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        if round % 2 == 0 && length >= 4 {
            // Far enough for the checksum to be read.
            noise[..3].copy_from_slice(b"CW\x01");
            noise[3] = *b"ERF".get(round % 3).unwrap();
        }
        assert!(decode(&noise.clone().into()).is_err(), "{noise:?}");
        // Past the checksum; with a head as long as what there is, and known tags.
        if length > 32 {
            let head = u32::try_from(length - 32).unwrap().to_be_bytes();
            noise[28..32].copy_from_slice(&head);
            for at in (32..length).step_by(2 + round % 7) {
                noise[at] %= 22;
            }
        }
        survive(resealed(noise));
    }
}

// === Any value ===

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn selectors() -> impl Strategy<Value = Vec<Selector>> {
    let selector = (bytes(), option::of(any::<u128>()));
    vec(
        selector.prop_map(|(name, value)| Selector { name, value }),
        0..4,
    )
}

fn segment() -> impl Strategy<Value = Bytes> {
    let text = (bytes(), 0..40_usize);
    prop_oneof![
        bytes(),
        text.prop_map(|(text, times)| text.repeat(times).into()),
    ]
}

fn entries() -> impl Strategy<Value = EntryRecord> {
    let numbers = (any::<u16>(), any::<i64>(), any::<i64>(), any::<[u32; 3]>());
    let windows = any::<[Option<u32>; 2]>();
    let lists = (vec((bytes(), bytes()), 0..8), selectors());
    let applied = any::<[u64; 2]>().prop_map(|[log, seq]| Applied { log, seq });
    let applied = option::of(applied);
    let purgeable = (vec(bytes(), 0..4), applied);
    let body = vec(segment(), 0..4);
    let codes = any::<[u8; 2]>();
    (bytes(), numbers, windows, codes, lists, purgeable, body).prop_map(
        |(key, (status, arrived_ms, date, seconds), windows, codes, lists, purgeable, body)| {
            EntryRecord {
                key,
                status,
                headers: lists.0.into_iter().collect(),
                arrived_ms,
                date,
                lifetime: seconds[0],
                initial_age: seconds[1],
                stale_while_revalidate: windows[0],
                stale_if_error: windows[1],
                origin: codes[0],
                reuse: codes[1],
                keep: seconds[2],
                cost_ms: seconds[1],
                selecting: lists.1,
                purgeable: tagged(purgeable.0, purgeable.1),
                body,
            }
        },
    )
}

fn variant_lists() -> impl Strategy<Value = VariantList> {
    let variant = (any::<u64>(), any::<[i64; 3]>(), selectors());
    let variant = variant.prop_map(
        |(id, [date, arrived_ms, until_ms], selecting)| VariantRecord {
            id,
            date,
            arrived_ms,
            until_ms,
            selecting,
        },
    );
    (bytes(), vec(variant, 0..6)).prop_map(|(key, variants)| VariantList { key, variants })
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => entries().prop_map(Value::Entry),
        4 => variant_lists().prop_map(Value::Variants),
        1 => Just(Value::Tombstone),
    ]
}

proptest! {
    #[test]
    fn any_value_comes_back(
        value in values(),
        epoch: u64,
        version: u64,
        compression in prop_oneof![
            Just(Compression::Off),
            (0..2000_usize).prop_map(Compression::AtLeast),
        ],
    ) {
        let written = Stamp { epoch, version };
        let bytes = encode(&value, written, compression);
        prop_assert_eq!(stamp(&bytes), Some(written));
        prop_assert_eq!(&bytes[4..12], epoch.to_be_bytes());
        prop_assert_eq!(&bytes[12..20], version.to_be_bytes());
        prop_assert_eq!(decode(&bytes), Ok((read_back(&value), written)));
    }

    #[test]
    fn any_damage_is_survived(
        value in values(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encode(&value, STAMP, Compression::AtLeast(64)).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        survive(resealed(bytes));
    }
}

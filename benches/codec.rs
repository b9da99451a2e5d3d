//! What it costs to write a response for the remote tier and to read it back.
//!
//! `cargo bench --features redis-zstd --bench codec` prints the sizes of the encoded values first, then
//! criterion's figures by kind and size of the body, stored raw and compressed. The group `lz4` is
//! what the other candidate for the compression would take for the body alone.

#[path = "../src/codec/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "a module of the crate, of which this program uses a part"
)]
mod codec;

use std::{fmt::Write, hint::black_box};

use bytes::Bytes;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};

use codec::{Body, Compression, EntryRecord, Selector, Stamp, Value, decode, encode};

const SIZES: [usize; 4] = [200, 4 << 10, 64 << 10, 1 << 20];

const STAMP: Stamp = Stamp {
    epoch: 1,
    version: 7,
};

/// What a body is made of.
#[derive(Clone, Copy)]
struct Material {
    name: &'static str,
    make: fn(usize) -> Bytes,
}

const MATERIALS: [Material; 3] = [
    Material {
        name: "json",
        make: json,
    },
    Material {
        name: "html",
        make: html,
    },
    Material {
        name: "random",
        make: random,
    },
];

const MODES: [(&str, Compression); 2] = [
    ("raw", Compression::Off),
    ("compressed", Compression::AtLeast(1024)),
];

// === Bodies ===

/// The same numbers on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len() as u64) as usize]
    }
}

const WORDS: [&str; 40] = [
    "after", "and", "between", "bridge", "bright", "compass", "copper", "engine", "every", "for",
    "garden", "glass", "harbour", "lantern", "large", "market", "meadow", "morning", "new",
    "northern", "of", "old", "orchard", "paper", "pepper", "quick", "quiet", "ribbon", "river",
    "signal", "silver", "small", "the", "thunder", "under", "velvet", "window", "winter", "with",
    "wooden",
];

/// A list of products.
fn json(size: usize) -> Bytes {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut text = String::from("[");
    while text.len() < size {
        let (id, sku) = (numbers.below(10_000_000), numbers.next());
        let (name, sort, tag) = (numbers.word(), numbers.word(), numbers.word());
        let (price, cents, stock) = (numbers.below(1000), numbers.below(100), numbers.below(500));
        let available = stock > 100;
        write!(
            text,
            r#"{{"id":{id},"sku":"{sku:016x}","name":"{name} {sort}","tags":["{tag}","{sort}"],"price":{price}.{cents:02},"stock":{stock},"available":{available}}},"#,
        )
        .expect("a string takes everything");
    }
    text.truncate(size);
    text.into()
}

/// A page of articles.
fn html(size: usize) -> Bytes {
    let mut numbers = Numbers(0xd1b5_4a32_d192_ed03);
    let mut text = String::from("<!doctype html><html><head><title>Catalogue</title></head><body>");
    while text.len() < size {
        let id = numbers.below(1_000_000);
        write!(
            text,
            r#"<article class="card card--wide" id="item-{id}"><h2 class="card__title"><a href="/items/{id}">{} {}</a></h2><p class="card__text">"#,
            numbers.word(),
            numbers.word(),
        )
        .expect("a string takes everything");
        for _ in 0..20 + numbers.below(30) {
            text.push_str(numbers.word());
            text.push(' ');
        }
        text.push_str("</p></article>\n");
    }
    text.truncate(size);
    text.into()
}

/// Noise, whose fields do not say that it will not shrink.
fn random(size: usize) -> Bytes {
    let mut numbers = Numbers(0xabc_def1);
    (0..size).map(|_| (numbers.next() >> 32) as u8).collect()
}

/// A response as a reader of the cache would get it, its body in segments of 64 KiB.
fn value(body: &Bytes) -> Value {
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        (
            "cache-control",
            "public, max-age=600, stale-while-revalidate=60",
        ),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("etag", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
        ("last-modified", "Sat, 05 Nov 1994 11:00:00 GMT"),
        ("vary", "accept-encoding"),
        ("server", "origin"),
        ("x-request-id", "0e6b8a7c-4f0d-4bd5-9a53-6d2f3f4c1a11"),
    ];
    Value::Entry(EntryRecord {
        key: "GET https://shop.example/items?page=3&sort=price".into(),
        status: 200,
        headers: headers.into_iter().collect(),
        arrived_ms: 784_111_777_123,
        date: 784_111_777,
        lifetime: 600,
        initial_age: 0,
        stale_while_revalidate: Some(60),
        stale_if_error: None,
        origin: 1,
        reuse: 0,
        keep: 87_000,
        cost_ms: 40,
        selecting: vec![Selector {
            name: "accept-encoding".into(),
            value: Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        }],
        purgeable: None,
        body: (0..body.len())
            .step_by(64 << 10)
            .map(|start| body.slice(start..body.len().min(start + (64 << 10))))
            .collect(),
    })
}

// === Measuring ===

/// Calls `run` with a group, the name of a material and a body of it, for every body there is.
fn each(
    criterion: &mut Criterion,
    name: &str,
    run: impl Fn(&mut BenchmarkGroup<'_, WallTime>, &str, &Bytes),
) {
    let mut group = criterion.benchmark_group(name);
    for Material { name, make } in MATERIALS {
        for size in SIZES {
            group.throughput(Throughput::Bytes(size as u64));
            run(&mut group, name, &make(size));
        }
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    each(criterion, "encode", |group, material, body| {
        let value = value(body);
        for (mode, compression) in MODES {
            let id = BenchmarkId::new(format!("{material}/{mode}"), body.len());
            group.bench_function(id, |bencher| {
                bencher.iter(|| encode(black_box(&value), STAMP, compression));
            });
        }
    });
}

fn decoding(criterion: &mut Criterion) {
    each(criterion, "decode", |group, material, body| {
        for (mode, compression) in MODES {
            let bytes = encode(&value(body), STAMP, compression);
            let id = BenchmarkId::new(format!("{material}/{mode}"), body.len());
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    decode(black_box(&bytes), Body::AtMost(u64::MAX)).expect("what was encoded")
                });
            });
        }
    });
}

fn lz4(criterion: &mut Criterion) {
    each(criterion, "lz4", |group, material, body| {
        let packed = lz4_flex::block::compress(body);
        let id = |way| BenchmarkId::new(format!("{material}/{way}"), body.len());
        group.bench_function(id("compress"), |bencher| {
            bencher.iter(|| lz4_flex::block::compress(black_box(body)));
        });
        group.bench_function(id("decompress"), |bencher| {
            bencher.iter(|| {
                lz4_flex::block::decompress(black_box(&packed), body.len())
                    .expect("what was compressed")
            });
        });
    });
}

fn sizes() {
    println!("body                raw  compressed   (LZ4)");
    for Material { name, make } in MATERIALS {
        for size in SIZES {
            let body = make(size);
            let [raw, compressed] =
                MODES.map(|(_, compression)| encode(&value(&body), STAMP, compression).len());
            let with_lz4 = raw - size + lz4_flex::block::compress(&body).len();
            println!("{name:6} {size:7}  {raw:7}     {compressed:7} {with_lz4:7}");
        }
    }
}

fn main() {
    sizes();
    let mut criterion = Criterion::default().configure_from_args();
    encoding(&mut criterion);
    decoding(&mut criterion);
    lz4(&mut criterion);
    criterion.final_summary();
}

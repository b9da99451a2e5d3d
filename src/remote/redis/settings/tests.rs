//! What the settings allow, and what they never repeat.

use std::time::Duration;

use fred::types::config::ServerConfig;

use crate::{
    error::ConfigError,
    remote::redis::{settings::RedisBuilder, url::servers},
};

// What stands in for TLS in a build without it.
#[path = "../no_tls.rs"]
mod no_tls;

const LOCAL: &str = "redis://127.0.0.1";

fn builder(url: &str) -> RedisBuilder {
    RedisBuilder::new(url.to_owned())
}

fn refused(builder: &RedisBuilder) -> ConfigError {
    builder.check().expect_err("a setting that is not allowed")
}

#[test]
fn the_defaults_are_those_documented() {
    let builder = builder(LOCAL);
    assert!(builder.check().is_ok());
    assert_eq!(builder.pool_size, 2);
    assert_eq!(builder.namespace, "cachewarp");
    assert_eq!(builder.read_timeout, Duration::from_millis(50));
    assert_eq!(builder.write_timeout, Duration::from_millis(250));
    assert_eq!(builder.max_value_bytes, 8_388_608);
    assert_eq!(builder.compression_threshold, Some(1_024));
}

#[test]
fn every_kind_of_url_is_read() {
    let table = [
        ("redis://host", "one", "host:6379"),
        ("redis://host:7000/3", "one", "host:7000"),
        ("redis://[::1]:7000", "one", "[::1]:7000"),
        ("rediss://host", "one", "host:6379"),
        ("valkey://host", "one", "host:6379"),
        ("valkeys://host", "one", "host:6379"),
        ("redis-cluster://a:1?node=b:2", "cluster", "b:2, a:1"),
        ("rediss-cluster://a:1", "cluster", "a:1"),
        (
            "redis-sentinel://a?sentinelServiceName=main&node=b:2",
            "sentinel",
            "b:2, a:26379",
        ),
        (
            "rediss-sentinel://a:1?sentinelServiceName=main",
            "sentinel",
            "a:1",
        ),
    ];
    for (url, kind, expected) in table {
        let config = builder(url).check().expect(url);
        let seen = match &config.server {
            ServerConfig::Centralized { .. } => "one",
            ServerConfig::Clustered { .. } => "cluster",
            ServerConfig::Sentinel { .. } => "sentinel",
        };
        assert_eq!((seen, &*servers(&config)), (kind, expected), "{url}");
        let encrypted = url.starts_with("rediss") || url.starts_with("valkeys");
        assert_eq!(config.tls.is_some(), encrypted, "{url}");
    }
}

#[test]
fn credentials_come_from_the_url_or_the_builder() {
    let url = "redis://user:pass%40word@host/5";
    let of = |builder: RedisBuilder| {
        let config = builder.check().expect("allowed");
        assert_eq!(config.database, Some(5));
        (config.username, config.password)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(of(builder(url)), (some("user"), some("pass@word")));
    let replaced = builder(url).username("other").password("more");
    assert_eq!(of(replaced), (some("other"), some("more")));
    let half = builder(url).password("more");
    assert_eq!(of(half), (some("user"), some("more")));
}

#[test]
fn what_is_not_allowed_is_named() {
    let table: &[(RedisBuilder, &str, &str)] = &[
        (builder(LOCAL).pool_size(0), "pool_size", "0"),
        (builder(LOCAL).pool_size(65), "pool_size", "65"),
        (
            builder(LOCAL).purge_wait_replicas(17),
            "purge_wait_replicas",
            "17",
        ),
        (
            builder(LOCAL).read_timeout(Duration::ZERO),
            "read_timeout",
            "0ns",
        ),
        (
            builder(LOCAL).read_timeout(Duration::from_secs(11)),
            "read_timeout",
            "11s",
        ),
        (
            builder(LOCAL).write_timeout(Duration::from_micros(999)),
            "write_timeout",
            "999µs",
        ),
        (
            builder(LOCAL).max_value_bytes(1_023),
            "max_value_bytes",
            "1023",
        ),
        (
            builder(LOCAL).max_value_bytes((512 << 20) + 1),
            "max_value_bytes",
            "536870913",
        ),
        (builder(LOCAL).namespace(""), "namespace", "\"\""),
        (builder(LOCAL).namespace("a{b}"), "namespace", "\"a{b}\""),
        (builder(LOCAL).namespace("a b"), "namespace", "\"a b\""),
        (builder(LOCAL).namespace("a*"), "namespace", "\"a*\""),
        (builder(LOCAL).namespace("é"), "namespace", "\"é\""),
        (builder(""), "url", "…"),
        (builder("localhost:6379"), "url", "…"),
        (builder("http://host"), "url", "http://host…"),
        (builder("redis://"), "url", "redis://…"),
        (builder("redis://host:99999"), "url", "redis://"),
        (builder("redis://host/not-a-number"), "url", "redis://host…"),
        (builder("redis://host/1/2"), "url", "redis://host…"),
        (
            builder("redis-cluster://host?node=b"),
            "url",
            "redis-cluster://host…",
        ),
        (
            builder("redis-sentinel://host"),
            "url",
            "sentinelServiceName",
        ),
        (builder("redis+unix:///run/socket"), "url", "redis+unix://…"),
    ];
    for (builder, setting, value) in table {
        let said = refused(builder).to_string();
        assert!(said.starts_with(&format!("`{setting}` ")), "{said}");
        assert!(said.contains(value), "{said}");
    }
}

#[test]
fn what_is_at_the_bounds_is_allowed() {
    let bounds = [
        builder(LOCAL)
            .pool_size(1)
            .max_value_bytes(1_024)
            .read_timeout(Duration::from_millis(1)),
        builder(LOCAL)
            .pool_size(64)
            .max_value_bytes(512 << 20)
            .write_timeout(Duration::from_secs(10)),
        builder(LOCAL)
            .namespace("a".repeat(64))
            .compression_threshold(None),
        builder(LOCAL)
            .namespace("shop:eu-1")
            .compression_threshold(0),
    ];
    for builder in bounds {
        assert!(builder.check().is_ok(), "{builder:?}");
    }
}

#[test]
fn no_password_is_repeated() {
    let urls = [
        "redis://user:hunter2@host:6379/x",
        "redis://:hunter2@host:port",
        "redis://:hunter2",
        "redis://user:hunter2",
        "redis://hunter2@host/x",
        "redis://user:a/hunter2@host",
        "redis://user:a@hunter2@host/x",
        "redis://user:a?hunter2@host/x/y",
        "redis://user:a#hunter2@host:x",
        "redis:user:hunter2@host",
        "hunter2",
        "user:hunter2@host://",
        "redis-sentinel://host?sentinelPassword=hunter2",
    ];
    for url in urls {
        let builder = builder(url).password("swordfish");
        let mut said = format!("{builder:?}");
        if let Err(error) = builder.check() {
            said.push_str(&format!("{error} {error:?}"));
        }
        assert!(!said.contains("hunter2"), "{url}: {said}");
        assert!(!said.contains("swordfish"), "{url}: {said}");
    }
}

#[test]
fn without_tls_a_url_that_asks_for_it_names_the_feature() {
    let mut config = builder(LOCAL).check().unwrap();
    let error = no_tls::enable(&mut config).unwrap_err();
    assert_eq!(error.setting(), "url");
    assert!(error.to_string().contains("`redis-tls`"), "{error}");
    assert!(config.tls.is_none());
}

#[test]
fn clients_fail_fast_and_recover() {
    let slow = builder(LOCAL).write_timeout(Duration::from_secs(2));
    for (settings, limit) in [(builder(LOCAL), 350), (slow, 2_100)] {
        let config = settings.check().expect("allowed");
        let clients = settings.clients(config);
        assert!(!clients.get_config().expect("given").fail_fast);
        assert!(clients.get_policy().is_some());
        let connection = clients.get_connection_config();
        assert_eq!(connection.max_command_attempts, 1);
        assert_eq!(connection.max_command_buffer_len, 0);
        let limit = Duration::from_millis(limit);
        assert_eq!(connection.unresponsive.max_timeout, Some(limit));
        let timeout = clients.get_performance_config().default_command_timeout;
        assert_eq!(timeout, settings.write_timeout);
    }
}

//! Nodes that reach Redis through TLS: with a certificate they trust they share, with any other one
//! they serve on alone.
//!
//! What a process trusts is in its environment, so each test does its part in a process of its own.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use cachewarp::Redis;
use http::{Method, StatusCode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

use crate::{
    nodes::{Node, connected_as, eventually, get_with, request},
    origin::{Origin, version},
    support::redis::{Reply, Server, not_started},
};

/// Where the process that a test starts finds Redis. Its presence makes it that process.
const REDIS: &str = "CACHEWARP_TEST_TLS";

/// Added to the port of a server for the one with TLS. It is free: a Cluster would use it.
const TLS: u16 = 10_000;

#[tokio::test]
async fn nodes_share_over_tls_when_they_trust_the_certificate() {
    let Ok(url) = env::var(REDIS) else {
        let authority = Authority::new("trusted");
        let redis = authority.server("127.0.0.1");
        let test = "tls::nodes_share_over_tls_when_they_trust_the_certificate";
        in_a_process_that_trusts(&authority, &redis, test);
        assert_ne!(redis.command(&["dbsize"]), Reply::Integer(0));
        return;
    };
    let origin = Origin::counting();
    let [first, second] = connected_as(async || Node::with(&origin, &url, |it| it).await).await;
    let fetched = first.get("/a").await;
    first.settle().await;
    let found = second.get("/a").await;
    assert!(found.is_hit(), "{found:?}");
    assert_eq!(found.body, fetched.body);
    assert_eq!(origin.calls(), 1);
    // Notifications come through TLS as well.
    first.send(request(Method::POST, "/a")).await;
    eventually("the other node drops it", async || {
        version(&second.get("/a").await.body) > version(&fetched.body)
    })
    .await;
}

#[tokio::test]
async fn nodes_serve_alone_when_they_do_not_trust_the_certificate() {
    let Ok(url) = env::var(REDIS) else {
        let redis = Authority::new("unknown").server("127.0.0.1");
        let test = "tls::nodes_serve_alone_when_they_do_not_trust_the_certificate";
        in_a_process_that_trusts(&Authority::new("trusted"), &redis, test);
        assert_eq!(redis.command(&["dbsize"]), Reply::Integer(0));
        return;
    };
    serves_alone(&url, "UnknownIssuer").await;
}

#[tokio::test]
async fn nodes_serve_alone_when_the_certificate_is_for_another_server() {
    let Ok(url) = env::var(REDIS) else {
        let authority = Authority::new("trusted");
        let redis = authority.server("127.0.0.2");
        let test = "tls::nodes_serve_alone_when_the_certificate_is_for_another_server";
        in_a_process_that_trusts(&authority, &redis, test);
        assert_eq!(redis.command(&["dbsize"]), Reply::Integer(0));
        return;
    };
    serves_alone(&url, "NotValidForName").await;
}

/// What two nodes do that cannot have Redis, for the reason named.
async fn serves_alone(url: &str, reason: &str) {
    let required = Redis::builder(url).require_at_start(true);
    let refused = required.connect().await.unwrap_err().to_string();
    assert!(refused.contains(reason), "{refused}");
    let origin = Origin::counting();
    for nth in 1..=2 {
        let redis = Redis::connect(url).await.unwrap();
        let node = Node::over(&origin, |it| it.remote(redis));
        let fetched = node.get("/a").await;
        assert_eq!(fetched.status, StatusCode::OK);
        assert!(!fetched.is_hit(), "{fetched:?}");
        node.settle().await;
        assert_eq!(origin.calls_of("/a"), nth);
        let asked = get_with("/a", "cache-control", "only-if-cached");
        let kept = node.send(asked).await;
        assert!(kept.is_hit() && kept.body == fetched.body, "{kept:?}");
        assert!(!node.layer.handle().stats().remote_connected);
    }
}

/// Runs the same test again, as a process that trusts this authority and no other.
#[track_caller]
fn in_a_process_that_trusts(authority: &Authority, redis: &Server, test: &str) {
    let trusted = redis.folder().join("trusted.pem");
    fs::write(&trusted, authority.0.pem()).unwrap();
    let url = format!("rediss://127.0.0.1:{}", redis.port() + TLS);
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(REDIS, url)
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, errors) = (output.stdout, output.stderr);
    let said = String::from_utf8_lossy(&said) + String::from_utf8_lossy(&errors);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
}

/// Who signs certificates of servers.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A running server with a certificate for this address.
    fn server(&self, address: &str) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([address.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let mut server = not_started(&["--tls-auth-clients", "no"]);
        for (setting, name, content) in [
            ("--tls-cert-file", "server.pem", certificate.pem()),
            ("--tls-key-file", "server.key", key.serialize_pem()),
            ("--tls-ca-cert-file", "authority.pem", self.0.pem()),
        ] {
            let file: PathBuf = server.folder().join(name);
            fs::write(&file, content).unwrap();
            server.add(&[setting, file.to_str().unwrap()]);
        }
        let port = (server.port() + TLS).to_string();
        server.add(&["--tls-port", &port]);
        server.restart();
        server
    }
}

//! Connections to an origin: whose certificates count, and how long they may take to open.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{
    command_line::{run, run_in},
    support::{Origin, Proxy, Reply, command, read_head, soon},
};

/// A file that is gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let name = format!("cachewarp-proxy-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).expect("a file can be written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("its path is text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new(&self.0));
    }
}

async fn listen(
    certificate: &Certificate,
    key: &KeyPair,
    protocols: &[&[u8]],
) -> (TcpListener, TlsAcceptor) {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, TlsAcceptor::from(Arc::new(server)))
}

/// Says `here` to every request, over HTTP/1.1.
fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> u16 {
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                while read_head(&mut stream).await.is_some() {
                    let said = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere";
                    stream.write_all(said).await.unwrap();
                }
            });
        }
    });
    port
}

/// An origin whose certificate for `localhost` has signed itself, and that certificate.
async fn self_signed(is_ca: IsCa) -> (u16, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = is_ca;
    let certificate = params.self_signed(&key).unwrap();
    let (listener, acceptor) = listen(&certificate, &key, &[]).await;
    (serve(listener, acceptor), certificate.pem())
}

/// An authority that signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server with a certificate for these names.
    async fn listen(&self, names: &[&str], protocols: &[&[u8]]) -> (TcpListener, TlsAcceptor) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        listen(&certificate, &key, protocols).await
    }

    /// An origin for these names. It says `here` to every request, over HTTP/1.1.
    async fn origin(&self, names: &[&str]) -> u16 {
        let (listener, acceptor) = self.listen(names, &[]).await;
        serve(listener, acceptor)
    }

    /// An origin that speaks HTTP/2 alone, and counts its connections.
    async fn origin_http2(&self) -> (u16, Arc<AtomicU32>) {
        let (listener, acceptor) = self.listen(&["localhost"], &[b"h2"]).await;
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = acceptor.accept(stream).await.expect("both speak TLS");
                count.fetch_add(1, Ordering::Relaxed);
                let service = service_fn(|request: Request<Incoming>| async move {
                    let version = format!("{:?}", request.version());
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(version))))
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        (port, connections)
    }
}

/// The status of an answer through the proxy, and the log.
async fn ask(origin: &str, flags: &[&str]) -> (u16, String) {
    let (reply, log) = reply(origin, flags).await;
    (reply.status(), log)
}

/// An answer through the proxy, and the log.
async fn reply(origin: &str, flags: &[&str]) -> (Reply, String) {
    let mut command = command();
    command
        .args(["--origin", origin, "--port", "0"])
        .args(flags)
        .env("RUST_LOG", "warn")
        .stderr(Stdio::piped());
    let mut proxy = Proxy::spawn(command).await;
    let reply = proxy.get("/", "").await;
    if reply.status() == 200 {
        // On the connection that is open now.
        for _ in 0..3 {
            assert_eq!(proxy.get("/", "").await.status(), 200);
        }
    }
    proxy.signal("-TERM").await;
    let mut log = String::new();
    let mut stderr = proxy.child.stderr.take().expect("stderr is piped");
    soon(stderr.read_to_string(&mut log)).await.unwrap();
    (reply, log)
}

#[tokio::test]
async fn the_authorities_of_the_file_are_trusted_and_no_others() {
    let (own, other) = (Authority::new(), Authority::new());
    let file = File::new("own.pem", &own.pem());
    let both = File::new(
        "both.pem",
        &format!("# comment\n{}\n{}", other.pem(), own.pem()),
    );
    let wrong = File::new("other.pem", &other.pem());
    let port = own.origin(&["localhost", "127.0.0.1"]).await;
    let misnamed = own.origin(&["other.example"]).await;
    for (host, port, ca, status, words) in [
        ("localhost", port, Some(&file), 200, ""),
        ("127.0.0.1", port, Some(&file), 200, ""),
        ("localhost", port, Some(&both), 200, ""),
        (
            "localhost",
            port,
            Some(&wrong),
            502,
            "the authority that signed it",
        ),
        ("localhost", port, None, 502, "--origin-ca takes"),
        (
            "localhost",
            misnamed,
            Some(&file),
            502,
            "not valid for name",
        ),
    ] {
        let origin = format!("https://{host}:{port}");
        let flags: Vec<&str> = ca.map_or(vec![], |file| vec!["--origin-ca", file.path()]);
        let (found, log) = ask(&origin, &flags).await;
        assert_eq!(found, status, "{host} {flags:?}: {log}");
        assert!(log.contains(words), "{host} {flags:?}: {log}");
    }
}

#[tokio::test]
async fn tls_that_fails_has_a_type_of_its_own_and_the_log_says_what_may_help() {
    let (leaf, pem) = self_signed(IsCa::ExplicitNoCa).await;
    let leaf_file = File::new("leaf.pem", &pem);
    let (ca, pem) = self_signed(IsCa::Ca(BasicConstraints::Unconstrained)).await;
    let ca_file = File::new("ca.pem", &pem);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for (port, file, status, error, words) in [
        (leaf, Some(&leaf_file), 200, None, ""),
        (
            ca,
            Some(&ca_file),
            502,
            Some("tls_certificate_error"),
            "CA:FALSE",
        ),
        (
            leaf,
            None,
            502,
            Some("tls_certificate_error"),
            "--origin-ca",
        ),
        (
            plain,
            None,
            502,
            Some("tls_protocol_error"),
            "--origin http://",
        ),
    ] {
        let flags: Vec<&str> = file.map_or(vec![], |file| vec!["--origin-ca", file.path()]);
        let (reply, log) = reply(&format!("https://localhost:{port}"), &flags).await;
        assert_eq!(reply.status(), status, "{flags:?}: {log}");
        let found = reply.field("proxy-status");
        assert_eq!(found.is_some(), error.is_some(), "{flags:?}: {log}");
        let said = found.unwrap_or_default();
        assert!(
            said.contains(error.unwrap_or_default()),
            "{flags:?}: {said}"
        );
        assert!(log.contains(words), "{flags:?}: {log}");
    }
}

#[tokio::test]
async fn an_origin_that_negotiates_http2_is_asked_over_one_connection() {
    let authority = Authority::new();
    let file = File::new("http2.pem", &authority.pem());
    let (port, connections) = authority.origin_http2().await;
    let mut command = command();
    command
        .args([
            "--origin",
            &format!("https://localhost:{port}"),
            "--port",
            "0",
        ])
        .args(["--origin-ca", file.path(), "--workers", "1"]);
    let proxy = Proxy::spawn(command).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/", "").await.body, "HTTP/2.0");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_file_without_certificates_is_refused_with_its_name_and_the_reason() {
    let empty = File::new("empty.pem", "");
    let key = File::new("key.pem", &KeyPair::generate().unwrap().serialize_pem());
    let cut = Authority::new().pem().replace("-----END", "");
    let cut = File::new("cut.pem", &cut);
    let no_base64 = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let no_base64 = File::new("no-base64.pem", no_base64);
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_der = File::new("no-der.pem", no_der);
    let origin = ["--origin", "https://127.0.0.1:1"];
    for (file, reason) in [
        ("/no/such/file", "No such file"),
        ("/", "directory"),
        (empty.path(), "no certificate"),
        (key.path(), "no certificate"),
        (cut.path(), "certificate 1"),
        (no_base64.path(), "certificate 1"),
        (no_der.path(), "certificate 1"),
    ] {
        let flag = run(&[&origin[..], &["--origin-ca", file]].concat()).await;
        let variable = run_in(&[("CACHEWARP_ORIGIN_CA", file)], &origin).await;
        for (output, name) in [
            (flag, "'--origin-ca'"),
            (variable, "CACHEWARP_ORIGIN_CA (--"),
        ] {
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{file}: {error}");
            assert_eq!(error.trim_end().lines().count(), 1, "{file}: {error}");
            for word in [file, reason, name] {
                assert!(error.contains(word), "{file}: {error}");
            }
        }
    }
    // Nothing is trusted over http.
    let output = run(&["--demo", "--origin-ca", "/no/such/file"]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("'--origin-ca' is of no use"), "{error}");
}

#[tokio::test]
async fn tls_that_does_not_begin_is_given_up_after_the_time_of_the_flag() {
    let (origin, _connections) = Origin::by_hand().await;
    let address = format!("https://{}", origin.address);
    let start = Instant::now();
    let (status, log) = ask(&address, &["--connect-timeout", "0.4"]).await;
    assert_eq!(status, 504);
    assert!(log.contains("took too long to connect"), "{log}");
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(350) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[tokio::test]
async fn an_origin_that_accepts_nothing_is_given_up_after_the_time_of_the_flag() {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Until its queue is full.
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the queue has no end here");
    }
    let start = Instant::now();
    let (status, log) = ask(&format!("http://{address}"), &["--connect-timeout", "0.4"]).await;
    assert_eq!(status, 504, "{log}");
    assert!(log.contains("took too long to connect"), "{log}");
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(350) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

//! Told to stop, the proxy finishes what it has begun.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::support::{Origin, Proxy, read_head, read_to_end, soon};

async fn drains(signal: &str) {
    let (origin, mut connections) = Origin::by_hand().await;
    let mut proxy = Proxy::start(origin.address, &["--workers", "2"]).await;

    // A response whose second half is still to come.
    let mut client = proxy.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await
        .unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nha";
    stream.write_all(head).await.unwrap();
    soon(read_head(&mut client)).await.unwrap();

    // One that has not begun, and a connection with nothing to do.
    let mut waiting = proxy.connect().await;
    waiting
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut pending = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut pending)).await.unwrap();
    let mut idle = proxy.connect().await;
    idle.write_all(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
        .await
        .unwrap();
    soon(read_head(&mut idle)).await.unwrap();

    proxy.signal(signal).await;
    // The idle connection ends, so the signal has arrived.
    assert_eq!(soon(idle.read(&mut [0; 1])).await.unwrap_or(0), 0);

    stream.write_all(b"lf").await.unwrap();
    let mut body = [0; 4];
    soon(client.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"half");
    pending
        .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(read_to_end(&mut waiting).await.status(), 201);

    let status = soon(proxy.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(TcpStream::connect(proxy.address).await.is_err());
}

#[tokio::test]
async fn sigterm_drains() {
    drains("-TERM").await;
}

#[tokio::test]
async fn sigint_drains() {
    drains("-INT").await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let (origin, mut connections) = Origin::by_hand().await;
    let mut proxy = Proxy::start(origin.address, &["--shutdown-timeout", "100ms"]).await;
    let mut client = proxy.connect().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    proxy.signal("-TERM").await;
    let status = soon(proxy.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_what_is_under_way_and_is_no_error_without_it() {
    let (origin, mut connections) = Origin::by_hand().await;
    let mut open = vec![];
    for (asks, code) in [(false, 0), (true, 1)] {
        let mut proxy = Proxy::start(origin.address, &[]).await;
        let mut client = proxy.connect().await;
        if asks {
            let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            client.write_all(request).await.unwrap();
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(read_head(&mut stream)).await.unwrap();
            open.push(stream);
        }
        proxy.signal("-TERM").await;
        proxy.signal("-INT").await;
        let status = soon(proxy.child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(code), "asks: {asks}");
    }
}

#[tokio::test]
async fn requests_and_what_is_to_be_stored_share_the_time() {
    let (origin, mut connections) = Origin::by_hand().await;
    let mut proxy = Proxy::start(origin.address, &["--shutdown-timeout", "1500ms"]).await;
    // The cache would go on without its client.
    let mut client = proxy.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let since = Instant::now();
    proxy.signal("-TERM").await;
    let status = soon(proxy.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(since.elapsed() < Duration::from_millis(2500), "{since:?}");
}

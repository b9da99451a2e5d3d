//! HTTP/2 frame by frame (RFC 9113 section 4), for clients and origins that do what no library does.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::support::soon;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Also END_STREAM of DATA and HEADERS.
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const INITIAL_WINDOW_SIZE: u8 = 4;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The field block of a request to a.example, without a table (RFC 7541 section 6.2.2).
pub(crate) fn fields(method: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x86];
    for (index, value) in [(2_u8, method), (4, path), (1, "a.example")] {
        block.extend([index, u8::try_from(value.len()).unwrap()]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// A GET without content.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &fields("GET", path),
    )
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// SETTINGS with a window for each stream.
pub(crate) fn settings(window: u32) -> Vec<u8> {
    let mut setting = vec![0, INITIAL_WINDOW_SIZE];
    setting.extend_from_slice(&window.to_be_bytes());
    frame(SETTINGS, 0, 0, &setting)
}

/// A connection that has sent its preface and its settings.
pub(crate) async fn connect(proxy: SocketAddr, window: u32) -> TcpStream {
    let mut stream = small(proxy).await;
    let hello = [PREFACE, &settings(window)].concat();
    stream.write_all(&hello).await.unwrap();
    stream
}

/// A connection whose client keeps little that it has not read.
pub(crate) async fn small(proxy: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_nodelay(true).unwrap();
    soon(socket.connect(proxy)).await.unwrap()
}

/// The next frame; `None` at the end of the connection.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<Frame> {
    soon(wait(stream)).await
}

/// The same, however long it takes.
pub(crate) async fn wait(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
        payload,
    })
}

/// Reads up to the first frame of a kind.
pub(crate) async fn read_to(stream: &mut TcpStream, kind: u8) -> Option<Frame> {
    loop {
        let frame = read(stream).await?;
        if frame.kind == kind && (kind != SETTINGS || frame.flags & ACK == 0) {
            return Some(frame);
        }
    }
}

/// Waits until the proxy has read all that was sent; `false` if it has closed the connection.
pub(crate) async fn has_read(client: &mut TcpStream) -> bool {
    let sent = client.write_all(&frame(PING, 0, 0, b"all read")).await;
    sent.is_ok()
        && loop {
            match read_to(client, PING).await {
                Some(ping) if ping.payload == b"all read" => break true,
                Some(_) => {}
                None => break false,
            }
        }
}

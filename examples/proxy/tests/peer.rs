//! An origin that speaks HTTP/2 frame by frame, as a test tells it.

use std::collections::VecDeque;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) use super::frames::{END_STREAM, HEADERS};
use super::{
    frames::{
        ACK, DATA, END_HEADERS, Frame, GOAWAY, PING, PREFACE, RST_STREAM, SETTINGS, frame, wait,
    },
    support::soon,
};

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

/// The origin's end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    /// Requests that came while something else was waited for.
    early: VecDeque<u32>,
}

impl Peer {
    /// Begins a connection with these settings.
    pub(crate) async fn new(stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent(stream).await;
        peer.settings(settings).await;
        peer
    }

    /// Begins a connection, and keeps the settings to itself.
    pub(crate) async fn silent(mut stream: TcpStream) -> Self {
        let mut preface = [0; 24];
        soon(stream.read_exact(&mut preface)).await.unwrap();
        assert_eq!(preface, PREFACE);
        let early = VecDeque::new();
        Self { stream, early }
    }

    pub(crate) async fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.send(SETTINGS, 0, 0, &payload).await;
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let frame = frame(kind, flags, stream, payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next frame, `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let frame = wait(&mut self.stream).await?;
        if (frame.kind == SETTINGS || frame.kind == PING) && frame.flags & ACK == 0 {
            let echo: &[u8] = if frame.kind == PING {
                &frame.payload
            } else {
                &[]
            };
            self.send(frame.kind, ACK, 0, echo).await;
        }
        Some(frame)
    }

    /// Returns once the proxy has read all that was sent to it.
    pub(crate) async fn settle(&mut self) {
        self.send(PING, 0, 0, b"settled?").await;
        loop {
            let frame = soon(self.frame()).await.unwrap();
            if frame.kind == PING && frame.flags & ACK != 0 {
                return;
            }
        }
    }

    /// The stream of the next request, `None` at the end of the connection.
    pub(crate) async fn request(&mut self) -> Option<u32> {
        if let Some(stream) = self.early.pop_front() {
            return Some(stream);
        }
        loop {
            let frame = self.frame().await?;
            if frame.kind == HEADERS {
                return Some(frame.stream);
            }
        }
    }

    /// All content of a request, to the end of its stream.
    pub(crate) async fn content(&mut self, stream: u32) -> Vec<u8> {
        let mut content = Vec::new();
        loop {
            let frame = soon(self.frame()).await.unwrap();
            if frame.kind == HEADERS && frame.stream != stream {
                self.early.push_back(frame.stream);
            }
            if frame.stream != stream || frame.kind != DATA {
                continue;
            }
            content.extend(frame.payload);
            if frame.flags & END_STREAM != 0 {
                return content;
            }
        }
    }

    /// A 200 with these fields.
    pub(crate) async fn ok(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        // `:status: 200` is the eighth entry of the static table (RFC 7541 appendix A).
        let mut block = vec![0x88];
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS | flags, stream, &block)
            .await;
    }

    pub(crate) async fn data(&mut self, stream: u32, flags: u8, data: &[u8]) {
        self.send(DATA, flags, stream, data).await;
    }

    /// A whole response that is not stored.
    pub(crate) async fn answer(&mut self, stream: u32, body: &str) {
        self.ok(stream, 0, &[("cache-control", "no-store")]).await;
        self.data(stream, END_STREAM, body.as_bytes()).await;
    }

    pub(crate) async fn reset(&mut self, stream: u32, reason: u32) {
        self.send(RST_STREAM, 0, stream, &reason.to_be_bytes())
            .await;
    }

    pub(crate) async fn close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// No stream after `last` is or will be processed.
    pub(crate) async fn go_away(&mut self, last: u32, reason: u32) {
        let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }
}

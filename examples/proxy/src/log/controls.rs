//! Control characters that JSON may have in its strings as they are, escaped all the same.
//!
//! A terminal may obey U+009B as it obeys ESC [, and some readers end a line at U+2028.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// A writer of JSON whose every call has whole characters.
#[derive(Debug)]
pub(crate) struct Escaping<W>(pub(crate) W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        match escaped(json) {
            Cow::Borrowed(json) => self.0.write(json),
            Cow::Owned(longer) => self.0.write_all(&longer).map(|()| json.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// All that is not ASCII stands in strings, so nothing else is changed.
fn escaped(json: &[u8]) -> Cow<'_, [u8]> {
    let mut longer = Vec::new();
    let mut kept = 0;
    let mut at = 0;
    while at < json.len() {
        let (code, length) = match json[at..] {
            [0x7f, ..] => (0x7f, 1),
            [0xc2, low @ 0x80..=0x9f, ..] => (u32::from(low), 2),
            [0xe2, 0x80, low @ 0xa8..=0xa9, ..] => (0x2028 + u32::from(low - 0xa8), 3),
            _ => {
                at += 1;
                continue;
            }
        };
        longer.extend_from_slice(&json[kept..at]);
        longer.extend_from_slice(format!("\\u{code:04x}").as_bytes());
        at += length;
        kept = at;
    }
    if kept == 0 {
        return Cow::Borrowed(json);
    }
    longer.extend_from_slice(&json[kept..]);
    Cow::Owned(longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_may_obey_is_escaped_and_nothing_else() {
        for (json, expected) in [
            ("", ""),
            ("{\"a\":\"b\"}\n", "{\"a\":\"b\"}\n"),
            ("\"\u{7f}\"", "\"\\u007f\""),
            ("\"\u{80}\u{9b}1m\u{9f}\"", "\"\\u0080\\u009b1m\\u009f\""),
            ("\"x\u{2028}\u{2029}\"", "\"x\\u2028\\u2029\""),
            (
                "\"\u{a0}é\u{2027}\u{202a}€\u{1f600}日本\"",
                "\"\u{a0}é\u{2027}\u{202a}€\u{1f600}日本\"",
            ),
        ] {
            assert_eq!(escaped(json.as_bytes()), expected.as_bytes(), "{json:?}");
            let mut written = Vec::new();
            Escaping(&mut written).write_all(json.as_bytes()).unwrap();
            assert_eq!(written, expected.as_bytes(), "{json:?}");
        }
    }

    #[test]
    fn no_byte_is_looked_for_behind_the_end() {
        for piece in [&b"\xc2"[..], b"\xe2", b"\xe2\x80"] {
            assert_eq!(escaped(piece), piece);
        }
    }
}

//! A strict reader of HTTP/1.1 messages. It shares no code with what is under test, and takes
//! nothing that any two recipients could read in two ways.

/// What a stream of bytes begins with.
#[derive(Debug)]
pub(super) enum Next {
    Whole(Message),
    /// Nothing wrong so far, and no whole message.
    More,
    Wrong(&'static str),
}

#[derive(Debug)]
pub(super) struct Message {
    /// Request line or status line.
    pub(super) line: String,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
    pub(super) content: Vec<u8>,
    /// Bytes of all of it.
    pub(super) size: usize,
}

impl Message {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.fields.iter().filter(|(key, _)| key == name);
        Some(&lines.next()?.1)
    }

    pub(super) fn status(&self) -> u16 {
        self.line[9..12].parse().unwrap()
    }

    pub(super) fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    pub(super) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

type Step<T> = Result<T, Stop>;

enum Stop {
    More,
    Wrong(&'static str),
}

impl From<&'static str> for Stop {
    fn from(why: &'static str) -> Self {
        Self::Wrong(why)
    }
}

impl From<Step<Message>> for Next {
    fn from(step: Step<Message>) -> Self {
        match step {
            Ok(message) => Self::Whole(message),
            Err(Stop::More) => Self::More,
            Err(Stop::Wrong(why)) => Self::Wrong(why),
        }
    }
}

/// A request with an origin-form target.
pub(super) fn request(bytes: &[u8]) -> Next {
    let read = || {
        let (lines, head) = lines(bytes)?;
        let (line, fields) = lines.split_first().ok_or("no request line")?;
        let mut words = line.split(|&byte| byte == b' ');
        let mut word = || words.next().ok_or("a request line without its three words");
        let (method, target, version) = (word()?, word()?, word()?);
        if words.next().is_some() || !is_token(method) || version != b"HTTP/1.1" {
            return Err("a bad request line".into());
        }
        let of_target = |&byte: &u8| byte > b' ' && byte != 0x7f && byte != b'#';
        if !(target.starts_with(b"/") || target == b"*") || !target.iter().all(of_target) {
            return Err("a bad request target".into());
        }
        let fields = self::fields(fields)?;
        if fields.iter().filter(|(name, _)| name == "host").count() != 1 {
            return Err("not one Host".into());
        }
        let length = match framing(&fields)? {
            Framing::Nothing => Framing::Length(0),
            said => said,
        };
        let (content, size) = content(length, &bytes[head..])?;
        Ok(message(line, fields, content, head + size))
    };
    read().into()
}

/// What a response is to. Those of the origin to a HEAD say so themselves, see `stage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Head,
    Any,
}

/// A response, on a connection that has ended.
pub(super) fn response(bytes: &[u8], asked: Asked) -> Next {
    let read = || {
        let (lines, head) = lines(bytes)?;
        let (line, fields) = lines.split_first().ok_or("no status line")?;
        let (version, rest) = line.split_at_checked(9).ok_or("a short status line")?;
        let is_status = matches!(rest, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', ..]);
        if !matches!(version, b"HTTP/1.1 " | b"HTTP/1.0 ") || !is_status {
            return Err("a bad status line".into());
        }
        let fields = self::fields(fields)?;
        let says_head = |(name, value): &(String, String)| name == "x-method" && value == "HEAD";
        let of_head = asked == Asked::Head || fields.iter().any(says_head);
        let length = match framing(&fields)? {
            Framing::Length(_) if &rest[..3] == b"204" => {
                return Err("a length of a 204".into());
            }
            _ if of_head || rest[0] == b'1' || matches!(&rest[..3], b"204" | b"304") => {
                Framing::Length(0)
            }
            Framing::Nothing => Framing::Length(bytes.len() - head),
            said => said,
        };
        let (content, size) = content(length, &bytes[head..])?;
        Ok(message(line, fields, content, head + size))
    };
    read().into()
}

fn message(line: &[u8], fields: Vec<(String, String)>, content: Vec<u8>, size: usize) -> Message {
    Message {
        line: text(line),
        fields,
        content,
        size,
    }
}

/// The lines of a head or of trailers, and the bytes of them all.
fn lines(bytes: &[u8]) -> Step<(Vec<&[u8]>, usize)> {
    let (mut lines, mut at) = (Vec::new(), 0);
    loop {
        let end = bytes[at..].iter().position(|&byte| byte == b'\n');
        let line = &bytes[at..at + end.unwrap_or(bytes.len() - at)];
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if text.iter().any(|byte| b"\r\0".contains(byte)) {
            return Err("a CR or a NUL".into());
        }
        let end = end.ok_or(Stop::More)?;
        if text.len() == line.len() {
            return Err("an LF alone".into());
        }
        at += end + 1;
        if text.is_empty() {
            return Ok((lines, at));
        }
        lines.push(text);
    }
}

fn fields(lines: &[&[u8]]) -> Step<Vec<(String, String)>> {
    let field = |line: &&[u8]| {
        let colon = line.iter().position(|&byte| byte == b':');
        let (name, value) = line.split_at(colon.ok_or("a field line without a colon")?);
        if !is_token(name) {
            return Err("a field name that is none".into());
        }
        let of_value = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if !value.iter().all(of_value) {
            return Err("a control character in a field value".into());
        }
        let value = text(&value[1..]);
        Ok((
            text(name).to_ascii_lowercase(),
            value.trim_matches([' ', '\t']).to_owned(),
        ))
    };
    lines.iter().map(field).collect()
}

#[derive(Clone, Copy)]
enum Framing {
    Nothing,
    Length(usize),
    Chunked,
}

fn framing(fields: &[(String, String)]) -> Step<Framing> {
    let said = |name: &str| -> Vec<&str> {
        let lines = fields.iter().filter(|(key, _)| key == name);
        lines.map(|(_, value)| value.as_str()).collect()
    };
    match (&said("content-length")[..], &said("transfer-encoding")[..]) {
        ([], []) => Ok(Framing::Nothing),
        ([length], []) if is_number(length) => {
            let length = length.parse().map_err(|_| "a length beyond all bounds")?;
            Ok(Framing::Length(length))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err("doubtful framing".into()),
    }
}

fn content(framing: Framing, bytes: &[u8]) -> Step<(Vec<u8>, usize)> {
    let Framing::Length(length) = framing else {
        return chunks(bytes);
    };
    let content = bytes.get(..length).ok_or(Stop::More)?;
    Ok((content.to_vec(), length))
}

/// Chunks without extensions, and trailers that change nothing about the message.
fn chunks(bytes: &[u8]) -> Step<(Vec<u8>, usize)> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let digits = digits.count();
        let line_end = &rest[digits..rest.len().min(digits + 2)];
        if !b"\r\n".starts_with(line_end) || (digits == 0 && !line_end.is_empty()) || digits > 15 {
            return Err("a bad chunk size".into());
        }
        if line_end.len() < 2 {
            return Err(Stop::More);
        }
        let size = usize::from_str_radix(&text(&rest[..digits]), 16);
        let size = size.map_err(|_| "a chunk size beyond all bounds")?;
        at += digits + 2;
        if size == 0 {
            let (lines, end) = lines(&bytes[at..])?;
            let trailers = fields(&lines)?;
            let forbidden = [
                "content-length",
                "transfer-encoding",
                "host",
                "authorization",
            ];
            if trailers
                .iter()
                .any(|(name, _)| forbidden.contains(&&**name))
            {
                return Err("a trailer that changes the message".into());
            }
            return Ok((content, at + end));
        }
        let chunk = bytes.get(at..at + size).ok_or(Stop::More)?;
        content.extend_from_slice(chunk);
        at += size;
        let end = &bytes[at..bytes.len().min(at + 2)];
        if !b"\r\n".starts_with(end) {
            return Err("a chunk longer than its size".into());
        }
        if end.len() < 2 {
            return Err(Stop::More);
        }
        at += 2;
    }
}

fn is_token(text: &[u8]) -> bool {
    let of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(of_token)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Bytes as characters, one each.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

//! Small changes of messages, the same ones for the same seed.

/// splitmix64: a few lines, and good enough to pick bytes.
pub(super) struct Random(u64);

impl Random {
    /// What case `case` of the run with this seed has to pick from.
    pub(super) fn new(seed: u64, case: usize) -> Self {
        let case = u64::try_from(case).unwrap();
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ case.wrapping_mul(0xa076_1d64_78bd_642f))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, and 0 if that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap().max(1);
        usize::try_from(self.next() % bound).unwrap()
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Bytes that mean something to one parser or another.
const SPECIAL: &[u8] = b"\r\n\t \0\x0b\x0c\x7f\x80\xa0\xff:;,=\"'#?/%@+-_.0x1aA\\()[]{}<>|*~";

const SPLICES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\n\n",
    "\r\n ",
    "\r\n\t",
    " :",
    ": ",
    "chunked",
    "identity",
    ", ",
    "0x",
    "+",
    "00",
    ";a=b",
    ";a=\"",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    " HTTP/1.1\r\n",
    "GET",
    "HEAD",
    "CONNECT",
    "http://b.example",
    "200",
    "204",
    "304",
    "100",
    "101",
    "18446744073709551616",
    "0\r\n\r\n",
    "5\r\nabcde\r\n",
];

const LINES: &[&str] = &[
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding:chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: identity",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: 43",
    "Content-Length: 5, 5",
    "Content-Length : 5",
    "Host: b.example",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: content-length",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "Trailer: Content-Length",
    "TE: trailers",
    "Cache-Control: max-age=3600",
    " X-Folded: y",
];

/// Changes a message in one to three places, most of them in its head.
pub(super) fn mutate(message: &[u8], random: &mut Random) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..random.pick(&[1, 1, 1, 1, 2, 3]) {
        change(&mut message, random);
    }
    message
}

fn change(message: &mut Vec<u8>, random: &mut Random) {
    let head_end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let head = head_end.map_or(message.len(), |end| (end + 8).min(message.len()));
    let within = if random.below(4) == 0 {
        message.len()
    } else {
        head
    };
    let at = random.below(within);
    match random.below(14) {
        0 | 1 => message.insert(at, random.pick(SPECIAL)),
        2 => {
            if let Some(byte) = message.get_mut(at) {
                *byte = random.pick(SPECIAL);
            }
        }
        3 => {
            let end = message.len().min(at + 1);
            message.drain(at..end);
        }
        4 => {
            let end = message.len().min(at + 1 + random.below(12));
            message.drain(at..end);
        }
        5 => {
            let splice = random.pick(SPLICES).bytes();
            message.splice(at..at, splice);
        }
        6 => digit(message, random),
        7 => {
            if let Some(byte) = message.get_mut(at) {
                *byte ^= 0x20;
            }
        }
        8 => line_end(message, random),
        9 => message.truncate(at),
        kind => lines(message, kind, random),
    }
}

fn digit(message: &mut [u8], random: &mut Random) {
    let digits: Vec<_> = (0..message.len())
        .filter(|&at| message[at].is_ascii_digit())
        .collect();
    if !digits.is_empty() {
        message[random.pick(&digits)] = random.pick(b"0123456789af");
    }
}

/// One CR LF becomes something like it.
fn line_end(message: &mut Vec<u8>, random: &mut Random) {
    let ends: Vec<_> = (1..message.len())
        .filter(|&at| message[at - 1] == b'\r' && message[at] == b'\n')
        .collect();
    if !ends.is_empty() {
        let end = random.pick(&ends);
        let like = random.pick(&[
            "\n", "\r", "\n\r", "\r\r\n", "\r\n\r\n", "\r\n ", "", "\0\r\n",
        ]);
        message.splice(end - 1..=end, like.bytes());
    }
}

/// Lines of the head are added, repeated, removed, or change places.
fn lines(message: &mut Vec<u8>, kind: usize, random: &mut Random) {
    let Some(end) = message.windows(4).position(|four| four == b"\r\n\r\n") else {
        return;
    };
    let rest = message.split_off(end);
    let text: Vec<u8> = std::mem::take(message);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    for byte in text {
        match byte {
            b'\n' => lines.push(Vec::new()),
            byte => lines.last_mut().unwrap().push(byte),
        }
    }
    for line in &mut lines {
        let length = line.len() - usize::from(line.last() == Some(&b'\r'));
        line.truncate(length);
    }
    let (one, other) = (random.below(lines.len()), random.below(lines.len()));
    match kind {
        10 => lines.insert(one, lines[other].clone()),
        11 => lines.swap(one, other),
        12 => {
            lines.remove(one);
        }
        _ => lines.insert(one + 1, random.pick(LINES).into()),
    }
    *message = lines.join(&b"\r\n"[..]);
    message.extend(rest);
}

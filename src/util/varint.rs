//! Lengths as variable-length integers (LEB128): seven bits a byte, the least significant first.

/// Encodes `length` and passes each byte to `push`.
#[inline]
pub(crate) fn encode(mut length: usize, mut push: impl FnMut(u8)) {
    while length >= 0x80 {
        // Masked to seven bits, so the cast keeps every bit that is left.
        push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    push(length as u8);
}

/// The number of bytes that `length` takes.
pub(crate) fn encoded_len(length: usize) -> usize {
    (length.max(1).ilog2() / 7 + 1) as usize
}

/// Decodes the length that begins at `at`. Returns where it ends, and the length.
pub(crate) fn decode(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let mut length = 0;
    let mut shift = 0;
    while let Some(byte) = bytes.get(at) {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (at, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_survives_encoding_and_takes_as_many_bytes_as_announced() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000, usize::MAX >> 8] {
            let mut bytes = vec![9];
            encode(length, |byte| bytes.push(byte));
            assert_eq!(bytes.len() - 1, encoded_len(length), "{length}");
            assert_eq!(decode(&bytes, 1), (bytes.len(), length));
        }
    }
}

//! Lengths as base-128 digits, least significant first: one byte below 128.

/// Passes the digits of `length` to `push`.
#[inline]
pub(crate) fn encode(mut length: usize, mut push: impl FnMut(u8)) {
    while length >= 0x80 {
        // Masked to seven bits, so the cast keeps every bit that is left.
        push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    push(length as u8);
}

/// The number of digits of `length`.
pub(crate) fn encoded_len(length: usize) -> usize {
    (length.max(1).ilog2() / 7 + 1) as usize
}

/// Reads a length at `at`; returns where it ends, and the length.
pub(crate) fn decode(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let mut length = 0;
    let mut shift = 0;
    while let Some(digit) = bytes.get(at) {
        length |= usize::from(digit & 0x7f) << shift;
        shift += 7;
        at += 1;
        if digit & 0x80 == 0 {
            break;
        }
    }
    (at, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_read_as_it_was_written_in_as_many_bytes_as_announced() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000, usize::MAX >> 8] {
            let mut bytes = vec![9];
            encode(length, |digit| bytes.push(digit));
            assert_eq!(bytes.len() - 1, encoded_len(length), "{length}");
            assert_eq!(decode(&bytes, 1), (bytes.len(), length));
        }
    }
}

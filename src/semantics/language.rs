//! The language of a response, among those that the origin has (RFC 4647 §3.4).

use http::{HeaderMap, HeaderValue, header::ACCEPT_LANGUAGE};

use super::list::{members, trim_ows};

/// How many language ranges of a request are looked at.
const MAX_RANGES: usize = 64;

/// The languages that the origin has responses in. The first one is the default.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Languages(Box<[HeaderValue]>);

impl Languages {
    /// `None` if there are none: requests keep their languages.
    ///
    /// # Errors
    ///
    /// The first one that is not a language tag.
    pub(crate) fn new(tags: Vec<String>) -> Result<Option<Self>, String> {
        let parse = |tag: String| match HeaderValue::from_str(&tag) {
            Ok(value) if is_tag(tag.as_bytes()) => Ok(value),
            Ok(_) | Err(_) => Err(tag),
        };
        let tags: Box<[_]> = tags.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok((!tags.is_empty()).then_some(Self(tags)))
    }

    /// The language for a request: the one that the lookup of RFC 4647 §3.4 finds for the range with
    /// the largest weight, the first of several. The default if it finds none.
    pub(crate) fn choose(&self, request: &HeaderMap) -> Option<&HeaderValue> {
        let mut best: Option<(u16, &HeaderValue)> = None;
        for member in members(request.get_all(ACCEPT_LANGUAGE)).take(MAX_RANGES) {
            let Some((range, weight)) = parse(member) else {
                continue;
            };
            if weight > best.map_or(0, |(weight, _)| weight)
                && let Some(tag) = self.lookup(range)
            {
                best = Some((weight, tag));
            }
        }
        best.map(|(_, tag)| tag).or(self.0.first())
    }

    /// The tag that is the range, or else what remains of the range without its last subtags.
    fn lookup(&self, mut range: &[u8]) -> Option<&HeaderValue> {
        loop {
            let is_range = |tag: &&HeaderValue| tag.as_bytes().eq_ignore_ascii_case(range);
            if let Some(tag) = self.0.iter().find(is_range) {
                return Some(tag);
            }
            range = without_last(range)?;
            // A single letter or digit begins an extension: it goes with it.
            if let Some(end) = range.len().checked_sub(2)
                && range[end] == b'-'
            {
                range = &range[..end];
            }
        }
    }
}

fn without_last(range: &[u8]) -> Option<&[u8]> {
    let end = range.iter().rposition(|byte| *byte == b'-')?;
    Some(&range[..end])
}

/// A language range and its weight in thousandths (RFC 9110 §12.4.2). `None` for the wildcard, which
/// the lookup ignores, and for what does not follow the grammar.
fn parse(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|byte| *byte == b';').map(trim_ows);
    let range = parts.next().filter(|range| is_tag(range))?;
    let weight = match parts.next() {
        None => 1000,
        Some([b'q' | b'Q', b'=', weight @ ..]) => thousandths(weight)?,
        Some(_) => return None,
    };
    Some((range, weight))
}

fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, decimals) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let digits = decimals.iter().chain([b'0'; 3].iter()).take(3);
    let number = [whole]
        .into_iter()
        .chain(digits)
        .try_fold(0, |sum, digit| {
            let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
            Some(sum * 10 + digit)
        })?;
    (number <= 1000).then_some(number)
}

/// Whether these bytes are subtags of one to eight letters and digits (RFC 4647 §2.1).
fn is_tag(tag: &[u8]) -> bool {
    tag.split(|byte| *byte == b'-').all(|subtag| {
        (1..=8).contains(&subtag.len()) && subtag.iter().all(u8::is_ascii_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(tags: &[&str]) -> Languages {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Languages::new(tags).unwrap().unwrap()
    }

    fn chosen<'a>(languages: &'a Languages, lines: &[&str]) -> &'a str {
        let mut request = HeaderMap::new();
        for line in lines {
            request.append(ACCEPT_LANGUAGE, line.parse().unwrap());
        }
        languages.choose(&request).unwrap().to_str().unwrap()
    }

    #[test]
    fn the_lookup_finds_the_language_of_the_largest_weight() {
        let languages = languages(&["en", "de", "de-CH", "zh-Hant", "pt-BR"]);
        for (accepted, expected) in [
            ("de", "de"),
            ("DE", "de"),
            ("de-CH", "de-CH"),
            ("de-ch-1996", "de-CH"),
            ("de-AT", "de"),
            ("zh-Hant-CN-x-private1-private2", "zh-Hant"),
            ("zh-Hant-x", "zh-Hant"),
            // The lookup shortens ranges, not tags.
            ("zh", "en"),
            ("pt", "en"),
            ("pt-PT, de;q=0.1", "de"),
            ("fr, de;q=0.5, en;q=0.4", "de"),
            ("en;q=0.4, de;q=0.5", "de"),
            ("de;q=0.5, en;q=0.5", "de"),
            ("en;q=0.501, de;q=0.5", "en"),
            ("de;q=1.000, de-CH;q=1", "de"),
            ("de ; q=0.2 , pt-BR;Q=0.3", "pt-BR"),
            // Nothing that the origin has.
            ("", "en"),
            ("fr", "en"),
            ("*", "en"),
            ("*, de;q=0.1", "de"),
            ("de;q=0", "en"),
            ("de;q=0.000, fr", "en"),
            // What does not follow the grammar is left out.
            ("de;q=2, pt-BR;q=0.1", "pt-BR"),
            ("de;q=0.1234, pt-BR;q=0.1", "pt-BR"),
            ("de;q=-1, pt-BR;q=0.1", "pt-BR"),
            ("de;level=1, pt-BR;q=0.1", "pt-BR"),
            ("de_CH, pt-BR;q=0.1", "pt-BR"),
            ("-de, de-, , pt-BR;q=0.1", "pt-BR"),
            ("abcdefghi, pt-BR;q=0.1", "pt-BR"),
        ] {
            assert_eq!(chosen(&languages, &[accepted]), expected, "{accepted}");
        }
        assert_eq!(chosen(&languages, &[]), "en");
        assert_eq!(chosen(&languages, &["fr", "de;q=0.1"]), "de");
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let languages = languages(&["en", "de"]);
        let (fits, too_many) = (vec!["fr"; MAX_RANGES - 1], vec!["fr"; MAX_RANGES]);
        for (first, expected) in [(fits, "de"), (too_many, "en")] {
            assert_eq!(chosen(&languages, &[&first.join(","), "de"]), expected);
        }
    }

    #[test]
    fn what_is_no_language_tag_is_refused() {
        for tag in [
            "",
            "*",
            "en_US",
            "en-",
            "-en",
            "en--US",
            "abcdefghi",
            "e n",
            "en;q=1",
            "\u{e9}",
        ] {
            let tags = vec!["en".to_owned(), tag.to_owned()];
            assert_eq!(Languages::new(tags), Err(tag.to_owned()));
        }
        assert_eq!(Languages::new(Vec::new()), Ok(None));
    }
}

//! The grammar of a `Cache-Control` directive (RFC 9111 §5.2).

use std::borrow::Cow;

use http::HeaderValue;

use crate::semantics::list::{
    delta_seconds, is_tchar, is_token, is_unterminated, members, unquote,
};

/// The most directives that a field may have. A longer field is unreadable.
const MAX_DIRECTIVES: usize = 1000;

/// As long as the longest known name, `stale-while-revalidate`.
pub(super) type NameBuffer = [u8; 22];

/// `token [ "=" ( token / quoted-string ) ]`, or something that resembles it.
pub(super) struct Directive<'a> {
    /// All of it.
    pub(super) member: &'a [u8],
    /// The token at the start, even if the rest is malformed. Empty if there is none.
    pub(super) name: &'a [u8],
    pub(super) argument: Argument<'a>,
}

/// Whether a member has the form of a directive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Directive,
    Malformed,
}

impl Form {
    /// The same of a directive whose argument, if there is one, has to be a number.
    pub(super) fn of_number(self, argument: &Argument<'_>) -> Self {
        match argument {
            Argument::Value(_) if argument.seconds().is_none() => Self::Malformed,
            _ => self,
        }
    }
}

#[derive(Eq, PartialEq)]
pub(super) enum Argument<'a> {
    Absent,
    /// The token, or the content of the quoted string. Both mean the same.
    Value(Cow<'a, [u8]>),
    /// Neither of them, or not separated from the name by a single `=`.
    Malformed,
}

/// The rest of the field cannot be split into directives: a quoted string does not end, or there
/// are too many directives.
pub(super) struct Unreadable;

/// The directives of these lines in order, up to the first unreadable one.
///
/// It allocates only for a quoted string with backslashes.
pub(super) fn directives<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = Result<Directive<'a>, Unreadable>> {
    (0..).zip(members(lines)).map(|(index, member)| {
        if index < MAX_DIRECTIVES && !is_unterminated(member) {
            Ok(Directive::parse(member))
        } else {
            Err(Unreadable)
        }
    })
}

/// The words of a text whose punctuation has no known meaning. Each begins and ends where the name
/// of a known directive could: so not at a hyphen (`x-no-store` is one word).
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
}

impl<'a> Directive<'a> {
    fn parse(member: &'a [u8]) -> Self {
        let end = member.iter().position(|byte| !is_tchar(*byte));
        let (name, rest) = member.split_at(end.unwrap_or(member.len()));
        let argument = match rest {
            [] => Argument::Absent,
            [b'=', token @ ..] if is_token(token) => Argument::Value(Cow::Borrowed(token)),
            [b'=', text @ ..] => unquote(text).map_or(Argument::Malformed, Argument::Value),
            _ => Argument::Malformed,
        };
        Self {
            member,
            name,
            argument,
        }
    }

    pub(super) fn form(&self) -> Form {
        if self.name.is_empty() || self.argument == Argument::Malformed {
            Form::Malformed
        } else {
            Form::Directive
        }
    }

    /// The text whose words count if they are restrictions: all of a malformed member. Of a
    /// directive it is the name, as `'no-store'` is a token too.
    pub(super) fn loose_text(&self) -> &'a [u8] {
        match self.form() {
            Form::Directive => self.name,
            Form::Malformed => self.member,
        }
    }

    /// Whether this restriction is a word of the [loose text](Self::loose_text).
    pub(super) fn has_word(&self, restriction: &str) -> bool {
        words(self.loose_text()).any(|word| word.eq_ignore_ascii_case(restriction.as_bytes()))
    }

    /// The name in lower case, to compare it with the known names. Empty if it is longer than all
    /// of them.
    pub(super) fn name_in<'b>(&self, buffer: &'b mut NameBuffer) -> &'b [u8] {
        let Some(lower) = buffer.get_mut(..self.name.len()) else {
            return &[];
        };
        lower.copy_from_slice(self.name);
        lower.make_ascii_lowercase();
        lower
    }
}

impl Argument<'_> {
    /// The argument as delta-seconds. `None` if it is something else.
    pub(super) fn seconds(&self) -> Option<u32> {
        match self {
            Self::Value(value) => delta_seconds(value),
            Self::Absent | Self::Malformed => None,
        }
    }
}

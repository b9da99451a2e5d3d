//! The grammar of one `Cache-Control` directive (RFC 9111 §5.2), whatever it means.

use std::borrow::Cow;

use http::HeaderValue;

use crate::semantics::list::{
    delta_seconds, is_tchar, is_token, is_unterminated, members, unquote,
};

/// The most directives a field may have; more make it unreadable.
const MAX_DIRECTIVES: usize = 1000;

/// Room for the longest name a cache knows, `stale-while-revalidate`.
pub(super) type NameBuffer = [u8; 22];

/// `token [ "=" ( token / quoted-string ) ]`, or what comes closest to it.
pub(super) struct Directive<'a> {
    /// The token in front, however malformed the rest. Empty if there is none.
    name: &'a [u8],
    pub(super) argument: Argument<'a>,
}

#[derive(Eq, PartialEq)]
pub(super) enum Argument<'a> {
    Absent,
    /// The token, or the content of the quoted string: the two mean the same.
    Value(Cow<'a, [u8]>),
    /// Something that is neither, or not joined to the name by a bare `=`.
    Malformed,
}

/// The field goes on, but in no way that can be told apart into directives: a quoted string does
/// not end, or there are too many of them.
pub(super) struct Unreadable;

/// The directives of these lines in order, up to where they become unreadable.
///
/// Allocates only for an argument with backslashes in quotes.
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
        Self { name, argument }
    }

    /// The name in lower case, to be matched against known ones; empty if it is longer than
    /// those.
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
    /// The argument as delta-seconds, if it is that.
    pub(super) fn seconds(&self) -> Option<u32> {
        match self {
            Self::Value(value) => delta_seconds(value),
            Self::Absent | Self::Malformed => None,
        }
    }
}

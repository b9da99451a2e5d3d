//! Which parts of a query tell responses apart, by the operator's word.
//!
//! A query is a list of parameters between ampersands, as browsers send forms. A semicolon separates
//! nothing. A name ends at the first `=`; a parameter may have none.

use std::borrow::Cow;

use http::Uri;

use super::uri;
use crate::util::pattern::Patterns;

/// The longest query that is normalised, in bytes. A longer one makes a key that is too long.
const MAX_QUERY: usize = 8 << 10;

/// What the operator says of queries. By default all of their bytes count, in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct QueryRules {
    /// Parameters that do not change the response.
    pub(crate) ignored: Patterns,
    pub(crate) order: QueryOrder,
}

/// Whether the order of parameters with different names tells responses apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum QueryOrder {
    #[default]
    Keep,
    /// It does not: they are sorted by their names.
    Sort,
}

impl QueryRules {
    /// A path with its query as it is keyed and forwarded: without ignored parameters, and sorted if
    /// the order has no meaning. What is left keeps its bytes.
    ///
    /// If no parameter is left, neither is the question mark. A query that has nothing to remove keeps
    /// it, even if it is empty.
    pub(crate) fn normalise<'a>(&self, path_and_query: &'a str) -> Cow<'a, str> {
        let unchanged = Cow::Borrowed(path_and_query);
        let Some((path, query)) = path_and_query.split_once('?') else {
            return unchanged;
        };
        if query.len() > MAX_QUERY {
            return unchanged;
        }
        let mut kept: Vec<&str> = query
            .split('&')
            .filter(|parameter| !self.ignored.matches(&decoded(name(parameter))))
            .collect();
        if self.order == QueryOrder::Sort {
            // Stable: what a repeated name means is up to the origin. Names that it decodes to the
            // same one are the same.
            kept.sort_by_cached_key(|parameter| form_decoded(name(parameter)));
        }
        if kept.is_empty() {
            return Cow::Borrowed(path);
        }
        let normal = format!("{path}?{}", kept.join("&"));
        if normal == path_and_query {
            return unchanged;
        }
        Cow::Owned(normal)
    }

    /// The URI with the query as it is keyed and forwarded. `None` if it has that already.
    pub(crate) fn normal_uri(&self, uri: &Uri) -> Option<Uri> {
        let target = uri.path_and_query()?.as_str();
        let normal = self.normalise(target);
        if normal == target {
            return None;
        }
        uri::with_path_and_query(uri, normal.as_bytes())
    }
}

/// A parameter without its value.
fn name(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or(parameter)
}

/// Without percent-encoding.
fn decoded(name: &str) -> Cow<'_, [u8]> {
    if name.contains('%') {
        Cow::Owned(uri::decode(name.as_bytes()))
    } else {
        Cow::Borrowed(name.as_bytes())
    }
}

/// The same as forms encode it, where a plus sign is a space.
fn form_decoded(name: &str) -> Vec<u8> {
    uri::decode(name.replace('+', "%20").as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(ignored: &[&str], order: QueryOrder) -> QueryRules {
        QueryRules {
            ignored: Patterns::new(ignored).unwrap(),
            order,
        }
    }

    #[test]
    fn ignored_parameters_are_removed_and_nothing_else_changes() {
        let rules = rules(&["utm_*", "fbclid", "*_id", "\u{e9}*"], QueryOrder::Keep);
        for (target, normal) in [
            ("/", "/"),
            ("/?", "/?"),
            ("/?a=1", "/?a=1"),
            ("/?utm_source=x", "/"),
            ("/?utm_source", "/"),
            ("/?utm_source=", "/"),
            ("/?utm_=x&fbclid=y", "/"),
            ("/?utm_source=a=b?c", "/"),
            ("/?a=1&utm_source=x&b=2", "/?a=1&b=2"),
            ("/?utm_source=x&a=1", "/?a=1"),
            ("/?a=1&utm_source=x", "/?a=1"),
            ("/?b=1&a=2&b=3", "/?b=1&a=2&b=3"),
            ("/?click_id=7&id=8", "/?id=8"),
            // Names are decoded, values are not looked at.
            ("/?utm%5Fsource=x&a=%31", "/?a=%31"),
            ("/?ut%6d_source=x", "/"),
            ("/?a=utm_source", "/?a=utm_source"),
            ("/?%C3%A9t%C3%A9=1&a", "/?a"),
            // What is no parameter of that name stays.
            ("/?UTM_source=x", "/?UTM_source=x"),
            ("/?fbclid2=x", "/?fbclid2=x"),
            ("/?a;utm_source=x", "/?a;utm_source=x"),
            ("/?utm_a=1;b=2", "/"),
            ("/?+utm_source=x", "/?+utm_source=x"),
            ("/?=x&a", "/?=x&a"),
            ("/?%zz&utm_source=%zz", "/?%zz"),
            // An empty parameter is one too.
            ("/?&&a", "/?&&a"),
            ("/?utm_source=x&", "/?"),
            ("/?&utm_source=x&a", "/?&a"),
            ("/utm_source=x", "/utm_source=x"),
            ("/utm_source=x?utm_source=x", "/utm_source=x"),
        ] {
            assert_eq!(rules.normalise(target), normal, "{target}");
        }
    }

    #[test]
    fn sorting_keeps_the_order_of_what_has_one_name() {
        let rules = rules(&["utm_*"], QueryOrder::Sort);
        for (target, normal) in [
            ("/?b=1&a=2", "/?a=2&b=1"),
            ("/?a=2&b=1", "/?a=2&b=1"),
            ("/?b=1&a=2&b=0&a=1", "/?a=2&a=1&b=1&b=0"),
            ("/?b&a=&a&a=1", "/?a=&a&a=1&b"),
            ("/?a-b=1&a=2", "/?a=2&a-b=1"),
            ("/?b=1&utm_x=1&a=2", "/?a=2&b=1"),
            // The same names in other spellings.
            ("/?a=1&%61=2", "/?a=1&%61=2"),
            ("/?%61=2&a=1", "/?%61=2&a=1"),
            ("/?a+b=1&a%20b=2", "/?a+b=1&a%20b=2"),
            ("/?a%20b=2&a+b=1", "/?a%20b=2&a+b=1"),
            ("/?a%2Bb=2&a+b=1", "/?a+b=1&a%2Bb=2"),
            ("/?x[]=2&x[]=1&a", "/?a&x[]=2&x[]=1"),
            ("/?b&&a", "/?&a&b"),
            ("/?", "/?"),
        ] {
            assert_eq!(rules.normalise(target), normal, "{target}");
        }
    }

    #[test]
    fn a_very_long_query_stays_as_it_is() {
        let rules = rules(&["utm_*"], QueryOrder::Sort);
        let fits = format!("/?b&a&utm_x={}", "x".repeat(MAX_QUERY - 10));
        assert_eq!(rules.normalise(&fits), "/?a&b");
        let long = format!("/?b&a&utm_x={}", "x".repeat(MAX_QUERY));
        assert_eq!(rules.normalise(&long), long);
    }

    #[test]
    fn what_is_normal_is_borrowed() {
        for rules in [QueryRules::default(), rules(&["utm_*"], QueryOrder::Keep)] {
            assert!(matches!(rules.normalise("/?b=1&a=2"), Cow::Borrowed(_)));
        }
    }

    proptest! {
        #[test]
        fn what_is_normal_stays_so(query in "[a-c%&=;+5F_]{0,24}") {
            let rules = rules(&["a*", "b_"], QueryOrder::Sort);
            let once = rules.normalise(&format!("/?{query}")).into_owned();
            prop_assert_eq!(rules.normalise(&once), once.as_str());
        }
    }
}

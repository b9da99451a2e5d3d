//! The subjects that a stored response answers to: what of its key and its tags can be purged.

use super::{
    subject::{Mark, Subject, SubjectKind, slashes},
    tags::Tags,
};
use crate::key::KeyParts;

/// The subjects that a stored response answers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntrySubjects<'a> {
    pub(crate) key: KeyParts<'a>,
    pub(crate) tags: Option<&'a Tags>,
}

impl<'a> EntrySubjects<'a> {
    /// The subjects of a response that is stored under the key with these bytes.
    pub(crate) fn of(key: &'a [u8], tags: Option<&'a Tags>) -> Self {
        Self {
            // Every key was written by `RequestKey::name`, so it has parts.
            key: KeyParts::parse(key).unwrap_or_default(),
            tags,
        }
    }

    /// Passes the marks of the subjects of one kind to `each`.
    pub(super) fn of_kind(&self, kind: SubjectKind, mut each: impl FnMut(Mark)) {
        let KeyParts {
            namespace,
            host,
            path_and_query,
            ..
        } = self.key;
        let path = self.key.path();
        let mut add = |subject: Subject| each(subject.mark());
        let mut of_host_and_any = |of: &dyn Fn(Option<&[u8]>) -> Subject| {
            add(of(Some(host)));
            add(of(None));
        };
        match kind {
            SubjectKind::Everything => add(Subject::everything()),
            SubjectKind::Namespace => add(Subject::namespace(namespace)),
            SubjectKind::Host => add(Subject::host(namespace, host)),
            SubjectKind::Path => of_host_and_any(&|host| Subject::path(namespace, host, path)),
            SubjectKind::Prefix => {
                for slash in slashes(path) {
                    let prefix = &path[..=slash];
                    of_host_and_any(&|host| Subject::below(namespace, host, prefix));
                }
            }
            SubjectKind::Resource => {
                of_host_and_any(&|host| Subject::resource(namespace, host, path_and_query));
            }
            SubjectKind::Tag => self.marks(Tags::tags, each),
            SubjectKind::Group => self.marks(Tags::groups, each),
        }
    }

    fn marks(&self, of: fn(&Tags) -> &[Mark], mut each: impl FnMut(Mark)) {
        let marks = self.tags.map(of).unwrap_or_default();
        marks.iter().copied().for_each(&mut each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::{KeyTarget, RequestKey},
        purge::subject::MAX_SEGMENTS,
    };

    fn marks(uri: &'static str, kind: SubjectKind) -> Vec<Mark> {
        let uri: http::Uri = uri.parse().unwrap();
        let authority = uri.authority().unwrap().as_str().as_bytes();
        let key = RequestKey::of(KeyTarget::new("n", &uri, "http", authority), 0);
        let subjects = EntrySubjects {
            key: KeyParts::parse(key.as_bytes()).unwrap(),
            tags: None,
        };
        let mut marks = Vec::new();
        subjects.of_kind(kind, |mark| marks.push(mark));
        marks
    }

    #[test]
    fn a_prefix_ends_at_the_boundary_of_a_segment() {
        let uri = "http://a.test/items/7/parts?page=/x/y";
        let below = |path: &str| Subject::below(b"n", Some(b"a.test"), path.as_bytes()).mark();
        let answers = marks(uri, SubjectKind::Prefix);
        for path in ["/", "/items/", "/items/7/"] {
            assert!(answers.contains(&below(path)), "{path}");
        }
        for path in [
            "/item/",
            "/items/7/parts/",
            "/items/70/",
            "/x/",
            "/items/7/parts?page=/",
        ] {
            assert!(!answers.contains(&below(path)), "{path}");
        }
        assert_eq!(answers.len(), 6, "each of this host, and of any");
    }

    #[test]
    fn hosts_schemes_and_queries_count_where_they_should() {
        let path = |host: Option<&[u8]>| Subject::path(b"n", host, b"/x").mark();
        for uri in ["http://A.test:80/x", "https://a.test/x?q=1"] {
            let answers = marks(uri, SubjectKind::Path);
            assert!(answers.contains(&path(Some(b"a.test"))), "{uri}");
            assert!(answers.contains(&path(None)), "{uri}");
        }
        assert!(!marks("http://b.test/x", SubjectKind::Path).contains(&path(Some(b"a.test"))));
        let resource = Subject::resource(b"n", None, b"/x?q=1").mark();
        assert!(marks("https://b.test/x?q=1", SubjectKind::Resource).contains(&resource));
        assert!(!marks("https://b.test/x", SubjectKind::Resource).contains(&resource));
    }

    #[test]
    fn a_deep_prefix_is_purged_as_its_beginning() {
        let deep = "/s".repeat(40) + "/";
        let folded = Subject::below(b"n", None, deep.as_bytes());
        let kept = "/s".repeat(MAX_SEGMENTS - 1) + "/";
        assert_eq!(folded, Subject::below(b"n", None, kept.as_bytes()));
        let uri: &'static str = format!("http://a.test{deep}x").leak();
        assert!(marks(uri, SubjectKind::Prefix).contains(&folded.mark()));
    }
}

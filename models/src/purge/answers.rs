//! The subjects that a stored response answers to, in the place of `src/purge/answers.rs`: those that
//! a model gives it.

use super::subject::{Mark, Subject, SubjectKind};

#[derive(Clone, Copy, Debug)]
pub(crate) struct EntrySubjects<'a>(pub(crate) &'a [Subject]);

impl EntrySubjects<'_> {
    pub(super) fn of_kind(&self, kind: SubjectKind, each: impl FnMut(Mark)) {
        let of_kind = self.0.iter().filter(|subject| subject.kind() == kind);
        of_kind.map(|subject| subject.mark()).for_each(each);
    }
}

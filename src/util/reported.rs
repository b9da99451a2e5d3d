//! Names that were reported, so that each is reported once.

use std::sync::{Mutex, PoisonError};

/// How many names are reported. Clients can make up any number of them.
const MOST: usize = 64;

/// A bounded set of names.
#[derive(Debug, Default)]
pub(crate) struct Reported(Mutex<Vec<Box<str>>>);

impl Reported {
    /// Whether to report this name: it is new, and there are not too many.
    pub(crate) fn is_due(&self, name: &str) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = names.len() < MOST && names.iter().all(|known| **known != *name);
        if due {
            names.push(name.into());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_due_once() {
        let reported = Reported::default();
        assert!(reported.is_due("a") && reported.is_due("b"));
        assert!(!reported.is_due("a") && !reported.is_due("b"));
    }

    #[test]
    fn there_is_an_end_to_them() {
        let reported = Reported::default();
        let due = (0..1000).filter(|name| reported.is_due(&name.to_string()));
        assert_eq!(due.count(), MOST);
    }
}

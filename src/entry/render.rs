//! Renders the head of a hit, and keeps it for the hits of the same second if the entry is hit
//! often.

use std::{sync::Arc, time::Duration};

use http::{Response, response};

use super::{
    entry::Entry,
    rendered::{HeadOwner, RenderedHead, RenderedHeads, head_bytes},
};

/// After this many hits within one second, an entry keeps a rendered head.
const RENDER_AFTER: u32 = 2;

impl Entry {
    /// The head of the answer to a fresh hit. If the entry keeps no head rendered in this second
    /// for the layer `layer_id`, `finish` completes the stored head; it gets the current age.
    pub(crate) fn rendered_head(
        self: &Arc<Self>,
        heads: &Arc<RenderedHeads>,
        now: Duration,
        layer_id: u64,
        finish: impl FnOnce(&mut response::Parts, u32),
    ) -> response::Parts {
        let age = self.age(now);
        let rendered = self.rendered.load();
        match &*rendered {
            Some(rendered) if rendered.age == age && rendered.layer_id == layer_id => {
                rendered.head.clone()
            }
            rendered => self.render(heads, now, layer_id, rendered.as_deref(), finish),
        }
    }

    /// Renders a head, and keeps it for the hits that follow if the entry is hit often.
    #[cold]
    fn render(
        self: &Arc<Self>,
        heads: &Arc<RenderedHeads>,
        now: Duration,
        layer_id: u64,
        last: Option<&RenderedHead>,
        finish: impl FnOnce(&mut response::Parts, u32),
    ) -> response::Parts {
        let age = self.age(now);
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = self.status;
        head.headers = self.headers();
        finish(&mut head, age);
        let bytes = head_bytes(head.headers.len());
        let share = match last {
            // Still hit often: the head of this second takes over the share of the last second's.
            Some(last) if age.abs_diff(last.age) <= 1 => Some(Arc::clone(&last.share)),
            Some(_) => {
                self.rendered.store(None);
                None
            }
            None if self.recent_hits.record(age) >= RENDER_AFTER => {
                let owner = Arc::downgrade(self);
                heads.acquire(owner, bytes, now)
            }
            None => None,
        };
        if let Some(share) = share {
            self.rendered.store(Some(Arc::new(RenderedHead {
                age,
                layer_id,
                head: head.clone(),
                share,
            })));
        }
        head
    }
}

impl HeadOwner for Entry {
    fn keeps_head(&self, now: Duration) -> bool {
        let rendered_at = self.rendered.load().as_ref().map(|head| head.age);
        let is_hit = rendered_at.is_some_and(|age| self.age(now).saturating_sub(age) <= 1);
        if rendered_at.is_some() && !is_hit {
            self.rendered.store(None);
        }
        is_hit
    }
}

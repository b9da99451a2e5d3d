//! Fetches whose clients have all left before the head of the response arrived: each caller may have
//! so many.

use tokio::sync::oneshot;

use crate::{
    extensions::Caller,
    flight::Leader,
    state::flights::{FlightKey, FlightOutcome},
};

/// Waits for the end of a fetch. `None` if it is cancelled: nobody waits for it, and its caller has
/// left more than `most` others behind since.
pub(super) async fn unless_cancelled<F, R>(
    caller: Option<&Caller>,
    most: usize,
    reply: &mut oneshot::Sender<R>,
    leader: &Leader<FlightKey, FlightOutcome>,
    mut fetching: F,
) -> Option<F::Output>
where
    F: Future + Unpin,
{
    let Some(caller) = caller else {
        return Some(fetching.await);
    };
    loop {
        let all_left = async {
            reply.closed().await;
            leader.drained().await;
        };
        tokio::select! {
            biased;
            fetched = &mut fetching => return Some(fetched),
            () = all_left => {}
        }
        let abandoned = caller.abandon(most);
        tokio::select! {
            biased;
            fetched = &mut fetching => return Some(fetched),
            () = abandoned.cancelled() => return None,
            () = leader.joined() => {}
        }
    }
}

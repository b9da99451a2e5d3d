//! Reads the body of a request, up to a limit in bytes and in time.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use http_body::Body;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Posted, ReadBody};
use crate::error::BoxError;

/// How long a client may take for a body that is read. After that the request is forwarded with
/// what is there, and the rest follows.
const LONGEST: Duration = Duration::from_secs(30);

/// How the reading of a body ended. `Q` is the body to forward.
pub(crate) enum Reading<Q> {
    Whole(Posted),
    /// It is longer than the limit, slow, broken, has trailers, or too many bytes of other bodies
    /// are held: it cannot be a part of a key. Nothing of it is lost.
    Unread(Q),
}

/// Reads `body`, which may have up to `limit` bytes. They are taken from `account`.
pub(super) async fn read<Q>(
    body: Q,
    limit: u64,
    account: Arc<Semaphore>,
) -> Result<Posted, ReadBody<Q>>
where
    Q: Body<Error: Into<BoxError>>,
{
    let mut rest = Box::pin(body);
    let mut read = Vec::new();
    let (mut beyond, mut next) = (Bytes::new(), None);
    let mut held: Option<OwnedSemaphorePermit> = None;
    let reading = async {
        if rest.size_hint().lower() > limit {
            return End::Unfit;
        }
        loop {
            let frame = match poll_fn(|cx| rest.as_mut().poll_frame(cx)).await {
                None => return End::Clean,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    next = Some(Err(error.into()));
                    return End::Unfit;
                }
            };
            match frame.into_data() {
                Ok(mut data) => {
                    let length = read.len().saturating_add(data.remaining());
                    if length as u64 > limit || !make_room(&mut read, length, &mut held, &account) {
                        beyond = data.copy_to_bytes(data.remaining());
                        return End::Unfit;
                    }
                    read.put(data);
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        next = Some(Ok(trailers));
                        return End::Unfit;
                    }
                }
            }
        }
    };
    let end = timeout(LONGEST, reading).await.unwrap_or(End::Unfit);
    let nothing = || Arc::clone(&account).try_acquire_many_owned(0).ok();
    match (end, held.or_else(nothing)) {
        (End::Clean, Some(held)) => Ok(Posted::new(read.into(), held)),
        (End::Clean | End::Unfit, held) => Err(ReadBody {
            held,
            read: read.into(),
            beyond,
            next,
            rest: Some(rest),
        }),
    }
}

/// How a body ended for the purpose of a key.
enum End {
    Clean,
    Unfit,
}

/// Makes room for `length` bytes in all, which are held from then on. Does nothing if the account
/// is used up.
fn make_room(
    read: &mut Vec<u8>,
    length: usize,
    held: &mut Option<OwnedSemaphorePermit>,
    account: &Arc<Semaphore>,
) -> bool {
    if length <= read.capacity() {
        return true;
    }
    // Twice as much each time, so that few bytes are copied more than once.
    let capacity = length.max(read.capacity().saturating_mul(2));
    let more = u32::try_from(capacity - read.capacity()).ok();
    let more = more.and_then(|it| Arc::clone(account).try_acquire_many_owned(it).ok());
    let Some(more) = more else {
        return false;
    };
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    read.reserve_exact(capacity - read.len());
    true
}

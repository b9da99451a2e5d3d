//! The log of purges, in commands of Redis.

use std::time::Duration;

use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::{Error as FredError, ErrorKind},
    interfaces::ClientLike,
    types::{ClusterHash, CustomCommand, Value, scripts::Script},
    util::redis_keyslot,
};

use super::{
    client::Redis,
    execute::Purpose,
    log_script::{CONTINUOUS, FIRST, GAP, MOST_MEMBERS, REPLACED},
    scripts::run,
};
use crate::{
    error::StoreError,
    remote::{
        log::{Continuity, LogPosition, LogReply, LogRequest, LogRow, NotReplicated},
        store::RemoteFuture,
    },
};

/// The first byte of a member that is a row.
const ROW: u8 = b'R';

impl Redis {
    pub(super) fn synced_log<'a>(&'a self, request: LogRequest<'a>) -> RemoteFuture<'a, LogReply> {
        let wanted = if request.append.is_empty() {
            0
        } else {
            request.replicas
        };
        let connections = &self.connections;
        let script = &connections.scripts.sync_log;
        let purpose = if request.urgent {
            Purpose::Read
        } else {
            Purpose::Log
        };
        let most = connections.settings.write_timeout;
        // Not as a write of values: purges do not wait for room among those, and are bounded by who
        // sends them.
        let synced = connections.execute(purpose, [request.name], async move |client| {
            let (answer, acknowledged) = if wanted == 0 {
                let answer = run(&client, script, keys(&request), arguments(&request)).await?;
                (answer, 0)
            } else {
                let (pool, runtime) = (&connections.pool, &connections.runtime);
                let waits = &connections.durable;
                let client = waits.client(pool, runtime, client.options(), most).await;
                run_and_wait(&client, script, &request, most).await?
            };
            let answer = Answer::of(answer)?;
            let reply = answer.completed(&client, script, &request).await?;
            Ok((reply, acknowledged))
        });
        Box::pin(async move {
            let (reply, acknowledged) = synced.await?;
            if acknowledged < wanted {
                return Err(StoreError::new(NotReplicated {
                    wanted,
                    acknowledged,
                }));
            }
            Ok(reply)
        })
    }
}

fn keys(request: &LogRequest<'_>) -> Vec<String> {
    vec![request.name.to_owned()]
}

fn arguments(request: &LogRequest<'_>) -> Vec<Value> {
    let number = |number: u64| Value::from(number.to_string());
    let bytes = |bytes: &[u8]| Value::Bytes(Bytes::copy_from_slice(bytes));
    let mut arguments = vec![
        bytes(&request.new_id.to_be_bytes()),
        bytes(&request.new_token.to_be_bytes()),
        number(request.keep),
    ];
    match request.position {
        Some(LogPosition { id, seq, token }) => arguments.extend([
            bytes(&id.to_be_bytes()),
            number(seq),
            bytes(&token.to_be_bytes()),
        ]),
        None => arguments.extend([bytes(b""), number(0), bytes(b"")]),
    }
    arguments.push(MOST_MEMBERS.into());
    arguments.extend(request.append.iter().map(|row| bytes(&row.encode())));
    arguments
}

/// Runs the script, and waits until replicas have what it wrote. Returns its answer, and how many
/// replicas have it.
///
/// Both commands are sent at once, as a connection that was made between them would know of no write
/// to wait for. So the script is sent as its text: by its hash it might not be there.
async fn run_and_wait(
    client: &WithOptions<Client>,
    script: &Script,
    request: &LogRequest<'_>,
    most: Duration,
) -> Result<(Value, u32), FredError> {
    let options = client.options().clone();
    let slot = redis_keyslot(request.name.as_bytes());
    let command = |name| CustomCommand::new_static(name, ClusterHash::Custom(slot), false);
    // The server gives up before this node does, so that its answer is known. It looks at the time
    // every 100 ms.
    let most = i64::try_from(most.as_millis() / 2).unwrap_or(i64::MAX);
    let waiting: Vec<Value> = vec![request.replicas.into(), most.max(1).into()];
    let text = script.lua().map(ToString::to_string).unwrap_or_default();
    let mut running: Vec<Value> = vec![text.into(), 1.into(), request.name.into()];
    running.extend(arguments(request));
    let pipeline = client.pipeline().with_options(&options);
    let (): () = pipeline.custom(command("EVAL"), running).await?;
    let (): () = pipeline.custom(command("WAIT"), waiting).await?;
    let answers = pipeline.try_all::<Value>().await;
    // A failure of the connection is one answer, for both.
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(malformed()));
    let answer = next()?;
    let replicas = next()?.as_u64().ok_or_else(malformed)?;
    Ok((answer, u32::try_from(replicas).unwrap_or(u32::MAX)))
}

/// What the script answered.
struct Answer {
    continuity: Continuity,
    head: LogPosition,
    floor: u64,
    /// The number after which the members begin.
    from: u64,
    /// `None` if they are too many for the script.
    rows: Option<Vec<(u64, LogRow)>>,
}

impl Answer {
    fn of(value: Value) -> Result<Self, FredError> {
        Self::parse(value).ok_or_else(malformed)
    }

    fn parse(value: Value) -> Option<Self> {
        let Value::Array(fields) = value else {
            return None;
        };
        let [continuity, id, seq, token, floor, from, members] = fields.try_into().ok()?;
        let bytes = |value: Value| Some(u64::from_be_bytes(value.as_bytes()?.try_into().ok()?));
        Some(Self {
            continuity: match continuity.as_u64()? {
                CONTINUOUS => Continuity::Continuous,
                REPLACED => Continuity::Replaced,
                FIRST => Continuity::First,
                GAP => Continuity::Gap,
                _ => return None,
            },
            head: LogPosition {
                id: bytes(id)?,
                seq: seq.as_u64()?,
                token: bytes(token)?,
            },
            floor: floor.as_u64()?,
            from: from.as_u64()?,
            rows: match members {
                Value::Array(members) => Some(rows(&members)),
                _ => None,
            },
        })
    }

    /// Reads what the script has left out.
    async fn completed(
        mut self,
        client: &WithOptions<Client>,
        script: &Script,
        request: &LogRequest<'_>,
    ) -> Result<LogReply, FredError> {
        let seq = self.head.seq;
        let count = request.append.len() as u64;
        let appended = (count > 0).then(|| seq.saturating_sub(count) + 1..=seq);
        let rows = match self.rows.take() {
            Some(rows) => rows,
            None => self.all(client, script, request).await?,
        };
        Ok(LogReply {
            head: self.head,
            floor: self.floor,
            continuity: self.continuity,
            rows,
            appended,
        })
    }

    /// Reads all rows by a command of its own. A row that moved before it was read comes later: the
    /// script is run once more, from where it had ended, and moves the end.
    async fn all(
        &mut self,
        client: &WithOptions<Client>,
        script: &Script,
        request: &LogRequest<'_>,
    ) -> Result<Vec<(u64, LogRow)>, FredError> {
        let range = CustomCommand::new_static("ZRANGEBYSCORE", ClusterHash::FirstKey, false);
        let after = format!("({}", self.from);
        let range = client.custom(range, vec![request.name, &after, "+inf", "WITHSCORES"]);
        let members: Vec<Value> = range.await?;
        let again = LogRequest {
            position: Some(self.head),
            append: &[],
            ..*request
        };
        let next = Self::of(run(client, script, keys(&again), arguments(&again)).await?)?;
        let (Continuity::Continuous, Some(later)) = (next.continuity, next.rows) else {
            let details = "the log has changed while it was read";
            return Err(FredError::new(ErrorKind::Protocol, details));
        };
        let mut rows = rows(&members);
        rows.retain(|(seq, _)| *seq <= self.head.seq);
        rows.extend(later);
        (self.head, self.floor) = (next.head, next.floor);
        if self.continuity == Continuity::Continuous && self.floor > self.from {
            self.continuity = Continuity::Gap;
        }
        Ok(rows)
    }
}

/// The rows among members and their scores. What is no row is passed over.
fn rows(members: &[Value]) -> Vec<(u64, LogRow)> {
    let pairs = members.chunks_exact(2).filter_map(|pair| {
        let [member, score] = pair else { return None };
        let row = member.as_bytes()?.strip_prefix(&[ROW])?;
        Some((score.as_u64()?, LogRow::decode(row)?))
    });
    pairs.collect()
}

fn malformed() -> FredError {
    FredError::new(ErrorKind::Protocol, "the script's answer is malformed")
}

#[cfg(test)]
mod tests;

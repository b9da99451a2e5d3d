//! The log of purges of the server in memory: a model of the script that Redis runs.

#![cfg(test)]

use std::collections::BTreeMap;

use crate::remote::log::{Continuity, LogPosition, LogReply, LogRequest, LogRow};

#[derive(Clone, Debug)]
pub(super) struct Log {
    head: LogPosition,
    floor: u64,
    /// The server that the log was last changed on.
    server: u64,
    rows: BTreeMap<u64, LogRow>,
    /// The end of each append, and its token.
    tokens: BTreeMap<u64, u64>,
}

/// What a node learns, and whether the log has changed.
pub(super) type Synced = (LogReply, bool);

impl Log {
    pub(super) fn new(id: u64, server: u64) -> Self {
        let (seq, token) = (0, 0);
        Self {
            head: LogPosition { id, seq, token },
            floor: 0,
            server,
            rows: BTreeMap::new(),
            tokens: BTreeMap::new(),
        }
    }

    pub(super) fn sync(&mut self, request: &LogRequest<'_>, server: u64) -> Synced {
        let mut changed = self.trim(request.keep);
        let own = request.position.filter(|it| it.id == self.head.id);
        if server != self.server || own.is_some_and(|it| self.lacks(it)) {
            let known = own.map_or(0, |it| it.seq);
            self.head.id = request.new_id;
            self.server = server;
            self.end(self.head.seq.max(known) + 1, request.new_token);
            changed = true;
        }
        let mut appended = None;
        if !request.append.is_empty() {
            let first = self.head.seq + 1;
            let mut seq = self.head.seq;
            for row in request.append {
                seq += 1;
                self.rows.retain(|_, it| it != row);
                self.rows.insert(seq, *row);
            }
            self.tokens.retain(|_, it| *it != request.new_token);
            self.end(seq, request.new_token);
            appended = Some(first..=seq);
            changed = true;
        }
        self.trim(request.keep);
        let continuity = match request.position {
            None => Continuity::First,
            Some(position) if position.id != self.head.id => Continuity::Replaced,
            Some(position) if position.seq < self.floor => Continuity::Gap,
            Some(_) => Continuity::Continuous,
        };
        let from = match (continuity, request.position) {
            (Continuity::Continuous, Some(position)) => position.seq + 1,
            _ => 0,
        };
        let rows = self.rows.range(from..).map(|(seq, row)| (*seq, *row));
        let reply = LogReply {
            head: self.head,
            floor: self.floor,
            continuity,
            rows: rows.collect(),
            appended,
        };
        (reply, changed)
    }

    fn end(&mut self, seq: u64, token: u64) {
        self.head = LogPosition {
            seq,
            token,
            ..self.head
        };
        self.tokens.insert(seq, token);
    }

    /// Whether a position of this log is not in it (any more), though it should be.
    fn lacks(&self, position: LogPosition) -> bool {
        let LogPosition { seq, token, .. } = position;
        seq > 0 && seq >= self.floor && self.tokens.get(&seq) != Some(&token)
    }

    fn trim(&mut self, keep: u64) -> bool {
        let floor = self.head.seq.saturating_sub(keep);
        let is_higher = floor > self.floor;
        if is_higher {
            self.floor = floor;
            self.rows.retain(|seq, _| *seq >= floor);
            self.tokens.retain(|seq, _| *seq >= floor);
        }
        is_higher
    }
}

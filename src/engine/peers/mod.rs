//! What the engine does with the other nodes: it looks for what they stored, waits for what they
//! fetch, and gives them what it stored and invalidated.

mod doubts;
pub(crate) mod lookup;
pub(crate) mod publish;
pub(crate) mod turn;

#[cfg(test)]
mod tests;

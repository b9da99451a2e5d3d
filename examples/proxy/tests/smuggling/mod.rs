//! Request smuggling and its reverse: whatever one side sends, the proxy and the other side agree on
//! where each message ends, and everybody gets the answer to their own request.

mod heard;
mod http2;
mod mutated;
mod mutator;
mod requests;
mod responses;
mod stage;
mod strict;

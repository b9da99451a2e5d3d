//! The layer among its neighbours: axum, hyper, tonic, WebSocket, raw sockets, and its own builder.

mod bodies;
mod clients;
mod compression;
mod config;
mod connections;
mod disabled;
mod fields;
mod figures;
mod grpc;
mod inspect;
mod malformed;
mod metrics;
mod placement;
mod posts;
mod protocols;
mod router;
mod streams;
mod support;
mod types;
mod unkeyed;
mod warnings;

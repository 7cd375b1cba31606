//! The server as its clients see it: over real sockets, and as the real process where signals matter.
#![allow(clippy::unwrap_used)]

mod drain;
mod harness;
mod http;
mod tls;
mod websocket;

//! The tool as its users and its builders see it, without any Incus.

#![allow(clippy::unwrap_used)]

mod architecture;
mod book;
mod cli;
mod environments;
#[path = "../shared/valid.rs"]
mod valid;

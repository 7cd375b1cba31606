//! The tool as its users and its builders see it, without any Incus.

#![allow(clippy::unwrap_used)]

mod architecture;
mod cli;
mod environments;

//! Level 2: the whole road in a modelled world.
#![allow(clippy::unwrap_used)]

mod killed;
mod scenarios;

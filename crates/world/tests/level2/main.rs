//! Level 2: the whole road in a modelled world.
#![allow(clippy::unwrap_used)]

mod events;
mod killed;
mod planted;
mod scenarios;
mod seeds;

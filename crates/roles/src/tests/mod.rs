#![allow(clippy::unwrap_used)]

mod backup;
mod edge;
mod files;
mod firewall;
mod hosts;
mod laws;
mod ops;
mod outlines;
mod platforms;
mod postgres;
mod services;

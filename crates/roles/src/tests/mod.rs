#![allow(clippy::unwrap_used)]

mod files;
mod laws;
mod outlines;
mod platforms;

//! The platform file: read, checked as a whole, and turned into a [`Platform`].

mod platform;

pub use platform::*;

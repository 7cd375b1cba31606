//! The platform's own certificates: an authority is made, certificates are issued, and what is there is judged. A client
//! that is known by its fingerprint needs no authority.
//!
//! Keys are ECDSA P-256, certificates X.509 version 3 as RFC 5280 has them. The moment and the randomness are arguments:
//! nothing here reads a clock, a disk or an entropy source.

mod authority;
mod client;
mod error;
mod issue;
mod judge;
mod profile;
mod self_signed;
#[cfg(test)]
mod tests;

pub use authority::{Pair, authority_certificate, make_authority};
pub use client::client_certificate;
pub use error::PkiError;
pub use issue::issue;
pub use judge::{Judgement, expiry, judge};
pub use self_signed::make_key;

/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;
/// A certificate begins so long before it is made: the clocks of two hosts differ, and a peer that is behind must not
/// refuse it.
const BACKDATED_S: u64 = 5 * 60;

/// A certificate is renewed when less than this part of its lifetime is left.
pub const RENEW_PART_LEFT: u64 = 3;

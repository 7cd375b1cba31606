//! Veza's API. One module a feature, each giving its `router()`; [`server::run`] serves them all and drains.
//!
//! It knows nothing of the platform that runs it: configuration comes from the environment, secrets from systemd
//! credentials, and a load balancer learns of a drain by asking for readiness.

mod app;
mod config;
mod drain;
mod echo;
mod error;
mod health;
mod identity;
mod operator;
pub mod server;
mod status;
mod tls;

pub use config::{Config, ConfigError, ConfigErrors};
pub use drain::{DrainLimits, Open};
pub use identity::{Commit, Identity};
pub use operator::OperatorToken;
pub use tls::{Certificate, TlsError};

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::{Certificate, Commit, DrainLimits, OperatorToken, TlsError};

/// Everything that the environment decides.
#[derive(Debug)]
pub struct Config {
    /// `LISTEN_ADDRESS`, by default 127.0.0.1:8080.
    pub listen_address: SocketAddr,
    /// `TLS_CERTIFICATE`: a PEM file with a certificate and its key. Without it, clients speak plain HTTP.
    pub certificate: Option<Certificate>,
    /// `COMMIT`: 40 hex digits, by default `unknown`.
    pub commit: Commit,
    /// `INSTANCE`, by default `local`.
    pub instance: String,
    /// `VEZA_LOG`: directives like `info,veza_api=debug`, by default `info`.
    pub log: EnvFilter,
    /// The systemd credential `operator_token`. Without any credentials (`CREDENTIALS_DIRECTORY` is not set) there is
    /// no operator; credentials without this one are a mistake.
    pub operator_token: Option<OperatorToken>,
    /// `DRAIN_DELAY_MS`, by default 2000, and `DRAIN_TIMEOUT_MS`, by default 20000.
    pub drain: DrainLimits,
}

impl Config {
    /// Reads the variables through `variable`.
    ///
    /// # Errors
    /// Every problem there is, not only the first.
    pub fn read(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut text = |name, default: &str| match variable(name).map(OsString::into_string) {
            None => Some(default.to_owned()),
            Some(Ok(value)) => Some(value),
            Some(Err(_)) => {
                errors.push(ConfigError::NotUnicode { name });
                None
            }
        };
        let address = text("LISTEN_ADDRESS", "127.0.0.1:8080");
        let commit = text("COMMIT", "unknown");
        let instance = text("INSTANCE", "local");
        let log = text("VEZA_LOG", "info");
        let delay = text("DRAIN_DELAY_MS", "2000");
        let limit = text("DRAIN_TIMEOUT_MS", "20000");

        let address = parse(&mut errors, "LISTEN_ADDRESS", address, SocketAddr::from_str);
        let commit = parse(&mut errors, "COMMIT", commit, Commit::from_str);
        let log = parse(&mut errors, "VEZA_LOG", log, |value| EnvFilter::try_new(value));
        let delay = parse(&mut errors, "DRAIN_DELAY_MS", delay, u32::from_str);
        let limit = parse(&mut errors, "DRAIN_TIMEOUT_MS", limit, u32::from_str);
        let operator_token = match variable("CREDENTIALS_DIRECTORY").map(|folder| read_token(Path::new(&folder))) {
            None => None,
            Some(Ok(token)) => Some(token),
            Some(Err(error)) => {
                errors.push(error);
                None
            }
        };

        let certificate = variable("TLS_CERTIFICATE").map(|path| Certificate::read(Path::new(&path))).transpose();
        let certificate = certificate.unwrap_or_else(|error| {
            errors.push(error.into());
            None
        });

        match (address, commit, instance, log, delay, limit) {
            (Some(listen_address), Some(commit), Some(instance), Some(log), Some(delay), Some(limit))
                if errors.is_empty() =>
            {
                let millis = |ms| Duration::from_millis(u64::from(ms));
                let drain = DrainLimits { delay: millis(delay), timeout: millis(limit) };
                Ok(Self { listen_address, certificate, commit, instance, log, operator_token, drain })
            }
            _ => Err(ConfigErrors(errors)),
        }
    }
}

fn parse<T, E: std::fmt::Display>(
    errors: &mut Vec<ConfigError>,
    name: &'static str,
    value: Option<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    let value = value?;
    parse(&value).map_err(|error| errors.push(ConfigError::Wrong { name, value, reason: error.to_string() })).ok()
}

fn read_token(folder: &Path) -> Result<OperatorToken, ConfigError> {
    let path = folder.join("operator_token");
    match std::fs::read_to_string(&path) {
        Ok(text) => OperatorToken::new(text.trim_end()).ok_or(ConfigError::WeakToken { path }),
        Err(error) => Err(ConfigError::Unreadable { path, error }),
    }
}

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigErrors(pub Vec<ConfigError>);

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{name} is not valid UTF-8")]
    NotUnicode { name: &'static str },
    #[error("{name} is \"{value}\": {reason}")]
    Wrong { name: &'static str, value: String, reason: String },
    #[error("the credential {} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("TLS_CERTIFICATE: {0}")]
    Tls(#[from] TlsError),
    /// The value is not repeated: it may be a secret after all.
    #[error("the credential {} needs at least {} printable characters", path.display(), OperatorToken::BYTES_MIN)]
    WeakToken { path: PathBuf },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    fn read(variables: &[(&'static str, &str)]) -> Result<Config, ConfigErrors> {
        let variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
        Config::read(|name| variables.get(name).cloned())
    }

    #[test]
    fn an_empty_environment_is_enough() {
        let config = read(&[]).unwrap();
        assert_eq!(config.listen_address.to_string(), "127.0.0.1:8080");
        assert_eq!(config.commit, Commit::unknown());
        assert_eq!(config.drain.delay, Duration::from_secs(2));
        assert_eq!(config.drain.timeout, Duration::from_secs(20));
        assert!(config.operator_token.is_none());
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let errors = read(&[
            ("LISTEN_ADDRESS", "localhost"),
            ("COMMIT", "main"),
            ("VEZA_LOG", "veza=loud"),
            ("DRAIN_DELAY_MS", "2s"),
            ("DRAIN_TIMEOUT_MS", "-1"),
            ("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap()),
            ("TLS_CERTIFICATE", "nowhere.pem"),
        ])
        .unwrap_err();
        let told: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
        let names = ["LISTEN_ADDRESS", "COMMIT", "VEZA_LOG", "DRAIN_DELAY_MS", "DRAIN_TIMEOUT_MS"];
        for name in names.into_iter().chain(["operator_token", "TLS_CERTIFICATE"]) {
            assert_eq!(told.iter().filter(|line| line.contains(name)).count(), 1, "{name}: {told:#?}");
        }
    }

    #[test]
    fn a_guessable_token_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("operator_token"), "hunter2\n").unwrap();
        let errors = read(&[("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())]).unwrap_err();
        assert!(errors.to_string().contains("at least 16"), "{errors}");
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }
}

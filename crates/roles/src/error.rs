use std::net::Ipv4Addr;

use bascule_spec::Colour;

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    #[error("the instance {0} has no address yet")]
    MissingAddress(String),
    #[error("the environment has no authority of its own yet: `bascule up` makes it")]
    NoAuthority,
    #[error("the secret {0} has no value")]
    MissingSecret(String),
    /// A release or a switch needs what only `up` makes.
    #[error("the instance {0} does not exist yet: run `bascule up` first")]
    MissingInstance(String),
    #[error("`{0}` is not a commit: 40 lower-case hex digits are")]
    BadCommit(String),
    #[error("the release of {commit} has no artifact of the component {component}")]
    MissingArtifact { component: String, commit: String },
    #[error("nothing is recorded as released to {}", .0.map_or("the replicas", Colour::as_str))]
    NothingReleased(Option<Colour>),
    #[error("{0} already has the traffic: a release is prepared on the idle colour")]
    ColourIsActive(Colour),
    #[error("the topology `{topology}` has no `{verb}`")]
    WrongTopology { verb: &'static str, topology: &'static str },
    /// How objects are cut is settled when the store is made.
    #[error("the store was made of {made}, as {instance} says, and cannot become one of {asked}")]
    OtherStore { instance: String, made: String, asked: String },
    /// A formation of PostgreSQL begins with nothing once; others are restored.
    #[error("{} has no node, and was never restored; there is {}", formation(.asked.as_deref()), if .nodes.is_empty() { "none" } else { .nodes })]
    OtherFormation { asked: Option<String>, nodes: String },
    #[error("the host {host} has Debian {debian}: 12 and 13 can be set up")]
    OtherDebian { host: String, debian: u32 },
    #[error(
        "{operator}, from where {host} is reached, is not in [ssh] allow_from: setting up the host would lock you out"
    )]
    LockedOut { host: String, operator: Ipv4Addr },
    #[error("{0} has to be told which certificate to trust, and there is none")]
    NoClientCertificate(String),
    #[error("the platform has no backups of PostgreSQL")]
    NoBackups,
    #[error("the ops instance has neither secrets nor certificates to be given")]
    NoOps,
    #[error("the platform cannot be written down")]
    Copy(#[source] serde_json::Error),
    #[error("the template {name} cannot be rendered")]
    Template { name: &'static str, source: minijinja::Error },
}

fn formation(name: Option<&str>) -> String {
    name.map_or_else(
        || "the first formation of PostgreSQL".to_owned(),
        |name| format!("the formation `{name}` of PostgreSQL"),
    )
}

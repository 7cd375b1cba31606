//! A program, run by systemd with as few rights as it needs.

use std::fmt::Write;

use bascule_spec::{Component, Platform, Postgres, Redis, Service};
use serde::Serialize;

use crate::group::{Group, directory, file, running, secret_file};
use crate::template::render;
use crate::{Facts, RoleError, postgres, redis, store};

pub(super) fn base(platform: &Platform, component: &Component, facts: &Facts) -> Result<Group, RoleError> {
    let mut group = Group::new("component/base");
    group.step("credentials", "make room for secrets", directory(format!("{}/credentials", etc(component)), 0o700));
    // They are put in place with a release; that one has no value is told before there is any.
    credentials(platform, component).iter().try_for_each(|(_, secret)| facts.secret(secret).map(drop))?;
    // All of it names other instances, whose addresses never move.
    if !component.uses.is_empty() {
        let mut variables = Vec::new();
        for service in &component.uses {
            variables.extend(match service {
                Service::Redis => redis::environment(platform, facts, &component.name)?,
                Service::Store => store::environment(platform, facts, &component.name)?,
                Service::Postgres => postgres::pooler::environment(platform, facts, &component.name)?,
            });
        }
        let text = lines(variables.iter().map(|(name, value)| (*name, value.as_str())));
        group.step(
            "services",
            "tell it where the platform's services are",
            file(services_file(component), 0o644, text),
        );
    }
    Ok(group)
}

pub(super) fn prepare(component: &Component) -> Result<Group, RoleError> {
    let mut group = Group::new("component/unit");
    let context = Context {
        component: &component.name,
        environment: environment_file(component),
        certificate: component.tls.then(|| certificate(component)),
        services: (!component.uses.is_empty()).then(|| services_file(component)),
        credentials: (names(component).into_iter())
            .map(|name| {
                let path = credential(component, &name);
                (name, path)
            })
            .collect(),
        uses_store: component.uses.contains(&Service::Store),
        stop_timeout_ms: component.stop_timeout_ms,
        privileged_port: component.port < 1024,
    };
    let unit = render("unit.service.j2", include_str!("unit.service.j2"), context)?;
    group.step("file", format!("write {}", self::unit(component)), file(unit_file(component), 0o644, unit));
    Ok(group)
}

#[derive(Serialize)]
struct Context<'a> {
    component: &'a str,
    environment: String,
    /// The file with what it has to know of the services that it uses.
    services: Option<String>,
    /// Its key is where clients of S3 look for it.
    uses_store: bool,
    /// Names and files.
    credentials: Vec<(String, String)>,
    /// The file with its certificate and key, where it speaks TLS.
    certificate: Option<String>,
    stop_timeout_ms: u64,
    /// Ports below 1024 are only for who has a capability for it.
    privileged_port: bool,
}

/// Adds what takes the program out of service for a moment; answers with its unit. Environment and secrets are part of
/// that, not of the preparation: they go with the commit and with who accepts them, and a program that crashes in between
/// must not come back with others.
pub(super) fn run(
    group: &mut Group,
    platform: &Platform,
    facts: &Facts,
    component: &Component,
    instance: &str,
    commit: &str,
) -> Result<String, RoleError> {
    for (name, secret) in credentials(platform, component) {
        group.step(
            credential_step(&name),
            format!("put the secret {secret} in place"),
            secret_file(credential(component, &name), facts.secret(&secret)?),
        );
    }
    let text = environment(component, instance, commit);
    group.step("environment", "tell it where it is and what it runs", file(environment_file(component), 0o644, text));
    let mut inputs =
        vec![unit_file(component), environment_file(component), format!("/srv/{}/current", component.name)];
    inputs.extend(names(component).iter().map(|name| credential(component, name)));
    inputs.extend((!component.uses.is_empty()).then(|| services_file(component)));
    inputs.extend(component.tls.then(|| certificate(component)));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let unit = unit(component);
    group.step("run", format!("run {}", component.name), running(&unit, &inputs, &[]));
    Ok(unit)
}

/// The step that puts a secret in place, in the group that runs the program.
pub(super) fn credential_step(name: &str) -> String {
    format!("credential-{name}")
}

/// A file for `EnvironmentFile=`: the platform's own variables first, so that nothing can be taken for them.
fn environment(component: &Component, instance: &str, commit: &str) -> String {
    let listen = format!("0.0.0.0:{}", component.port);
    let own = [
        ("LISTEN_ADDRESS", listen.as_str()),
        ("COMMIT", commit),
        ("COMPONENT", &component.name),
        ("INSTANCE", instance),
    ];
    let given = component.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let given = given.filter(|(name, _)| own.iter().all(|(taken, _)| taken != name));
    lines(own.into_iter().chain(given))
}

fn lines<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = "# Written by Bascule.\n".to_owned();
    for (name, value) in variables {
        let _ = writeln!(text, "{name}={}", quoted(value));
    }
    text
}

/// Its secrets, by the names under which it reads them, and by their own.
fn credentials(platform: &Platform, component: &Component) -> Vec<(String, String)> {
    let own = component.secrets.iter().map(|name| (name.clone(), name.clone()));
    let of_services = component.uses.iter().filter_map(|service| {
        let secret = match service {
            Service::Redis => Redis::password_of(&component.name),
            Service::Store => store::key_of(platform.store.as_ref()?, &component.name),
            Service::Postgres => Postgres::password_of(&component.name),
        };
        Some((credential_of(*service).to_owned(), secret))
    });
    let of_migration = component.migrates.as_deref().map(Postgres::migration_password_of);
    let of_migration = of_migration.map(|secret| (MIGRATION.to_owned(), secret));
    own.chain(of_services).chain(of_migration).collect()
}

/// The credential by which a component changes the shape of its database.
const MIGRATION: &str = "postgres_migration";

/// The names alone.
fn names(component: &Component) -> Vec<String> {
    let of_services = component.uses.iter().flat_map(|service| credentials_of(component, *service));
    component.secrets.iter().cloned().chain(of_services).collect()
}

/// By which names a component reads its secrets for a service.
pub(super) fn credentials_of(component: &Component, service: Service) -> Vec<String> {
    let of_migration = component.migrates.as_ref().filter(|_| service == Service::Postgres).map(|_| MIGRATION);
    [credential_of(service)].into_iter().chain(of_migration).map(str::to_owned).collect()
}

fn credential_of(service: Service) -> &'static str {
    match service {
        Service::Redis => "redis",
        Service::Store => "store",
        Service::Postgres => "postgres",
    }
}

/// In double quotes, as systemd.exec(5) reads them: only these four characters mean something there.
fn quoted(value: &str) -> String {
    let mut quoted = String::from('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '`' | '$') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

fn etc(component: &Component) -> String {
    format!("/etc/{}", component.name)
}

fn environment_file(component: &Component) -> String {
    format!("{}/environment", etc(component))
}

/// What it has to know of the services that it uses: all of it is settled before anything is released.
fn services_file(component: &Component) -> String {
    format!("{}/services", etc(component))
}

fn credential(component: &Component, name: &str) -> String {
    format!("{}/credentials/{name}", etc(component))
}

/// A renewed one is a changed input: systemd hands credentials over when a service starts, so each replica is restarted in
/// its turn.
pub(super) fn certificate(component: &Component) -> String {
    format!("{}/tls.pem", etc(component))
}

fn unit(component: &Component) -> String {
    format!("{}.service", component.name)
}

fn unit_file(component: &Component) -> String {
    format!("/etc/systemd/system/{}", unit(component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reaches_the_program_as_it_was_written() {
        assert_eq!(quoted(r#"a "b" $c \d `e` 'f' #g"#), r#""a \"b\" \$c \\d \`e\` 'f' #g""#);
    }
}

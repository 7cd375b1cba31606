use std::collections::BTreeMap;

use super::Context;
use super::names::{environment_variable, label, port};
use super::{postgres, services};
use crate::platform::{Balance, Component, ComponentKind};
use crate::raw;
use crate::words::heading;

/// The components that could be made sense of, in the order of the file.
pub(super) fn components(file: &raw::File, context: &mut Context<'_>) -> Vec<Component> {
    let named: Vec<(&str, &raw::Component)> = context
        .keys(&["component"])
        .into_iter()
        .filter_map(|name| file.component.get(name).map(|component| (name, component)))
        .collect();
    defaults(&named, context);
    routes(&named, context);
    named.into_iter().filter_map(|(name, raw)| component(file, name, raw, context)).collect()
}

fn component(file: &raw::File, name: &str, raw: &raw::Component, context: &mut Context<'_>) -> Option<Component> {
    let table = ["component", name];
    label(name, &table, context);
    if file.group.contains_key(name) {
        let message = format!("[component.{name}] and [group.{name}] have the same name");
        context.report_key(&["group", name], message, "rename one of the two: instances are named after it");
    }
    for (variable, value) in &raw.environment {
        environment_variable(variable, value, &["component", name, "environment", variable], context);
    }
    let balance = balance(name, raw, context);
    let kind = raw.kind?;
    if kind == ComponentKind::Static {
        let given = [
            ("environment", !raw.environment.is_empty()),
            ("secrets", !raw.secrets.is_empty()),
            ("tls", raw.tls),
            ("uses", !raw.uses.is_empty()),
        ];
        for (key, given) in given {
            if given {
                let message =
                    format!("[component.{name}] is static: nginx serves its files, and no program reads `{key}`");
                context.report_key(
                    &["component", name, key],
                    message,
                    format!("remove `{key}`, or set `kind = \"binary\"`"),
                );
            }
        }
    }
    let needed = Needed { name, kind };
    let listen = needed.key("port", raw.port, 443, "8080", context);
    let health = needed.key("health", raw.health.clone(), "/__nginx_alive".to_owned(), "\"/health/ready\"", context);
    let version = needed.key("version", raw.version.clone(), "/version.json".to_owned(), "\"/version\"", context);
    if let Some(listen) = listen {
        port(listen, false, &["component", name, "port"], context);
    }
    Some(Component {
        name: name.to_owned(),
        kind,
        port: listen?,
        tls: raw.tls || kind == ComponentKind::Static,
        routes: raw.routes.clone(),
        balance: balance?,
        health: health?,
        version: version?,
        tunnel_timeout_ms: u64::from(raw.tunnel_timeout_s) * 1_000,
        stop_timeout_ms: u64::from(raw.stop_timeout_s) * 1_000,
        environment: raw.environment.clone(),
        secrets: raw.secrets.iter().cloned().collect(),
        uses: services::used(file, &raw.uses, &["component", name, "uses"], context),
        migrates: postgres::migrated_by(file, name),
    })
}

/// A key that has a default where nginx serves the component, and must be there where a program of the user's does.
struct Needed<'a> {
    name: &'a str,
    kind: ComponentKind,
}

impl Needed<'_> {
    fn key<T>(&self, key: &str, value: Option<T>, of_nginx: T, example: &str, context: &mut Context<'_>) -> Option<T> {
        let path = ["component", self.name, key];
        match (value, self.kind) {
            (Some(value), _) => Some(value),
            (None, ComponentKind::Static) => Some(of_nginx),
            (None, ComponentKind::Binary) => {
                if !context.is_suspect(&path) {
                    let message = format!("{} has no `{key}`, which a program must say", heading(&path[..2]));
                    context.report(&path, message, format!("add e.g. `{key} = {example}`"));
                }
                None
            }
        }
    }
}

fn balance(name: &str, raw: &raw::Component, context: &mut Context<'_>) -> Option<Balance> {
    let path = ["component", name, "hash_segment"];
    match (raw.balance, raw.hash_segment) {
        (raw::Balance::PathSegment, Some(segment)) => Some(Balance::PathSegment(segment)),
        (raw::Balance::PathSegment, None) => {
            if !context.is_suspect(&path) {
                let message = "`balance = \"path-segment\"` does not say which segment of the path is hashed";
                let help = "add `hash_segment = N`, counted from 1: in `/stream/TRACK` the track is segment 2";
                context.report(&["component", name, "balance"], message, help);
            }
            None
        }
        (balance, Some(_)) => {
            if !context.is_suspect(&["component", name, "balance"]) {
                let message = "`hash_segment` means nothing unless `balance` is \"path-segment\"";
                context.report_key(&path, message, "set `balance = \"path-segment\"`, or remove `hash_segment`");
            }
            Some(plain(balance))
        }
        (balance, None) => Some(plain(balance)),
    }
}

fn plain(balance: raw::Balance) -> Balance {
    match balance {
        raw::Balance::Sticky => Balance::Sticky,
        raw::Balance::RoundRobin | raw::Balance::PathSegment => Balance::RoundRobin,
    }
}

/// Exactly one component answers what no route claims.
fn defaults(named: &[(&str, &raw::Component)], context: &mut Context<'_>) {
    let mut defaults = named.iter().filter(|(_, component)| component.default).map(|(name, _)| *name);
    let Some(first) = defaults.next() else {
        if !context.is_suspect(&["component"]) {
            let message = "no component is the default: nothing answers a path that no route claims";
            let help = "set `default = true` in one [component.NAME], and give it no routes";
            context.report(&["component"], message, help);
        }
        return;
    };
    for other in defaults {
        let message = format!("[component.{first}] and [component.{other}] are both the default");
        context.report(
            &["component", other, "default"],
            message,
            "keep `default = true` in one, and give the other `routes`",
        );
    }
}

fn routes(named: &[(&str, &raw::Component)], context: &mut Context<'_>) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, component) in named {
        let table = ["component", *name];
        if component.default && !component.routes.is_empty() {
            let message =
                format!("[component.{name}] is the default and has routes too: it answers everything else anyway");
            context.report_key(&["component", name, "routes"], message, "remove `routes`, or `default = true`");
        }
        if !component.default && component.routes.is_empty() && !context.is_suspect(&table) {
            let message = format!("no request reaches [component.{name}]: it has no routes and is not the default");
            context.report_key(&table, message, "add e.g. `routes = [\"/api/\"]`, or `default = true`");
        }
        for (index, route) in component.routes.iter().enumerate() {
            let index = index.to_string();
            let path = ["component", *name, "routes", &index];
            if route == "/" {
                let help = "set `default = true` instead, or claim a longer prefix";
                context.report(&path, "the route `/` claims every path", help);
            } else if let Some(owner) = owners.insert(route, name) {
                let message = format!("the route `{route}` is in [component.{owner}] already");
                context.report(&path, message, "a path prefix goes to one component: change or remove one of the two");
            }
        }
    }
}

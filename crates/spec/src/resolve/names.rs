//! Names and numbers that something outside of the file has rules for.

use super::Context;
use super::system::is_of_the_system;
use crate::words::all_of;

/// The longest name that Incus takes, and the longest label of a DNS name.
pub(super) const INSTANCE_NAME_MAX: usize = 63;
/// What a part of a platform is selected by, beside the names that the file gives.
pub(super) const RESERVED: [&str; 11] =
    ["lb", "ops", "common", "component", "redis", "postgres", "postgres-restore", "pg", "pooler", "store", "edge"];

/// Lower-case letters, digits and inner hyphens, a letter first.
pub(crate) fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inner) && !name.ends_with('-')
}

/// The names of components and groups begin the names of instances, which are host names.
pub(super) fn label(name: &str, path: &[&str], context: &mut Context<'_>) {
    if !is_label(name) {
        let message = format!("`{name}` cannot begin the name of an instance, which is a host name");
        let help = match suggest(name) {
            Some(suggestion) => {
                format!("call it e.g. `{suggestion}`: lower-case letters, digits and inner hyphens, a letter first")
            }
            None => "use lower-case letters, digits and inner hyphens, a letter first".to_owned(),
        };
        context.report_key(path, message, help);
    } else if RESERVED.contains(&name) {
        let message = format!("`{name}` is the name of something that every platform has");
        context.report_key(path, message, format!("choose another name than {}", all_of(RESERVED.map(str::to_owned))));
    } else if is_of_the_system(name) {
        let message = format!("`{name}` is the name of a unit or a folder of the system");
        let help = format!(
            "call it e.g. `{name}-app`: a component gets a unit and a folder in /etc of its own name, and would overwrite these"
        );
        context.report_key(path, message, help);
    }
}

/// The name of a cluster member is whatever DNS name its server has.
pub(super) fn host(name: &str, path: &[&str], context: &mut Context<'_>) {
    if !name.split('.').all(is_host_label) {
        let message = format!("`{name}` is not a host name");
        context.report_key(
            path,
            message,
            "use the name that the member has in the Incus cluster: `incus cluster list`",
        );
    }
}

/// A host name that a certificate may be for; `*` stands for its whole first label (RFC 6125).
pub(super) fn dns_name(name: &str, path: &[&str], context: &mut Context<'_>) {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if name.parse::<std::net::IpAddr>().is_ok() {
        let message = format!("`{name}` is an address, which the certificate is good for by itself");
        context.report(path, message, "name hosts only: `[load_balancer] address` is always part of the certificate");
    } else if name.len() > 253 || !rest.split('.').all(is_host_label) {
        let message = format!("`{name}` is not a host name");
        context.report(path, message, "use a name like `shop.example`, or `*.shop.example` for all below it");
    }
}

fn is_host_label(label: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let length = 1..=INSTANCE_NAME_MAX;
    length.contains(&label.len()) && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

pub(super) fn environment_variable(name: &str, value: &str, path: &[&str], context: &mut Context<'_>) {
    let first = |c: char| c.is_ascii_uppercase() || c == '_';
    if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
        let suggestion: String =
            name.to_uppercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let suggestion = if suggestion.starts_with(first) { suggestion } else { format!("_{suggestion}") };
        let message = format!("`{name}` is not the name of an environment variable");
        context.report_key(
            path,
            message,
            format!("call it `{suggestion}`: capital letters, digits and `_`, no digit first"),
        );
    }
    if value.chars().any(char::is_control) {
        let message = format!("the value of `{name}` holds a control character, e.g. a line break");
        context.report(path, message, "a variable is one line: encode the value, or put it into a secret");
    }
}

/// A port that nothing else on the instance has.
pub(super) fn port(port: u16, load_balancer: bool, path: &[&str], context: &mut Context<'_>) {
    let holder = match port {
        22 => "the SSH server",
        9_100 => "the node exporter",
        8_404 if load_balancer => "HAProxy's own statistics",
        8_405 if load_balancer => "HAProxy's word to the other load balancers",
        8_406 if load_balancer => "HAProxy's door for the machine itself",
        _ => return,
    };
    let message = format!("port {port} belongs to {holder} of the same instance");
    context.report(path, message, "choose another port, e.g. 8080");
}

fn suggest(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let mapped: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let trimmed = mapped.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

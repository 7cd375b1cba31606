use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Context;
use crate::document::{Place, Source};
use crate::platform::Ssh;
use crate::raw;

pub(super) fn ssh(raw: &raw::Ssh, context: &mut Context<'_>) -> Option<Ssh> {
    let allow_from = raw.allow_from.as_ref().map(|sources| allow_from(sources, context));
    let mut authorized_keys = inline_keys(&raw.authorized_keys, context);
    if let Some(file) = &raw.authorized_keys_file {
        authorized_keys.extend(keys_of_file(file, context));
    }
    let nothing_given = raw.authorized_keys.is_empty() && raw.authorized_keys_file.is_none();
    if nothing_given && !context.is_suspect(&["ssh"]) {
        let help = "set `authorized_keys = [\"ssh-ed25519 …\"]` or `authorized_keys_file` in [ssh]";
        context.report(&["ssh", "authorized_keys"], "no key may log in: nobody could operate the platform", help);
    }
    Some(Ssh { allow_from: allow_from?, authorized_keys })
}

fn allow_from(sources: &[String], context: &mut Context<'_>) -> Vec<Ipv4Net> {
    if sources.is_empty() {
        let help = "name the networks that operators come from, e.g. [\"192.0.2.0/24\"]";
        context.report(&["ssh", "allow_from"], "nobody may reach the SSH servers: the list is empty", help);
    }
    let mut networks = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let index = index.to_string();
        let path = ["ssh", "allow_from", &index];
        match source.parse::<Ipv4Net>().or_else(|_| source.parse::<Ipv4Addr>().map(Ipv4Net::from)) {
            Ok(network) if network.addr() == network.network() => networks.push(network),
            Ok(network) => {
                let message = format!("`{source}` is an address in a network, not a network");
                let help = format!(
                    "write \"{}\" for the network or \"{}\" for the one address",
                    network.trunc(),
                    network.addr()
                );
                context.report(&path, message, help);
            }
            Err(_) => {
                let message = format!("`{source}` is not an IPv4 network or address");
                context.report(&path, message, "write e.g. \"192.0.2.0/24\" or \"192.0.2.7\"");
            }
        }
    }
    networks
}

fn inline_keys(keys: &[String], context: &mut Context<'_>) -> Vec<String> {
    let mut sound = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let place = context.locate(&["ssh", "authorized_keys", &index.to_string()]);
        sound.extend(public_key(key, place, context));
    }
    sound
}

fn keys_of_file(file: &str, context: &mut Context<'_>) -> Vec<String> {
    let place = context.locate(&["ssh", "authorized_keys_file"]);
    let path = place.source.resolve(file);
    let text = match context.files.read(&path) {
        Ok(text) => text,
        Err(reason) => {
            let message = format!("the file of public keys cannot be read: {}: {reason}", path.display());
            context.report_at(
                place,
                message,
                "make a key pair with `ssh-keygen -t ed25519`, and name its public half here",
            );
            return Vec::new();
        }
    };
    let source = Source::new(&path, text);
    let mut sound = Vec::new();
    let mut offset = 0;
    let mut lines = 0;
    for line in source.text().split_inclusive('\n') {
        let key = line.trim();
        if !key.is_empty() && !key.starts_with('#') {
            lines += 1;
            let start = offset + line.find(key).unwrap_or(0);
            let key = public_key(key, source.place(start..start + key.len()), context);
            // The rest of a private key would only repeat what its first line said.
            let Some(key) = key else { break };
            sound.push(key);
        }
        offset += line.len();
    }
    if lines == 0 {
        context.report_at(
            place,
            format!("{} holds no key", path.display()),
            "put one public key on each line of the file",
        );
    }
    sound
}

/// Never repeats the text in a message: it may be a private key.
fn public_key(text: &str, place: Place, context: &mut Context<'_>) -> Option<String> {
    if text.contains("PRIVATE KEY") {
        let message = "this is a private key: it must never be in a platform file or beside one";
        let help = "use the public half, from the `.pub` file beside it; make a new pair if this file was shared";
        context.report_concealed(place, message, help);
        return None;
    }
    match ssh_key::PublicKey::from_openssh(text) {
        Ok(key) if !matches!(key.algorithm(), ssh_key::Algorithm::Dsa | ssh_key::Algorithm::Other(_)) => {
            Some(text.trim().to_owned())
        }
        Ok(key) => {
            let message = format!("keys of the type {} are not accepted by SSH servers of today", key.algorithm());
            context.report_at(place, message, "make an Ed25519 key: `ssh-keygen -t ed25519`");
            None
        }
        Err(error) => {
            let first = text.split_whitespace().next().unwrap_or_default();
            let why = match first.parse::<ssh_key::Algorithm>() {
                _ if first.is_empty() => "it is empty".to_owned(),
                Ok(ssh_key::Algorithm::Other(_)) | Err(_) => "it does not begin with the type of a key".to_owned(),
                Ok(_) => format!("it is damaged or cut off ({error})"),
            };
            let help = "use one line like `ssh-ed25519 AAAA… name`, whole and without options, as in a `.pub` file";
            context.report_at(place, format!("this is not an OpenSSH public key: {why}"), help);
            None
        }
    }
}

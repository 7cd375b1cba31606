use std::net::{Ipv4Addr, SocketAddrV4};

use super::Context;
use crate::platform::{Endpoint, Https, Incus};
use crate::raw;

const SOCKET: &str = "/var/lib/incus/unix.socket";
/// Where Incus itself listens unless it is told otherwise.
const PORT: u16 = 8443;

pub(super) fn incus(incus: &raw::Incus, default_project: Option<&str>, context: &mut Context<'_>) -> Option<Incus> {
    let endpoint = endpoint(incus, context);
    let project = incus.project.as_deref().or(default_project)?;
    if project == "default" {
        let message = "`default` is Incus's own project, which also holds what is not of this platform";
        context.report(&["incus", "project"], message, "leave `project` out, or choose another name");
    }
    Some(Incus { project: project.to_owned(), endpoint: endpoint?, pool: incus.pool.clone() })
}

fn endpoint(incus: &raw::Incus, context: &mut Context<'_>) -> Option<Endpoint> {
    let files = [
        ("server_certificate_file", &incus.server_certificate_file),
        ("client_certificate_file", &incus.client_certificate_file),
    ];
    let Some(address) = &incus.address else {
        for (key, _) in files.iter().filter(|(_, file)| file.is_some()) {
            let message = format!("`{key}` is for a daemon elsewhere, but [incus] names no `address`");
            context.report_key(&["incus", key], message, "add `address`, or remove this");
        }
        return Some(Endpoint::Socket(incus.socket.as_deref().unwrap_or(SOCKET).into()));
    };
    if incus.socket.is_some() {
        let message = "there are two ways to the daemon: `socket` and `address`";
        context.report_key(
            &["incus", "socket"],
            message,
            "keep `socket` on the daemon's own machine, `address` elsewhere",
        );
    }
    for (key, file) in files {
        if file.is_none() && !context.is_suspect(&["incus", key]) {
            let message = format!("a daemon at an `address` needs a `{key}`");
            context.report(
                &["incus", "address"],
                message,
                format!("name a file to keep it in: `{key} = \"NAME.{}.pem\"`", key.split('_').next().unwrap_or(key)),
            );
        }
    }
    if files[0].1.is_some() && files[0].1 == files[1].1 {
        let message = "the daemon's certificate and the operators' are two, and cannot lie in one file";
        context.report(
            &["incus", files[1].0],
            message,
            "name another file: `client_certificate_file = \"NAME.client.pem\"`",
        );
    }
    let address =
        address.parse::<SocketAddrV4>().or_else(|_| Ok(SocketAddrV4::new(address.parse::<Ipv4Addr>()?, PORT)));
    let address = address.map_err(|_: std::net::AddrParseError| {
        let message = "this is not an IPv4 address, nor one with a port";
        context.report(&["incus", "address"], message, "write e.g. \"192.0.2.10\" or \"192.0.2.10:8443\"");
    });
    let path = |key, file: &str| context.locate(&["incus", key]).source.resolve(file);
    Some(Endpoint::Https(Https {
        address: address.ok()?,
        server_certificate: path(files[0].0, files[0].1.as_ref()?),
        client_certificate: path(files[1].0, files[1].1.as_ref()?),
        client_key: Https::CLIENT_KEY.to_owned(),
    }))
}

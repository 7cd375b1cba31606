//! The front door: its virtual address and its certificate.

use std::net::Ipv4Addr;

use x509_cert::Certificate;

use super::{Context, names, pins};
use crate::document::Place;
use crate::platform::{FrontCertificate, GivenCertificate, LoadBalancer, Network, Tls};
use crate::raw::{self, Survives};

const ADDRESS: [&str; 2] = ["load_balancer", "address"];
const TLS: [&str; 2] = ["load_balancer", "tls"];
const CERTIFICATE: [&str; 3] = ["load_balancer", "tls", "certificate_file"];
const NAMES: [&str; 3] = ["load_balancer", "tls", "names"];

pub(super) fn load_balancer(file: &raw::File, network: Option<&Network>, context: &mut Context<'_>) -> LoadBalancer {
    let raw = &file.load_balancer;
    names::port(raw.port, true, &["load_balancer", "port"], context);
    LoadBalancer {
        topology: raw.topology,
        port: raw.port,
        connections_max: raw.connections_max,
        address: address(file, network, context),
        tls: raw.tls.as_ref().and_then(|tls| self::tls(tls, file, context)),
    }
}

fn address(file: &raw::File, network: Option<&Network>, context: &mut Context<'_>) -> Option<Ipv4Addr> {
    let raw = &file.load_balancer;
    let several = raw.instances >= 2;
    let is_sure = !context.is_suspect(&["load_balancer", "instances"]) && !context.is_suspect(&ADDRESS);
    let Some(text) = &raw.address else {
        if file.survives == Survives::Host && several && is_sure {
            let message = "[load_balancer] has no virtual address: the loss of a host takes an address with it that clients use, but `survives` is \"host\"";
            let help = "set `address` in [load_balancer] to a free address of the subnet: the load balancers share it";
            context.report(&ADDRESS, message, help);
        }
        return None;
    };
    if !several && is_sure {
        let message = "a virtual address is shared by load balancers, and there is only one";
        context.report(&ADDRESS, message, "set `instances = 2` in [load_balancer], or remove `address`");
    }
    pins::address(text, network, &ADDRESS, context)
}

fn tls(raw: &raw::Tls, file: &raw::File, context: &mut Context<'_>) -> Option<Tls> {
    let path = ["load_balancer", "tls", "port"];
    names::port(raw.port, true, &path, context);
    if raw.port == file.load_balancer.port {
        let message = format!("port {} is the one of plain HTTP already", raw.port);
        context.report(&path, message, "choose another, usually 443, beside `port = 80` in [load_balancer]");
    }
    Some(Tls { port: raw.port, certificate: certificate(raw, context)? })
}

fn certificate(raw: &raw::Tls, context: &mut Context<'_>) -> Option<FrontCertificate> {
    match (&raw.certificate_file, raw.names.as_slice()) {
        (Some(file), []) => given_certificate(file, &raw.key, context).map(FrontCertificate::Given),
        (None, [_, ..]) => {
            for (index, name) in raw.names.iter().enumerate() {
                names::dns_name(name, &[&NAMES[..], &[&index.to_string()]].concat(), context);
            }
            Some(FrontCertificate::Own { names: raw.names.clone() })
        }
        (None, []) if context.is_suspect(&CERTIFICATE) || context.is_suspect(&NAMES) => None,
        (None, []) => {
            let message = "[load_balancer.tls] has no certificate";
            let help = "add `certificate_file = \"front.pem\"` for one that you bring, or `names = [\"shop.example\"]` for one that the environment's own authority issues and `up` renews";
            context.report(&TLS, message, help);
            None
        }
        (Some(_), [_, ..]) => {
            let message = "the certificate comes from a file, so nobody issues one for `names`";
            let help = "remove `names` to use the file, or `certificate_file` to have it issued and renewed by `up`";
            context.report(&NAMES, message, help);
            None
        }
    }
}

fn given_certificate(file: &str, key: &str, context: &mut Context<'_>) -> Option<GivenCertificate> {
    let place = context.locate(&CERTIFICATE);
    let path = place.source.resolve(file);
    let chain = match context.files.read(&path) {
        Ok(chain) => chain,
        Err(reason) => {
            let message = format!("the certificate cannot be read: {}: {reason}", path.display());
            let help = "put the certificate there as PEM, its intermediates after it; its key goes into the secrets";
            context.report_at(place, message, help);
            return None;
        }
    };
    let expires_s = expiry(&chain, &format!("{}", path.display()), place, context)?;
    Some(GivenCertificate { chain, key: key.to_owned(), expires_s })
}

/// When the first certificate of a chain ends; a chain that HAProxy could not read is reported.
fn expiry(chain: &str, path: &str, place: Place, context: &mut Context<'_>) -> Option<u64> {
    if chain.contains("PRIVATE KEY") {
        let message = format!("{path} holds a private key, which must never lie beside a platform file");
        let help = "move the key into the secrets; make a new pair if the file was shared";
        context.report_concealed(place, message, help);
        return None;
    }
    match Certificate::load_pem_chain(chain.as_bytes()) {
        Ok(certificates) if !certificates.is_empty() => {
            Some(certificates[0].tbs_certificate().validity().not_after.to_unix_duration().as_secs())
        }
        answer => {
            let why = answer.err().map_or_else(|| "it is empty".to_owned(), |error| error.to_string());
            let message = format!("{path} is no chain of certificates: {why}");
            context.report_at(
                place,
                message,
                "use PEM: `-----BEGIN CERTIFICATE-----`, the server's own certificate first",
            );
            None
        }
    }
}

//! Where instances are placed, and what they would be lost with.

use std::collections::BTreeMap;

use super::Context;
use super::instances::Group;
use super::names::host;
use crate::raw::{self, Survives};
use crate::words::{alternatives, count, heading};

/// The cluster's members, in the order of the file, with their failure domains.
pub(super) struct Hosts<'a> {
    pub(super) domains: Vec<(&'a str, &'a str)>,
    /// Whether no two members of a group may share a failure domain.
    pub(super) apart: bool,
}

impl<'a> Hosts<'a> {
    pub(super) fn new(file: &'a raw::File, context: &mut Context<'_>) -> Self {
        let named = context.keys(&["hosts"]).into_iter().filter_map(|name| file.hosts.get_key_value(name));
        let domains: Vec<(&str, &str)> =
            named.map(|(name, host)| (name.as_str(), host.failure_domain.as_deref().unwrap_or(name))).collect();
        for (name, _) in &domains {
            host(name, &["hosts", name], context);
        }
        let mut distinct: Vec<&str> = domains.iter().map(|(_, domain)| *domain).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let survives_host = file.survives == Survives::Host;
        let enough = distinct.len() >= 2;
        if survives_host && !enough && !context.is_suspect(&["hosts"]) {
            let found = count(distinct.len(), "failure domain");
            let message = format!("the platform cannot survive the loss of a host: [hosts] names {found}");
            let help = "name at least two hosts as [hosts.NAME], with different `failure_domain`s, or set `survives = \"instance\"`";
            context.report(&["survives"], message, help);
        }
        Self { domains, apart: survives_host && enough }
    }

    /// All hosts, the first of each failure domain before the second of any: members that follow each other are apart.
    fn spread(&self) -> Vec<&'a str> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, &str)> = Vec::new();
        for (name, domain) in &self.domains {
            let rank = seen.entry(domain).or_default();
            ranked.push((*rank, name));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, name)| name).collect()
    }

    fn domain(&self, host: &str) -> Option<&'a str> {
        self.domains.iter().find(|(name, _)| *name == host).map(|(_, domain)| *domain)
    }
}

impl Group<'_> {
    /// The hosts that members are placed on in turn; none on a single server.
    pub(super) fn hosts<'b>(&'b self, hosts: &Hosts<'b>, context: &mut Context<'_>) -> Vec<&'b str> {
        let all: Vec<&str> = hosts.domains.iter().map(|(name, _)| *name).collect();
        let Some(chosen) = &self.placement.hosts else {
            return hosts.spread();
        };
        for (index, host) in chosen.iter().enumerate() {
            if !all.contains(&host.as_str()) && !context.is_suspect(&["hosts"]) {
                let help = match all.as_slice() {
                    [] => format!("add [hosts.{host}], or remove `hosts` here"),
                    _ => format!("use {}, or add [hosts.{host}]", alternatives(all.iter().map(ToString::to_string))),
                };
                let index = index.to_string();
                context.report(&self.item("hosts", &index), format!("there is no host `{host}`"), help);
            }
        }
        chosen.iter().map(String::as_str).filter(|host| all.contains(host)).collect()
    }

    /// Each colour is a group of its own: blue and green may share a host. So the first list stands for both.
    pub(super) fn check_domains(&self, hosts: &Hosts<'_>, placed_on: &[&str], context: &mut Context<'_>) {
        if !hosts.apart || placed_on.is_empty() {
            return;
        }
        let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
        for ((name, _), host) in self.members.iter().flatten().zip(placed_on.iter().cycle()).take(self.size()) {
            let Some(domain) = hosts.domain(host) else { continue };
            if let Some(other) = holders.insert(domain, name) {
                let key = if self.placement.hosts.is_some() { "hosts" } else { self.count_key };
                let message = format!(
                    "`{other}` and `{name}` are both in the failure domain `{domain}`, but `survives` is \"host\""
                );
                let help = format!(
                    "give {} one host in each of {}: name other hosts, or lower `{}`",
                    heading(&self.path),
                    count(self.size(), "failure domain"),
                    self.count_key
                );
                context.report(&self.key(key), message, help);
                return;
            }
        }
    }
}

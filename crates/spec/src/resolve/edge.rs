//! The edge cache: which bucket it serves, and by which paths.

use super::Context;
use super::services::bytes;
use crate::raw;
use crate::services::Edge;
use crate::words::heading;

const TABLE: [&str; 1] = ["edge"];
const CACHE: [&str; 2] = ["edge", "cache_max"];
const MIB: u64 = 1024 * 1024;
/// nginx knows 8,000 files by each MiB of the 128 that it has for their keys; most are chunks of 1 MiB.
const CACHE_MAX_MIB: u64 = 1024 * 1024;
const CACHE_MIN_MIB: u64 = 64;
/// The keys, a worker for each CPU, and what is on its way.
const MEMORY_MIN_MIB: u64 = 320;

pub(super) fn edge(raw: &raw::Edge, file: &raw::File, context: &mut Context<'_>) -> Option<Edge> {
    bucket(raw, file, context);
    routes(raw, file, context);
    let cache_max_mib = bytes(&raw.cache_max) / MIB;
    if !context.is_suspect(&CACHE) {
        if cache_max_mib > CACHE_MAX_MIB {
            let message = format!("an edge cannot keep {}: it knows a million chunks of 1 MiB at most", raw.cache_max);
            let help =
                "set `cache_max = \"1024GiB\"` or less, and `instances` to more: each keeps a part of the objects";
            context.report(&CACHE, message, help);
        } else if cache_max_mib < CACHE_MIN_MIB {
            let message = format!("{} is too little for a cache of chunks of 1 MiB", raw.cache_max);
            context.report(&CACHE, message, format!("set `cache_max = \"{CACHE_MIN_MIB}MiB\"` or more"));
        }
    }
    let memory = ["edge", "memory"];
    if let Some(given) = raw.placement.memory.as_ref().filter(|_| !context.is_suspect(&memory))
        && bytes(given) / MIB < MEMORY_MIN_MIB
    {
        let message = format!("{given} of memory is too little for an edge: the keys of its cache alone take 128 MiB");
        context.report(&memory, message, format!("set `memory = \"{MEMORY_MIN_MIB}MiB\"` or more"));
    }
    Some(Edge {
        bucket: raw.bucket.clone()?,
        routes: raw.routes.clone()?,
        signing_key: raw.signing_key.clone()?,
        cache_max_mib,
    })
}

fn bucket(raw: &raw::Edge, file: &raw::File, context: &mut Context<'_>) {
    let path = ["edge", "bucket"];
    let (Some(bucket), false) = (&raw.bucket, context.is_suspect(&["store"])) else { return };
    let Some(store) = &file.store else {
        let message = "the platform has no [store] that an edge could serve";
        context.report_key(&TABLE, message, format!("add [store] with [store.bucket.{bucket}], or remove [edge]"));
        return;
    };
    if !store.bucket.contains_key(bucket) {
        let message = format!("the store has no bucket `{bucket}`");
        let names: Vec<String> = store.bucket.keys().map(|name| format!("`{name}`")).collect();
        let there = if names.is_empty() { String::new() } else { format!(", or name one of {}", names.join(", ")) };
        context.report(&path, message, format!("add [store.bucket.{bucket}]{there}"));
    }
}

/// A path prefix goes to one component, or to the edges.
fn routes(raw: &raw::Edge, file: &raw::File, context: &mut Context<'_>) {
    for (index, route) in raw.routes.iter().flatten().enumerate() {
        let owner = file.component.iter().find(|(_, component)| component.routes.contains(route));
        if let Some((name, _)) = owner {
            let path = ["component", name.as_str()];
            let message = format!("the route `{route}` is in {} already", heading(&path));
            let help = "a path prefix goes to one component, or to the edges: change or remove one of the two";
            context.report(&["edge", "routes", &index.to_string()], message, help);
        }
    }
}

//! Backups of PostgreSQL: which bucket they go to, and that it is theirs alone.

use super::Context;
use crate::raw;
use crate::services::Backup;

const TABLE: [&str; 2] = ["postgres", "backup"];
const BUCKET: [&str; 3] = ["postgres", "backup", "bucket"];

pub(super) fn backup(raw: &raw::Backup, file: &raw::File, context: &mut Context<'_>) -> Option<Backup> {
    let name = raw.bucket.as_deref()?;
    if !context.is_suspect(&["store"]) {
        match &file.store {
            None => {
                let message = "the platform has no [store] that backups could go to";
                let help = format!("add [store] with [store.bucket.{name}], or remove [postgres.backup]");
                context.report_key(&TABLE, message, help);
            }
            Some(store) => bucket(name, store, file, context),
        }
    }
    Some(Backup { bucket: name.to_owned(), keep_full: raw.keep_full, keep_differential: raw.keep_differential })
}

fn bucket(name: &str, store: &raw::Store, file: &raw::File, context: &mut Context<'_>) {
    if store.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        let message = "backups go by HTTPS only, and the store has none";
        context.report(&["store", "endpoint"], message, "name an endpoint that begins with `https://`");
    }
    let Some(bucket) = store.bucket.get(name) else {
        let message = format!("the store has no bucket `{name}`");
        context.report(&BUCKET, message, format!("add [store.bucket.{name}], without users"));
        return;
    };
    let others: Vec<&str> = bucket.users.iter().chain(&bucket.readers).map(String::as_str).collect();
    if let Some(other) = others.first() {
        let message = format!("the bucket `{name}` is open to `{other}`, who could read or delete every backup");
        context.report(&BUCKET, message, "name a bucket that has no `users` and no `readers`");
    }
    if file.edge.as_ref().is_some_and(|edge| edge.bucket.as_deref() == Some(name)) {
        let message = format!("the bucket `{name}` is what edges serve");
        context.report(&BUCKET, message, "name a bucket of its own for backups");
    }
    if bucket.expire_days.is_some() {
        let message = format!("the bucket `{name}` forgets its objects by their age: backups that are needed, too");
        let help = "remove `expire_days`: `keep_full` and `keep_differential` say what goes";
        context.report(&["store", "bucket", name, "expire_days"], message, help);
    }
}

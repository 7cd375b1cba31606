//! From files to one merged tree.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{Node, Source, parse};
use crate::words::{all_of, did_you_mean};

/// The files that a platform file is made of, as the caller reads them.
pub trait Files {
    /// The text of a file, or why it cannot be read, in a few words (`No such file or directory`).
    fn read(&self, path: &Path) -> Result<String, String>;

    /// The names of the entries of a folder; none if there is no such folder.
    fn list(&self, folder: &Path) -> Vec<String>;
}

/// Reads the platform file and lays the environment's overlay over it.
pub(crate) fn read(files: &dyn Files, platform_file: &Path, environment: &str) -> Result<Node, Diagnostics> {
    let platform = read_one(files, platform_file);
    let folder = platform_file.parent().unwrap_or(Path::new("")).join("env");
    let environments = environments(files, &folder);
    if !environments.iter().any(|known| known == environment) {
        let unknown = unknown_environment(platform_file, &platform, environment, &environments);
        return Err(platform.err().into_iter().chain([unknown]).collect::<Vec<_>>().into());
    }
    let overlay = read_one(files, &folder.join(format!("{environment}.toml")));
    match (platform, overlay) {
        (Ok(mut root), Ok(overlay)) => {
            root.merge(overlay);
            Ok(root)
        }
        (platform, overlay) => Err(platform
            .err()
            .into_iter()
            .chain(overlay.err())
            .collect::<Vec<_>>()
            .into()),
    }
}

fn read_one(files: &dyn Files, path: &Path) -> Result<Node, Diagnostic> {
    let text = files.read(path).map_err(|reason| {
        let message = format!("the file cannot be read: {reason}");
        Diagnostic::new(
            Source::new(path, String::new()).start(),
            message,
            "give the path of a platform file that you may read",
        )
    })?;
    let source = Source::new(path, text);
    parse(&source).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let help = if error.message().contains("duplicate key") {
            "keep one of the two"
        } else {
            "correct the TOML here; nothing else was checked"
        };
        Diagnostic::new(
            source.place(span),
            format!("this is not TOML: {}", error.message()),
            help,
        )
    })
}

fn environments(files: &dyn Files, folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = files
        .list(folder)
        .iter()
        .filter_map(|name| name.strip_suffix(".toml"))
        .map(str::to_owned)
        .collect();
    // The secrets of an environment lie beside its overlay, as `NAME.secrets.toml`.
    names.retain(|name| !name.contains('.'));
    names.sort();
    names
}

fn unknown_environment(
    platform_file: &Path,
    platform: &Result<Node, Diagnostic>,
    environment: &str,
    environments: &[String],
) -> Diagnostic {
    let known: Vec<&str> = environments.iter().map(String::as_str).collect();
    let listed = match environments {
        [] => format!("make `env/{environment}.toml`; it may be empty"),
        _ => format!(
            "there is {}; a new one is a file there, which may be empty",
            all_of(environments.to_vec())
        ),
    };
    let help = did_you_mean(environment, &known).map_or_else(|| listed.clone(), |guess| format!("{guess} {listed}"));
    let message = format!("there is no environment `{environment}`: no file `env/{environment}.toml` beside this one");
    let place = match platform {
        Ok(root) => root.locate(&[]).source.start(),
        Err(_) => Source::new(platform_file, String::new()).start(),
    };
    Diagnostic::new(place, message, help)
}

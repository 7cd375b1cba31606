//! From files to one merged tree.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{Node, Source, parse};
use crate::resolve::{Context, is_label};
use crate::words::{all_of, did_you_mean};

const ENVIRONMENT_NAME_MAX: usize = 20;

/// The files that a platform file is made of, as the caller reads them.
pub trait Files {
    /// The text of a file, or why it cannot be read, in a few words (`No such file or directory`).
    fn read(&self, path: &Path) -> Result<String, String>;

    /// The names of the entries of a folder; none if there is no such folder.
    fn list(&self, folder: &Path) -> Vec<String>;
}

/// What the files say.
pub(crate) struct Read {
    /// The platform file with the environment's overlay laid over it.
    pub(crate) whole: Node,
    /// The platform file alone.
    pub(crate) base: Node,
}

/// Reads the platform file and lays the environment's overlay over it.
pub(crate) fn read(files: &dyn Files, platform_file: &Path, environment: &str) -> Result<Read, Diagnostics> {
    let platform = read_one(files, platform_file);
    let folder = platform_file.parent().unwrap_or(Path::new("")).join("env");
    let environments = environments(files, &folder);
    let overlay = if environments.iter().any(|known| known == environment) {
        read_one(files, &folder.join(format!("{environment}.toml")))
    } else {
        match &platform {
            Ok(root) => Err(unknown_environment(root, environment, &environments)),
            // Without a platform file it says nothing that nobody can find an overlay beside it.
            Err(mistake) => return Err(vec![mistake.clone()].into()),
        }
    };
    match (platform, overlay) {
        (Ok(base), Ok(overlay)) => {
            let mut whole = base.clone();
            whole.merge(overlay);
            Ok(Read { whole, base })
        }
        (platform, overlay) => Err(platform.err().into_iter().chain(overlay.err()).collect::<Vec<_>>().into()),
    }
}

/// Where the certificate of an environment's own authority lies: in the clear, beside its overlay.
pub fn internal_authority_path(platform_file: &Path, environment: &str) -> PathBuf {
    platform_file.parent().unwrap_or(Path::new("")).join("env").join(format!("{environment}.ca.pem"))
}

/// The certificate, when there is one: a file that is there and cannot be read must not be taken for one to be made.
pub(crate) fn internal_authority(platform_file: &Path, environment: &str, context: &mut Context<'_>) -> Option<String> {
    let path = internal_authority_path(platform_file, environment);
    let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
    if !context.files.list(folder).iter().any(|known| known == name) {
        return None;
    }
    match context.files.read(&path) {
        Ok(text) => Some(text),
        Err(reason) => {
            let message = format!("the certificate of the environment's authority cannot be read: {reason}");
            let place = Source::new(&path, String::new()).start();
            context.report_at(place, message, "make it readable; what the instances trust is in it");
            None
        }
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
        Diagnostic::new(source.place(span), format!("this is not TOML: {}", error.message()), help)
    })
}

/// The name of an environment becomes a part of the names of its project and bridge.
fn environments(files: &dyn Files, folder: &Path) -> Vec<String> {
    let names = files.list(folder);
    let mut names: Vec<String> =
        names.iter().filter_map(|name| name.strip_suffix(".toml")).map(str::to_owned).collect();
    // The secrets of an environment lie beside its overlay, as `NAME.secrets.age`, and others whose names have two dots: no label.
    names.retain(|name| is_label(name) && name.len() <= ENVIRONMENT_NAME_MAX);
    names.sort();
    names
}

fn unknown_environment(root: &Node, environment: &str, environments: &[String]) -> Diagnostic {
    let place = root.locate(&[]).source.start();
    if !is_label(environment) || environment.len() > ENVIRONMENT_NAME_MAX {
        let message = format!("`{environment}` cannot be the name of an environment");
        let help = format!(
            "use at most {ENVIRONMENT_NAME_MAX} lower-case letters, digits and inner hyphens, a letter first, and name the overlay after it"
        );
        return Diagnostic::new(place, message, help);
    }
    let known: Vec<&str> = environments.iter().map(String::as_str).collect();
    let guess = did_you_mean(environment, &known).map(|guess| format!("{guess} ")).unwrap_or_default();
    let help = match environments {
        [] => format!("make `env/{environment}.toml`; it may be empty"),
        [only] => format!("{guess}the only one is `{only}`; a new one is a file beside it, which may be empty"),
        _ => format!(
            "{guess}there are {}; a new one is a file beside them, which may be empty",
            all_of(environments.to_vec())
        ),
    };
    let message = format!("there is no environment `{environment}`: no file `env/{environment}.toml` beside this one");
    Diagnostic::new(place, message, help)
}

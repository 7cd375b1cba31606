use std::path::{Path, PathBuf};

/// Where the files of an environment's secrets lie, beside its platform file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub environment: String,
    /// The encrypted file.
    pub secrets: PathBuf,
    /// Who may read it.
    pub recipients: PathBuf,
}

impl Place {
    pub fn beside(platform_file: &Path, environment: &str) -> Self {
        let folder = platform_file.parent().unwrap_or(Path::new(""));
        Self {
            environment: environment.to_owned(),
            secrets: folder.join("env").join(format!("{environment}.secrets.age")),
            recipients: folder.join("recipients.toml"),
        }
    }
}

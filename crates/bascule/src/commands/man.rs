use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::described;
use crate::failure::EXIT_CODES;
use crate::render;

const EXAMPLES: &str = "\
Examples:
  bascule man /usr/local/share/man/man1    then: man bascule-up
  bascule man /tmp/pages && man /tmp/pages/bascule.1";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The folder to write them into; it is made if it is not there
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match write(&arguments.folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let folder = arguments.folder.display();
            render::wrong(&format!("the man pages cannot be written to {folder}: {error}"), "name another folder")
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for command in described() {
        let source = format!("bascule {}", env!("CARGO_PKG_VERSION"));
        let man = Man::new(command.clone()).manual("Bascule").source(source);
        fs::write(folder.join(man.get_filename()), page(&man, &command)?)?;
    }
    Ok(())
}

/// The page that `clap_mangen` makes, but with the examples and the exit codes under the headings that readers of man
/// pages look for.
fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::new();
    // A verb that only has others below it leaves the examples to them.
    let examples = examples(command);
    if !examples.is_empty() {
        rest.control("SH", ["EXAMPLES"]).control("nf", []);
        examples.into_iter().for_each(|line| _ = rest.text([roman(line)]));
        rest.control("fi", []);
    }
    rest.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        rest.control("TP", []).text([bold(code.to_string())]).text([roman(meaning)]);
    }
    page.extend(rest.render().into_bytes());
    Ok(page)
}

/// The lines of a command's help below `Examples:`.
pub(crate) fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let block = help.lines().skip_while(|line| *line != "Examples:").skip(1).take_while(|line| !line.is_empty());
    block.map(str::to_owned).collect()
}

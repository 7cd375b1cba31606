use std::process::ExitCode;

use bascule_plan::event::{Event, Summary};
use bascule_secrets::SecretsFile;
use bascule_spec::Platform;

use super::ROLL_OUT;
use super::editor::{Editor, Session};
use crate::cli::Common;
use crate::failure::Failed;
use crate::{runtime, secrets};

/// What the lines that are not of the file itself begin with.
const REMARK: &str = "#! ";

pub(crate) fn run(common: &Common) -> ExitCode {
    runtime::on_files_beside_a_program(common, "secrets edit", async |platform, events| {
        let mut file = secrets::open(common, &platform.environment)?;
        let editor = Editor::of_this_person()?;
        let before = file.text();
        edited(&mut file, &platform, &editor).await?;
        if file.text() == before {
            let _ = events.send(Event::Note { message: "nothing was changed".to_owned() });
            return Ok(Summary::default());
        }
        file.save()?;
        let _ = events.send(Event::Note { message: format!("the secrets were changed; {ROLL_OUT}") });
        Ok(Summary::default())
    })
}

/// How often a text is shown again: an editor that is no person makes the same mistake for ever.
const TRIES_MAX: u32 = 20;

/// Lets the person edit until the text has no mistake, which is told above it. Fails when they leave one in.
async fn edited(file: &mut SecretsFile, platform: &Platform, editor: &Editor) -> Result<(), Failed> {
    let in_use: Vec<String> =
        file.names().filter(|name| !secrets::users(platform, name).is_empty()).map(str::to_owned).collect();
    let session = Session::begin(&format!("{}.secrets.toml", file.place().environment))?;
    let mut shown =
        remarks(&["name = \"value\" lines. What you leave in this file when you close it counts."]) + &file.text();
    let mut tries = 0;
    loop {
        tries += 1;
        let text = session.edit(editor, &shown).await?;
        let own = without_remarks(&text);
        let mistake = match file.replace_text(&own) {
            Err(mistake) => format!("{mistake}, counted without these lines"),
            Ok(()) => match in_use.iter().find(|name| file.value(name).is_err()) {
                Some(gone) => format!("{gone} is gone, which {} uses", secrets::users(platform, gone).join(", ")),
                None => return Ok(()),
            },
        };
        if text == shown || tries == TRIES_MAX {
            let message = format!("the mistake was left in ({mistake}): nothing was changed");
            return Err(Failed::usage(message, "bascule secrets edit"));
        }
        shown = remarks(&[&format!("{mistake}."), "To give up, close the file as it is."]) + &own;
    }
}

fn remarks(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{REMARK}{line}\n")).collect()
}

fn without_remarks(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with(REMARK.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_taken_out_again_and_comments_stay() {
        let text = "# ours\ntoken = \"a\"\n";
        assert_eq!(without_remarks(&(remarks(&["one", "two"]) + text)), text);
    }
}

use bascule_plan::agent::{Evidence, Report, Request};

/// Takes the values of secrets out of reports: a validator or a service may quote the line it does not like.
#[derive(Debug)]
pub(crate) struct Redactor {
    /// What to look for and what to put there, the longest first.
    hidden: Vec<(String, String)>,
}

impl Redactor {
    pub(crate) fn new(request: &Request) -> Self {
        let mut hidden = Vec::new();
        let secrets = request.secrets.iter().map(|(name, secret)| (name, &secret.value));
        for (name, value) in secrets.chain(&request.certificates) {
            let value = value.trim();
            // A key of many lines is quoted line by line; the shortest lines of one say nothing.
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= 8);
            for text in std::iter::once(value).chain(lines).filter(|text| !text.is_empty()) {
                hidden.push((text.to_owned(), format!("[secret {name}]")));
            }
        }
        hidden.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { hidden }
    }

    pub(crate) fn report(&self, report: Report) -> Report {
        match report {
            Report::Begin { .. } | Report::Done => report,
            Report::Progress { step, message } => Report::Progress { step, message: self.text(message) },
            Report::End { step, outcome, reason, duration_ms, expires_s, evidence } => {
                let evidence = Evidence {
                    last_answer: evidence.last_answer.map(|text| self.text(text)),
                    unit_status: evidence.unit_status.map(|text| self.text(text)),
                    log: evidence.log.into_iter().map(|line| self.text(line)).collect(),
                };
                Report::End { step, outcome, reason: self.text(reason), duration_ms, expires_s, evidence }
            }
        }
    }

    fn text(&self, text: String) -> String {
        self.hidden.iter().fold(
            text,
            |text, (secret, mark)| {
                if text.contains(secret) { text.replace(secret, mark) } else { text }
            },
        )
    }
}

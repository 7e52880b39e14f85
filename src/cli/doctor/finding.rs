//! What the doctor found, one line each.

use serde_json::{Value, json};

use crate::cli::sockets::printable;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// It does not work.
    Trouble,
}

impl Grade {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Trouble => "trouble",
        }
    }
}

/// One line of the checklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    /// What was looked at.
    pub(super) about: String,
    /// How it is; where that is bad, why, and the way out.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn ok(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, about: about.into(), text: text.into() }
    }

    pub(super) fn warning(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { grade: Grade::Warning, about: about.into(), text: text.into() }
    }

    pub(super) fn trouble(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { grade: Grade::Trouble, about: about.into(), text: text.into() }
    }
}

/// For people.
pub(super) fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.about.chars().count()).max().unwrap_or_default();
    let line = |finding: &Finding| {
        let (about, text) = (printable(&finding.about), printable(&finding.text));
        format!("{:<7}  {about:<width$}  {text}\n", finding.grade.word())
    };
    findings.iter().map(line).collect()
}

/// For programs.
pub(super) fn view(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| json!({ "grade": finding.grade.word(), "about": finding.about, "text": finding.text });
    findings.iter().map(one).collect()
}

/// How many are that bad.
pub(super) fn count(findings: &[Finding], grade: Grade) -> usize {
    findings.iter().filter(|finding| finding.grade == grade).count()
}

//! What is wrong with a scenario file, and where.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;

/// The first thing in a scenario file that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Field, what stands there, and what was wanted.
    pub reason: String,
}

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.reason)
    }
}

impl std::error::Error for ScenarioError {}

impl ScenarioError {
    pub(crate) fn of_toml(error: &toml::de::Error, text: &str) -> Self {
        // Some reasons show alternatives on lines of their own.
        let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        At(text).error(&error.span().unwrap_or(0..0), reason)
    }
}

/// A text, to say where in it something stands.
#[derive(Clone, Copy)]
pub(crate) struct At<'a>(pub(crate) &'a str);

impl At<'_> {
    pub(crate) fn error(self, span: &Range<usize>, reason: String) -> ScenarioError {
        let before = self.0.get(..span.start).unwrap_or(self.0);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ScenarioError { line, column, reason }
    }

    /// The number, or `default` where none stands.
    pub(crate) fn number(
        self,
        field: &str,
        got: Option<&Spanned<f64>>,
        default: f64,
        wanted: RangeInclusive<f64>,
    ) -> Result<f64, ScenarioError> {
        match got {
            None => Ok(default),
            Some(got) => self.needed(field, got, wanted),
        }
    }

    /// The number, if it is in its range.
    pub(crate) fn needed(
        self,
        field: &str,
        got: &Spanned<f64>,
        wanted: RangeInclusive<f64>,
    ) -> Result<f64, ScenarioError> {
        let value = *got.get_ref();
        if wanted.contains(&value) {
            return Ok(value);
        }
        let reason = format!("{field}: got {value}, wanted {} … {}", wanted.start(), wanted.end());
        Err(self.error(&got.span(), reason))
    }
}

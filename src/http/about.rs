//! What is told of a route, beside the table that has the routes: for the index, the description and the tests. Pure.

use axum::http::Method;

use super::forms::Form;
use super::who::Need;

/// What is told of a route.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Its method.
    pub(super) method: Method,
    /// Its path, as axum writes it: `/v1/devices/{id}`.
    pub(super) path: &'static str,
    /// What a caller must have.
    pub(super) need: Need,
    /// One line.
    pub(super) summary: &'static str,
    /// An example of a body, where it takes one.
    pub(super) body: Option<&'static str>,
    /// The schema of the body.
    pub(super) takes: Option<&'static str>,
    /// What may stand in the query.
    pub(super) asks: &'static [Asked],
    /// What it answers when it is done.
    pub(super) gives: Vec<Gives>,
}

/// What may stand in a query, or in a header of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its name.
    pub(super) name: &'static str,
    /// Its form.
    pub(super) form: Form,
    /// One line.
    pub(super) about: &'static str,
    /// `query` or `header`.
    pub(super) place: &'static str,
    pub(super) required: bool,
}

impl Asked {
    /// A parameter of the query.
    #[must_use]
    pub(super) const fn query(name: &'static str, form: Form, about: &'static str) -> Self {
        Self { name, form, about, place: "query", required: false }
    }

    /// A header.
    #[must_use]
    pub(super) const fn header(name: &'static str, form: Form, about: &'static str) -> Self {
        Self { name, form, about, place: "header", required: false }
    }

    /// It must be there.
    #[must_use]
    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// An answer of a request that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// JSON of this schema.
    Json(u16, &'static str),
    /// Something else: its media type and what it is.
    Other(u16, &'static str, &'static str),
    /// No body.
    Nothing(u16),
}

impl Gives {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Json(status, _) | Self::Other(status, ..) | Self::Nothing(status) => status,
        }
    }
}

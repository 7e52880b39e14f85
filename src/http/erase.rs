//! Erasing readings. Spec: `protocol-spec/http.md`, Erasing.

use axum::extract::Path;
use axum::http::Uri;
use axum::response::Response;

use super::ask::{BadParameter, Query};
use super::events::pairs;
use super::problem::Problem;
use super::readings::{TIME_WANTED, known, moment};
use super::reply::{Object, ok};
use super::{App, State};
use crate::hub::erase::Erase;
use crate::hub::{Given, Request};
use crate::source::{Commands, Source};

pub(super) async fn device<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (id, _) = known(&app.source, &id).await?;
    erased(&app.source, Erase::Of(id)).await
}

pub(super) async fn before<S: Source + Commands>(
    State(app): State<App<S>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    // Without a time it would be all there is: that must be said.
    let missing = BadParameter { field: "before", got: String::new(), wanted: TIME_WANTED };
    let before = moment(Query(&pairs), "before")?.ok_or(missing)?;
    erased(&app.source, Erase::Before(before)).await
}

async fn erased<S: Commands>(source: &S, what: Erase) -> Result<Response, Problem> {
    let Given::Erased(count) = source.request(Request::Erase(what)).await? else {
        unreachable!("an erasure is answered with what was erased");
    };
    Ok(ok(&Object::default().with("erased", count)))
}

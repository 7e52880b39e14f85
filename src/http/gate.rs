//! What stands before every handler, in this order: who asks, how much he asks, whether he may. One layer and not
//! three, for each costs a request as much as its handler.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::who::{self, Need};
use super::{Root, slow};
use crate::source::Access;

/// The gate of a route.
#[derive(Clone)]
pub(super) struct Gate<S> {
    /// The server.
    pub(super) root: Root<S>,
    /// What a caller must have.
    pub(super) need: Need,
}

/// Lets a request pass or answers it.
pub(super) async fn pass<S: Access>(
    State(gate): State<Gate<S>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = who::identify(&gate.root, &mut request);
    let counted = match gate.root.limits.enter(&mut request) {
        Ok(counted) => counted,
        Err(refusal) => return *refusal,
    };
    let mut response = match who::refuse(gate.need, &caller) {
        Some(refusal) => refusal,
        None => {
            request.extensions_mut().insert(caller);
            next.run(slow::timed(request, gate.root.settings.body_time)).await
        }
    };
    counted.leave(&mut response);
    response
}

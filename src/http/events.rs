//! `GET /v1/events`: checks everything that can be refused, then hands over to long-poll or stream.
//! Spec: `protocol-spec/http.md`, Events.

use axum::Extension;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use tokio::time::{Instant, sleep};

use super::ask::{EventsAsk, Query, wants_stream};
use super::cursor::Start;
use super::limits::hot::{DELAY, Verdict};
use super::limits::{Asker, question};
use super::poll::{self, Held, NoPage};
use super::problem::{self, Problem};
use super::reply::{applied, json, texts};
use super::{App, State, pen, sse, stopped};
use crate::json::cursor;
use crate::source::{Commands, Expired, Source};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The decoded pairs of a URI's query.
pub(super) fn pairs(uri: &Uri) -> Vec<(String, String)> {
    // What is no UTF-8 becomes a replacement character, which no value of ours contains.
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// The `Prefer` headers.
pub(super) fn prefer(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    texts(headers, PREFER)
}

pub(super) async fn show<S: Source + Commands>(
    State(app): State<App<S>>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    // A header that is no text is as bad as one with a wrong text.
    let last = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    let ask = EventsAsk::parse(Query(&pairs), last, prefer(&headers))?;
    let start = ask.from.resolve(app.source.identity(), app.source.span());
    let expired = |why| Problem::expired(why, app.source.identity(), app.source.span());
    let mut response = if wants_stream(texts(&headers, header::ACCEPT)) {
        if let (Err(why), true) = (start, ask.strict) {
            return Err(expired(why));
        }
        stream(app, ask, start)?
    } else {
        let after = start.map_err(expired)?;
        let key = question(&asker, after, uri.query());
        if ask.wait.time.is_zero() {
            cool(app.clone(), key).await?;
        }
        long_poll(app.clone(), ask, (after, key), &uri).await?
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn stream<S: Source + Commands>(
    app: App<S>,
    ask: EventsAsk,
    start: Result<u64, Expired>,
) -> Result<Response, Problem> {
    // Whoever comes back with a good cursor has its picture already.
    let anew = start.is_err() || ask.from == Start::Now;
    let stream = sse::Stream::new(app, ask.filter, start).with_snapshot(ask.snapshot && anew);
    let mut response = Response::default();
    pen::body(&mut response, |pen| stream.write(pen));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Slows down who asks for the same again and again, and does not let the gateway wait.
async fn cool<S>(mut app: App<S>, key: u64) -> Result<(), Problem> {
    match app.limits.hot(key) {
        Verdict::Answer => {}
        Verdict::Late => tokio::select! {
            () = stopped(&mut app.stop) => {}
            () = sleep(DELAY) => {}
        },
        Verdict::Away(time) => {
            let detail = "nothing is new at this cursor; ask with `wait=25` and be told when there is";
            return Err(Problem::new(&problem::RATE_LIMITED, detail).after(time));
        }
    }
    Ok(())
}

async fn long_poll<S: Source + Commands>(
    app: App<S>,
    ask: EventsAsk,
    (after, key): (u64, u64),
    uri: &Uri,
) -> Result<Response, Problem> {
    let until = Instant::now() + ask.wait.time;
    let page = poll::page(&app.source, after, &ask.filter, ask.limit).await.map_err(|no| match no {
        NoPage::Expired(why) => Problem::expired(why, app.source.identity(), app.source.span()),
        NoPage::Broken(broken) => broken.into(),
    })?;
    if !page.ready() && ask.wait.time.is_zero() {
        app.limits.nothing_for(key);
    }
    let mut response = if page.ready() || ask.wait.time.is_zero() {
        let identity = app.source.identity();
        let mut response = json(StatusCode::OK, page.body(identity, app.source.span().oldest));
        if let Some(link) = next(uri, &cursor(identity, page.cursor)) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    } else {
        let held = Held { app, filter: ask.filter, limit: ask.limit, after: page.cursor, until };
        let mut response = json(StatusCode::OK, String::new());
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        pen::held(&mut response, |pen| held.write(pen));
        response
    };
    applied(&mut response, ask.wait.preferred_s);
    Ok(response)
}

/// The link to the next page: the same request, from where this one ends.
fn next(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let rest = uri.query().unwrap_or_default().split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !name.is_empty() && name != "after"
    });
    let mut link = format!("<{}?after={cursor}", uri.path());
    rest.for_each(|pair| {
        link.push('&');
        link.push_str(pair);
    });
    link.push_str(">; rel=\"next\"");
    HeaderValue::from_str(&link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_keeps_everything_but_the_position() {
        let uri: Uri = "/v1/events?kind=a%2Cb&after=earliest&&wait=5&device=x".parse().expect("a URI");
        assert_eq!(
            next(&uri, "k3f9q2mz.7").expect("a link"),
            "</v1/events?after=k3f9q2mz.7&kind=a%2Cb&wait=5&device=x>; rel=\"next\""
        );
        let bare: Uri = "/v1/events".parse().expect("a URI");
        assert_eq!(next(&bare, "k3f9q2mz.7").expect("a link"), "</v1/events?after=k3f9q2mz.7>; rel=\"next\"");
    }
}

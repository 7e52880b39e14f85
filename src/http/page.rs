//! Serves the page: the files below `page/`, packed into the program by `build.rs`. It knows nothing of what they do;
//! they use the public API alone.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::{self, Problem};
use super::reply::texts;

/// A file of the page.
struct File {
    /// Below `page/`, with slashes.
    name: &'static str,
    /// Changes with the content.
    tag: &'static str,
    raw: &'static [u8],
    gzip: &'static [u8],
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

const INDEX: &str = "index.html";
const DOCS: &str = "docs.html";

/// Everything comes from the gateway itself, nothing runs that is not a file of it, and nobody frames it.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; \
                      form-action 'self'";

/// Says whether somebody would rather see a page: browsers name `text/html`, programs do not.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    texts(headers, header::ACCEPT).any(|accept| accept.contains("text/html"))
}

/// The API for people.
pub(super) async fn docs(headers: HeaderMap) -> Response {
    named(DOCS, &headers)
}

/// The page itself.
pub(super) fn index(headers: &HeaderMap) -> Response {
    named(INDEX, headers)
}

fn named(name: &str, headers: &HeaderMap) -> Response {
    find(name).map_or_else(|| StatusCode::NOT_FOUND.into_response(), |file| answer(file, headers))
}

/// A file that the page is made of.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    find(&name)
        .map(|file| answer(file, &headers))
        .ok_or_else(|| Problem::new(&problem::NOT_FOUND, format!("the page has no file `{name}`")))
}

fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

fn answer(file: &'static File, headers: &HeaderMap) -> Response {
    let known = texts(headers, header::IF_NONE_MATCH)
        .flat_map(|header| header.split(','))
        .any(|tag| tag.trim().trim_start_matches("W/") == file.tag.trim_start_matches("W/"));
    let mut response = Response::new(Body::empty());
    let told: [(HeaderName, &'static str); 6] = [
        (header::ETAG, file.tag),
        // Kept, and asked for each time whether it is still good: an update must not meet half of the old page.
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept, accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    response.headers_mut().extend(told.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(file.name)));
    if takes_gzip(headers) {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = Body::from(file.gzip);
    } else {
        *response.body_mut() = Body::from(file.raw);
    }
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut offers = texts(headers, header::ACCEPT_ENCODING).flat_map(|header| header.split(','));
    offers.any(|offer| {
        let (coding, weight) = offer.split_once(';').unwrap_or((offer, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0));
        coding.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a browser fetches before the first view stands, compressed.
    const FIRST_LOAD_MAX: usize = 60_000;

    fn text(name: &str) -> &'static str {
        let file = find(name).unwrap_or_else(|| panic!("the page has no {name}"));
        std::str::from_utf8(file.raw).expect("a file of the page is text")
    }

    /// What stands between `before` and the next `"` or `'`.
    fn quoted_behind<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let ends = |rest: &'a str| rest.split(['"', '\'']).next().unwrap_or_default();
        text.split(before).skip(1).map(ends).collect()
    }

    /// Everything that a page names, and what those scripts import before they run.
    fn first_load(page: &str) -> BTreeSet<String> {
        let mut open: Vec<String> = Vec::new();
        for before in ["href=\"ui/", "src=\"ui/"] {
            open.extend(quoted_behind(text(page), before).into_iter().map(str::to_owned));
        }
        let mut all = BTreeSet::from([page.to_owned()]);
        while let Some(name) = open.pop() {
            if all.insert(name.clone()) && !name.starts_with("vendor/") && name.ends_with(".js") {
                open.extend(quoted_behind(text(&name), "from './").into_iter().map(str::to_owned));
            }
        }
        all
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_first_load_is_at_most_60_kb_and_leaves_charts_and_codes_out() {
        for (page, script) in [(INDEX, "app.js"), (DOCS, "docs.js")] {
            let all = first_load(page);
            assert!(all.contains(script) && all.contains("vendor/htm-preact.js"), "{all:?}");
            assert!(all.iter().all(|name| !name.contains("uPlot") && !name.contains("qr/")), "{all:?}");
            let bytes: usize = all.iter().map(|name| find(name).map_or(0, |file| file.gzip.len())).sum();
            assert!(bytes <= FIRST_LOAD_MAX, "{page}: {bytes} bytes");
        }
        // What shows sockets is nothing to those who read of the API.
        assert!(!first_load(DOCS).contains("store.js") && !first_load(INDEX).contains("docs.js"));
    }

    #[test]
    fn nothing_of_ours_names_another_host_or_an_absolute_path() {
        for file in FILES.iter().filter(|file| !file.name.starts_with("vendor/")) {
            let text = text(file.name);
            for bad in ["https://", "http://", "href=\"/", "src=\"/", "from '/", "import('/", "url(/"] {
                let allowed = text.matches(bad).count() == text.matches("http://www.w3.org/").count();
                let found = text.contains(bad) && !(bad == "http://" && allowed);
                assert!(!found, "{} says {bad}", file.name);
            }
        }
    }

    #[test]
    fn the_page_has_no_script_and_no_style_of_its_own_inside() {
        for text in [INDEX, DOCS].map(text) {
            assert!(!text.contains("<style") && !text.contains("style=") && !text.contains(" onload="));
            assert!(text.split("<script").skip(1).all(|script| script.trim_start().contains("src=\"ui/")));
        }
    }

    #[test]
    fn whoever_has_the_file_hears_that_it_is_still_good() {
        let file = find("app.js").expect("the page has a script");
        let again = answer(file, &headers(&[(header::IF_NONE_MATCH, file.tag)]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let fresh = answer(file, &headers(&[(header::IF_NONE_MATCH, "\"another\"")]));
        assert_eq!(fresh.status(), StatusCode::OK);
    }

    #[test]
    fn a_file_is_compressed_for_those_who_take_it() {
        let file = find("app.js").expect("the page has a script");
        for (asked, packed) in
            [("gzip, br", true), ("br;q=1, gzip;q=0.5", true), ("gzip;q=0", false), ("", false)]
        {
            let answer = answer(file, &headers(&[(header::ACCEPT_ENCODING, asked)]));
            assert_eq!(answer.headers().contains_key(header::CONTENT_ENCODING), packed, "{asked}");
        }
    }

    #[test]
    fn browsers_get_the_page_and_programs_the_index() {
        assert!(wanted(&headers(&[(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")])));
        assert!(!wanted(&headers(&[(header::ACCEPT, "*/*")])) && !wanted(&HeaderMap::new()));
    }
}

//! The API's own description: every answer that any test here gets is held against it.

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::lab::{Lab, Reply};

static DOCUMENT: OnceLock<Value> = OnceLock::new();

/// The description, from the first server that is asked and gives it: one that is full does not.
async fn document(address: SocketAddr) -> Option<&'static Value> {
    if let Some(document) = DOCUMENT.get() {
        return Some(document);
    }
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("read");
    let reply = Reply::parse(&bytes);
    (reply.status == 200).then(|| DOCUMENT.get_or_init(|| reply.json()))
}

/// What the description says of a path, if it knows it.
fn described<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    let parts = |path: &str| -> Vec<String> { path.split('/').map(str::to_owned).collect() };
    let asked = parts(path.split('?').next().unwrap_or(path));
    let fits = |template: &str| {
        let template = parts(template);
        let same = |(template, asked): (&String, &String)| template == asked || template.starts_with('{');
        template.len() == asked.len() && template.iter().zip(&asked).all(same)
    };
    let paths = document["paths"].as_object().expect("paths");
    // The most literal one wins, as in the router.
    let known = paths.iter().filter(|(template, _)| fits(template));
    known.min_by_key(|(template, _)| template.matches('{').count()).map(|(_, path)| path)
}

/// Holds an answer against the description: its status, its media type and its members.
pub(crate) async fn hold(address: SocketAddr, head: &str, reply: &Reply) {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some(document) = document(address).await else { return };
    let Some(operation) = described(document, path).map(|path| &path[method.to_ascii_lowercase()]) else {
        return;
    };
    if operation.is_null() || reply.header("content-type").is_none() {
        return;
    }
    let answers = &operation["responses"];
    let exact = &answers[reply.status.to_string()];
    let answer = if exact.is_null() { &answers[format!("{}XX", reply.status / 100)] } else { exact };
    assert!(!answer.is_null(), "{method} {path} answered {}, which is not described", reply.status);
    let media =
        reply.header("content-type").and_then(|kind| kind.split(';').next()).expect("looked at above");
    let of_reference = answer["$ref"].as_str().and_then(|to| document.pointer(to.trim_start_matches('#')));
    let content = &of_reference.unwrap_or(answer)["content"];
    let described = &content[media];
    assert!(!described["schema"].is_null(), "{method} {path} gave {media} with {}", reply.status);
    if media.ends_with("json") {
        let schema = json!({ "components": document["components"], "allOf": [described["schema"]] });
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let wrong: Vec<String> = validator
            .iter_errors(&reply.json())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{method} {path}: {wrong:?} in {}", reply.body);
    }
}

#[tokio::test]
async fn the_description_is_what_openapi_3_1_asks_of_one_and_names_every_route_of_the_index() {
    let lab = Lab::new().await;
    let document = lab.get("/openapi.json").await.json();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("1.2.3")));
    let index = lab.get("/").await.body;
    let mut named = 0;
    for line in index.lines().skip(2) {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
        // A wildcard of the router is a parameter like others.
        let path = path.replace("{*", "{");
        let operation = &document["paths"][&path][method.to_ascii_lowercase()];
        assert!(operation["operationId"].is_string() && operation["responses"].is_object(), "{line}");
        named += 1;
    }
    assert!(named > 15, "{index}");
}

#[test]
fn an_answer_that_is_not_as_described_is_noticed() {
    let schema = json!({ "type": "object", "required": ["t"], "properties": { "t": { "type": "string" } } });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    assert!(!validator.is_valid(&json!({ "t": 1 })) && !validator.is_valid(&json!({})));
}

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

/// What is wrong with a value by a schema of the description.
fn wrong_by(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let schema = json!({ "components": document["components"], "allOf": [schema] });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Holds an answer against the description: its status, its media type and its members; and the body that was taken.
pub(crate) async fn hold(address: SocketAddr, head: &str, body: &str, reply: &Reply) {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some(document) = document(address).await else { return };
    let Some(operation) = described(document, path).map(|path| &path[method.to_ascii_lowercase()]) else {
        return;
    };
    let takes = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let (200..300, true, Ok(body)) = (reply.status, takes.is_object(), serde_json::from_str(body)) {
        let wrong = wrong_by(document, takes, &body);
        assert!(wrong.is_empty(), "{method} {path} took {body}: {wrong:?}");
    }
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
        let wrong = wrong_by(document, &described["schema"], &reply.json());
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

#[tokio::test]
async fn the_example_of_each_operation_is_what_its_description_allows() {
    let lab = Lab::new().await;
    let document = lab.get("/openapi.json").await.json();
    let operations = document["paths"].as_object().expect("paths").values().filter_map(Value::as_object);
    let (mut bodies, mut parameters) = (0, 0);
    for operation in operations.flat_map(|path| path.values()) {
        let body = &operation["requestBody"]["content"]["application/json"];
        if body.is_object() {
            bodies += 1;
            let wrong = wrong_by(&document, &body["schema"], &body["example"]);
            // Nobody's token stands in a description.
            let shown = operation["operationId"] == "postSession" || wrong.is_empty();
            assert!(shown, "{}: {wrong:?}", operation["operationId"]);
        }
        let of_parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in of_parameters.filter(|parameter| parameter["required"] == true) {
            parameters += 1;
            let wrong = wrong_by(&document, &parameter["schema"], &parameter["example"]);
            assert!(wrong.is_empty(), "{}: {wrong:?}", operation["operationId"]);
        }
    }
    assert!(bodies > 10 && parameters > 20, "{bodies} {parameters}");
}

#[tokio::test]
async fn a_whole_number_of_a_body_may_be_written_with_a_fraction_of_zero() {
    let lab = Lab::new().await;
    lab.reading("dlt645_000000004711");
    let head = "POST /v1/events HTTP/1.1\r\nContent-Type: application/json\r\n";
    for (limit, got) in [("1.0", 200), ("1e0", 200), ("1e300", 200), ("-1.0", 200), ("1.5", 400)] {
        let reply = lab.ask(head, &format!(r#"{{"after":"earliest","limit":{limit}}}"#)).await;
        assert_eq!(reply.status, got, "{limit}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_page_of_readings_goes_on_only_from_a_place_as_it_was_told() {
    let lab = Lab::new().await;
    lab.keeper.show_device(super::lab::device("dlt645_1", "Kettle"));
    for bad in ["+1.1", "1.+1", "1", "1.", ".1", "1.-1", "a.b", "--1.1"] {
        let path = format!("/v1/devices/dlt645_1/readings?cursor={}", bad.replace('+', "%2B"));
        let reply = lab.get(&path).await;
        assert_eq!((reply.status, &reply.json()["field"]), (400, &json!("cursor")), "{bad}");
    }
}

#[test]
fn an_answer_that_is_not_as_described_is_noticed() {
    let schema = json!({ "type": "object", "required": ["t"], "properties": { "t": { "type": "string" } } });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    assert!(!validator.is_valid(&json!({ "t": 1 })) && !validator.is_valid(&json!({})));
}

//! The description of the API for programs that make clients (OpenAPI 3.1), made from the table of routes and the
//! schemas of what they take and give. Pure. Spec: `protocol-spec/http.md`, Description.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::about::{About, Asked, Gives};
use super::forms::Form;
use super::problem::{KINDS, Kind};
use super::who::Need;

mod schemas;

/// The whole description.
#[must_use]
pub(super) fn document(rows: impl IntoIterator<Item = About>, version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for about in rows {
        // A wildcard of the router is a parameter like others.
        let of_path = paths.entry(about.path.replace("{*", "{")).or_insert_with(|| json!({}));
        of_path[about.method.as_str().to_ascii_lowercase()] = operation(&about);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Plugline gateway",
            "version": version,
            "summary": "Sockets on the mains wiring: their readings, their relays, their feed of events",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        // Relative to where this document is, so that it holds behind a proxy's prefix too.
        "servers": [{ "url": "." }],
        "tags": TAGS.map(|(name, _, about)| json!({ "name": name, "description": about })),
        "paths": paths,
        // What each kind of problem means: no keyword of OpenAPI has a place for that.
        "x-problems": problems(),
        "components": {
            "schemas": schemas::all(),
            "responses": { "Problem": problem() },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "a token, `plgu_…` or `plga_…`" },
                "session": { "type": "apiKey", "in": "cookie", "name": "plugline_session" },
                "ticket": { "type": "apiKey", "in": "query", "name": "ticket" },
            },
        },
    })
}

fn operation(about: &About) -> Value {
    let mut operation = json!({
        "operationId": id(about),
        "summary": about.summary,
        "tags": [tag(about.path)],
        "responses": answers(about),
    });
    let parameters: Vec<Value> =
        path_parameters(about.path).chain(about.asks.iter().map(parameter)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = about.takes {
        let mut content = json!({ "schema": reference(schema) });
        if let Some(example) = about.body.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            content["example"] = example;
        }
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": content } });
    }
    operation["security"] = match about.need {
        Need::Nothing => json!([]),
        Need::Scope(scope) => {
            let scopes = [scope.name()];
            // Nothing at all: on the machine itself nobody is asked.
            json!([{ "token": scopes }, { "session": scopes }, { "ticket": scopes }, {}])
        }
    };
    operation
}

/// `getDevicesId`: method and path as one word, for the names of functions in generated clients.
fn id(about: &About) -> String {
    let words =
        about.path.split(['/', '{', '}', '.', '-', '_']).filter(|word| !word.is_empty() && *word != "v1");
    words.fold(about.method.as_str().to_ascii_lowercase(), |mut name, word| {
        let (first, rest) = word.split_at(1);
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
        name
    })
}

/// What operations are sorted by: name, the parts of paths that belong there, one line.
const TAGS: [(&str, &[&str], &str); 9] = [
    (
        "devices",
        &["gateway", "devices", "joining"],
        "The registry: sockets and meters, and how they come to it.",
    ),
    ("groups", &["groups"], "Sockets that are commanded as one."),
    ("commands", &["commands"], "Switching, reading, identifying: taken in at once, settled exactly once."),
    (
        "feed",
        &["events", "snapshot"],
        "What happens, as long-poll and as a stream, with a cursor that loses nothing.",
    ),
    ("readings", &["readings", "energy"], "What was measured, and what it comes to each day."),
    ("lines", &["lines"], "The wiring: how well it carries, and what passes on it."),
    ("upkeep", &["log", "config", "backup", "restore", "restart"], "Log, configuration, backup, restart."),
    ("access", &["session", "tickets", "tokens", "audit"], "Who may do what, and who did."),
    ("about", &[], "Health, metrics, and these descriptions."),
];

/// The last part of a path decides: the commands of a device are commands.
fn tag(path: &str) -> &'static str {
    let of_part = |part| TAGS.iter().find(|(_, parts, _)| parts.contains(&part)).map(|(name, ..)| *name);
    path.rsplit('/').find_map(of_part).unwrap_or("about")
}

fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| name.trim_start_matches('*')).map(move |name| {
        let form = Form::of_path(path, name);
        let mut parameter = json!({ "name": name, "in": "path", "required": true, "schema": form.schema() });
        if let Some(example) = form.example() {
            parameter["example"] = example.into();
        }
        parameter
    })
}

fn parameter(asked: &Asked) -> Value {
    let mut parameter = json!({ "name": asked.name, "in": asked.place, "description": asked.about, "schema": asked.form.schema() });
    if asked.required {
        parameter["required"] = true.into();
        if let Some(example) = asked.form.example() {
            parameter["example"] = example.into();
        }
    }
    parameter
}

fn answers(about: &About) -> Value {
    let mut answers = json!({
        "4XX": { "$ref": "#/components/responses/Problem" },
        "5XX": { "$ref": "#/components/responses/Problem" },
    });
    for gives in &about.gives {
        let answer = &mut answers[gives.status().to_string()];
        if answer.is_null() {
            *answer = json!({ "description": about.summary });
        }
        match *gives {
            Gives::Json(status, schema) => {
                answer["content"]["application/json"] = json!({ "schema": reference(schema) });
                if about.method == Method::POST {
                    add_links(answer, schema);
                }
                if status >= 400 {
                    answer["content"]["application/problem+json"] = json!({ "schema": reference("Problem") });
                }
            }
            // What a schema says of a stream, it says of each of its events.
            Gives::Other(_, media @ "text/event-stream", what) => {
                answer["content"][media] = json!({ "schema": { "description": what } });
            }
            Gives::Other(_, media, what) => {
                answer["content"][media] = json!({ "schema": { "type": "string", "description": what } });
            }
            Gives::Nothing(_) => {}
        }
    }
    answers
}

/// Where the id of what was made leads, by its schema.
const LINKS: [(&str, &[&str]); 2] = [
    ("Command", &["getCommandsId", "deleteCommandsId"]),
    ("MadeToken", &["getTokensId", "deleteTokensId", "postTokensIdRotate"]),
];

fn add_links(answer: &mut Value, schema: &str) {
    let of_schema = LINKS.iter().find(|(name, _)| *name == schema);
    for operation in of_schema.map_or([].as_slice(), |(_, operations)| operations) {
        answer["links"][operation] =
            json!({ "operationId": operation, "parameters": { "id": "$response.body#/id" } });
    }
}

fn problem() -> Value {
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    json!({
        "description": format!("refused; `type` is /problems/ and one of {}", kinds.join(", ")),
        "content": { "application/problem+json": { "schema": reference("Problem") } },
    })
}

fn problems() -> Vec<Value> {
    let told = |kind: &&Kind| json!({ "name": kind.name, "status": kind.status, "title": kind.title, "about": kind.about });
    KINDS.iter().map(told).collect()
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Door;
    use crate::http::routes::rows;

    fn whole() -> Value {
        document(rows::<Door>().into_iter().map(|row| row.about), "1.2.3")
    }

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| match member {
                Value::String(to) if name == "$ref" => found.push(to.clone()),
                other => references(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn everything_referred_to_is_there_and_every_schema_is_used() {
        let whole = whole();
        let mut found = Vec::new();
        references(&whole, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(whole.pointer(pointer).is_some(), "{reference}");
        }
        for name in schemas::all().keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "nobody takes or gives {name}");
        }
    }

    #[test]
    fn each_row_says_what_it_gives_and_its_example_is_what_it_takes() {
        for about in rows::<Door>().into_iter().map(|row| row.about) {
            let name = format!("{} {}", about.method, about.path);
            assert!(!about.gives.is_empty(), "{name} gives nothing");
            assert_eq!(
                about.takes.is_some(),
                about.body.is_some(),
                "{name}: a body has a schema and an example"
            );
            if let Some(example) = about.body {
                serde_json::from_str::<Value>(example)
                    .unwrap_or_else(|error| panic!("{name}: {example}: {error}"));
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let names: Vec<String> = rows::<Door>().iter().map(|row| id(&row.about)).collect();
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        assert!(names.contains(&"postDevicesIdCommands".to_owned()), "{names:?}");
        let mut linked = LINKS.iter().flat_map(|(_, operations)| *operations);
        assert!(linked.all(|operation| names.contains(&(*operation).to_owned())), "{LINKS:?}");
    }
}

//! `plugline groups`: groups of sockets listed, made, changed and removed, by the HTTP API.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::locate::Gateway;
use super::sockets::printable;
use super::switch::{find, id, known};

/// What is wanted; without an action the groups are listed.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All groups and their members
    List {
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Make a group
    Add {
        /// What to call it
        name: String,
        /// Ids of sockets, or their names
        #[arg(value_name = "SOCKET")]
        members: Vec<String>,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Give a group another name, take sockets in or out
    Change {
        /// Its id, or its name
        group: String,
        /// The new name
        #[arg(long)]
        name: Option<String>,
        /// Take this socket in; repeat it for several
        #[arg(long = "add", value_name = "SOCKET")]
        added: Vec<String>,
        /// Take this socket out; repeat it for several
        #[arg(long = "drop", value_name = "SOCKET")]
        dropped: Vec<String>,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Forget a group; its sockets stay
    Remove {
        /// Its id, or its name
        group: String,
        #[command(flatten)]
        gateway: Gateway,
    },
}

/// Does it, and prints the groups, or the group as it is then.
///
/// # Errors
/// When it is refused, with the gateway's reason, or the gateway cannot be asked.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let gateway = match &arguments.action {
        None => &arguments.gateway,
        Some(
            Action::List { gateway }
            | Action::Add { gateway, .. }
            | Action::Change { gateway, .. }
            | Action::Remove { gateway, .. },
        ) => gateway,
    };
    let client = gateway.client()?;
    let known = known(&client).await?;
    let (group, done) = match &arguments.action {
        None | Some(Action::List { .. }) => return list(&known, gateway.json, out),
        Some(Action::Add { name, members, .. }) => {
            let body = json!({ "name": name, "members": ids(&known, members)? });
            (client.post("/v1/groups", &body, Duration::ZERO).await?.good()?, "made")
        }
        Some(Action::Change { group, name, added, dropped, .. }) => {
            let mut body = changed(find_group(&known, group)?, &ids(&known, added)?, &ids(&known, dropped)?);
            if let Some(name) = name {
                body["name"] = name.as_str().into();
            }
            (client.patch(&path(&known, group)?, &body).await?.good()?, "changed")
        }
        Some(Action::Remove { group, .. }) => {
            client.delete(&path(&known, group)?).await?.good()?;
            (find_group(&known, group)?.clone(), "removed")
        }
    };
    if gateway.json {
        writeln!(out, "{group}")?;
    } else {
        writeln!(out, "{}; {done}", line(&known, &group))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(known: &[Value], json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let groups: Vec<&Value> = known.iter().filter(|device| device["members"].is_array()).collect();
    if json {
        writeln!(out, "{}", json!(groups))?;
    } else if groups.is_empty() {
        writeln!(out, "No groups yet.")?;
    }
    for group in groups.iter().filter(|_| !json) {
        writeln!(out, "{}", line(known, group))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `Lamps (group_lamps), on: Kettle, Fridge`.
fn line(known: &[Value], group: &Value) -> String {
    let name = printable(group["name"].as_str().unwrap_or_default());
    let relay = match group["state"]["relay"].as_bool() {
        Some(true) => "on",
        Some(false) => "off",
        None => "not heard yet",
    };
    let members = group["members"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let members: Vec<String> = members.map(|member| name_of(known, member)).collect();
    let members = if members.is_empty() { "no members".to_owned() } else { members.join(", ") };
    format!("{name} ({}), {relay}: {members}", id(group))
}

/// What a device is called, by its id.
pub(super) fn name_of(known: &[Value], member: &str) -> String {
    let device = known.iter().find(|device| id(device) == member);
    printable(device.and_then(|device| device["name"].as_str()).unwrap_or(member))
}

fn find_group<'d>(known: &'d [Value], word: &str) -> anyhow::Result<&'d Value> {
    let device = find(known, word)?;
    anyhow::ensure!(device["members"].is_array(), "`{word}` is no group; `plugline groups` lists them");
    Ok(device)
}

fn path(known: &[Value], group: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/groups/{}", id(find_group(known, group)?)))
}

fn ids(known: &[Value], words: &[String]) -> anyhow::Result<Vec<Value>> {
    words.iter().map(|word| Ok(id(find(known, word)?).into())).collect()
}

/// The change: all members as they are to be, if any comes or goes.
fn changed(group: &Value, added: &[Value], dropped: &[Value]) -> Value {
    let before = group["members"].as_array().cloned().unwrap_or_default();
    let mut members: Vec<Value> = before.iter().filter(|member| !dropped.contains(member)).cloned().collect();
    members.extend(added.iter().filter(|member| !before.contains(member)).cloned());
    match added.is_empty() && dropped.is_empty() {
        true => json!({}),
        false => json!({ "members": members }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Value> {
        vec![
            json!({"id": "a", "name": "Kettle"}),
            json!({"id": "b", "name": "Lamp\u{1b}"}),
            json!({"id": "group_all", "name": "All", "state": {"relay": true}, "members": ["a", "b", "gone"]}),
        ]
    }

    #[test]
    fn a_group_is_a_line_with_its_members_names() {
        let known = known();
        assert_eq!(line(&known, &known[2]), "All (group_all), on: Kettle, Lamp?, gone");
        let empty = json!({"id": "group_1", "name": "New", "state": {"relay": null}, "members": []});
        assert_eq!(line(&known, &empty), "New (group_1), not heard yet: no members");
        assert!(find_group(&known, "Kettle").is_err());
        assert_eq!(id(find_group(&known, "All").expect("by its name")), "group_all");
    }

    #[test]
    fn who_comes_is_put_behind_who_stays_and_nobody_twice() {
        let group = &known()[2];
        let of = |ids: &[&str]| ids.iter().map(|id| json!(id)).collect::<Vec<_>>();
        assert_eq!(changed(group, &of(&["c", "a"]), &of(&["b"])), json!({"members": ["a", "gone", "c"]}));
        assert_eq!(changed(group, &[], &[]), json!({}));
    }
}

//! Carries commands from the broker to the hub, in the order in which they came, without holding up the client.
//!
//! Only refusals are answered from here: how an accepted command ends stands in the feed.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::door::Door;
use crate::hub::{NewCommand, Request};
use crate::source::Commands;

use super::inbound::Rejection;
use super::publish::Message;
use super::session::unix_ms;
use super::topics::Topics;

/// Commands waiting to be taken in: a scene that switches every socket of a large house.
pub(super) const JOBS: usize = 1024;
/// Commands asked of the hub at once; each waits for a disk.
const ASKED: usize = 64;

type Asked = Pin<Box<dyn Future<Output = Vec<Message>> + Send>>;

/// Takes commands in until the other end of `jobs` is dropped.
pub(super) async fn take_in(
    door: &Door,
    topics: &Topics,
    mut jobs: mpsc::Receiver<NewCommand>,
    answers: mpsc::Sender<Vec<Message>>,
) {
    let mut asked: Vec<Asked> = Vec::new();
    loop {
        let messages = tokio::select! {
            job = jobs.recv(), if asked.len() < ASKED => match job {
                Some(job) => {
                    asked.push(Box::pin(ask(door.clone(), topics.clone(), job)));
                    continue;
                }
                None => return,
            },
            messages = poll_fn(|context| first_done(&mut asked, context)), if !asked.is_empty() => messages,
        };
        if !messages.is_empty() && answers.try_send(messages).is_err() {
            tracing::warn!("too many refusals wait for the broker; one was dropped");
        }
    }
}

/// Polls in the order of arrival: the mailbox keeps the order in which it is first asked, so two commands for one
/// relay never change places.
fn first_done(asked: &mut Vec<Asked>, context: &mut Context<'_>) -> Poll<Vec<Message>> {
    for index in 0..asked.len() {
        if let Poll::Ready(messages) = asked[index].as_mut().poll(context) {
            drop(asked.remove(index));
            return Poll::Ready(messages);
        }
    }
    Poll::Pending
}

async fn ask(door: Door, topics: Topics, job: NewCommand) -> Vec<Message> {
    let (device, reply_to) = (job.device.clone(), job.reply_to.clone());
    match door.request(Request::Command(job)).await {
        Ok(_) => Vec::new(),
        Err(refused) => Rejection::refused(&refused, reply_to).messages(&topics, &device, unix_ms()),
    }
}

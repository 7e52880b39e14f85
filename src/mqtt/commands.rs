//! Carries commands and requests from the broker to the hub, in the order in which they came, without holding up the
//! client.
//!
//! Of commands only refusals are answered from here: how an accepted one ends stands in the feed.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::access::By;
use crate::door::Door;
use crate::hub::{NewCommand, Request};
use crate::source::Commands;

use super::inbound::Rejection;
use super::publish::Message;
use super::requests::Question;
use super::session::unix_ms;
use super::topics::Topics;

/// Commands and requests waiting to be taken in: a scene that switches every socket of a large house.
pub(super) const JOBS: usize = 1024;
/// Asked of the hub at once; each waits for a disk.
const ASKED: usize = 64;

/// One message that the hub is to be asked about.
#[derive(Debug)]
pub(super) enum Job {
    /// From `set`.
    Command(NewCommand),
    /// From `request/{verb}`.
    Question(Box<Question>),
}

impl Job {
    /// What is said when it cannot even wait.
    pub(super) fn busy(self, topics: &Topics) -> Vec<Message> {
        match self {
            Self::Command(command) => {
                Rejection::busy(command.reply_to).messages(topics, &command.device, unix_ms())
            }
            Self::Question(question) => question.asker.busy(topics),
        }
    }
}

type Asked = Pin<Box<dyn Future<Output = Vec<Message>> + Send>>;

/// Asks until the other end of `jobs` is dropped.
pub(super) async fn take_in(
    door: &Door,
    topics: &Topics,
    mut jobs: mpsc::Receiver<Job>,
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
            tracing::warn!("too many answers wait for the broker; one was dropped");
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

async fn ask(door: Door, topics: Topics, job: Job) -> Vec<Message> {
    match job {
        Job::Command(command) => {
            let (device, reply_to) = (command.device.clone(), command.reply_to.clone());
            match door.ask(By::Mqtt, Request::Command(command)).await {
                Ok(_) => Vec::new(),
                Err(refused) => Rejection::refused(&refused, reply_to).messages(&topics, &device, unix_ms()),
            }
        }
        Job::Question(question) => {
            let Question { request, asker } = *question;
            asker.told(&topics, &door.ask(By::Mqtt, request).await)
        }
    }
}

//! Reading an event stream (WHATWG HTML §9.2.6), whatever the pieces in which it arrives. Pure.

/// One dispatched message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `event:`; `message` without one.
    pub event: String,
    /// `data:` lines, joined by line feeds.
    pub data: String,
}

/// Puts pieces together into messages. A message that was cut off is forgotten with its id.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: String,
    data: Option<String>,
    id: Option<String>,
    last_id: Option<String>,
    retry_ms: Option<u64>,
}

impl Parser {
    /// The id to resume after: of the last message (or bare id) that came whole.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants a reader to wait before it connects again, milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Takes one byte; a message when that byte ends one.
    pub fn push(&mut self, byte: u8) -> Option<Message> {
        // CR, LF and CRLF each end a line once.
        let line_feed_of_crlf = byte == b'\n' && self.after_cr;
        self.after_cr = byte == b'\r';
        match byte {
            _ if line_feed_of_crlf => None,
            b'\n' | b'\r' => {
                let line = std::mem::take(&mut self.line);
                self.line(&String::from_utf8_lossy(&line))
            }
            _ => {
                self.line.push(byte);
                None
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments have an empty name; fields that we do not know mean nothing.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        Some(Message { event: if event.is_empty() { "message".to_owned() } else { event }, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parser: &mut Parser, text: &str) -> Vec<Message> {
        text.bytes().filter_map(|byte| parser.push(byte)).collect()
    }

    fn message(event: &str, data: &str) -> Message {
        Message { event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn fields_comments_and_all_three_line_ends_are_understood() {
        let mut parser = Parser::default();
        let got = read(
            &mut parser,
            "retry: 50\r\nid: a.1\r\nevent: reading\r\ndata: {}\r\n\r\n:\n\ndata:x\rdata:  y\r\r",
        );
        assert_eq!(got, [message("reading", "{}"), message("message", "x\n y")]);
        assert_eq!((parser.last_id(), parser.retry_ms()), (Some("a.1"), Some(50)));
    }

    #[test]
    fn a_bare_id_moves_the_position_and_dispatches_nothing() {
        let mut parser = Parser::default();
        assert_eq!(read(&mut parser, "id: a.7\n\n"), []);
        assert_eq!(parser.last_id(), Some("a.7"));
    }

    #[test]
    fn the_id_of_a_message_that_was_cut_off_does_not_count() {
        let mut parser = Parser::default();
        read(&mut parser, "id: a.1\ndata: x\n\nid: a.2\ndata: y\n");
        assert_eq!(parser.last_id(), Some("a.1"));
    }
}

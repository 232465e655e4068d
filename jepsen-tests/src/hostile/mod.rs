//! Sends mutated frames over real connections and judges what comes back.
//!
//! | module | subject |
//! |---|---|
//! | [`mutate`] | makes valid frames invalid |
//! | [`latency`] | a client that measures its latencies meanwhile |
//! | [`bystander`] | a client that must not notice the attack |

pub mod bystander;
pub mod latency;
pub mod mutate;

use std::net::SocketAddr;
use std::time::Duration;

use self::mutate::{ConnectionFate, FrameFate, Mutator};
use crate::Error;
use crate::harness::rng::Rng;
use crate::rcp::raw::{RawConnection, RawMessage};

/// Frames sent at once.
const BATCH_FRAMES: usize = 16;
/// Frames on one connection: watches that mutants begin must not pile up.
const CONNECTION_FRAMES: usize = 256;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The frames sent and the answers seen.
#[derive(Debug, Default)]
pub struct HostileReport {
    /// Mutated frames the server has read.
    pub frames: usize,
    /// Connections they took.
    pub connections: usize,
    /// Answers.
    pub answers: usize,
    /// Connections the server closed.
    pub closed: usize,
}

/// Sends `frames` mutated frames, each read by the server before this ends.
///
/// # Errors
/// The first behaviour that the protocol does not allow, or a server that has ended.
pub fn bombard(addr: SocketAddr, frames: usize, rng: Rng) -> Result<HostileReport, Error> {
    let mut mutator = Mutator::new(rng);
    let mut report = HostileReport::default();
    while report.frames < frames {
        let mut connection = RawConnection::connect(addr)?;
        connection.set_timeout(ANSWER_TIMEOUT)?;
        report.connections += 1;
        let until = (report.frames + CONNECTION_FRAMES).min(frames);
        while report.frames < until {
            let batch = FrameBatch::make(&mut mutator, until - report.frames);
            report.frames += batch.frames;
            report.answers += batch.fate.answers.len();
            batch.send(&mut connection)?;
            if batch.fate.end != ConnectionFate::Open {
                report.closed += 1;
                break;
            }
        }
    }
    Ok(report)
}

/// Frames of which only the last may end the connection, so that the server reads them all.
struct FrameBatch {
    bytes: Vec<u8>,
    frames: usize,
    fate: FrameFate,
}

impl FrameBatch {
    fn make(mutator: &mut Mutator, frames_max: usize) -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            frames: 0,
            fate: FrameFate::default(),
        };
        while batch.fate.end == ConnectionFate::Open && batch.frames < frames_max.min(BATCH_FRAMES)
        {
            let frame = mutator.frame();
            let fate = FrameFate::of(&frame);
            batch.fate.answers.extend(fate.answers);
            batch.fate.end = fate.end;
            batch.bytes.extend_from_slice(&frame);
            batch.frames += 1;
        }
        batch
    }

    fn send(&self, connection: &mut RawConnection) -> Result<(), Error> {
        connection.send(&self.bytes)?;
        match self.fate.end {
            ConnectionFate::Open => self.expect_every_answer(connection),
            ConnectionFate::Waiting => {
                // The rest of the frame is never sent.
                connection.finish_sending()?;
                self.expect_end(connection, false)
            }
            ConnectionFate::Closed { answered } => self.expect_end(connection, answered),
        }
    }

    fn expect_every_answer(&self, connection: &mut RawConnection) -> Result<(), Error> {
        let mut expected = self.fate.answers.clone();
        while !expected.is_empty() {
            let id = match connection.receive() {
                Ok(RawMessage::Response { id, .. }) => id,
                Ok(RawMessage::Event(_) | RawMessage::Progress(_) | RawMessage::End(_)) => continue,
                Err(error) => return Err(self.wrong(&format!("{error}, without {expected:?}"))),
            };
            let at = expected.iter().position(|expected| *expected == id);
            expected.swap_remove(at.ok_or_else(|| self.wrong(&format!("an answer to {id:?}")))?);
        }
        Ok(())
    }

    /// The server closes the connection at once. It may or may not answer earlier requests before that.
    fn expect_end(&self, connection: &mut RawConnection, answered: bool) -> Result<(), Error> {
        let mut refusals = 0;
        loop {
            match connection.receive() {
                Ok(RawMessage::Response { id, outcome }) => {
                    if id.is_empty() && outcome.is_err() {
                        refusals += 1;
                    } else if !self.fate.answers.contains(&id) {
                        return Err(self.wrong(&format!("an answer to {id:?}")));
                    }
                }
                Ok(RawMessage::Event(_) | RawMessage::Progress(_) | RawMessage::End(_)) => {}
                Err(Error::Closed) if answered && refusals == 0 => {
                    return Err(self.wrong("closed without an answer that could be framed"));
                }
                Err(Error::Closed) => return Ok(()),
                Err(error) => return Err(self.wrong(&format!("{error}, not closed"))),
            }
        }
    }

    fn wrong(&self, problem: &str) -> Error {
        let bytes = self.bytes.escape_ascii().to_string();
        Error::Protocol(format!("{problem}; expected {:?} after {bytes}", self.fate))
    }
}

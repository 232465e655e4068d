//! Tests of a machine as users write them: given a state, when events are applied, then something holds.
//!
//! | module | subject |
//! |---|---|
//! | `read` | the file |
//! | `play` | running a test |
//! | `compare` | what is as expected, and what is not |
//! | `junit` | the report that CI systems read |

mod compare;
mod junit;
mod play;
mod read;

use rstmdb_rcp::json::Json;

pub use junit::report;

/// A file of tests.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// The machine under test.
    pub machine: MachineSource,
    /// In the order written.
    pub tests: Vec<CaseTest>,
}

/// Where the machine under test is.
#[derive(Clone, Debug, PartialEq)]
pub enum MachineSource {
    /// In another file, whose path is relative to the file of tests.
    File(String),
    /// In the file itself.
    Inline(Json),
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseTest {
    /// What it shows.
    pub name: String,
    given: Given,
    when: Vec<CaseWhen>,
    then: Then,
}

/// What there is before the first event.
#[derive(Clone, Debug, Default, PartialEq)]
struct Given {
    /// The state; the initial one when absent.
    state: Option<String>,
    ctx: Option<Json>,
    /// Who creates the instance, and who applies events that do not say it.
    actor: String,
    /// With the creation, and with each event that has none of its own.
    headers: Vec<(String, String)>,
    now_ms: Option<u64>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
enum CaseWhen {
    Event {
        event: String,
        payload: Option<Json>,
        actor: Option<String>,
        headers: Option<Vec<(String, String)>>,
        reason: Option<String>,
        then: Then,
    },
    Wait {
        ms: u64,
        then: Then,
    },
}

/// What must hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Then {
    state: Option<String>,
    /// These values are in the context, among others.
    ctx: Option<Json>,
    /// These paths are not.
    without: Vec<String>,
    /// Exactly this was emitted, in this order.
    emits: Option<Vec<String>>,
    refused: Option<Refused>,
    /// Whether there is no instance any more.
    deleted: bool,
}

/// The refusal that must be the answer.
#[derive(Clone, Debug, PartialEq)]
struct Refused {
    code: String,
    /// A part of the message.
    message: Option<String>,
}

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// The test's name.
    pub name: String,
    /// The differences from what was expected; none if the test passed.
    pub failures: Vec<String>,
    /// What happened, a line a step.
    pub trace: Vec<String>,
}

impl TestOutcome {
    /// Whether all was as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// The outcomes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// The file.
    pub file: String,
    /// In its order.
    pub outcomes: Vec<TestOutcome>,
}

impl Suite {
    /// Reads a file of tests.
    ///
    /// # Errors
    /// All places that do not have the form of a test.
    pub fn read(text: &str) -> Result<Self, Vec<crate::Problem>> {
        read::suite(text)
    }

    /// Runs every test against a definition.
    pub fn run(&self, definition: &str) -> Vec<TestOutcome> {
        let tests = self.tests.iter();
        tests.map(|test| play::run(test, definition)).collect()
    }
}

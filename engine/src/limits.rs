//! Bounds: the configured ones, and those that never change.

/// Longest name of a machine, a state or an event, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest instance id, idempotency key or event id, in bytes. At feature level 1 it is [`NAME_BYTES_MAX`].
pub const ID_BYTES_MAX: usize = 1024;
/// Most bytes that the names and values of one write's headers have together.
pub const HEADERS_BYTES_MAX: usize = 4096;
/// Longest reason of a write, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;
/// Longest correlation id or causation id of a write, in bytes.
pub const CAUSE_BYTES_MAX: usize = 256;
/// Longest definition text, in bytes.
pub const DEFINITION_BYTES_MAX: usize = 1 << 20;
/// Most states one machine may have.
pub const STATES_MAX: usize = 10_000;
/// Most transitions one machine may have.
pub const TRANSITIONS_MAX: usize = 20_000;
/// Most operators and operands that the guards of one machine may have together.
pub const GUARD_NODES_MAX: usize = 100_000;
/// Most warnings about one definition that are reported one by one.
pub const WARNINGS_MAX: usize = 20;
/// Longest guard text, in bytes.
pub const GUARD_BYTES_MAX: usize = 4096;
/// Deepest nesting of parentheses and `!` in a guard.
pub const GUARD_DEPTH_MAX: usize = 64;
/// Most operators, operands and names of paths that the guards of one decision may go through together.
pub const GUARD_STEPS_MAX: usize = 200_000;
/// Most bytes that the comparisons of one decision's guards may read together.
pub const GUARD_READ_BYTES_MAX: usize = 32 << 20;
/// Longest text of an expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Deepest nesting of an expression.
pub const EXPRESSION_DEPTH_MAX: u16 = 64;
/// Most steps that the expressions of one decision may take together.
pub const EXPRESSION_STEPS_MAX: u64 = 200_000;
/// Most bytes of expressions that one definition may have together.
pub const EXPRESSIONS_BYTES_MAX: usize = 256 << 10;
/// Most patterns that the expressions and schemas of one definition may have together.
pub const PATTERNS_MAX: usize = 256;
/// Most names that one state or transition may emit.
pub const EMITS_MAX: usize = 16;
/// Most names that one event may emit.
pub const EVENT_EMITS_MAX: usize = 256;
/// Most timers that one state may have.
pub const TIMERS_MAX: usize = 16;
/// Longest `timers` of APPLY_EVENT and TIMER_SET, in bytes: room for [`TIMERS_MAX`] names of [`NAME_BYTES_MAX`] bytes,
/// however they are escaped.
pub const TIMERS_BYTES_MAX: usize = 32 << 10;
/// Longest payload of a timer, in bytes of its compact JSON text.
pub const TIMER_PAYLOAD_BYTES_MAX: usize = 16 << 10;
/// How often a refused timer may be tried again.
pub const TIMER_RETRIES_MAX: u32 = 1000;
/// If more firings of one instance than this come within a minute, its timers are suspended.
pub const FIRINGS_MAX: u32 = 100;
/// The minute in which [`FIRINGS_MAX`] counts, in milliseconds.
pub const FIRINGS_MS: u64 = 60_000;
/// Longest page of TIMER_LIST.
pub const TIMERS_LISTED_MAX: usize = 1000;
/// Overdue timers are counted up to this number.
pub const TIMERS_OVERDUE_COUNTED_MAX: usize = 100_000;
/// Most bytes of the reason that a spent timer keeps.
pub const SPENT_MESSAGE_BYTES_MAX: usize = 512;
/// Longest name of a lock, and of its owner, in bytes.
pub const LOCK_NAME_BYTES_MAX: usize = 1024;
/// Shortest time for which a lock is granted, in milliseconds.
pub const LOCK_TTL_MS_MIN: u64 = 1000;
/// Longest time for which a lock is granted, in milliseconds, and longest time that an owner may ask to wait.
pub const LOCK_TTL_MS_MAX: u64 = 86_400_000;
/// A place in a lock's queue is kept for this much longer than the owner waits, in milliseconds, so that an owner that
/// asks again at the end of its wait still finds it.
pub const LOCK_PLACE_SLACK_MS: u64 = 3000;
/// An owner that asks without waiting gives up a place that it would lose within this time, in milliseconds: that of the
/// wait which has ended. A place that lasts longer belongs to another wait of the owner, which goes on.
pub const LOCK_PLACE_ENDS_MS: u64 = 2 * LOCK_PLACE_SLACK_MS;
/// A place in a lock's queue runs out after this time, in milliseconds, unless the owner asks again.
pub const LOCK_PLACE_MS_MAX: u64 = 30_000;
/// An owner that asks again after its place has run out finds it for at least this much longer, in milliseconds, as long as
/// no other owner gets the lock and there is room for others.
pub const LOCK_PLACE_LATE_MS_MAX: u64 = 30_000;
/// If an owner that waits gets the lock, the lock expires after this time, in milliseconds, unless the owner asks
/// again: the owner may have gone away.
pub const LOCK_CLAIM_MS_MAX: u64 = 10_000;
/// Most locks that may be held at one time.
pub const LOCKS_MAX: usize = 100_000;
/// Most owners that may wait for one lock.
pub const LOCK_WAITERS_MAX: usize = 1000;
/// Most owners that may wait for all locks together.
pub const LOCKS_WAITING_MAX: usize = 10_000;
/// Longest page of LOCK_LIST.
pub const LOCKS_LISTED_MAX: usize = 1000;
/// Most `always` transitions that one state may have.
pub const ALWAYS_MAX: usize = 64;
/// Most `always` transitions that one event may take.
pub const ALWAYS_STEPS_MAX: usize = 64;
/// Most paths that one transition may set and unset together.
pub const CHANGES_MAX: usize = 256;
/// Most names in a path of `set` and `unset`.
pub const PATH_NAMES_MAX: usize = 32;
/// Deepest nesting of a context after `set`.
pub const SET_DEPTH_MAX: usize = 118;
/// Most faults of one definition that are reported one by one.
pub const FAULTS_MAX: usize = 20;
/// Most events that ALLOWED_EVENTS looks at.
pub const ALLOWED_EVENTS_MAX: usize = 1000;
/// Once the guards of ALLOWED_EVENTS have gone through this many operators, operands and names of paths, it looks at
/// no further event.
pub const ALLOWED_STEPS_MAX: usize = 1_000_000;
/// Once the comparisons of ALLOWED_EVENTS have read this many bytes, it looks at no further event.
pub const ALLOWED_READ_BYTES_MAX: usize = 64 << 20;
/// Longest value that is shown of what a guard has read, in bytes of its JSON text. Of a longer one the beginning is
/// shown.
pub const EXPLAINED_VALUE_BYTES_MAX: usize = 256;
/// Most guards that a refused event repeats.
pub const REFUSED_GUARDS_MAX: usize = 20;
/// Most bytes of the text of each, and of the reason why it has no value.
pub const REFUSED_GUARD_BYTES_MAX: usize = 1024;
/// Most bytes of guards and their values that a refused event shows.
pub const EXPLAINED_BYTES_MAX: usize = 16 << 10;
/// Most bytes of guards and their values that ALLOWED_EVENTS shows.
pub const ALLOWED_EXPLAINED_BYTES_MAX: usize = 512 << 10;
/// Deepest nesting of lists and objects in a context, a payload or a definition.
pub const JSON_DEPTH_MAX: usize = 127;
/// Longest context, in bytes of its compact JSON text.
pub const CTX_BYTES_MAX: usize = 4 << 20;
/// Most operations in one atomic batch.
pub const BATCH_OPS_MAX: usize = 100;
/// Most instances and machines that the listings of one atomic batch may look at.
pub const BATCH_LISTED_MAX: usize = 10_000;
/// Most bytes of contexts, payloads and definitions that an atomic batch with listings may read and write.
pub const BATCH_LISTED_BYTES_MAX: usize = 512 << 10;
/// Most bytes of contexts, payloads and definitions that one entry may carry: 1 MiB less than a
/// protocol frame, so that WAL_READ can show any entry together with its names, ids and keys.
pub const ENTRY_BYTES_MAX: usize = 15 << 20;
/// An imported instance may have been changed this much later than log time, in milliseconds: clocks differ. It then
/// counts as changed at log time.
pub const IMPORT_AHEAD_MS_MAX: u64 = 60_000;
/// Longest page of LIST_INSTANCES.
pub const LIST_ITEMS_MAX: u64 = 1000;
/// Page length of LIST_INSTANCES when none is asked for.
pub const LIST_ITEMS_DEFAULT: u64 = 100;

/// The configured bounds and permissions a leader decides by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most versions of one machine; 0 means no limit.
    pub max_machine_versions: u32,
    /// Whether the id of a deleted instance may be used again.
    pub allow_instance_recreate: bool,
    /// Whether FLUSH_ALL is allowed.
    pub allow_flush_all: bool,
    /// How long an idempotency key is remembered.
    pub idempotency_retention_ms: u64,
    /// How many idempotency keys are remembered.
    pub idempotency_keys_max: u64,
    /// How many bytes they may cost, about; 0 means no limit.
    pub idempotency_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_machine_versions: 0,
            allow_instance_recreate: true,
            allow_flush_all: false,
            idempotency_retention_ms: 86_400_000,
            idempotency_keys_max: 10_000_000,
            idempotency_bytes_max: 4096 << 20,
        }
    }
}

/// What is wrong with a name, or nothing.
pub(crate) fn name_fault(name: &str) -> Option<String> {
    text_fault(name, NAME_BYTES_MAX)
}

/// What is wrong with a printable text of at most this many bytes, or nothing.
pub(crate) fn text_fault(name: &str, bytes_max: usize) -> Option<String> {
    if name.is_empty() || name.len() > bytes_max {
        return Some(format!(
            "is {} bytes long; 1 to {bytes_max} are allowed",
            name.len()
        ));
    }
    let control = name.chars().position(char::is_control)?;
    Some(format!(
        "holds a control character at position {}; names must be printable",
        control + 1
    ))
}

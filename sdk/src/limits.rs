//! Every limit of the runtime: name, unit, default.
//!
//! Those a user may want to change have a builder method of the same name.

use std::time::Duration;

/// How long a unary call may take when nobody says.
pub const UNARY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest timeout that a server honours; a longer one is cut to this.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What a call made within another keeps back, so that its caller can still answer in time.
pub const CHILD_RESERVE: Duration = Duration::from_millis(5);

/// Calls that a server handles at one time. Beyond it: `RESOURCE_EXHAUSTED`.
pub const IN_FLIGHT: usize = 1_024;

/// How long a stopping server waits for the calls it has.
pub const GRACE: Duration = Duration::from_secs(30);

/// The largest message either side accepts, however many pieces it travels in.
pub const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Metadata of one call, names and values as they travel.
pub const METADATA_BYTES: usize = 16 * 1024;

/// Messages of a stream that may be under way and unread, to begin with.
pub const WINDOW_MESSAGES: u64 = 16_384;

/// Bytes of a stream that may be under way and unread, to begin with.
pub const WINDOW_BYTES: u64 = 1024 * 1024;

/// How many times as large a window becomes, at most, for a reader that keeps up with its sender.
pub const WINDOW_GROWTH: u64 = 4;

/// Where a sender stops adding messages to a frame, in bytes; of two messages the second may go over it. Clients
/// and brokers read 64 KiB at a time and copy what goes on behind: eight frames of this size, with what NATS
/// puts around them, leave little of that.
pub const FRAME_BYTES: usize = 8_000;

/// Frames of a stream that may wait to be read, however little is in each. Whoever follows the protocol comes to
/// half of it at most.
pub const WAITING_FRAMES: usize = (2 * WINDOW_MESSAGES * WINDOW_GROWTH) as usize;

/// The largest piece of a message that does not fit a frame.
pub const PART_BYTES: usize = 128 * 1024;

/// What a frame keeps free below the broker's `max_payload` for its own fields and headers.
pub const FRAME_RESERVE_BYTES: usize = 1024;

/// How often a client tells a server instance that its streams are still wanted.
pub const BEAT: Duration = Duration::from_secs(2);

/// Silence after which the other side counts as dead: two beats and a little.
pub const PEER_SILENCE: Duration = Duration::from_millis(4_500);

/// How often a side looks for silence, at most: with this, a dead peer is noticed within five seconds.
pub const SILENCE_CHECK: Duration = Duration::from_millis(250);

/// How soon the first answer to a stream must come: catches a listener that is no service.
pub const ACCEPT: Duration = Duration::from_secs(2);

/// The longest subject, in bytes: `nats-server` reads a control line of 4,096.
pub const SUBJECT_BYTES: usize = 512;

/// Messages that a subscription buffers before it drops and says so.
pub const SUBSCRIPTION_MESSAGES: usize = 65_536;

/// How long a stream may take to acknowledge a message, or to answer anything else.
pub const STREAM_ANSWER: Duration = Duration::from_secs(5);

/// The longest time that a stream or a consumer is told: 100 years. More is cut to this.
pub const STREAM_TIME_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The most that the largest message of a stream may be set to, in bytes: nats-server counts it in 31 bits.
pub const STREAM_MESSAGE_BYTES_MAX: u32 = i32::MAX.unsigned_abs();

/// How long publishing to a stream may take, with all attempts, when nobody says.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that an event is published again: half of the two minutes for which a stream knows
/// its id.
pub const PUBLISH_HORIZON: Duration = Duration::from_secs(60);

/// Events of an atomic batch: what nats-server takes.
pub const BATCH_EVENTS: usize = 1_000;

/// Messages that may be published to streams and not acknowledged yet, of one publisher.
pub const PUBLISH_WINDOW: usize = 1_024;

/// How long a message of a consumer may be out before it is handed out again, when nobody says.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// Messages of a consumer that may be out at one time, when nobody says.
pub const ACK_PENDING: u32 = 1_000;

/// Messages of a stream that a reader holds and has not taken yet.
pub const PULL_MESSAGES: usize = 1_000;

/// Bytes of a stream that a reader holds and has not taken yet; one message may be larger.
pub const PULL_BYTES: usize = 4 * 1024 * 1024;

/// Events that a subscriber may leave unread before its policy for slow ones decides.
pub const UNREAD_EVENTS: usize = 8_192;

/// Messages that a worker handles at one time, when nobody says.
pub const WORKER_CONCURRENCY: usize = 16;

/// Bytes of messages that a worker has in hand: those whose handlers wait, that wait for others of
/// their key, or that cannot be set aside. Beyond it nothing more is taken.
pub const WORKER_BYTES: usize = 64 * 1024 * 1024;

/// The ceiling of the first wait between attempts at a message, when nobody says.
pub const RETRY_BASE: Duration = Duration::from_secs(1);

/// The ceiling of any wait between attempts at a message, when nobody says.
pub const RETRY_CAP: Duration = Duration::from_secs(60);

/// The longest wait between attempts at a message, whoever asks for it.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long after it was due a message is waited for at least that holds back others of its key.
pub const ORDER_PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts of a worker to have its consumer made again.
pub const REOPEN: Duration = Duration::from_secs(1);

/// How often a worker reports to whoever collects metrics.
pub const WORKER_REPORT: Duration = Duration::from_secs(10);

/// Messages of which a worker remembers that they are done, when nobody says.
pub const EFFECTS: usize = 100_000;

/// Dead letters that their stream keeps, unless it is made otherwise.
pub const DEAD_LETTERS: u64 = 1_000_000;

/// How long the stream of the dead letters knows that it has one already.
pub const DEAD_LETTER_WINDOW: Duration = Duration::from_secs(3600);

/// Dead letters that are published again in a second, when nobody says.
pub const REPLAYS_PER_SECOND: u32 = 100;

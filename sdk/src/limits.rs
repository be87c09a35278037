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

/// Messages of a stream that may be under way and unread.
pub const WINDOW_MESSAGES: u64 = 16_384;

/// Bytes of a stream that may be under way and unread.
pub const WINDOW_BYTES: u64 = 1024 * 1024;

/// Where a sender stops adding messages to a frame.
pub const FRAME_BYTES: usize = 32 * 1024;

/// The largest piece of a message that does not fit a frame.
pub const PART_BYTES: usize = 128 * 1024;

/// What a frame keeps free below the broker's `max_payload` for its own fields and headers.
pub const FRAME_RESERVE_BYTES: usize = 1024;

/// How often a client tells a server instance that its streams are still wanted.
pub const BEAT: Duration = Duration::from_secs(2);

/// Silence after which the other side counts as dead: two beats and a little.
pub const PEER_SILENCE: Duration = Duration::from_millis(4_500);

/// How often a side looks for silence: with this, a dead peer is noticed within five seconds.
pub const SILENCE_CHECK: Duration = Duration::from_millis(250);

/// How soon the first answer to a stream must come: catches a listener that is no service.
pub const ACCEPT: Duration = Duration::from_secs(2);

/// The longest subject, in bytes: `nats-server` reads a control line of 4,096.
pub const SUBJECT_BYTES: usize = 512;

/// Messages that a subscription buffers before it drops and says so.
pub const SUBSCRIPTION_MESSAGES: usize = 65_536;

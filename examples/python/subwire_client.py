"""Calls subwire services from Python: unary calls, and streams in either direction.

Written from PROTOCOL.md and frame.proto alone; the numbers in brackets are its sections.

    client = await Client.connect(await nats.connect(url))
    answer = await client.unary(INFER, llm_pb2.InferRequest(prompt="..."), timeout=5)
    async with client.stream(STREAM_INFER, request) as chunks:
        async for chunk in chunks: ...

A method is its descriptor, which knows the subject, the types and the timeout:
`llm_pb2.DESCRIPTOR.services_by_name["LlmService"].methods_by_name["Infer"]`.
"""

import asyncio
import base64
import re
import secrets
import time
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from subwire_wire import (
    FRAME,
    Status,
    header,
    read_entries,
    read_error,
    read_metadata,
    read_trailers,
    write_metadata,
)

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from subwire.v1 import frame_pb2, options_pb2

# Section 5.
UNARY_TIMEOUT_SECONDS = 10.0
FIRST_WORD_SECONDS = 2.0
BEAT_SECONDS = 2.0
SILENCE_SECONDS = 4.5
WINDOW_MESSAGES = 16_384
WINDOW_BYTES = 1_048_576
OVERSTEP_MESSAGES = 4_096
OVERSTEP_BYTES = 256 * 1024
PIECE_BYTES = 128 * 1024
KEPT_FREE_BYTES = 1024
MESSAGE_BYTES = 64 * 1024 * 1024
CALLS_IN_A_BEAT = 4_096

# How often the beat task looks for silent calls. Every fourth look beats.
_LOOK_SECONDS = BEAT_SECONDS / 4


@dataclass
class Answer:
    """What a unary call answers."""

    message: Message
    metadata: dict = field(default_factory=dict)
    trailers: dict = field(default_factory=dict)


class Client:
    """Calls any number of services over one connection and one inbox."""

    def __init__(self, nc, namespace="", inbox_prefix="_INBOX"):
        self.nc = nc
        self._namespace = namespace
        self._inbox = f"{inbox_prefix}.{_token()}"
        self._calls = {}
        self._beats = None

    @classmethod
    async def connect(cls, nc, **options):
        client = cls(nc, **options)
        await nc.subscribe(f"{client._inbox}.>", cb=client._arrived)
        return client

    async def unary(self, method, request, *, timeout=None, metadata=None):
        """One message in, one message out. Raises `Status`.

        `timeout` is in seconds; without one it is the method's own.
        """
        if timeout is None:
            timeout = _schema_timeout(method) or UNARY_TIMEOUT_SECONDS
        async with self._call(method, request, timeout, metadata) as call:
            return await call.answer()

    @asynccontextmanager
    async def stream(self, method, request=None, *, timeout=None, metadata=None):
        """A call with a stream in either direction, or in both.

        A server stream wants its `request`; others are sent to with `send` and `finish`. Leaving
        the block cancels what is not over. Whoever leaves messages unread holds the sender back.
        """
        if timeout is None:
            timeout = _schema_timeout(method)
        async with self._call(method, request, timeout, metadata) as call:
            await call.accepted()
            yield call

    @asynccontextmanager
    async def _call(self, method, request, timeout, metadata):
        call = Call(self, method, timeout)
        self._calls[call.id] = call
        try:
            await call.open(request, metadata)
            yield call
        finally:
            del self._calls[call.id]
            await call.cancel()

    async def _arrived(self, message):
        token = message.subject.removeprefix(f"{self._inbox}.").split(".")[0]
        if token == "_beat":
            self._beat_arrived(message)
        elif call := self._calls.get(token):
            call.arrived(message)

    # Beats [3.5].

    def _keep_alive(self):
        if self._beats is None or self._beats.done():
            self._beats = asyncio.create_task(self._keep_calls_alive())

    async def _keep_calls_alive(self):
        looks = 0
        while calls := [call for call in self._calls.values() if call.is_shared()]:
            for call in calls:
                call.fail_if_silent()
            if looks % 4 == 0:
                await self._beat(calls)
            looks += 1
            await asyncio.sleep(_LOOK_SECONDS)

    async def _beat(self, calls):
        by_instance = defaultdict(list)
        for call in calls:
            by_instance[call.accept.beat].append(call.state())
        for subject, states in by_instance.items():
            for at in range(0, len(states), CALLS_IN_A_BEAT):
                beat = frame_pb2.Beat(calls=states[at : at + CALLS_IN_A_BEAT])
                await self.nc.publish(
                    subject, beat.SerializeToString(), reply=f"{self._inbox}._beat"
                )

    def _beat_arrived(self, message):
        try:
            beat = frame_pb2.Beat.FromString(message.data)
        except DecodeError:
            return
        calls = {
            call.accept.call: call
            for call in self._calls.values()
            if call.is_shared()
        }
        for state in beat.calls:
            if call := calls.get(state.call):
                call.beat_arrived(state)


class Call:
    """A call under way: what comes in, and what may go out. Made by `Client`."""

    def __init__(self, client, method, timeout):
        self._client = client
        self._nc = client.nc
        self._method = method
        self._response = GetMessageClass(method.output_type)
        self._streams = method.client_streaming or method.server_streaming
        self.id = _token()
        self._deadline = None if timeout is None else time.monotonic() + timeout
        # A change of anything below; a new event each time, so that nobody misses one.
        self._changed = asyncio.Event()
        self._failure = None
        self._over = False
        # What a cancel names before anybody has accepted the call. None: it has not been sent.
        self._reply = None

        # In.
        self.accept = None
        self.metadata = {}
        self.trailers = {}
        self._plain = None
        # When the service last said that it has the call: by its accept, then by its beats.
        self._heard = time.monotonic()
        self._strikes = 0
        self._begun = False
        self._last_seq = 0
        self._arrived_messages = 0
        self._arrived_bytes = 0
        self._unread = deque()
        self._read_messages = 0
        self._read_bytes = 0
        self._whole_messages = 0
        self._granted = frame_pb2.Credit(messages=WINDOW_MESSAGES, bytes=WINDOW_BYTES)
        self._pieces = bytearray()

        # Out.
        self._sent_seq = 0
        self._sent_messages = 0
        self._sent_bytes = 0
        self._sent_whole_messages = 0
        self._credit = frame_pb2.Credit(messages=WINDOW_MESSAGES, bytes=WINDOW_BYTES)

    # Opening and ending.

    async def open(self, request, metadata):
        headers = write_metadata(metadata or {})
        payload = b"" if request is None else request.SerializeToString()
        _check_size(payload, "TOO_LARGE_REQUEST")
        large = len(payload) > self._nc.max_payload - KEPT_FREE_BYTES - _size(headers)
        if large:  # [4]
            headers[FRAME] = "1"
        left = self._left()
        timeout_us = 0 if left is None else max(1, int(left * 1_000_000))
        sent_ms = time.time_ns() // 1_000_000
        reply = f"{self._client._inbox}.{self.id}.{timeout_us}.{sent_ms}"
        await self._nc.publish(
            _subject(self._method, self._client._namespace),
            b"" if large else payload,
            reply=reply,
            headers=headers or None,
        )
        self._reply = reply
        if large:
            await self.accepted()
            await self._send_pieces(payload)
            await self.finish()

    async def accepted(self):
        """Waits for the service to take the call [3.2]."""
        await self._wait(lambda: self.accept or self._unread, FIRST_WORD_SECONDS)

    async def cancel(self):
        """Tells the service that nobody waits any more, unless the call is over [2.4]."""
        if self._reply is None or self._over or self._nc.is_closed:
            return
        self._over = True
        if self.accept:
            frame = frame_pb2.Frame(cancel=frame_pb2.Cancel())
            await self._nc.publish(self.accept.subject, frame.SerializeToString())
        else:
            service = _subject(self._method, self._client._namespace).rpartition(".")[0]
            await self._nc.publish(f"{service}._cancel", self._reply.encode())

    def fail(self, status):
        if self._failure is None:
            self._failure = status
            self._notify()

    def fail_if_silent(self):
        if time.monotonic() - self._heard > SILENCE_SECONDS:
            self.fail(_peer_lost("the service has fallen silent"))

    # Reading.

    async def answer(self):
        """The one message of a unary call or a client stream, when it is there."""
        await self._wait(lambda: self._plain or self._unread)
        if self._plain:
            return self._plain
        message = await self._read()
        if message is None or await self._read() is not None:
            raise Status(code_pb2.INTERNAL, "not exactly one message in the answer")
        return Answer(message, self.metadata, self.trailers)

    def __aiter__(self):
        return self

    async def __anext__(self):
        message = await self._read()
        if message is None:
            raise StopAsyncIteration
        return message

    async def _read(self):
        """The next message; None after the last."""
        while True:
            await self._wait(lambda: self._unread)
            item = self._unread[0]
            if isinstance(item, frame_pb2.End):
                return self._read_end(item)
            self._unread.popleft()
            if isinstance(item, frame_pb2.Part):
                data = self._read_part(item)
            elif self._pieces:
                raise _gap("a message began before the pieces of another had come")
            else:
                data = item
                self._read_messages += 1
                self._read_bytes += _entry_bytes(item)
            await self._grant()
            if data is not None:
                self._whole_messages += 1
                return self._decode(data)

    def _read_part(self, part):
        self._read_bytes += len(part.data)
        self._pieces += part.data
        if len(self._pieces) > part.total:
            raise _gap("the pieces of a message do not fit together")
        if len(self._pieces) < part.total:
            return None
        whole, self._pieces = bytes(self._pieces), bytearray()
        return whole

    def _read_end(self, end):
        # It stays where it is: whoever reads on gets it again.
        if end.HasField("status"):
            raise Status.from_proto(end.status)
        if end.messages != self._whole_messages or self._pieces:
            raise _gap(f"{self._whole_messages} of {end.messages} messages")
        return None

    async def _grant(self):
        """Lets the sender go on when half a window has been read [3.4]."""
        messages = self._read_messages + WINDOW_MESSAGES
        size = self._read_bytes + WINDOW_BYTES
        if (
            messages - self._granted.messages >= WINDOW_MESSAGES // 2
            or size - self._granted.bytes >= WINDOW_BYTES // 2
        ):
            self._granted = frame_pb2.Credit(messages=messages, bytes=size)
            await self._publish(frame_pb2.Frame(credit=self._granted))

    def _decode(self, data):
        try:
            return self._response.FromString(data)
        except DecodeError as error:
            raise Status.of_runtime(
                code_pb2.INTERNAL, "MALFORMED_RESPONSE", str(error)
            ) from error

    # Sending.

    async def send(self, message):
        """Sends one message of a client stream. Waits while the service is slow to read."""
        data = message.SerializeToString()
        _check_size(data, "TOO_LARGE_MESSAGE")
        if _entry_bytes(data) > self._piece_bytes():
            await self._send_pieces(data)
        else:
            await self._send_content(
                frame_pb2.Frame(messages=[data]), messages=1, size=_entry_bytes(data)
            )
            self._sent_whole_messages += 1

    async def finish(self):
        """Says that nothing more comes from here. The service goes on."""
        end = frame_pb2.End(messages=self._sent_whole_messages)
        self._sent_seq += 1
        await self._publish(frame_pb2.Frame(seq=self._sent_seq, end=end))

    async def _send_pieces(self, data):
        piece = self._piece_bytes()
        for at in range(0, len(data), piece):
            part = frame_pb2.Part(data=data[at : at + piece], total=len(data))
            await self._send_content(
                frame_pb2.Frame(part=part), messages=0, size=len(part.data)
            )
        self._sent_whole_messages += 1

    def _piece_bytes(self):
        return min(PIECE_BYTES, self._nc.max_payload - KEPT_FREE_BYTES)

    async def _send_content(self, frame, messages, size):
        await self._wait(self._may_send)
        self._sent_seq += 1
        frame.seq = self._sent_seq
        self._sent_messages += messages
        self._sent_bytes += size
        await self._publish(frame)

    def _may_send(self):
        return (
            self.accept
            and self._sent_messages < self._credit.messages
            and self._sent_bytes < self._credit.bytes
        )

    async def _publish(self, frame):
        if not self._over:
            await self._nc.publish(self.accept.subject, frame.SerializeToString())

    # What arrives.

    def arrived(self, message):
        if self._over:
            return
        error = read_error(message.headers, message.data)
        if error:
            self._over = True
            self.fail(error)
        elif self._streams or header(message.headers, FRAME) == "1":
            self._frame_arrived(message.data)
        else:
            self._answer_arrived(message)
        self._notify()

    def beat_arrived(self, state):
        self._heard = time.monotonic()
        if state.HasField("credit"):
            self._raise_credit(state.credit)
        behind = state.sent > self._last_seq
        self._strikes = self._strikes + 1 if behind or state.over else 0
        if self._strikes == 2:
            self.fail(_gap("the service has sent more than has come"))
        self._notify()

    def _answer_arrived(self, message):
        self._over = True
        try:
            self._plain = Answer(
                self._decode(message.data),
                read_metadata(message.headers),
                read_trailers(message.headers),
            )
        except Status as status:
            self.fail(status)

    def _frame_arrived(self, data):
        try:
            frame = frame_pb2.Frame.FromString(data)
        except DecodeError:
            return self.fail(_invalid_frame("not a frame"))
        if frame.HasField("accept") and self.accept is None:
            self.accept = frame.accept
            self._heard = time.monotonic()
            self._client._keep_alive()
        if frame.HasField("credit"):
            self._raise_credit(frame.credit)
        if frame.seq == 0 or frame.seq <= self._last_seq:
            return None
        if frame.seq != self._last_seq + 1:
            return self.fail(_gap(f"frame {frame.seq} came after {self._last_seq}"))
        self._last_seq = frame.seq
        self._content_arrived(frame)

    def _content_arrived(self, frame):
        if frame.HasField("metadata"):
            self._begun = True
            self.metadata = read_entries(frame.metadata)
        elif not self._begun and not frame.end.HasField("status"):
            return self.fail(_invalid_frame("content before the metadata"))
        if frame.part.total > MESSAGE_BYTES:
            return self.fail(_too_large(frame.part.total, "TOO_LARGE_RESPONSE"))

        self._arrived_messages += len(frame.messages)
        self._arrived_bytes += sum(map(_entry_bytes, frame.messages))
        self._arrived_bytes += len(frame.part.data)
        if (
            self._arrived_messages > self._granted.messages + OVERSTEP_MESSAGES
            or self._arrived_bytes > self._granted.bytes + OVERSTEP_BYTES
        ):
            return self.fail(
                Status.of_runtime(
                    code_pb2.RESOURCE_EXHAUSTED,
                    "FLOW_CONTROL",
                    "the service has sent more than it may",
                )
            )

        self._unread.extend(frame.messages)
        if frame.HasField("part"):
            self._unread.append(frame.part)
        if frame.HasField("end"):
            self._over = True
            self.trailers = read_entries(frame.end.trailers)
            self._unread.append(frame.end)

    def _raise_credit(self, credit):
        self._credit.messages = max(self._credit.messages, credit.messages)
        self._credit.bytes = max(self._credit.bytes, credit.bytes)

    # Beats.

    def is_shared(self):
        """A service has it, and there is more to come."""
        return self.accept is not None and not self._over

    def state(self):
        """What a beat says of this call."""
        return frame_pb2.CallState(
            call=self.accept.call, sent=self._sent_seq, credit=self._granted
        )

    # Waiting.

    def _notify(self):
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, ready, first_word=None):
        """Until `ready()` is true. What came before a failure is still read."""
        while not ready():
            if self._failure:
                raise self._failure
            left = self._left()
            limits = [limit for limit in (left, first_word) if limit is not None]
            try:
                async with asyncio.timeout(min(limits, default=None)):
                    await self._changed.wait()
            except TimeoutError:
                if limits and min(limits) == left:
                    self.fail(_deadline())
                else:
                    self.fail(_peer_lost("no word from the service"))

    def _left(self):
        return None if self._deadline is None else self._deadline - time.monotonic()


def _subject(method, namespace):
    """`svc.<package>.<method>`, unless the schema has another prefix [1]."""
    service = method.containing_service
    prefix = service.GetOptions().Extensions[options_pb2.service].subject
    if not prefix:
        prefix = f"svc.{service.file.package}"
    if namespace:
        prefix = f"{namespace}.{prefix}"
    words = re.sub("([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", method.name)
    return f"{prefix}.{words.lower()}"


def _schema_timeout(method):
    options = method.GetOptions().Extensions[options_pb2.method]
    if not options.HasField("timeout"):
        return None
    return options.timeout.ToTimedelta().total_seconds()


def _token():
    """128 random bits in base64url without padding: 22 characters."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()


def _entry_bytes(data):
    """The size of an entry of `Frame.messages`: key, length, data."""
    return 1 + max(1, (len(data).bit_length() + 6) // 7) + len(data)


def _size(headers):
    """What headers take on the wire, but for the first line."""
    return sum(len(name) + len(value) + 4 for name, value in headers.items())


def _check_size(data, reason):
    if len(data) > MESSAGE_BYTES:
        raise _too_large(len(data), reason)


def _too_large(size, reason):
    return Status.of_runtime(
        code_pb2.RESOURCE_EXHAUSTED,
        reason,
        f"a message of {size} bytes, and {MESSAGE_BYTES} are the limit",
    )


def _deadline():
    return Status.of_runtime(
        code_pb2.DEADLINE_EXCEEDED, "DEADLINE", "no answer before the deadline"
    )


def _peer_lost(message):
    return Status.of_runtime(code_pb2.UNAVAILABLE, "PEER_LOST", message)


def _gap(message):
    return Status.of_runtime(code_pb2.UNAVAILABLE, "STREAM_GAP", message)


def _invalid_frame(message):
    return Status.of_runtime(code_pb2.INTERNAL, "INVALID_FRAME", message)

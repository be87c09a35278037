"""Answers `svc.testing.echo.v1.echo`: a subwire service that is nothing but a NATS subscription.

    python responder.py

An empty text is refused with a detail that names the field; `fail_with` fails as it says; metadata
comes back as it was sent, and `trailer-answered-by` behind it. Stops at SIGTERM or SIGINT.
"""

import asyncio
import os
import signal

import nats
from subwire_wire import TIMEOUT, Status, header, read_metadata, write_error, write_metadata

from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2
from testing.echo.v1 import echo_pb2

SERVICE = "svc.testing.echo.v1"
UNARY_TIMEOUT_SECONDS = 10.0
LONGEST_TIMEOUT_SECONDS = 3600.0
# The length of `<call>` in a reply subject `<inbox>.<call>.<timeout>.<sent>`.
CALL_CHARACTERS = 22


class Responder:
    def __init__(self, nc):
        self._nc = nc
        self._requests = None
        # By reply subject, which is also the name by which a call is cancelled.
        self._in_flight = {}

    async def listen(self):
        await self._nc.subscribe(f"{SERVICE}._cancel", cb=self._cancel)
        self._requests = await self._nc.subscribe(
            f"{SERVICE}.echo", queue="q", cb=self._request
        )
        # Without this a request could come before the broker knows of us.
        await self._nc.flush()

    async def stop(self):
        """Takes no more requests, and answers those it has taken."""
        await self._requests.drain()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)
        await self._nc.drain()

    async def _request(self, message):
        # Who calls chose where the answer goes, and it goes with our rights: to inboxes only.
        if not message.reply.startswith("_INBOX") or "." not in message.reply:
            return
        # A task for each: nats-py hands over the next message when this returns.
        task = asyncio.create_task(self._answer(message))
        self._in_flight[message.reply] = task
        task.add_done_callback(lambda _: self._in_flight.pop(message.reply, None))

    async def _cancel(self, message):
        if task := self._in_flight.get(message.data.decode(errors="replace")):
            task.cancel()

    async def _answer(self, message):
        try:
            async with asyncio.timeout(timeout_seconds(message)) as timeout:
                response, headers = await echo(message, timeout.when())
            payload = response.SerializeToString()
        except TimeoutError:
            headers, payload = write_error(
                Status.of_runtime(
                    code_pb2.DEADLINE_EXCEEDED, "DEADLINE", "the time is up"
                )
            )
        except Status as status:
            headers, payload = write_error(status)
        await self._nc.publish(message.reply, payload, headers=headers or None)


async def echo(message, deadline):
    try:
        request = echo_pb2.EchoRequest.FromString(message.data)
    except DecodeError as error:
        raise Status.of_runtime(
            code_pb2.INVALID_ARGUMENT, "MALFORMED_REQUEST", str(error)
        ) from error
    if request.fail_with:
        raise Status(request.fail_with, request.text)
    if not request.text:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field="text", description="must not be empty"
        )
        raise Status(code_pb2.INVALID_ARGUMENT, "there is nothing to echo").with_detail(
            error_details_pb2.BadRequest(field_violations=[violation])
        )
    await asyncio.sleep(request.delay_ms / 1000)
    remaining = deadline - asyncio.get_running_loop().time()
    response = echo_pb2.EchoResponse(
        text=request.text,
        payload=request.payload,
        remaining_ms=int(max(0.0, remaining) * 1000),
        instance="python",
    )
    headers = write_metadata(read_metadata(message.headers))
    headers |= write_metadata({"answered-by": "python"}, prefix="trailer-")
    return response, headers


def timeout_seconds(message):
    """What the caller says, in the reply subject or in a header; else the default."""
    call, timeout, sent = (["", "", ""] + message.reply.split(".")[1:])[-3:]
    text = header(message.headers, TIMEOUT)
    if len(call) == CALL_CHARACTERS and timeout.isdecimal() and sent.isdecimal():
        # 0: as long as it takes.
        asked = int(timeout) / 1_000_000 or LONGEST_TIMEOUT_SECONDS
    elif text is None:
        asked = UNARY_TIMEOUT_SECONDS
    elif text.isdecimal() and int(text) > 0:
        asked = int(text) / 1_000_000
    else:
        raise Status.of_runtime(
            code_pb2.INVALID_ARGUMENT,
            "INVALID_TIMEOUT",
            f"{TIMEOUT} must be microseconds, a whole number above 0",
        )
    return min(asked, LONGEST_TIMEOUT_SECONDS)


async def main():
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    responder = Responder(nc)
    await responder.listen()
    print(f"listening on {SERVICE}.echo", flush=True)
    await stop.wait()
    await responder.stop()


if __name__ == "__main__":
    asyncio.run(main())

"""Calls the service of python.rs: `caller.py <case>`.

The Rust side starts this with `examples/python` in its path, and judges what it says: a JSON object
a line.
"""

import asyncio
import json
import os
import sys

import nats
from subwire_client import Client
from subwire_wire import Status, read_error

from google.rpc import error_details_pb2
from testing.echo.v1 import echo_pb2 as echo

ECHO = echo.DESCRIPTOR.services_by_name["EchoService"].methods_by_name


def say(**what):
    print(json.dumps(what), flush=True)


async def go_on():
    """Waits until the Rust side says so."""
    await asyncio.to_thread(sys.stdin.readline)


def say_status(status, **more):
    bad = status.detail(error_details_pb2.BadRequest) or error_details_pb2.BadRequest()
    info = status.detail(error_details_pb2.ErrorInfo) or error_details_pb2.ErrorInfo()
    fields = [[field.field, field.description] for field in bad.field_violations]
    say(
        code=status.code,
        message=status.message,
        reason=info.reason,
        fields=fields,
        **more,
    )


async def unary(client):
    answer = await client.unary(
        ECHO["Echo"],
        echo.EchoRequest(text="grüße", payload=b"\0\xff"),
        timeout=5,
        metadata={"tenant": " 100 % ä ", "key-bin": b"\0\1\xff"},
    )
    say(
        text=answer.message.text,
        payload=answer.message.payload.hex(),
        remaining_ms=answer.message.remaining_ms,
        metadata=answer.metadata["seen-tenant"],
        trailer=answer.trailers["cost"],
    )


async def error(client):
    try:
        await client.unary(ECHO["Echo"], echo.EchoRequest(fail_with=3, text="nö\r\n"))
    except Status as status:
        say_status(status)


async def deadline(client):
    try:
        await client.unary(ECHO["Echo"], echo.EchoRequest(hang=True), timeout=0.3)
    except Status as status:
        say_status(status)
    # The schema gives this one 200 ms.
    try:
        await client.unary(ECHO["EchoSoon"], echo.EchoSoonRequest(hang=True))
    except Status as status:
        say_status(status)


async def stock(client):
    """What any NATS client can do, without a line of ours but for reading the error."""
    request = echo.EchoRequest(text="hello").SerializeToString()
    answer = await client.nc.request("svc.testing.echo.v1.echo", request, timeout=10)
    say(text=echo.EchoResponse.FromString(answer.data).text, headers=answer.headers)
    request = echo.EchoRequest(hang=True).SerializeToString()
    answer = await client.nc.request(
        "svc.testing.echo.v1.echo",
        request,
        timeout=10,
        headers={"Subwire-Timeout": "200000"},
    )
    say_status(read_error(answer.headers, answer.data))


async def flow(client):
    total = 200_000
    request = echo.CountRequest(messages=total)
    async with client.stream(ECHO["Count"], request) as numbers:
        first = await anext(numbers)
        say(first=first.n)
        await go_on()
        read, in_order = 1, first.n == 0
        async for number in numbers:
            in_order &= number.n == read
            read += 1
        say(read=read, in_order=in_order, trailer=numbers.trailers.get("counted"))


async def failing_stream(client):
    read = []
    try:
        request = echo.CountRequest(messages=5, fail_with=5)
        async with client.stream(ECHO["Count"], request) as numbers:
            async for number in numbers:
                read.append(number.n)
    except Status as status:
        say_status(status, read=read)


async def leaving(client):
    request = echo.CountRequest(messages=1, hang=True)
    async with client.stream(ECHO["Count"], request) as numbers:
        say(first=(await anext(numbers)).n)
        await go_on()
    say(left=True)
    # Stays, so that the end of the connection is not what ends the call.
    await go_on()


async def both_ways(client):
    async with client.stream(ECHO["Sum"]) as call:
        for n in range(20_000):
            await call.send(echo.SumRequest(n=n))
        await call.finish()
        answer = await call.answer()
        say(sum=answer.message.sum, messages=answer.message.messages)
    async with client.stream(ECHO["Talk"]) as call:
        heard = []
        for text in ["a", "b"]:
            await call.send(echo.TalkRequest(text=text))
            heard.append((await anext(call)).text)
        await call.finish()
        async for more in call:
            heard.append(more.text)
        say(heard=heard)


async def large(client):
    size = 3 * 1024 * 1024
    answer = await client.unary(ECHO["Echo"], echo.EchoRequest(payload=b"x" * size))
    say(payload=len(answer.message.payload))
    async with client.stream(ECHO["Sum"]) as call:
        await call.send(echo.SumRequest(payload=b"x" * size))
        await call.finish()
        answer = await call.answer()
        say(payload=answer.message.payload_bytes, messages=answer.message.messages)


async def long_call(client):
    answer = await client.unary(
        ECHO["Echo"], echo.EchoRequest(text="late", delay_ms=6_000), timeout=30
    )
    say(text=answer.message.text)


async def main(case):
    nc = await nats.connect(os.environ["NATS_URL"])
    try:
        await case(await Client.connect(nc))
    finally:
        await nc.close()


if __name__ == "__main__":
    cases = [
        unary,
        error,
        deadline,
        stock,
        flow,
        failing_stream,
        leaving,
        both_ways,
        large,
        long_call,
    ]
    asyncio.run(main({case.__name__: case for case in cases}[sys.argv[1]]))

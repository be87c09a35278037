"""Calls the example's LLM service: one answer, one refusal, one stream.

    python call_llm.py "why is the sky blue"

The broker is NATS_URL, or nats://127.0.0.1:4222.
"""

import asyncio
import os
import sys

import nats
from subwire_client import Client
from subwire_wire import Status

from ai.llm.v1 import llm_pb2
from google.rpc import error_details_pb2

LLM = llm_pb2.DESCRIPTOR.services_by_name["LlmService"].methods_by_name


async def main(prompt):
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    try:
        client = await Client.connect(nc)
        await one_answer(client, prompt)
        await one_refusal(client)
        await one_stream(client, prompt)
    finally:
        await nc.close()


async def one_answer(client, prompt):
    answer = await client.unary(
        LLM["Infer"],
        llm_pb2.InferRequest(prompt=prompt),
        timeout=5,
        metadata={"tenant": "acme"},
    )
    print(f"infer: {answer.message.output}")
    print(f"       {answer.message.tokens_used} tokens")


async def one_refusal(client):
    try:
        await client.unary(LLM["Infer"], llm_pb2.InferRequest())
    except Status as status:
        print(f"an empty prompt: {status}")
        if bad := status.detail(error_details_pb2.BadRequest):
            for violation in bad.field_violations:
                print(f"       {violation.field}: {violation.description}")


async def one_stream(client, prompt):
    request = llm_pb2.StreamInferRequest(prompt=prompt)
    print("stream_infer: ", end="")
    async with client.stream(LLM["StreamInfer"], request) as chunks:
        # Reading is what lets the service send more; leaving the block early would cancel.
        async for chunk in chunks:
            print(chunk.text, end="", flush=True)
    print()


if __name__ == "__main__":
    try:
        asyncio.run(main(" ".join(sys.argv[1:]) or "why is the sky blue"))
    except Status as failed:
        sys.exit(f"the call failed: {failed}")

"""Calls a model many times, one call after the other, with the library that is named.

calls.py LIBRARY NUMBER URL; each second answer comes as a stream of events.
"""

import asyncio
import os
import ssl
import sys

import httpx
import openai
import requests

TRUSTED = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
library, number, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
completions = url + "v1/chat/completions"


def question(index):
    messages = [{"role": "user", "content": "hello? " * (20 + 50 * (index % 7))}]
    return {"model": "m", "messages": messages, "stream": index % 2 == 1}


def with_requests():
    with requests.Session() as session:
        for index in range(number):
            answer = session.post(completions, json=question(index), timeout=15)
            answer.raise_for_status()


def without_session():
    for index in range(number):
        answer = requests.post(completions, json=question(index), timeout=15)
        answer.raise_for_status()


def with_httpx(http2):
    with httpx.Client(verify=TRUSTED, http2=http2, timeout=15) as client:
        for index in range(number):
            answer = client.post(completions, json=question(index))
            answer.raise_for_status()
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")


def with_openai():
    client = openai.OpenAI(
        api_key="none",
        base_url=url + "v1",
        max_retries=0,
        http_client=httpx.Client(verify=TRUSTED, timeout=15),
    )
    for index in range(number):
        answer = client.chat.completions.create(**question(index))
        if index % 2 == 1:
            for _ in answer:
                pass


async def at_once():
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(
        verify=TRUSTED, http2=True, timeout=15, limits=limits
    ) as client:
        calls = [client.post(completions, json=question(n)) for n in range(number)]
        for answer in await asyncio.gather(*calls):
            answer.raise_for_status()


match library:
    case "requests":
        with_requests()
    case "requests-apart":
        without_session()
    case "httpx":
        with_httpx(http2=False)
    case "httpx-2":
        with_httpx(http2=True)
    case "httpx-2-at-once":
        asyncio.run(at_once())
    case "openai":
        with_openai()
    case _:
        sys.exit(f"no library {library}")

"""Asks a model with the openai SDK, in one piece and as a stream.

The answers go to standard output.
"""

import os
import ssl
import sys

import httpx
import openai

trusted = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
client = openai.OpenAI(
    api_key="none",
    base_url=sys.argv[1] + "v1",
    max_retries=0,
    http_client=httpx.Client(verify=trusted, timeout=15),
)
question = {"model": "m", "messages": [{"role": "user", "content": "hello?"}]}
print(client.chat.completions.create(**question).choices[0].message.content)
stream = client.chat.completions.create(**question, stream=True)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream))

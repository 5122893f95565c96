"""Calls a URL with httpx; the answer goes to standard output."""

import os
import ssl
import sys

import httpx

trusted = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
with httpx.Client(verify=trusted, timeout=15) as client:
    answer = client.get(sys.argv[1])
answer.raise_for_status()
print(answer.text)

"""Calls a URL with requests; the answer goes to standard output."""

import sys

import requests

answer = requests.get(sys.argv[1], timeout=15)
answer.raise_for_status()
print(answer.text)

"""One call to a model, as a program makes it. Prints what came of it. Started by the demo."""

import ssl
import sys
import urllib.request

host, certificate = sys.argv[1:]
request = urllib.request.Request(
    f"https://{host}/v1/messages", data=b'{"prompt": "summarise"}', method="POST"
)
try:
    context = ssl.create_default_context(cafile=certificate)
    with urllib.request.urlopen(request, context=context, timeout=5) as response:
        print(f"HTTP {response.status}")
except OSError as error:
    print(getattr(error, "reason", error))
    sys.exit(1)

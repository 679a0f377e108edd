"""Asks this container's web server whether it is ready: ``python -m webapp.operations.probe``. Ends with 1 if not."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection


def main() -> int:
    port = int(os.environ.get("CANOPY_PORT") or 8000)
    # The site answers to its own names only.
    host = os.environ.get("CANOPY_HOSTS", "localhost").split(",")[0]
    connection = HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/readyz", headers={"Host": host})
        answer = connection.getresponse()
        print(answer.read().decode())
    except OSError as error:
        print(f"no answer: {error}")
        return 1
    return int(answer.status != 200)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m infra.alive URL` exits with 0 if it answers within two seconds that all is well: the image has no curl."""

import sys
from urllib.error import URLError
from urllib.request import urlopen

TIMEOUT_S = 2.0


def is_alive(url: str) -> bool:
    try:
        with urlopen(url, timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_alive(sys.argv[1]) else 1)

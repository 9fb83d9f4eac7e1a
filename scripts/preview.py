"""Look at the pages without models: every page that imports, mounted with fake clients.

    .venv/bin/python scripts/preview.py --port 8123

Developers' tool. `--starting` shows applications that are still coming up, `--pause-s` slows answers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import uvicorn
from fastapi import FastAPI

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from serve_apps.args import RealtimeArgs  # noqa: E402
from serve_apps.contracts import Clients  # noqa: E402
from serve_apps.realtime.door import Realtime  # noqa: E402
from tests.conversations import made_conversations  # noqa: E402
from tests.fake_clients import FakeChat, FakeCluster, fake_clients  # noqa: E402 - the path comes first
from tests.ui_server import mount  # noqa: E402
from ui import shell  # noqa: E402

ANSWER = """Here is **Markdown** with `code`, a list and a formula.

- one
- two

```python
def greet(name: str) -> str:
    return f"Hello, {name}"
```

Inline \\(a^2 + b^2 = c^2\\) and displayed: $$\\int_0^1 x^2\\,dx = \\tfrac{1}{3}$$"""


def ready(pages: Iterable[str], clients: Clients) -> list[str]:
    """The pages that build; says why the others do not, so that a page under work hides no other."""
    found = []
    for name in pages:
        try:
            import_module(f"ui.{name}").build(clients)
        except (ImportError, AttributeError, OSError) as error:
            print(f"{name}: skipped ({error})")
        else:
            found.append(name)
    return found


def main() -> None:
    """Serve the pages until interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--pause-s", type=float, default=0.03, help="time between the words of an answer")
    parser.add_argument("--starting", action="store_true", help="show applications that are not up yet")
    parser.add_argument("--endless", action="store_true", help="never end an answer")
    parser.add_argument("--pages", nargs="*", help="only these")
    arguments = parser.parse_args()
    statuses = {"llm": ("fetching", "42 of 89 MiB"), "stt": ("starting", "loading the weights")}
    statuses |= {"tts": ("failed", "espeak-ng was not found: reinstall espeakng-loader")}
    chat = FakeChat(ANSWER, pause_s=arguments.pause_s, endless=arguments.endless)
    clients = fake_clients(
        chat=chat,
        conversations=made_conversations(Path(tempfile.mkdtemp(prefix="raydio-preview-")), chat),
        cluster=FakeCluster(**(statuses if arguments.starting else {})),
    )
    app = FastAPI()
    pages = ready(arguments.pages or shell.PAGES, clients)
    app.router.routes.extend(Realtime(clients, RealtimeArgs()).routes("/v1"))
    mount(app, clients, pages)
    print(", ".join(pages), f"at http://127.0.0.1:{arguments.port}/ui/")
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()

"""Every curl example of docs/documents.md, run as it stands, in order, against a served door."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path

import httpx

from serve_apps import access
from serve_apps.settings import ASSETS
from tests.documents_server import documents_served
from tests.fake_clients import FakeEmbeddings

DOCS = Path(__file__).resolve().parent.parent / "docs" / "documents.md"


def examples() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "handbook.pdf").write_bytes(next((ASSETS / "samples/documents").glob("*.pdf")).read_bytes())
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.writestr("fox.md", "# Foxes\n\nThe quick brown fox jumps over the lazy dog.")
    told = {}
    with documents_served(tmp_path, FakeEmbeddings()) as address:
        environment = {"RAYDIO": address, "TOKEN": access.token(), "PATH": "/usr/bin:/bin"}
        for line in examples():
            environment |= ids(address)
            done = subprocess.run(
                ["bash", "-c", line.replace("curl ", "curl -sS --fail-with-body ", 1)],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            told[line] = done.stdout
    assert len(told) == 15
    search = next(json.loads(answer) for line, answer in told.items() if "/v1/search" in line)
    assert search["hits"][0]["document"]["name"] == "handbook.pdf"
    deleted = next(
        json.loads(answer) for line, answer in told.items() if "DELETE $RAYDIO/v1/documents" in line
    )
    assert (deleted["deleted"], deleted["n_remaining"]) == (True, 0)
    assert (tmp_path / "original.bin").read_bytes() == (tmp_path / "handbook.pdf").read_bytes()


def ids(address: str) -> dict[str, str]:
    """What the examples call $COLLECTION and $DOCUMENT."""
    headers = {"authorization": f"Bearer {access.token()}"}
    with httpx.Client(base_url=f"{address}/v1/", headers=headers) as http:
        collections = http.get("collections").json()["data"]
        chosen = next((c for c in collections if c["name"] != "Documents"), collections[0])
        documents = http.get(f"collections/{chosen['id']}/documents").json()["data"]
    wanted = next((d["id"] for d in documents if d["name"] == "handbook.pdf"), "")
    return {"COLLECTION": chosen["id"], "DOCUMENT": wanted}
